"""The facts about an issuing certificate needed to sign below it (RFC 5280 4.1.2.4, 4.2.1.1)."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha1
from typing import Final, Literal, Self

from ca.x509 import asn1, extensions
from ca.x509.asn1 import TLV, Asn1Error
from ca.x509.bounds import prescan

SignatureAlgorithm = Literal["rsa-sha256", "ecdsa-sha256", "ecdsa-sha384"]
_RSA: Final = "1.2.840.113549.1.1.1"
_CURVES: Final[dict[str, SignatureAlgorithm]] = {
    "1.2.840.10045.3.1.7": "ecdsa-sha256",
    "1.3.132.0.34": "ecdsa-sha384",
}
_TIME: Final = re.compile(r"[0-9]{14}Z")
_TIME_FIELDS: Final = ((0, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14))


class IssuerUnusable(ValueError):
    """The certificate cannot issue others."""


@dataclass(frozen=True, slots=True)
class IssuerFacts:
    """An issuer as its certificate states it: name and key identifier byte for byte."""

    subject_der: bytes
    subject_key_identifier: bytes
    signature_algorithm: SignatureAlgorithm
    not_before: datetime
    not_after: datetime
    spki_der: bytes

    @classmethod
    def from_certificate(cls, der: bytes) -> Self:
        """Read an issuer. Raises IssuerUnusable: unreadable, no CA, no keyCertSign, other key type.

        Also without a key identifier. The dates are facts here; `ca.content.builder.validity`
        compares them with the clock.
        """
        try:
            prescan(der)
            members = asn1.sequence(asn1.sequence(asn1.parse_exact(der), 3)[0], 7)
            return cls._from_members(members)
        except Asn1Error as error:
            raise IssuerUnusable(f"issuer certificate: {error}") from error

    @classmethod
    def _from_members(cls, members: list[TLV]) -> Self:
        if members[0].tag != 0xA0 or members[-1].tag != 0xA3:
            raise IssuerUnusable("issuer certificate: not version 3 with extensions")
        extension_values = decode_extensions(members[-1])
        basic = asn1.sequence(
            asn1.parse_exact(extension_values.get(extensions.BASIC_CONSTRAINTS, b"\x30\x00"))
        )
        if not basic or basic[0].tag != asn1.BOOLEAN or basic[0].value == b"\x00":
            raise IssuerUnusable(
                "issuer certificate: not of a certification authority (basicConstraints)"
            )
        usage = extension_values.get(extensions.KEY_USAGE)
        if usage is None or "key-cert-sign" not in extensions.decode_key_usage(usage):
            raise IssuerUnusable("issuer certificate: keyUsage without keyCertSign")
        if extensions.SUBJECT_KEY_IDENTIFIER not in extension_values:
            raise IssuerUnusable("issuer certificate: no subjectKeyIdentifier")
        not_before, not_after = asn1.sequence(members[4], 2)
        return cls(
            subject_der=members[5].raw,
            subject_key_identifier=asn1.octets(
                asn1.parse_exact(extension_values[extensions.SUBJECT_KEY_IDENTIFIER])
            ),
            signature_algorithm=signature_algorithm_of(members[6].raw),
            not_before=decode_time(not_before),
            not_after=decode_time(not_after),
            spki_der=members[6].raw,
        )


def decode_extensions(tlv: TLV) -> dict[str, bytes]:
    """Extension values by OID from the explicitly tagged `[3]` of a certificate.

    Raises Asn1Error.
    """
    values: dict[str, bytes] = {}
    for extension in asn1.sequence(asn1.parse_exact(tlv.value)):
        members = asn1.sequence(extension, 2)
        values[asn1.oid(members[0])] = asn1.octets(members[-1])
    return values


def decode_time(tlv: TLV) -> datetime:
    """UTCTime or GeneralizedTime with seconds and Z (RFC 5280 4.1.2.5). Raises Asn1Error."""
    text = tlv.value.decode("ascii", "replace")
    if tlv.tag == asn1.UTC_TIME and len(text) == 13:
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tlv.tag != asn1.GENERALIZED_TIME:
        raise Asn1Error(f"tag {tlv.tag:#04x}: a time is needed")
    if not _TIME.fullmatch(text):
        raise Asn1Error("time: YYYYMMDDhhmmssZ is needed")
    try:
        year, month, day, hour, minute, second = (int(text[i:j]) for i, j in _TIME_FIELDS)
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise Asn1Error(f"time: {error}") from error


def signature_algorithm_of(spki_der: bytes) -> SignatureAlgorithm:
    """Return the signature algorithm of a key for certificates.

    Raises IssuerUnusable for any but RSA, P-256 and P-384.
    """
    algorithm = asn1.sequence(asn1.sequence(asn1.parse_exact(spki_der), 2)[0], 1)
    oid = asn1.oid(algorithm[0])
    if oid == _RSA:
        return "rsa-sha256"
    curve = asn1.oid(algorithm[1]) if len(algorithm) > 1 else oid
    if curve not in _CURVES:
        raise IssuerUnusable(f"issuer key {curve}: RSA, P-256 or P-384 is needed")
    return _CURVES[curve]


def key_identifier(spki_der: bytes) -> bytes:
    """SHA-1 of the key bits (RFC 5280 4.2.1.2, method 1): a name for the key, not a protection."""
    bits = asn1.bit_string(asn1.sequence(asn1.parse_exact(spki_der), 2)[1])
    return sha1(bits, usedforsecurity=False).digest()


def key_algorithm(spki_der: bytes) -> Literal["rsa", "ec"]:
    """Return the kind of a key that `ca.x509.csr` accepted."""
    algorithm = asn1.sequence(asn1.sequence(asn1.parse_exact(spki_der), 2)[0], 1)
    return "rsa" if asn1.oid(algorithm[0]) == _RSA else "ec"
