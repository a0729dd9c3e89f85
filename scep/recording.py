"""Answers a message, and stores both if there is a reason (`exchanges.storage`)."""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from ca.x509.asn1 import Asn1Error
from ca.x509.bounds import prescan_prefix
from ca.x509.names import NameMalformed, decode_name
from exchanges.storage import recorder
from scep import service
from scep.errors import TryLater
from scep.notes import Notes
from scep.operations.context import MessageContext
from scep.protocol.constants import PKIStatus
from scep.protocol.errors import Malformed
from scep.protocol.messages import CertRep, SignerCertificate
from scep.protocol.signed_data import OuterLayer, read_signed_data, read_signer_info


@dataclass(frozen=True, slots=True)
class _Reply:
    """What went back to the device: a CertRep, or an HTTP status with a text."""

    body: bytes = b""
    rep: CertRep | None = None
    http_status: int = 200
    text: str = ""

    @property
    def is_refusal(self) -> bool:
        return self.rep is None or self.rep.status is PKIStatus.FAILURE


@dataclass(frozen=True, slots=True)
class _Sender:
    """What stands in the open in a message, verified or not, as far as it can be read."""

    transaction_id: str = ""
    message_type: int | None = None
    certificate: SignerCertificate | None = None

    @classmethod
    def of(cls, message: bytes, notes: Notes) -> Self:
        """Take it from what is known already; what no CertRep can answer is read once more."""
        if notes.message is not None:
            decoded = notes.message
            return cls(decoded.transaction_id, int(decoded.message_type), decoded.signer)
        outer = notes.outer or _outer_layer(message)
        if outer is None:
            return cls()
        certificate = None
        with suppress(Asn1Error):
            certificate = outer.certificate()
        transaction_id = outer.transaction_id.decode("utf-8", "replace")
        return cls(transaction_id, outer.message_type, certificate)

    @property
    def subject(self) -> str:
        """The subject of the certificate, empty where it cannot be read."""
        with suppress(Asn1Error, NameMalformed):
            return str(decode_name(self.certificate.subject_der)) if self.certificate else ""
        return ""


def handle_pki_operation(message: bytes, context: MessageContext, *, method: str) -> bytes:
    """Answer as `service.handle_pki_operation` does; raises what it raises."""
    begun = time.perf_counter()
    try:
        answered = service.handle_pki_operation(message, context)
    except Malformed as malformed:
        reply = _Reply(http_status=400, text=str(malformed))
        _keep(message, reply, context, method=method, begun=begun)
        raise
    except TryLater as busy:
        reply = _Reply(http_status=503, text=str(busy))
        _keep(message, reply, context, method=method, begun=begun)
        raise
    reply = _Reply(answered.der, answered.rep, text=answered.rep.fail_info_text or "")
    _keep(message, reply, context, method=method, begun=begun)
    return answered.der


def _keep(
    message: bytes, reply: _Reply, context: MessageContext, *, method: str, begun: float
) -> None:
    took = time.perf_counter() - begun
    reason = recorder.reason(context.profile, now=context.now, is_refused=reply.is_refusal)
    if reason is None:
        return
    notes = context.notes
    sender = _Sender.of(message, notes)
    recorder.keep(
        context.profile,
        reason,
        received_at=context.now,
        took_us=round(took * 1e6),
        address=context.address,
        client=_storable(context.client)[:200],
        message=message,
        answer=reply.body,
        http_status=reply.http_status,
        transaction_id=_storable(sender.transaction_id)[:255],
        signer_spki_sha256=sender.certificate.spki_sha256.hex() if sender.certificate else "",
        message_type=sender.message_type,
        pki_status=reply.rep.status if reply.rep else None,
        fail_info=reply.rep.fail_info if reply.rep else None,
        text=_storable(reply.text)[:300],
        subject=_storable(notes.subject or sender.subject)[:300],
        cause=notes.cause[:100],
        detail=_storable(notes.detail)[:500],
        number=notes.number,
        method=method,
    )


def _outer_layer(message: bytes) -> OuterLayer | None:
    """Take apart what the codec does not take, such as a message with bytes after it."""
    with suppress(Asn1Error, IndexError):
        signed = read_signed_data(message[: prescan_prefix(message)])
        return OuterLayer(signed, read_signer_info(signed.signer_infos[0]))
    return None


def _storable(text: str) -> str:
    """Text that a database column takes."""
    return text.replace("\x00", "")
