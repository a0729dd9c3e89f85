"""Maps the RA's answers to the wire: pkiStatus and the one failInfo table (RFC 8894 §3.2.1.4)."""

from collections.abc import Mapping
from dataclasses import dataclass

from approvals.rules.errors import MAX_DEVICE_TEXT, Cause, Refusal
from ca.models.certificates import Certificate
from scep.protocol.constants import FailInfo, PKIStatus
from scep.protocol.envelope import answer_cipher
from scep.protocol.errors import Refused
from scep.protocol.messages import STRICT, CertRep, MessageRules, PasswordKey, PKIMessage

FAIL_INFO: Mapping[Cause, FailInfo] = {
    Cause.NETWORK: FailInfo.BAD_REQUEST,
    Cause.CHALLENGE_MISSING: FailInfo.BAD_REQUEST,
    Cause.CHALLENGE_WRONG: FailInfo.BAD_REQUEST,
    Cause.CHALLENGE_USED: FailInfo.BAD_REQUEST,
    Cause.CHALLENGE_EXPIRED: FailInfo.BAD_REQUEST,
    Cause.CHALLENGE_WITHDRAWN: FailInfo.BAD_REQUEST,
    Cause.CHALLENGE_LOCKED: FailInfo.BAD_REQUEST,
    Cause.CHALLENGE_FOREIGN_NAME: FailInfo.BAD_REQUEST,
    Cause.CHALLENGE_FOREIGN_SUBJECT: FailInfo.BAD_REQUEST,
    Cause.CHALLENGE_FOREIGN_SERIAL: FailInfo.BAD_REQUEST,
    Cause.CHALLENGE_FOREIGN_SAN: FailInfo.BAD_REQUEST,
    Cause.CHALLENGE_FOREIGN_ADDRESS: FailInfo.BAD_REQUEST,
    Cause.CHALLENGE_FOREIGN_GROUP: FailInfo.BAD_REQUEST,
    Cause.NOT_LISTED: FailInfo.BAD_REQUEST,
    Cause.LISTED_USED: FailInfo.BAD_REQUEST,
    Cause.LISTED_OTHER_TIME: FailInfo.BAD_REQUEST,
    Cause.POLICY: FailInfo.BAD_REQUEST,
    Cause.KEY_BLOCKED: FailInfo.BAD_REQUEST,
    Cause.KEY_COMPROMISED: FailInfo.BAD_REQUEST,
    Cause.SIGNER_KEY: FailInfo.BAD_REQUEST,
    Cause.SIGNER_ALGORITHM: FailInfo.BAD_ALG,
    Cause.RENEWAL_DISABLED: FailInfo.BAD_REQUEST,
    Cause.RENEWAL_FOREIGN_SIGNER: FailInfo.BAD_REQUEST,
    Cause.SIGNER_LOOKALIKE: FailInfo.BAD_REQUEST,
    Cause.SIGNER_NO_DEVICE: FailInfo.BAD_REQUEST,
    Cause.RENEWED_OTHER_PROFILE: FailInfo.BAD_REQUEST,
    Cause.RENEWED_OTHER_CA: FailInfo.BAD_REQUEST,
    Cause.RENEWED_REVOKED: FailInfo.BAD_REQUEST,
    Cause.RENEWED_ON_HOLD: FailInfo.BAD_REQUEST,
    Cause.RENEWED_NOT_YET_VALID: FailInfo.BAD_REQUEST,
    Cause.RENEWED_EXPIRED: FailInfo.BAD_REQUEST,
    Cause.RENEWAL_TOO_EARLY: FailInfo.BAD_REQUEST,
    Cause.RENEWAL_KEY_REUSED: FailInfo.BAD_REQUEST,
    Cause.RENEWAL_NAMES_CHANGED: FailInfo.BAD_REQUEST,
    Cause.TOO_MANY_OPEN: FailInfo.BAD_REQUEST,
    Cause.OTHER_CONTENT: FailInfo.BAD_REQUEST,
    Cause.KEY_HAS_REQUEST: FailInfo.BAD_REQUEST,
    Cause.KEY_HAS_CERTIFICATE: FailInfo.BAD_REQUEST,
    Cause.UNKNOWN_TRANSACTION: FailInfo.BAD_CERT_ID,
    Cause.ANSWER_WITHOUT_KEY: FailInfo.BAD_ALG,
    Cause.ANSWER_KEY_GONE: FailInfo.BAD_REQUEST,
    Cause.REJECTED: FailInfo.BAD_REQUEST,
    Cause.EXPIRED: FailInfo.BAD_REQUEST,
    Cause.CERTIFICATE_UNAVAILABLE: FailInfo.BAD_CERT_ID,
    Cause.CERTIFICATE_UNKNOWN: FailInfo.BAD_CERT_ID,
    Cause.CERTIFICATE_FOREIGN: FailInfo.BAD_CERT_ID,
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """The delivery of a SUCCESS: chain, rules, and the wrapping key for an EC signer."""

    chain: tuple[bytes, ...] = ()
    rules: MessageRules = STRICT
    password_key: PasswordKey | None = None


def numbered(text: str, number: str) -> str:
    """Append the number of the refusal to a failInfoText; the text is cut if both do not fit."""
    end = f" [{number}]" if number else ""
    return text[: MAX_DEVICE_TEXT - len(end)] + end


def cert_rep_for(
    answer: Certificate | Refusal | None, message: PKIMessage, delivery: Delivery = Delivery()
) -> CertRep:
    """Return the CertRep for an answer of the RA; None means PENDING.

    The leaf comes first in a SUCCESS.
    """
    match answer:
        case None:
            return CertRep(reply=message.reply, status=PKIStatus.PENDING)
        case Refusal():
            return CertRep(
                reply=message.reply,
                status=PKIStatus.FAILURE,
                fail_info=FAIL_INFO[answer.cause],
                fail_info_text=numbered(answer.text, answer.number),
            )
        case _:
            return CertRep(
                reply=message.reply,
                status=PKIStatus.SUCCESS,
                certificates=(answer.certificate_der, *delivery.chain),
                recipient=message.signer,
                content_cipher=answer_cipher(message, delivery.rules),
                password_key=delivery.password_key,
            )


def cert_rep_for_fault(refused: Refused) -> CertRep | None:
    """Return the CertRep for a message that the codec refused; None if there is nothing to echo."""
    if refused.reply is None:
        return None
    return CertRep(
        reply=refused.reply,
        status=PKIStatus.FAILURE,
        fail_info=refused.fail_info,
        fail_info_text=numbered(refused.text, refused.number),
    )
