"""The client's half of SCEP: encodes requests, decodes CertReps (RFC 8894 3.3.1 to 3.3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from ca.x509.asn1 import (
    PRINTABLE_STRING,
    UTC_TIME,
    Asn1Error,
    der,
    der_octets,
    der_sequence,
    der_set,
    octets,
)
from ca.x509.bounds import prescan
from scep.protocol.certificates import read_certificate
from scep.protocol.constants import (
    ATTR_FAIL_INFO,
    ATTR_FAIL_INFO_TEXT,
    ATTR_MESSAGE_TYPE,
    ATTR_PKI_STATUS,
    ATTR_RECIPIENT_NONCE,
    ATTR_SENDER_NONCE,
    ATTR_SIGNING_TIME,
    ATTR_TRANSACTION_ID,
    NONCE_SIZE,
    CipherName,
    DigestName,
    FailInfo,
    MessageType,
    PKIStatus,
)
from scep.protocol.envelope import open_content, open_with_password, seal_envelope
from scep.protocol.errors import Refused, ScepProtocolError
from scep.protocol.messages import STRICT, Entropy, MessageRules, Recipient, ResponseSigner
from scep.protocol.signatures import accepted_digest, check_digest, check_signature
from scep.protocol.signed_data import (
    SignerInfo,
    encode_signed_data,
    find_signer,
    read_signed_data,
    read_signer_info,
)

_CERT_REP: Final = str(int(MessageType.CERT_REP))


class BadCertRep(ScepProtocolError):
    """An answer that a client must not trust: unreadable, wrongly signed, or misdirected."""


@dataclass(frozen=True, slots=True)
class RequestParameters:
    """The client's choices for one message.

    `recipient_certificate_der` is the RA's certificate.
    """

    message_type: MessageType
    transaction_id: str
    recipient_certificate_der: bytes = field(repr=False)
    digest: DigestName = "sha256"
    cipher: CipherName = "aes-128-cbc"
    signing_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A request, and the fields that its answer must repeat."""

    der: bytes = field(repr=False)
    transaction_id: str
    sender_nonce: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReceivedCertRep:
    """A verified answer.

    `certificates` and `crls` are DER in received order, empty unless SUCCESS.
    """

    status: PKIStatus
    fail_info: FailInfo | None
    fail_info_text: str | None
    certificates: tuple[bytes, ...] = field(default=(), repr=False)
    crls: tuple[bytes, ...] = field(default=(), repr=False)


def encode_request(
    content: bytes, parameters: RequestParameters, *, signer: ResponseSigner, entropy: Entropy
) -> SentRequest:
    """Encrypt `content` (CSR, IssuerAndSubject, IssuerAndSerialNumber) to the RA and sign it.

    `signer` is the self-signed certificate of the new key, or the certificate to renew.
    """
    nonce = entropy(NONCE_SIZE)
    recipient = read_certificate(parameters.recipient_certificate_der)
    attributes = [
        _text(ATTR_MESSAGE_TYPE, str(int(parameters.message_type))),
        _text(ATTR_TRANSACTION_ID, parameters.transaction_id),
        der_sequence(ATTR_SENDER_NONCE, der_set(der_octets(nonce))),
    ]
    if parameters.signing_time is not None:
        moment = der(UTC_TIME, f"{parameters.signing_time:%y%m%d%H%M%SZ}".encode())
        attributes.append(der_sequence(ATTR_SIGNING_TIME, der_set(moment)))
    envelope = seal_envelope(content, recipient, parameters.cipher, entropy=entropy)
    message = encode_signed_data(envelope, attributes, digest=parameters.digest, signer=signer)
    return SentRequest(message, parameters.transaction_id, nonce)


@dataclass(frozen=True, slots=True)
class _Keyring:
    """The secret that opens an answer: a decryption key, or the request's challengePassword."""

    recipient: Recipient
    password: str | None = field(default=None, repr=False)
    rules: MessageRules = STRICT


def decode_cert_rep(
    der: bytes,
    *,
    sent: SentRequest,
    recipient: Recipient,
    trusted: Sequence[bytes],
    password: str | None = None,
    rules: MessageRules = STRICT,
) -> ReceivedCertRep:
    """Verify an answer to `sent` (trusted RA signature, transactionID, nonce), and open a SUCCESS.

    With a `password`, that opens it instead of the recipient's key. Raises BadCertRep.
    """
    try:
        prescan(der)
        return _decode_cert_rep(der, sent, _Keyring(recipient, password, rules), trusted)
    except (Asn1Error, Refused) as error:
        raise BadCertRep(f"answer is not readable: {error}") from error


