"""Errors of the self-test."""

from approvals.rules.errors import ApprovalsError


class SelfTestRefused(ApprovalsError):
    """A run cannot start; `str()` says why and what to do instead."""


class StepFailed(Exception):
    """The portal gave an unexpected answer: subject, fault, value."""
