"""Shows an answer to people: its signed attributes, its signature, and its delivery."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ca.x509.asn1 import TLV, Asn1Error
from ca.x509.text import visible
from scep.protocol import constants as c
from scep.protocol.certificates import read_certificate
from scep.protocol.envelope import open_content
from scep.protocol.errors import Refused
from scep.protocol.signatures import accepted_digest, check_digest, check_signature
from scep.protocol.signed_data import (
    SignedData,
    SignerInfo,
    find_signer,
    read_signed_data,
    read_signer_info,
)

_NAMES: Final = {
    c.ATTR_MESSAGE_TYPE: "messageType",
    c.ATTR_TRANSACTION_ID: "transactionID",
    c.ATTR_PKI_STATUS: "pkiStatus",
    c.ATTR_FAIL_INFO: "failInfo",
    c.ATTR_FAIL_INFO_TEXT: "failInfoText",
    c.ATTR_RECIPIENT_NONCE: "recipientNonce",
    c.ATTR_SENDER_NONCE: "senderNonce",
}
_STRINGS: Final = {
    0x0C: "UTF8String",
    0x13: "PrintableString",
    0x16: "IA5String",
    0x04: "OCTET STRING",
}


@dataclass(frozen=True)
class Answer:
    """An answer. `status`, `fail_info` and `text` are empty if it is not a CertRep."""

    http: int
    content_type: str
    size: int
    status: str = ""
    fail_info: str = ""
    text: str = ""
    lines: tuple[str, ...] = field(default=(), repr=False)

    def said(self) -> str:
        """In a few words."""
        if not self.status:
            return f"HTTP {self.http}"
        return f"{self.status} {self.fail_info}".rstrip()


@dataclass(frozen=True)
class Opener:
    """The certificate and key that signed the request, which open a SUCCESS."""

    certificate_der: bytes
    key: Any

    @property
    def issuer_der(self) -> bytes:
        return read_certificate(self.certificate_der).issuer_der

    @property
    def serial_der(self) -> bytes:
        return read_certificate(self.certificate_der).serial_der

    @property
    def ski(self) -> bytes:
        return b""

    def decrypt(self, ciphertext: bytes, oaep_hash: str | None) -> bytes:
        from cryptography.hazmat.primitives.asymmetric import padding

        return bytes(self.key.decrypt(ciphertext, padding.PKCS1v15()))


def read_answer(http: int, content_type: str, body: bytes, opener: Opener) -> Answer:
    """Take any answer apart; unreadable parts are reported, nothing is raised."""
    answer = Answer(http, content_type, len(body))
    if content_type != "application/x-pki-message":
        return replace(answer, lines=(visible(body[:500].decode("utf-8", "replace").strip()),))
    try:
        signed = read_signed_data(body)
        signer = read_signer_info(signed.signer_infos[0])
        return _certrep(answer, signed, signer, opener)
    except (Asn1Error, IndexError, ValueError) as error:
        return replace(answer, lines=(f"no CertRep: {error}",))


def _certrep(answer: Answer, signed: SignedData, signer: SignerInfo, opener: Opener) -> Answer:
    values = {name: signer.single(oid) for oid, name in _NAMES.items()}
    lines = [f"{name:15}{_shown(tlv)}" for name, tlv in values.items() if tlv is not None]
    lines += [f"{'signature':15}{_signature(signed, signer)}", *_delivered(signed, opener)]
    status, fail_info, text = values["pkiStatus"], values["failInfo"], values["failInfoText"]
    return replace(
        answer,
        status=c.PKIStatus(int(status.value)).name if status else "",
        fail_info=c.FailInfo(int(fail_info.value)).spelled if fail_info else "",
        text=text.value.decode("utf-8", "replace") if text else "",
        lines=tuple(lines),
    )


def _shown(tlv: TLV) -> str:
    kind = _STRINGS.get(tlv.tag, f"tag {tlv.tag:#04x}")
    value = tlv.value.hex() if tlv.tag == 0x04 else visible(tlv.value.decode("utf-8", "replace"))
    return f"{value}  ({kind}, {len(tlv.value)} bytes)"


def _signature(signed: SignedData, signer: SignerInfo) -> str:
    try:
        digest = accepted_digest(signer)
        certificate = find_signer(signed, signer)
        if certificate is None:
            return "no certificate of its signer in the message"
        check_signature(signer, certificate, digest)
        check_digest(signer, signed.content or b"", digest)
    except Refused as error:
        return f"WRONG: {error}"
    return f"right, {digest}, by certificate {certificate.serial_der.hex()}"


def _delivered(signed: SignedData, opener: Opener) -> Iterator[str]:
    if not signed.content:
        yield f"{'content':15}{'absent' if signed.content is None else 'empty'}"
        return
    try:
        inside = read_signed_data(open_content(signed.content, (opener,), bytes))
    except (Asn1Error, Refused) as error:
        yield f"{'content':15}cannot be opened with the key that signed: {error}"
        return
    for certificate in inside.certificates:
        yield (
            f"{'certificate':15}{read_certificate(certificate.raw).serial_der.hex()}, "
            f"{len(certificate.raw)} bytes"
        )
    yield from (f"{'CRL':15}{len(crl.raw)} bytes" for crl in inside.crls)
