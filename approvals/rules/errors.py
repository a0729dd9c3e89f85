"""The closed list of the RA's refusals: causes for the log, and exceptions with facts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

#: Characters of failInfoText: some clients print it on a narrow display.
MAX_DEVICE_TEXT: Final = 255
#: Characters of an officer's reason in it: the number of the refusal comes after them.
MAX_DEVICE_REASON: Final = MAX_DEVICE_TEXT - len(" [0000-0000]")


class Cause(StrEnum):
    """Causes of refused messages.

    The audit entry holds the cause; the device gets `Refusal.text`.
    """

    NETWORK = "network not allowed"
    CHALLENGE_MISSING = "challenge missing"
    CHALLENGE_WRONG = "challenge wrong"
    CHALLENGE_USED = "challenge used"
    CHALLENGE_EXPIRED = "challenge expired"
    CHALLENGE_WITHDRAWN = "challenge withdrawn"
    CHALLENGE_LOCKED = "challenge not checked after too many failures"
    CHALLENGE_FOREIGN_NAME = "challenge bound to another name"
    CHALLENGE_FOREIGN_SUBJECT = "challenge bound to another subject"
    CHALLENGE_FOREIGN_SERIAL = "challenge bound to another serial number"
    CHALLENGE_FOREIGN_SAN = "challenge bound to other alternative names"
    CHALLENGE_FOREIGN_ADDRESS = "challenge bound to another address"
    CHALLENGE_FOREIGN_GROUP = "challenge bound to another device group"
    NOT_LISTED = "device not on the list"
    LISTED_USED = "device on the list has enrolled already"
    LISTED_OTHER_TIME = "device on the list, outside its time"
    POLICY = "policy"
    KEY_BLOCKED = "key on the block list"
    KEY_COMPROMISED = "key revoked for key compromise"
    SIGNER_KEY = "signer key is not the requested key"
    SIGNER_ALGORITHM = "signer key cannot receive the certificate"
    RENEWAL_DISABLED = "renewal is not enabled"
    RENEWAL_FOREIGN_SIGNER = "renewal not signed with a certificate of this portal"
    SIGNER_LOOKALIKE = "signer certificate only looks like one of this portal"
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
    ANSWER_WITHOUT_KEY = "no key and no challenge to encrypt the answer with"
    ANSWER_KEY_GONE = "challenge that encrypts the answer is not kept any more"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CERTIFICATE_UNAVAILABLE = "certificate is not valid any more"
    CERTIFICATE_UNKNOWN = "no such certificate"
    CERTIFICATE_FOREIGN = "certificate of another device"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A committed refusal: `text` and `number` are for the device, the rest for the log only.

    `codes` name the broken rules; refusals with equal cause and codes are counted together. One
    with `retry_after` is not final: the door answers that it is busy, and `text` too is for the log
    only.
    """

    cause: Cause
    text: str
    detail: str = ""
    challenge: UUID | None = None  # the presented challenge on record, which was refused
    retry_after: timedelta | None = None
    codes: tuple[str, ...] = ()
    number: str = ""  # of `approvals.records.refusal_numbers`

    @property
    def real_cause(self) -> str:
        """The cause as the log names it: with the codes of the broken rules."""
        return f"{self.cause.value}: {', '.join(self.codes)}" if self.codes else self.cause.value


class Overtaken(Exception):
    """A parallel message was faster: the transaction is rolled back and the message tried again."""


class ApprovalsError(Exception):
    """A use case refuses; `str()` is a sentence for the person who asked."""


class Invalid(ApprovalsError):
    """A setting cannot be as it was given: which field, which value, and why.

    A reason names other fields by `{}`, one for each of `others`. Every door has names of its own
    for them (options of a command, labels of a form) and words the sentence with `worded`; a form
    puts `because` at `field`. `str()` uses the names of the domain.
    """

    def __init__(
        self, reason: str, *, field: str = "", value: str = "", others: tuple[str, ...] = ()
    ) -> None:
        self.reason = reason
        self.field = field
        self.value = value
        self.others = others
        super().__init__(self.worded({}))

    def worded(self, names: Mapping[str, str]) -> str:
        """Return the sentence with these names for the other fields."""
        subject = " ".join(filter(None, (self.field.replace("_", " "), self.value)))
        return f"{subject}: {self.because(names)}" if subject else self.because(names)

    def because(self, names: Mapping[str, str]) -> str:
        """Return the reason alone."""
        if not self.others:
            return self.reason
        return self.reason.format(
            *(names.get(other, other.replace("_", " ")) for other in self.others)
        )


class NotPermitted(ApprovalsError):
    """The person may not do this to this object."""


class AlreadyDecided(ApprovalsError):
    """Another officer was faster, or the request cannot be decided any more."""


class RequestChanged(ApprovalsError):
    """The request has changed since the officer saw it."""


class OwnChallenge(ApprovalsError):
    """The author of a challenge may not approve the request that used it."""


class KeyRefused(ApprovalsError):
    """The request's key, or its signer's, is blocked or was revoked as compromised."""


class ChallengeInvalid(Invalid):
    """A challenge cannot be made like this, or not be withdrawn any more; says why."""


class AlreadyVoted(ApprovalsError):
    """One officer has one vote in a round."""


class ReasonMissing(ApprovalsError):
    """A rejection needs a reason: the device shows it."""


class NotValidated(ApprovalsError):
    """The validation service has not confirmed the challenge."""


class NothingToUndo(ApprovalsError):
    """No decision stands that could be taken back, or it has taken effect."""


class NothingToErase(ApprovalsError):
    """The decision is not known, or no text of its comment is left."""


class CauseMissing(ApprovalsError):
    """A comment is erased for a cause, which the log keeps."""


class NothingToRetry(ApprovalsError):
    """The request needs no attention."""


class ProfileInvalid(Invalid):
    """A profile cannot be made or changed like this; says which field and why."""


class ServiceMissing(ProfileInvalid):
    """A profile whose challenges a service knows has no such service; a command sets it."""

    def __init__(self, *, field: str = "", value: str = "") -> None:
        super().__init__(
            "a service has to be named that knows the challenges", field=field, value=value
        )


class NdesAccountInvalid(Invalid):
    """An NDES account cannot be made like this; says which field and why."""
