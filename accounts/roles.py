"""Roles, verbs, and the verbs of each role. Data only; `accounts.permissions.can` reads it."""

from collections.abc import Mapping
from enum import StrEnum

from django.db import models


class Role(models.TextChoices):
    """A set of permissions.

    Administrators are not officers; they read the log of their own part.
    """

    ADMINISTRATOR = "administrator", "Administrator"
    OFFICER = "officer", "RA officer"
    AUDITOR = "auditor", "Auditor"


class Verb(StrEnum):
    """An action on an object."""

    REQUEST_VIEW = "request:view"
    REQUEST_DECIDE = "request:decide"
    REQUEST_RETRY = "request:retry"
    CERTIFICATE_VIEW = "certificate:view"
    CERTIFICATE_REVOKE = "certificate:revoke"
    AUDIT_VIEW = "audit:view"
    PROFILE_VIEW = "profile:view"
    PROFILE_MANAGE = "profile:manage"
    CHALLENGE_CREATE = "challenge:create"
    CHALLENGE_VIEW = "challenge:view"
    CHALLENGE_REVEAL = "challenge:reveal"
    AUTHORITY_VIEW = "authority:view"
    AUTHORITY_PAUSE = "authority:pause"
    KEY_VIEW = "key:view"
    KEY_BLOCK = "key:block"
    PEOPLE_MANAGE = "people:manage"


_READ = frozenset(
    {
        Verb.REQUEST_VIEW,
        Verb.CERTIFICATE_VIEW,
        Verb.CHALLENGE_VIEW,
        Verb.PROFILE_VIEW,
        Verb.AUTHORITY_VIEW,
        Verb.KEY_VIEW,
    }
)

VERBS_OF: Mapping[Role, frozenset[Verb]] = {
    Role.ADMINISTRATOR: _READ
    | {
        Verb.PROFILE_MANAGE,
        Verb.CHALLENGE_CREATE,
        Verb.CHALLENGE_REVEAL,
        Verb.AUTHORITY_PAUSE,
        Verb.KEY_BLOCK,
        Verb.PEOPLE_MANAGE,
        Verb.AUDIT_VIEW,
    },
    Role.OFFICER: _READ
    | {Verb.REQUEST_DECIDE, Verb.REQUEST_RETRY, Verb.CERTIFICATE_REVOKE, Verb.CHALLENGE_CREATE},
    Role.AUDITOR: _READ | {Verb.AUDIT_VIEW},
}

# Django's admin asks for model permissions; these are the only ones it grants, and only to
# administrators.
ADMIN_PERMISSIONS = frozenset(
    f"{app}.{action}_{model}"
    for app, model, actions in (
        ("accounts", "user", ("view", "add", "change")),
        ("accounts", "roleassignment", ("view", "add", "change", "delete")),
        ("accounts", "department", ("view", "add", "change")),
        ("approvals", "enrollmentprofile", ("view", "add", "change")),
        ("approvals", "enrollmentrequest", ("view",)),
        ("approvals", "decision", ("view",)),
        ("approvals", "challengepassword", ("view",)),
        ("ca", "certificateprofile", ("view", "add", "change")),
        ("ca", "certificateprofileversion", ("view",)),
        ("ca", "certificateauthority", ("view",)),
        ("ca", "certificate", ("view",)),
    )
    for action in actions
)
