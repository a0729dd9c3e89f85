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
    TOO_MANY_OPEN = "too many open requests"
    OTHER_CONTENT = "transaction open for another request"
    KEY_HAS_REQUEST = "key has an open request for other names"
    KEY_HAS_CERTIFICATE = "key has a certificate already"
    UNKNOWN_TRANSACTION = "unknown transaction"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    CERTIFICATE_UNAVAILABLE = "certificate is not valid any more"


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