def read_certificates(der: bytes) -> tuple[bytes, ...]:
    """Return the certificates of a degenerate SignedData (GetCACert), in received order.

    Raises BadCertRep.
    """
    try:
        prescan(der)
        return tuple(tlv.raw for tlv in read_signed_data(der).certificates)
    except Asn1Error as error:
        raise BadCertRep(f"certificates are not readable: {error}") from error


def decode_next_certificates(der: bytes, *, trusted: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the certificates of a GetNextCACert answer, first signed by a trusted CA.

    See RFC 8894 section 4.7.1. Further signatures decide nothing. Raises BadCertRep.
    """
    try:
        prescan(der)
        signed = read_signed_data(der)
        if not signed.signer_infos:
            raise BadCertRep("not signed")
        signer = read_signer_info(signed.signer_infos[0])
        digest = accepted_digest(signer)
        certificate = find_signer(signed, signer)
        if certificate is None or certificate.der not in trusted:
            raise BadCertRep("signer is not the current CA")
        check_signature(signer, certificate, digest)
        content = signed.content or b""
        check_digest(signer, content, digest)
    except (Asn1Error, Refused) as error:
        raise BadCertRep(f"next certificates are not readable: {error}") from error
    return read_certificates(content)


def _decode_cert_rep(
    der: bytes, sent: SentRequest, keyring: _Keyring, trusted: Sequence[bytes]
) -> ReceivedCertRep:
    signed = read_signed_data(der)
    if len(signed.signer_infos) != 1:
        raise BadCertRep(f"{len(signed.signer_infos)} signers: exactly one is needed")
    signer = read_signer_info(signed.signer_infos[0])
    digest = accepted_digest(signer, keyring.rules)
    certificate = find_signer(signed, signer)
    if certificate is None or certificate.der not in trusted:
        raise BadCertRep("signer is not the RA certificate of GetCACert")
    check_signature(signer, certificate, digest)
    check_digest(signer, signed.content or b"", digest)
    _check_belongs(signer, sent)
    status, fail_info = _read_status(signer)
    if status is not PKIStatus.SUCCESS:
        text = signer.single(ATTR_FAIL_INFO_TEXT)
        return ReceivedCertRep(
            status, fail_info, text.value.decode("utf-8", "replace") if text else None
        )
    delivered = read_signed_data(_opened(signed.content or b"", keyring))
    return ReceivedCertRep(
        status,
        None,
        None,
        certificates=tuple(tlv.raw for tlv in delivered.certificates),
        crls=tuple(tlv.raw for tlv in delivered.crls),
    )


def _opened(envelope: bytes, keyring: _Keyring) -> bytes:
    if keyring.password is not None:
        return open_with_password(envelope, keyring.password, keyring.rules)
    # A key of the wrong length may become any key here: a client is not a decryption oracle for
    # others.
    return open_content(envelope, (keyring.recipient,), bytes, keyring.rules)


def _check_belongs(signer: SignerInfo, sent: SentRequest) -> None:
    if _read_text(signer, ATTR_MESSAGE_TYPE) != _CERT_REP:
        raise BadCertRep("messageType: CertRep is needed")
    if _read_text(signer, ATTR_TRANSACTION_ID) != sent.transaction_id:
        raise BadCertRep("transactionID is not the one sent")
    nonce = signer.single(ATTR_RECIPIENT_NONCE)
    if nonce is None or octets(nonce) != sent.sender_nonce:
        raise BadCertRep("recipientNonce is not the nonce sent")
    if signer.single(ATTR_SENDER_NONCE) is None:
        raise BadCertRep("senderNonce is missing")


def _read_status(signer: SignerInfo) -> tuple[PKIStatus, FailInfo | None]:
    try:
        status = PKIStatus(int(_read_text(signer, ATTR_PKI_STATUS)))
        fail_info = (
            FailInfo(int(_read_text(signer, ATTR_FAIL_INFO)))
            if status is PKIStatus.FAILURE
            else None
        )
    except ValueError as error:
        raise BadCertRep(f"pkiStatus or failInfo: {error}") from error
    return status, fail_info


def _text(attribute: bytes, text: str) -> bytes:
    return der_sequence(attribute, der_set(der(PRINTABLE_STRING, text.encode())))


def _read_text(signer: SignerInfo, attribute: bytes) -> str:
    tlv = signer.single(attribute)
    return tlv.value.decode("utf-8", "replace") if tlv is not None else ""
