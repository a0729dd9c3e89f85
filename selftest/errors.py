"""What the self-test says no to, and what it finds wrong."""

from approvals.rules.errors import ApprovalsError


class SelfTestRefused(ApprovalsError):
    """A run cannot begin like this; `str()` says why and what to do instead."""


class StepFailed(Exception):
    """The portal answered something else than it should: subject, fault, value."""
