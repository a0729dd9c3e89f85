"""The closed list of what can happen, as `subject:action`, and who can have done it."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Event(StrEnum):
    """Every fact the log can hold. A name once used is never reused for something else."""

    REQUEST_SUBMIT = "request:submit"
    REQUEST_APPROVE = "request:approve"
    REQUEST_REJECT = "request:reject"
    REQUEST_FAIL = "request:fail"
    REQUEST_EXPIRE = "request:expire"
    REQUEST_REOPEN = "request:reopen"
    REQUEST_WITHDRAW = "request:withdraw"
    REQUEST_ATTENTION = "request:attention"
    REQUEST_RETRY = "request:retry"
    MESSAGE_REFUSE = "message:refuse"
    CERTIFICATE_PREPARE = "certificate:prepare"
    CERTIFICATE_ISSUE = "certificate:issue"
    CERTIFICATE_DELIVER = "certificate:deliver"
    CERTIFICATE_EXPORT = "certificate:export"
    CERTIFICATE_REVOKE = "certificate:revoke"
    CERTIFICATE_HOLD = "certificate:hold"
    CERTIFICATE_RELEASE = "certificate:release"
    CRL_ISSUE = "crl:issue"
    CHALLENGE_CREATE = "challenge:create"
    CHALLENGE_REDEEM = "challenge:redeem"
    PROFILE_CREATE = "profile:create"
    PROFILE_CHANGE = "profile:change"
    PROFILE_PAUSE = "profile:pause"
    PROFILE_RESUME = "profile:resume"
    CERTIFICATE_PROFILE_CREATE = "certificate-profile:create"
    CERTIFICATE_PROFILE_CHANGE = "certificate-profile:change"
    AUTHORITY_CREATE = "authority:create"
    AUTHORITY_PAUSE = "authority:pause"
    AUTHORITY_RESUME = "authority:resume"
    SERVICE_KEY_CREATE = "service-key:create"
    SERVICE_KEY_CERTIFY = "service-key:certify"
    USER_CREATE = "user:create"
    USER_CHANGE = "user:change"
    USER_SIGN_IN = "user:sign-in"
    USER_SIGN_IN_FAIL = "user:sign-in-fail"
    USER_SIGN_OUT = "user:sign-out"
    ROLE_GRANT = "role:grant"
    ROLE_REVOKE = "role:revoke"
    SETUP_LINK_CREATE = "setup-link:create"
    SETUP_LINK_USE = "setup-link:use"
    PROCESS_START = "process:start"
    DATA_SEED = "data:seed"


@dataclass(frozen=True, slots=True)
class Personal:
    """A value about a person (name, address, free text): the log holds a commitment, a table beside it the value."""

    value: str


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it. `name` is personal; `on_behalf_of` names the officer a command was run for."""

    kind: str  # user, device, system, policy, command
    identifier: str = ""
    name: str = ""
    address: str = ""
    on_behalf_of: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What it happened to. `sequence` is set where the caller holds the row lock of it."""

    kind: str
    identifier: str
    sequence: int | None = None

    @classmethod
    def of(cls, kind: str, identifier: UUID | str | int, sequence: int | None = None) -> "Subject":
        """Return the subject of a row by its primary key."""
        return cls(kind=kind, identifier=str(identifier), sequence=sequence)


SYSTEM = Actor(kind="system")
