"""Decodes PKIMessages and encodes CertReps: the outer layer of SCEP (RFC 8894, 3.1 to 3.3.2).

Checks run from cheap and public to expensive: size and nesting, structure, the fields an answer
must echo, digest algorithm, signature, attributes. Nothing is decrypted here (see `envelope`).
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Final

from ca.x509.asn1 import (
    GENERALIZED_TIME,
    IA5_STRING,
    OCTET_STRING,
    PRINTABLE_STRING,
    TLV,
    UTC_TIME,
    UTF8_STRING,
    Asn1Error,
    der,
    der_octets,
    der_sequence,
    der_set,
)
from ca.x509.bounds import prescan_prefix
from ca.x509.cms import encode_degenerate
from scep.protocol.constants import (
    ATTR_FAIL_INFO,
    ATTR_FAIL_INFO_TEXT,
    ATTR_MESSAGE_TYPE,
    ATTR_PKI_STATUS,
    ATTR_RECIPIENT_NONCE,
    ATTR_SENDER_NONCE,
    ATTR_SIGNING_TIME,
    ATTR_TRANSACTION_ID,
    ID_DATA,
    MAX_SENDER_NONCE,
    MAX_SIGNERS,
    MAX_TRANSACTION_ID,
    NONCE_SIZE,
    REQUEST_TYPES,
    EmptyContent,
    FailInfo,
    MessageType,
    PKIStatus,
)
from scep.protocol.envelope import seal_envelope, seal_for_password
from scep.protocol.errors import Malformed, Refused
from scep.protocol.messages import (
    STRICT,
    CertRep,
    Entropy,
    MessageRules,
    PKIMessage,
    ReplyContext,
    ResponseSigner,
    SignerCertificate,
)
from scep.protocol.signatures import accepted_digest, check_digest, check_signature, known_digest
from scep.protocol.signed_data import (
    OuterLayer,
    SignedData,
    SignerInfo,
    encode_signed_data,
    find_signer,
    read_signed_data,
    read_signer_info,
)

__all__ = ["decode_pki_message", "encode_cert_rep", "encode_degenerate"]

_TEXT_TAGS: Final = frozenset({PRINTABLE_STRING, UTF8_STRING, IA5_STRING})
_TIME_FORMS: Final = {UTC_TIME: "%y%m%d%H%M%SZ", GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}
_TRAILING: Final = b"\x00\r\n"
_TYPES_BY_TEXT: Final = {str(int(message_type)): message_type for message_type in REQUEST_TYPES}

_CERT_REP_TYPE: Final = der_sequence(ATTR_MESSAGE_TYPE, der_set(der(PRINTABLE_STRING, b"3")))
_STATUS_ATTRIBUTES: Final = {
    status: der_sequence(ATTR_PKI_STATUS, der_set(der(PRINTABLE_STRING, b"%d" % status)))
    for status in PKIStatus
}
_FAIL_INFO_ATTRIBUTES: Final = {
    info: der_sequence(ATTR_FAIL_INFO, der_set(der(PRINTABLE_STRING, b"%d" % info)))
    for info in FailInfo
}


def decode_pki_message(der: bytes, rules: MessageRules = STRICT) -> PKIMessage:
    """Read a request and verify its outer signature, under the rules of its profile.

    Raises Malformed when no answer can be built, else Refused with the `reply` to echo (RFC 8894
    section 3.2.1).
    """
    return verify_message(read_outer_layer(der), rules)


def read_outer_layer(der: bytes) -> OuterLayer:
    """Take a message apart. Raises Malformed."""
    try:
        signed = read_signed_data(_without_trailing_bytes(der))
        if not signed.signer_infos:
            raise Malformed("SignedData without a SignerInfo")
        return OuterLayer(signed, read_signer_info(signed.signer_infos[0]))
    except Asn1Error as error:
        raise Malformed(f"no SCEP message: {error}") from error


def verify_message(outer: OuterLayer, rules: MessageRules = STRICT) -> PKIMessage:
    """Verify the outer signature of a request. Raises as `decode_pki_message` does."""
    reply = _reply_context(outer.signer, rules)
    try:
        return _verified_message(outer.signed, outer.signer, reply, rules)
    except Refused as refusal:
        refusal.reply = reply
        raise
    except Asn1Error as error:
        raise Refused(
            FailInfo.BAD_REQUEST, "message is not readable", cause=str(error), reply=reply
        ) from error


def encode_cert_rep(
    rep: CertRep,
    *,
    signer: ResponseSigner,
    entropy: Entropy,
    empty_content: EmptyContent = "octets",
) -> bytes:
    """Return the signed answer as DER. `entropy` gives sender nonce, content key and IV.

    `empty_content` is the encoding of an answer that delivers nothing (RFC 8894 sections 3.3.2.2
    and 3.3.2.3).
    """
    content = b""
    if rep.recipient is not None and rep.status is PKIStatus.SUCCESS:
        content = _sealed(rep, rep.recipient, entropy)
    attributes = [
        _CERT_REP_TYPE,
        _STATUS_ATTRIBUTES[rep.status],
        der_sequence(ATTR_TRANSACTION_ID, der_set(rep.reply.transaction_id_tlv)),
        der_sequence(ATTR_RECIPIENT_NONCE, der_set(der_octets(rep.reply.sender_nonce))),
        der_sequence(ATTR_SENDER_NONCE, der_set(der_octets(entropy(NONCE_SIZE)))),
    ]
    if rep.fail_info is not None:
        attributes.append(_FAIL_INFO_ATTRIBUTES[rep.fail_info])
    if rep.fail_info_text is not None:
        text = der(UTF8_STRING, rep.fail_info_text.encode())
        attributes.append(der_sequence(ATTR_FAIL_INFO_TEXT, der_set(text)))
    return encode_signed_data(
        content,
        attributes,
        digest=rep.reply.digest_algorithm,
        signer=signer,
        empty_content=empty_content,
    )


def _sealed(rep: CertRep, recipient: SignerCertificate, entropy: Entropy) -> bytes:
    delivered = encode_degenerate(rep.certificates, rep.crls)
    if rep.password_key is not None:
        return seal_for_password(delivered, rep.password_key, rep.content_cipher, entropy=entropy)
    return seal_envelope(delivered, recipient, rep.content_cipher, entropy=entropy)


def _without_trailing_bytes(message: bytes) -> bytes:
    """Return the message without the NUL, CR and LF that some clients append."""
    end = prescan_prefix(message)
    if message[end:].strip(_TRAILING):
        raise Asn1Error(f"trailing bytes: {len(message) - end} after the message")
    return message[:end]


def _reply_context(signer: SignerInfo, rules: MessageRules) -> ReplyContext:
    """Return the fields that an answer echoes.

    Raises Malformed without a readable transactionID: then there is no answer.
    """
    tlv = signer.single(ATTR_TRANSACTION_ID)
    if tlv is None or tlv.tag not in _TEXT_TAGS:
        raise Malformed("transactionID: one text value is needed")
    raw = tlv.value
    if not 0 < len(raw) <= MAX_TRANSACTION_ID or b"\x00" in raw:
        raise Malformed(
            f"transactionID of {len(raw)} bytes: 1 to {MAX_TRANSACTION_ID} without NUL are needed"
        )
    try:
        transaction_id = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("transactionID is no text") from error
    nonce = signer.single(ATTR_SENDER_NONCE)
    return ReplyContext(
        transaction_id=transaction_id,
        transaction_id_tlv=der(tlv.tag, raw),
        sender_nonce=nonce.value if nonce is not None and _is_nonce(nonce) else b"",
        digest_algorithm=known_digest(signer, rules) or "sha256",
    )


def _is_nonce(tlv: TLV) -> bool:
    return tlv.tag == OCTET_STRING and 0 < len(tlv.value) <= MAX_SENDER_NONCE


def _verified_message(
    signed: SignedData, signer: SignerInfo, reply: ReplyContext, rules: MessageRules
) -> PKIMessage:
    if len(signed.signer_infos) > MAX_SIGNERS:
        raise Refused(
            FailInfo.BAD_REQUEST, f"{len(signed.signer_infos)} signers: exactly one is needed"
        )
    digest = accepted_digest(signer, rules)
    certificate = find_signer(signed, signer)
    if certificate is None:
        raise Refused(
            FailInfo.BAD_MESSAGE_CHECK, "signer certificate: exactly one must be in the message"
        )
    check_signature(signer, certificate, digest)
    if signed.content_type != ID_DATA:
        raise Refused(FailInfo.BAD_REQUEST, "content type of the signed data: id-data is needed")
    check_digest(signer, signed.content or b"", digest)
    _check_time(signer, rules)
    if not signed.content:
        raise Refused(FailInfo.BAD_REQUEST, "pkcsPKIEnvelope is missing")
    return PKIMessage(
        message_type=_message_type(signer),
        transaction_id=_acceptable_transaction_id(reply),
        transaction_id_tlv=reply.transaction_id_tlv,
        sender_nonce=_sender_nonce(reply),
        signer=certificate,
        digest_algorithm=digest,
        envelope=signed.content,
    )


def _check_time(signer: SignerInfo, rules: MessageRules) -> None:
    """Check signingTime against the profile's bounds, if any (RFC 8894 section 3.2.1.4).

    With bounds the attribute is required.
    """
    if rules.signed_between is None:
        return
    tlv = signer.single(ATTR_SIGNING_TIME)
    if tlv is None:
        raise Refused(
            FailInfo.BAD_TIME,
            "signingTime is missing: it is checked here, so the device has to send it",
        )
    moment = _time(tlv)
    earliest, latest = rules.signed_between
    if not earliest <= moment <= latest:
        text = (
            f"signingTime {moment:%Y-%m-%dT%H:%M:%SZ} is too far off: set the clock of the device"
        )
        raise Refused(FailInfo.BAD_TIME, text, cause="signingTime is too far off")


def _time(tlv: TLV) -> datetime:
    """Parse UTCTime or GeneralizedTime to the second, in UTC (RFC 5652 section 11.3).

    Raises Refused badTime.
    """
    try:
        return datetime.strptime(tlv.value.decode("ascii"), _TIME_FORMS.get(tlv.tag, "")).replace(
            tzinfo=UTC
        )
    except ValueError as error:  # UnicodeDecodeError is a ValueError
        text = (
            "signingTime is not readable: UTCTime or GeneralizedTime with seconds and Z is needed"
        )
        raise Refused(FailInfo.BAD_TIME, text) from error


def _message_type(signer: SignerInfo) -> MessageType:
    """Return the messageType: a decimal number without sign or leading zero.

    See RFC 8894 section 3.2.1.2.
    """
    tlv = signer.single(ATTR_MESSAGE_TYPE)
    if tlv is None or tlv.tag not in _TEXT_TAGS:
        raise Refused(FailInfo.BAD_REQUEST, "messageType: one text value is needed")
    message_type = _TYPES_BY_TEXT.get(tlv.value.decode("ascii", "replace"))
    if message_type is None:
        raise Refused(
            FailInfo.BAD_REQUEST,
            "messageType is not supported",
            cause=f"messageType {tlv.value[:32]!r}",
        )
    return message_type


def _acceptable_transaction_id(reply: ReplyContext) -> str:
    text = reply.transaction_id
    if not text.isprintable() and any(
        unicodedata.category(character) == "Cc" for character in text
    ):
        raise Refused(FailInfo.BAD_REQUEST, "transactionID contains control characters")
    return reply.transaction_id


def _sender_nonce(reply: ReplyContext) -> bytes:
    if not reply.sender_nonce:
        raise Refused(
            FailInfo.BAD_REQUEST,
            f"senderNonce: one value of 1 to {MAX_SENDER_NONCE} bytes is needed",
        )
    return reply.sender_nonce
