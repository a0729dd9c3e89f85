"""CMS SignedData around a configuration (RFC 5652 §5): content, certificates, one RSA signature."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from ca.x509 import asn1

_DATA: Final = asn1.der_oid("1.2.840.113549.1.7.1")
_SIGNED_DATA: Final = asn1.der_oid("1.2.840.113549.1.7.2")
_CONTENT_TYPE: Final = asn1.der_oid("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST: Final = asn1.der_oid("1.2.840.113549.1.9.4")
_SIGNING_TIME: Final = asn1.der_oid("1.2.840.113549.1.9.5")
_NULL: Final = b"\x05\x00"
_SHA256: Final = asn1.der_sequence(asn1.der_oid("2.16.840.1.101.3.4.2.1"), _NULL)
_RSA: Final = asn1.der_sequence(asn1.der_oid("1.2.840.113549.1.1.1"), _NULL)
_VERSION_1: Final = asn1.der_integer(1)
_UTC_TIME: Final = 0x17


def sign_content(
    content: bytes,
    *,
    chain: Sequence[bytes],
    signing_time: datetime,
    sign: Callable[[bytes], bytes],
) -> bytes:
    """Return the signed content as DER. `chain` begins with the signer's certificate.

    `sign` makes an RSA signature, PKCS #1 v1.5 with SHA-256, over its argument.
    """
    attributes = [
        _attribute(_CONTENT_TYPE, _DATA),
        _attribute(
            _SIGNING_TIME,
            asn1.der(_UTC_TIME, f"{signing_time.astimezone(UTC):%y%m%d%H%M%SZ}".encode()),
        ),
        _attribute(_MESSAGE_DIGEST, asn1.der_octets(sha256(content).digest())),
    ]
    signed = asn1.der_set_of(*attributes)
    signer = asn1.der_sequence(
        _VERSION_1,
        _issuer_and_serial(chain[0]),
        _SHA256,
        asn1.der_context(0, *sorted(attributes)),
        _RSA,
        asn1.der_octets(sign(signed)),
    )
    body = asn1.der_sequence(
        _VERSION_1,
        asn1.der_set(_SHA256),
        asn1.der_sequence(_DATA, asn1.der_context(0, asn1.der_octets(content))),
        asn1.der_context(0, *chain),
        asn1.der_set(signer),
    )
    return asn1.der_sequence(_SIGNED_DATA, asn1.der_context(0, body))


def _attribute(oid: bytes, value: bytes) -> bytes:
    return asn1.der_sequence(oid, asn1.der_set(value))


def _issuer_and_serial(certificate: bytes) -> bytes:
    fields = asn1.sequence(asn1.sequence(asn1.parse_exact(certificate))[0])
    return asn1.der_sequence(fields[3].raw, fields[1].raw)
