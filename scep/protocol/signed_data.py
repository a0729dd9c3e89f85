"""CMS SignedData of a SCEP message (RFC 5652 5), read from the original bytes, written as DER."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from ca.x509.asn1 import (
    CONSTRUCTED,
    CONTEXT,
    OCTET_STRING,
    SEQUENCE,
    SET,
    TLV,
    Asn1Error,
    children,
    der_context,
    der_octets,
    der_sequence,
    der_set,
    der_set_of,
    expect,
    explicit,
    integer,
    octets,
    parse_exact,
    sequence,
)
from scep.protocol.certificates import issuer_and_serial, read_certificate, subject_key_identifier
from scep.protocol.constants import (
    ATTR_CONTENT_TYPE,
    ATTR_MESSAGE_DIGEST,
    ATTR_MESSAGE_TYPE,
    ATTR_TRANSACTION_ID,
    DIGEST_ALGORITHMS,
    ECDSA_ALGORITHMS,
    ID_DATA,
    ID_SIGNED_DATA,
    MAX_CERTIFICATES,
    RSA_ENCRYPTION_ALGORITHM,
    DigestName,
    EmptyContent,
)
from scep.protocol.messages import ResponseSigner, SignerCertificate

_EXPLICIT_0: Final = CONTEXT | CONSTRUCTED
_CRLS_TAG: Final = CONTEXT | CONSTRUCTED | 1
_KEY_IDENTIFIER_TAG: Final = CONTEXT

_MAX_TYPE_DIGITS: Final = 3
_VERSION_1: Final = b"\x02\x01\x01"
# RFC 8894 3.3.2.2/3 want no pkcsPKIEnvelope. Every client tried reads a present, empty eContent.
_EMPTY_CONTENTS: Final[dict[EmptyContent, bytes]] = {
    "octets": der_sequence(ID_DATA, der_context(0, b"\x04\x00")),
    "absent": der_sequence(ID_DATA),
}
_CONTENT_TYPE_IS_DATA: Final = der_sequence(ATTR_CONTENT_TYPE, der_set(ID_DATA))


@dataclass(frozen=True, slots=True)
class SignerInfo:
    """One SignerInfo, not verified yet.

    `attributes` maps a complete type OID to all its values in any attribute.
    """

    sid: TLV
    digest_oid: bytes
    signature_algorithm: TLV
    signature: bytes
    signed_attributes: TLV
    attributes: dict[bytes, list[TLV]]

    def single(self, oid: bytes) -> TLV | None:
        """Return the value of a signed attribute that occurs once with one value, else None.

        See RFC 5652 section 5.3.
        """
        values = self.attributes.get(oid, ())
        return values[0] if len(values) == 1 else None

    def signed_bytes(self) -> Iterator[bytes]:
        """Yield the bytes a signature may cover: attributes as received (tag SET), then sorted."""
        received = self.signed_attributes
        as_received = bytes((SET,)) + received.raw[1:]
        if not received.is_indefinite:
            yield as_received
        in_order = der_set_of(*(attribute.raw for attribute in children(received)))
        if in_order != as_received:
            yield in_order


@dataclass(frozen=True, slots=True)
class SignedData:
    """A parsed SignedData.

    `content` is None if eContent is absent; `signers` are in received order.
    """

    content_type: bytes
    content: bytes | None = field(repr=False)
    certificates: tuple[TLV, ...]
    signer_infos: tuple[TLV, ...]
    crls: tuple[TLV, ...] = ()


@dataclass(frozen=True, slots=True)
class OuterLayer:
    """A message taken apart, nothing verified: what stands in the open."""

    signed: SignedData
    signer: SignerInfo

    @property
    def transaction_id(self) -> bytes:
        """The transactionID as received, empty where there is not exactly one."""
        tlv = self.signer.single(ATTR_TRANSACTION_ID)
        return tlv.value if tlv is not None else b""

    @property
    def message_type(self) -> int | None:
        """The messageType, None where it is no short number."""
        tlv = self.signer.single(ATTR_MESSAGE_TYPE)
        if tlv is None or not 0 < len(tlv.value) <= _MAX_TYPE_DIGITS or not tlv.value.isdigit():
            return None
        return int(tlv.value)

    def certificate(self) -> SignerCertificate | None:
        """Return the certificate that the message is said to be signed with. Raises Asn1Error."""
        return find_signer(self.signed, self.signer)


def read_signed_data(der: bytes) -> SignedData:
    """Parse a ContentInfo with SignedData, without verifying anything. Raises Asn1Error."""
    content_info = sequence(parse_exact(der), 2)
    if content_info[0].raw != ID_SIGNED_DATA:
        raise Asn1Error("content type: SignedData is needed")
    members = sequence(explicit(content_info[1], _EXPLICIT_0), 4)
    content_type, content = _read_encapsulated(members[2])
    certificates: tuple[TLV, ...] = ()
    crls: tuple[TLV, ...] = ()
    for member in members[3:-1]:
        if member.tag == _EXPLICIT_0:
            certificates = tuple(child for child in children(member) if child.tag == SEQUENCE)
        elif member.tag == _CRLS_TAG:
            crls = tuple(children(member))
    signer_infos = tuple(children(expect(members[-1], SET)))
    return SignedData(content_type, content, certificates, signer_infos, crls)


def read_signer_info(tlv: TLV) -> SignerInfo:
    """Parse one SignerInfo with signed attributes; unsigned ones are ignored. Raises Asn1Error."""
    members = sequence(tlv, 6)
    integer(members[0])
    attributes: dict[bytes, list[TLV]] = {}
    for attribute in children(expect(members[3], _EXPLICIT_0)):
        oid, values = sequence(attribute, 2)[:2]
        attributes.setdefault(oid.raw, []).extend(children(expect(values, SET)))
    return SignerInfo(
        sid=members[1],
        digest_oid=sequence(members[2], 1)[0].raw,
        signature_algorithm=expect(members[4], SEQUENCE),
        signature=octets(_string(members[5])),
        signed_attributes=members[3],
        attributes=attributes,
    )


def find_signer(signed: SignedData, signer: SignerInfo) -> SignerCertificate | None:
    """Return the embedded certificate that `sid` names, or the only one (its key must verify).

    Returns None without a match, or with two. Raises Asn1Error.
    """
    if len(signed.certificates) > MAX_CERTIFICATES:
        raise Asn1Error(f"{len(signed.certificates)} certificates: at most {MAX_CERTIFICATES}")
    certificates = [read_certificate(tlv.raw) for tlv in signed.certificates]
    if len(certificates) == 1:
        return certificates[0]
    fitting = [certificate for certificate in certificates if _is_named(certificate, signer.sid)]
    return fitting[0] if len(fitting) == 1 else None


def encode_signed_data(
    content: bytes,
    attributes: Iterable[bytes],
    *,
    digest: DigestName,
    signer: ResponseSigner,
    empty_content: EmptyContent = "octets",
) -> bytes:
    """Sign `content` and the encoded `attributes`; contentType and messageDigest are added.

    Every client tried can read this encoding (NULL parameters, rsaEncryption, SignerInfo version
    1).
    """
    signed = der_sequence(
        _VERSION_1,
        der_set(DIGEST_ALGORITHMS[digest]),
        der_sequence(ID_DATA, der_context(0, der_octets(content)))
        if content
        else _EMPTY_CONTENTS[empty_content],
        der_context(0, signer.certificate_der),
        der_set(_signer_info(content, attributes, digest, signer)),
    )
    return der_sequence(ID_SIGNED_DATA, der_context(0, signed))


def sign_beside(signed_data: bytes, *, digest: DigestName, signer: ResponseSigner) -> bytes:
    """Add a signature over the same content after the existing ones, which stay. Raises Asn1Error.

    The SignedData must have certificates and content (RFC 5652 section 5.1).
    """
    version, algorithms, encapsulated, certificates, signers = sequence(
        explicit(sequence(parse_exact(signed_data), 2)[1], _EXPLICIT_0), 5
    )
    _, content = _read_encapsulated(encapsulated)
    digests = [algorithm.raw for algorithm in children(expect(algorithms, SET))]
    digests += [DIGEST_ALGORITHMS[digest]] if DIGEST_ALGORITHMS[digest] not in digests else []
    signed = der_sequence(
        version.raw,
        der_set(*digests),
        encapsulated.raw,
        der_context(
            0,
            *(tlv.raw for tlv in children(expect(certificates, _EXPLICIT_0))),
            signer.certificate_der,
        ),
        der_set(
            *(tlv.raw for tlv in children(signers)),
            _signer_info(content or b"", (), digest, signer),
        ),
    )
    return der_sequence(ID_SIGNED_DATA, der_context(0, signed))


def _signer_info(
    content: bytes, attributes: Iterable[bytes], digest: DigestName, signer: ResponseSigner
) -> bytes:
    message_digest = der_sequence(
        ATTR_MESSAGE_DIGEST, der_set(der_octets(hashlib.new(digest, content).digest()))
    )
    signed_attributes = der_set_of(_CONTENT_TYPE_IS_DATA, message_digest, *attributes)
    return der_sequence(
        _VERSION_1,
        _signer_identifier(signer.certificate_der),
        DIGEST_ALGORITHMS[digest],
        bytes((_EXPLICIT_0,)) + signed_attributes[1:],
        _signature_algorithm(signer.certificate_der, digest),
        der_octets(signer.sign(signed_attributes, digest)),
    )


@lru_cache(maxsize=64)
def _signature_algorithm(certificate_der: bytes, digest: DigestName) -> bytes:
    is_ec = read_certificate(certificate_der).key_algorithm == "ec"
    return ECDSA_ALGORITHMS[digest] if is_ec else RSA_ENCRYPTION_ALGORITHM


@lru_cache(maxsize=64)
def _signer_identifier(certificate_der: bytes) -> bytes:
    return issuer_and_serial(read_certificate(certificate_der))


def _string(tlv: TLV) -> TLV:
    """An OCTET STRING, primitive or constructed."""
    if tlv.tag not in {OCTET_STRING, OCTET_STRING | CONSTRUCTED}:
        raise Asn1Error(f"tag {tlv.tag:#04x}: an OCTET STRING is needed")
    return tlv


def _read_encapsulated(tlv: TLV) -> tuple[bytes, bytes | None]:
    members = sequence(tlv, 1)
    content = octets(_string(explicit(members[1], _EXPLICIT_0))) if len(members) > 1 else None
    return members[0].raw, content


def _is_named(certificate: SignerCertificate, sid: TLV) -> bool:
    if sid.tag & ~CONSTRUCTED == _KEY_IDENTIFIER_TAG:
        return subject_key_identifier(certificate.der) == octets(sid)
    return sid.raw == issuer_and_serial(certificate)
