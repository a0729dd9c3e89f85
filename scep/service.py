"""One SCEP message in, one CertRep out: decode, ask the RA, encode (RFC 8894 §3).

Everything that a CertRep can express is answered by one; `Malformed` is for bytes that no CertRep
can answer. Faults of the portal (database, keys) propagate: they must never look like a refusal,
since a device takes a refusal as final.
"""

import os
import re
from dataclasses import dataclass, field

from approvals.models.profiles import EmptyContentForm
from approvals.records import refusals
from approvals.rules.errors import Refusal
from ca.models.authorities import CertificatesShape
from scep.operations.context import MessageContext, delivery
from scep.operations.enrollment import enroll, outcome, poll
from scep.operations.retrieval import get_cert, get_crl, require_rsa
from scep.protocol.codec import encode_cert_rep, read_outer_layer, verify_message
from scep.protocol.constants import EmptyContent, FailInfo, MessageType
from scep.protocol.errors import UNREADABLE, Malformed, Refused, Unreadable
from scep.protocol.messages import CertRep, PKIMessage
from scep.ra.keys import RaCredential, RaNotReady, ra_keys
from scep.responses import cert_rep_for, cert_rep_for_fault

_NO_MESSAGE = "not a SCEP message"
#: Numbers, OIDs and quoted bytes within a cause. Causes are counted where they repeat; who could
#: write a new one into each message would fill the log.
_WRITTEN_BY_THE_SENDER = re.compile(r"""b(['"]).*\1|(?<![\w-])(0x[0-9a-f]+|-?\d+(\.\d+)*)\b""")


@dataclass(frozen=True, slots=True)
class Answered:
    """A CertRep, and its encoding for the device."""

    der: bytes = field(repr=False)
    rep: CertRep


def handle_pki_operation(der: bytes, context: MessageContext) -> Answered:
    """Answer a PKIOperation message. What was learned of the message is in `context.notes`.

    Raises Malformed, RaNotReady, and TryLater for a message that may be sent again; a refusal is
    recorded. The RA certificate that the message is encrypted to signs the answer: the device knows
    it.
    """
    signer = _default_signer(context)
    try:
        context.notes.outer = read_outer_layer(der)
        message = context.notes.message = verify_message(context.notes.outer, context.rules)
        signer = context.addressed(message) or signer
        rep = _answer(message, context)
    except Malformed as malformed:
        context.notes.cause, context.notes.detail = _NO_MESSAGE, str(malformed)
        _record(_NO_MESSAGE, context, {"text": str(malformed)})
        raise
    except Refused as refused:
        _record_fault(refused, context)
        fault = cert_rep_for_fault(refused)
        if fault is None:
            raise Malformed(refused.text) from refused
        rep = fault
    empty: EmptyContent = (
        "absent" if context.profile.empty_content == EmptyContentForm.ABSENT else "octets"
    )
    return Answered(
        encode_cert_rep(rep, signer=signer, entropy=os.urandom, empty_content=empty), rep
    )


def _default_signer(context: MessageContext) -> RaCredential:
    """Return the credential of GetCACert; while that shape is not ready, the newest one."""
    profile = context.profile
    try:
        return ra_keys.offered(
            profile.ca, CertificatesShape(profile.ca_certificates), now=context.now
        )
    except RaNotReady:
        return ra_keys.of(profile.ca)[0]


def _answer(message: PKIMessage, context: MessageContext) -> CertRep:
    match message.message_type:
        case MessageType.CERT_POLL:
            result = poll(message, context)
        case MessageType.PKCS_REQ | MessageType.RENEWAL_REQ:
            result = enroll(message, context)
        case MessageType.GET_CERT:
            require_rsa(message)
            certificate = get_cert(message, context)
            if isinstance(certificate, Refusal):
                context.notes.of_refusal(certificate)
            return cert_rep_for(certificate, message, delivery(certificate, context))
        case MessageType.GET_CRL:
            require_rsa(message)
            return get_crl(message, context)
        case _:
            raise Refused(
                FailInfo.BAD_REQUEST, "this messageType is not supported", reply=message.reply
            )
    answer, password_key = outcome(result, message, context)
    if isinstance(answer, Refusal):
        context.notes.of_refusal(answer)
    return cert_rep_for(answer, message, delivery(answer, context, password_key))


def _record_fault(refused: Refused, context: MessageContext) -> None:
    data: dict[str, object] = {
        "text": refused.text,
        "fail_info": refused.fail_info.spelled,
        "transaction_id": refused.reply.transaction_id if refused.reply else "",
    }
    # Counted as one cause whatever was inside: a new one takes longer to write than a repeated one.
    notes = context.notes
    cause = (
        UNREADABLE
        if isinstance(refused, Unreadable)
        else _WRITTEN_BY_THE_SENDER.sub("…", refused.cause)
    )
    detail = notes.detail or (refused.cause if refused.cause not in (cause, refused.text) else "")
    refused.number = _record(cause, context, data | ({"detail": detail} if detail else {}))
    notes.cause, notes.detail, notes.number = cause, detail or refused.text, refused.number


def _record(cause: str, context: MessageContext, data: dict[str, object]) -> str:
    profile, address = context.profile, context.address
    return refusals.refuse_message(
        profile, cause=cause, address=address, now=context.now, data=data
    )
