"""The closed list of events, as `subject:action`, and their actors."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from uuid import UUID


class Event(StrEnum):
    """Every fact the log can hold, with its label for people and the tone of its mark.

    A name is never reused for another fact.
    """

    _value_: str
    label: str
    tone: str

    def __new__(cls, name: str, label: str = "", tone: str = "") -> Self:
        """Make a member whose value is its name in the log."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.label = label
        member.tone = tone
        return member

    REQUEST_SUBMIT = "request:submit", "Request arrived"
    REQUEST_APPROVE = "request:approve", "Approved", "good"
    REQUEST_REJECT = "request:reject", "Rejected", "bad"
    REQUEST_FAIL = "request:fail", "Refused by policy after approval", "bad"
    REQUEST_EXPIRE = "request:expire", "Expired without a decision", "bad"
    REQUEST_REOPEN = "request:reopen", "Opened again"
    REQUEST_UNDO = "request:undo", "Decision taken back"
    COMMENT_ERASE = "comment:erase", "Comment erased"
    REQUEST_ATTENTION = "request:attention", "Signing failed, needs attention", "bad"
    REQUEST_RETRY = "request:retry", "Retry ordered", "busy"
    MESSAGE_REFUSE = "message:refuse", "Message refused", "bad"
    MESSAGE_FAULT = "message:fault", "Message met a fault of the portal", "bad"
    CERTIFICATE_PREPARE = "certificate:prepare", "Prepared for signing", "busy"
    CERTIFICATE_ISSUE = "certificate:issue", "Certificate signed and recorded", "good"
    CERTIFICATE_ABANDON = (
        "certificate:abandon",
        "Certificate given up, on the CRL in case it was signed",
        "bad",
    )
    CERTIFICATE_DELIVER = "certificate:deliver", "Device picked the certificate up", "good"
    CERTIFICATE_EXPORT = "certificate:export", "Certificate downloaded"
    CERTIFICATE_REVOKE = "certificate:revoke", "Revoked", "bad"
    CERTIFICATE_HOLD = "certificate:hold", "Put on hold", "bad"
    CERTIFICATE_RELEASE = "certificate:release", "Released from hold", "good"
    KEY_BLOCK = "key:block", "Key blocked", "bad"
    KEY_UNBLOCK = "key:unblock", "Key taken off the block list"
    CRL_ISSUE = "crl:issue", "CRL issued"
    CRL_PRUNE = "crl:prune", "Bytes of old CRLs dropped"
    CHALLENGE_CREATE = "challenge:create", "Challenge created"
    CHALLENGE_REDEEM = "challenge:redeem", "Challenge used"
    CHALLENGE_WITHDRAW = "challenge:withdraw", "Challenge withdrawn", "bad"
    CONFIGURATION_EXPORT = "configuration:export", "Configuration for a device handed out"
    VALIDATION_ASK = "validation:ask", "Validation service asked", "busy"
    VALIDATION_ALLOW = "validation:allow", "Challenge validated", "good"
    VALIDATION_DENY = "validation:deny", "Challenge denied", "bad"
    VALIDATION_NO_ANSWER = "validation:no-answer", "Validation service gave no answer", "bad"
    VALIDATION_REPORT = "validation:report", "Outcome reported to the validation service"
    VALIDATION_SERVICE_CHANGE = "validation-service:change", "Validation service changed"
    VALIDATION_SERVICE_PROBE = "validation-service:probe", "Validation service tried"
    CHALLENGE_LOCK = "challenge:lock", "Challenges not checked any more: too many failed", "bad"
    CHALLENGE_UNLOCK = "challenge:unlock", "Challenges checked again", "good"
    CHALLENGE_ALARM = (
        "challenge:alarm",
        "Many challenges failed; none of a kind that can be guessed",
        "bad",
    )
    CHALLENGE_ROTATE = "challenge:rotate", "Static challenge rotated"
    CHALLENGE_REVEAL = "challenge:reveal", "Static challenge revealed", "bad"
    NDES_ACCOUNT_CREATE = "ndes-account:create", "NDES account created"
    NDES_ACCOUNT_CHANGE = "ndes-account:change", "NDES account given a new password"
    NDES_ACCOUNT_DISABLE = "ndes-account:disable", "NDES account disabled", "bad"
    NDES_REFUSE = "ndes-account:refuse", "NDES account refused", "bad"
    DEVICES_CREATE = "device-group:create", "Device group made"
    DEVICES_ADD = "device-group:add", "Expected devices added"
    DEVICES_REMOVE = "device-group:remove", "Expected devices removed"
    PROFILE_CREATE = "profile:create", "Profile created"
    PROFILE_CHANGE = "profile:change", "Profile changed"
    PROFILE_PAUSE = "profile:pause", "Profile paused", "bad"
    PROFILE_RESUME = "profile:resume", "Profile resumed", "good"
    CERTIFICATE_PROFILE_CREATE = "certificate-profile:create", "Certificate profile created"
    CERTIFICATE_PROFILE_CHANGE = "certificate-profile:change", "Certificate profile changed"
    AUTHORITY_CREATE = "authority:create", "Authority created"
    AUTHORITY_PAUSE = "authority:pause", "Authority paused", "bad"
    AUTHORITY_RESUME = "authority:resume", "Authority resumed", "good"
    ROLLOVER_STAGE = "rollover:stage", "Next authority staged"
    ROLLOVER_PUBLISH = "rollover:publish", "Next authority published"
    ROLLOVER_ANSWER = "rollover:answer", "GetNextCACert answer signed"
    ROLLOVER_SWITCH = "rollover:switch", "Next authority took over", "good"
    ROLLOVER_CANCEL = "rollover:cancel", "Rollover cancelled", "bad"
    SERVICE_KEY_CREATE = "service-key:create", "Service key created"
    SERVICE_KEY_CERTIFY = "service-key:certify", "Service key certified"
    SERVICE_KEY_RETIRE = "service-key:retire", "Service key retired"
    USER_CREATE = "user:create", "Person added"
    USER_CHANGE = "user:change", "Person changed"
    USER_SIGN_IN = "user:sign-in", "Signed in"
    USER_SIGN_IN_FAIL = "user:sign-in-fail", "Sign-in failed", "bad"
    USER_SIGN_OUT = "user:sign-out", "Signed out"
    TOKEN_CREATE = "token:create", "API token made"
    TOKEN_REVOKE = "token:revoke", "API token revoked", "bad"
    TOKEN_REFUSE = "token:refuse", "API token refused", "bad"
    ROLE_GRANT = "role:grant", "Role granted"
    ROLE_REVOKE = "role:revoke", "Role taken away"
    SETUP_LINK_CREATE = "setup-link:create", "Set-up link made"
    SETUP_LINK_USE = "setup-link:use", "Set-up link used"
    PASSWORD_LINK_CREATE = "password-link:create", "Password link issued"
    PASSWORD_LINK_USE = "password-link:use", "Password set through a link", "busy"
    PROCESS_START = "process:start", "Process started"
    SECRET_ACCEPT = "secret:accept", "Changed secret accepted", "warn"
    DATA_SEED = "data:seed", "Rows seeded for a load test"
    SELF_TEST_START = "self-test:start", "Self-test started"
    SELF_TEST_FINISH = "self-test:finish", "Self-test finished"
    EXCHANGE_OPEN = "exchange:open", "Stored message opened"
    RECORDING_START = "recording:start", "Recording of messages switched on", "busy"
    RECORDING_STOP = "recording:stop", "Recording of messages switched off"


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


@dataclass(frozen=True, slots=True)
class DepartmentRef:
    """The department that an entry belongs to: the slug is for filters, the path for people.

    The path names every department from the top, as `Head office/Berlin/Network`, as it was called
    at that moment. Both are empty where the entry belongs to none.
    """

    slug: str = ""
    path: str = ""


NO_DEPARTMENT = DepartmentRef()
SYSTEM = Actor(kind="system")
