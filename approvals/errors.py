"""What the RA refuses: one closed list of causes, and the exceptions that carry facts to the doors."""

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Why a message got a refusal. The audit entry holds the cause; what a device reads is `Refusal.text`."""

    NETWORK = "network not allowed"
    CHALLENGE_MISSING = "challenge missing"
    CHALLENGE_WRONG = "challenge wrong"
    CHALLENGE_USED = "challenge used"
    CHALLENGE_EXPIRED = "challenge expired"
    CHALLENGE_FOREIGN_NAME = "challenge bound to another name"
    POLICY = "policy"
    SIGNER_KEY = "signer key is not the requested key"
    SIGNER_ALGORITHM = "signer key cannot receive the certificate"
    RENEWAL_DISABLED = "renewal is not enabled"
    RENEWAL_FOREIGN_SIGNER = "renewal not signed with a certificate of ours"
    SIGNER_LOOKALIKE = "signer certificate only looks like one of ours"
    SIGNER_NO_DEVICE = "signer certificate is not a device's"
    RENEWED_OTHER_PROFILE = "renewed certificate is of another profile"
    RENEWED_OTHER_CA = "renewed certificate is of another CA"
    RENEWED_REVOKED = "renewed certificate is revoked"
    RENEWED_ON_HOLD = "renewed certificate is on hold"
    RENEWED_NOT_YET_VALID = "renewed certificate is not valid yet"
    RENEWED_EXPIRED = "renewed certificate is expired"
    RENEWAL_TOO_EARLY = "renewal too early"
    RENEWAL_KEY_REUSED = "renewal with a key that has a certificate"
    RENEWAL_NAMES_CHANGED = "renewal changes names"
    TOO_MANY_OPEN = "too many open requests"
    OTHER_CONTENT = "transaction open for another request"
    KEY_HAS_REQUEST = "key has an open request for other names"
    KEY_HAS_CERTIFICATE = "key has a certificate already"
    UNKNOWN_TRANSACTION = "unknown transaction"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    CERTIFICATE_UNAVAILABLE = "certificate is not valid any more"
    CERTIFICATE_UNKNOWN = "no such certificate"
    CERTIFICATE_FOREIGN = "certificate of somebody else"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal that was committed: `text` is for the device, `detail` for the log only."""

    cause: Cause
    text: str
    detail: str = ""


class ApprovalsError(Exception):
    """Anything a use case says no to; `str()` is a sentence for the person who asked."""


class NotPermitted(ApprovalsError):
    """The person may not do this to this object."""


class AlreadyDecided(ApprovalsError):
    """Somebody else was faster, or the request is past the point."""


class RequestChanged(ApprovalsError):
    """The request is not any more what the officer saw."""


class AlreadyVoted(ApprovalsError):
    """One officer has one vote in a round."""


class ReasonMissing(ApprovalsError):
    """A rejection needs a reason: the device shows it."""


class NothingToRetry(ApprovalsError):
    """The request needs no attention."""


class ProfileInvalid(ApprovalsError):
    """A profile cannot be made or changed like this; says which field and why."""
