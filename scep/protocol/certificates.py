"""The few parts of a certificate that SCEP needs, read without judging the rest.

Devices send certificates that strict parsers refuse (X.509 v1, 32-byte serial numbers, unknown
critical extensions). Only the key matters here (RFC 8894 section 2.3), so nothing else is checked.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final, Literal, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from ca.x509.asn1 import (
    BIT_STRING,
    CONSTRUCTED,
    CONTEXT,
    INTEGER,
    SEQUENCE,
    TLV,
    Asn1Error,
    bit_string,
    der_sequence,
    expect,
    explicit,
    octets,
    parse_exact,
    sequence,
)
from ca.x509.bounds import prescan
from scep.protocol.constants import (
    EC_PUBLIC_KEY,
    MAX_RSA_EXPONENT_BYTES,
    MAX_RSA_MODULUS_BYTES,
    RSA_ENCRYPTION,
    RSA_ENCRYPTION_ALGORITHM,
    SUBJECT_KEY_IDENTIFIER,
)
from scep.protocol.messages import SignerCertificate

_VERSION_TAG: Final = CONTEXT | CONSTRUCTED
_EXTENSIONS_TAG: Final = CONTEXT | CONSTRUCTED | 3

PublicKey = RSAPublicKey | EllipticCurvePublicKey


class UnusableKeyError(ValueError):
    """The public key has a kind or size with which the portal cannot verify or encrypt."""


def read_certificate(der: bytes) -> SignerCertificate:
    """Return names, serial number and key of an X.509 certificate of any version.

    Raises Asn1Error.
    """
    tbs = _tbs_members(der)
    issuer, subject = expect(tbs[2], SEQUENCE).raw, expect(tbs[4], SEQUENCE).raw
    key_algorithm, spki = _read_spki(tbs[5])
    return SignerCertificate(
        der=der,
        spki_der=spki,
        spki_sha256=hashlib.sha256(spki).digest(),
        subject_der=subject,
        issuer_der=issuer,
        serial_der=expect(tbs[0], INTEGER).raw,
        key_algorithm=key_algorithm,
        is_self_issued=issuer == subject,
    )


def issuer_and_serial(certificate: SignerCertificate) -> bytes:
    """Return the IssuerAndSerialNumber (RFC 5652 section 10.2.4), copied from the certificate."""
    return der_sequence(certificate.issuer_der, certificate.serial_der)


def read_issuer_and_serial(der: bytes) -> tuple[bytes, bytes]:
    """Return the complete Name and INTEGER of an IssuerAndSerialNumber. Raises Asn1Error.

    See RFC 5652 section 10.2.4.
    """
    prescan(der)
    members = sequence(parse_exact(der))
    if len(members) != 2:
        raise Asn1Error(f"IssuerAndSerialNumber: {len(members)} members")
    return expect(members[0], SEQUENCE).raw, expect(members[1], INTEGER).raw


def subject_key_identifier(der: bytes) -> bytes | None:
    """Return the SubjectKeyIdentifier of a certificate, if it has one. Raises Asn1Error."""
    for member in _tbs_members(der)[6:]:
        if member.tag == _EXTENSIONS_TAG:
            for extension in sequence(explicit(member, _EXTENSIONS_TAG)):
                parts = sequence(extension, 2)
                if parts[0].raw == SUBJECT_KEY_IDENTIFIER:
                    return octets(parse_exact(octets(parts[-1])))
    return None


@lru_cache(maxsize=512)
def load_public_key(spki_der: bytes) -> PublicKey:
    """Return the RSA or EC key of a SubjectPublicKeyInfo. Raises UnusableKeyError.

    Sizes are bounded before any arithmetic.
    """
    try:
        algorithm, bits = sequence(parse_exact(spki_der), 2)[:2]
        kind = sequence(algorithm, 1)[0].raw
        if kind == RSA_ENCRYPTION:
            _check_rsa_size(bit_string(bits))
        elif (
            kind != EC_PUBLIC_KEY
        ):  # RSA under the name of PSS too, which would otherwise bypass the size check
            raise Asn1Error("neither RSA nor EC")
        return cast("PublicKey", load_der_public_key(spki_der))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UnusableKeyError(f"public key: {error}") from error


def _tbs_members(der: bytes) -> list[TLV]:
    """The members of the TBSCertificate from serialNumber on, with or without a version."""
    members = sequence(sequence(parse_exact(der), 1)[0], 6)
    members = members[1:] if members[0].tag == _VERSION_TAG else members
    if len(members) < 6:
        raise Asn1Error("certificate: serialNumber to subjectPublicKeyInfo are needed")
    return members


def _read_spki(spki: TLV) -> tuple[Literal["rsa", "ec", "other"], bytes]:
    algorithm, bits = sequence(spki, 2)[:2]
    oid = sequence(algorithm, 1)[0].raw
    if oid == RSA_ENCRYPTION:
        return "rsa", der_sequence(RSA_ENCRYPTION_ALGORITHM, expect(bits, BIT_STRING).raw)
    return ("ec" if oid == EC_PUBLIC_KEY else "other"), spki.raw


def _check_rsa_size(key: bytes) -> None:
    modulus, exponent = sequence(parse_exact(key), 2)[:2]
    if (
        len(modulus.value) > MAX_RSA_MODULUS_BYTES + 1
        or len(exponent.value) > MAX_RSA_EXPONENT_BYTES
    ):
        raise Asn1Error(
            f"RSA modulus of {len(modulus.value)} bytes, exponent of {len(exponent.value)} bytes: "
            "too large"
        )
