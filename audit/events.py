"""The closed list of events, as `subject:action`, and their actors."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Event(StrEnum):
    """Every fact the log can hold. A name is never reused for another fact."""

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
    MESSAGE_FAULT = "message:fault"
    CERTIFICATE_PREPARE = "certificate:prepare"
    CERTIFICATE_ISSUE = "certificate:issue"
    CERTIFICATE_ABANDON = "certificate:abandon"
    CERTIFICATE_DELIVER = "certificate:deliver"
    CERTIFICATE_EXPORT = "certificate:export"
    CERTIFICATE_REVOKE = "certificate:revoke"
    CERTIFICATE_HOLD = "certificate:hold"
    CERTIFICATE_RELEASE = "certificate:release"
    KEY_BLOCK = "key:block"
    KEY_UNBLOCK = "key:unblock"
    CRL_ISSUE = "crl:issue"
    CRL_PRUNE = "crl:prune"
    CHALLENGE_CREATE = "challenge:create"
    CHALLENGE_REDEEM = "challenge:redeem"
    CHALLENGE_WITHDRAW = "challenge:withdraw"
    CONFIGURATION_EXPORT = "configuration:export"
    VALIDATION_ASK = "validation:ask"
    VALIDATION_ALLOW = "validation:allow"
    VALIDATION_DENY = "validation:deny"
    VALIDATION_NO_ANSWER = "validation:no-answer"
    VALIDATION_REPORT = "validation:report"
    VALIDATION_SERVICE_CHANGE = "validation-service:change"
    VALIDATION_SERVICE_PROBE = "validation-service:probe"
    CHALLENGE_LOCK = "challenge:lock"
    CHALLENGE_UNLOCK = "challenge:unlock"
    CHALLENGE_ALARM = "challenge:alarm"
    CHALLENGE_ROTATE = "challenge:rotate"
    CHALLENGE_REVEAL = "challenge:reveal"
    NDES_ACCOUNT_CREATE = "ndes-account:create"
    NDES_ACCOUNT_CHANGE = "ndes-account:change"
    NDES_ACCOUNT_DISABLE = "ndes-account:disable"
    NDES_REFUSE = "ndes-account:refuse"
    DEVICES_CREATE = "device-group:create"
    DEVICES_ADD = "device-group:add"
    DEVICES_REMOVE = "device-group:remove"
    PROFILE_CREATE = "profile:create"
    PROFILE_CHANGE = "profile:change"
    PROFILE_PAUSE = "profile:pause"
    PROFILE_RESUME = "profile:resume"
    CERTIFICATE_PROFILE_CREATE = "certificate-profile:create"
    CERTIFICATE_PROFILE_CHANGE = "certificate-profile:change"
    AUTHORITY_CREATE = "authority:create"
    AUTHORITY_PAUSE = "authority:pause"
    AUTHORITY_RESUME = "authority:resume"
    ROLLOVER_STAGE = "rollover:stage"
    ROLLOVER_PUBLISH = "rollover:publish"
    ROLLOVER_ANSWER = "rollover:answer"
    ROLLOVER_SWITCH = "rollover:switch"
    ROLLOVER_CANCEL = "rollover:cancel"
    SERVICE_KEY_CREATE = "service-key:create"
    SERVICE_KEY_CERTIFY = "service-key:certify"
    SERVICE_KEY_RETIRE = "service-key:retire"
    USER_CREATE = "user:create"
    USER_CHANGE = "user:change"
    USER_SIGN_IN = "user:sign-in"
    USER_SIGN_IN_FAIL = "user:sign-in-fail"
    USER_SIGN_OUT = "user:sign-out"
    TOKEN_CREATE = "token:create"  # noqa: S105 - an event
    TOKEN_REVOKE = "token:revoke"  # noqa: S105 - an event
    TOKEN_REFUSE = "token:refuse"  # noqa: S105 - an event
    ROLE_GRANT = "role:grant"
    ROLE_REVOKE = "role:revoke"
    SETUP_LINK_CREATE = "setup-link:create"
    SETUP_LINK_USE = "setup-link:use"
    PASSWORD_LINK_CREATE = "password-link:create"  # noqa: S105 - an event
    PASSWORD_LINK_USE = "password-link:use"  # noqa: S105 - an event
    PROCESS_START = "process:start"
    SECRET_ACCEPT = "secret:accept"  # noqa: S105 - an event
    DATA_SEED = "data:seed"
    SELF_TEST_START = "self-test:start"
    SELF_TEST_FINISH = "self-test:finish"
    EXCHANGE_OPEN = "exchange:open"
    RECORDING_START = "recording:start"
    RECORDING_STOP = "recording:stop"


@dataclass(frozen=True, slots=True)
class Personal:
    """A value about a person (name, address, free text): the log holds only a commitment to it.

    The value itself is in the table `AuditPrivateValue`.
    """

    value: str


@dataclass(frozen=True, slots=True)
class Actor:
    """The actor of an event. `name` is personal; `on_behalf_of` names the officer of a command."""

    kind: str  # user, device, system, policy, command, ndes-account, token
    identifier: str = ""
    name: str = ""
    address: str = ""
    on_behalf_of: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """The object of an event. `sequence` is set if the caller holds its row lock."""

    kind: str
    identifier: str
    sequence: int | None = None

    @classmethod
    def of(cls, kind: str, identifier: UUID | str | int, sequence: int | None = None) -> "Subject":
        """Return the subject of a row by its primary key."""
        return cls(kind=kind, identifier=str(identifier), sequence=sequence)


SYSTEM = Actor(kind="system")
