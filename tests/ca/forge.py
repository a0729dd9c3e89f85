"""Requests and certificates for tests of the pure X.509 modules, from recorded keys."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from ca.content.builder import CertificateContent, new_serial_number, validity
from ca.content.csr_review import ProfileSpec
from ca.content.issuers import IssuerFacts
from ca.x509 import asn1, extensions
from ca.x509.csr import CertificationRequest, decode_csr
from ca.x509.general_names import GeneralName, general_name
from ca.x509.names import DistinguishedName, build_name
from tests.pki import certificate_der, ec_key, rsa_key

NOW: Final = datetime(2026, 11, 21, 9, 30, 15, tzinfo=UTC)
SERIAL: Final = new_serial_number(bytes(range(18)))

SHA256_WITH_RSA: Final = bytes.fromhex("300d06092a864886f70d01010b0500")
ECDSA_WITH_SHA256: Final = bytes.fromhex("300a06082a8648ce3d040302")
CHALLENGE: Final = "1.2.840.113549.1.9.7"
EXTENSION_REQUEST: Final = "1.2.840.113549.1.9.14"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def spki(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def rsa_spki(modulus: int, exponent: int = 65537) -> bytes:
    """A public key of any numbers, which no library has looked at."""
    key = asn1.der_sequence(asn1.der_integer(modulus), asn1.der_integer(exponent))
    algorithm = asn1.der_sequence(asn1.der_oid("1.2.840.113549.1.1.1"), asn1.DER_NULL)
    return asn1.der_sequence(algorithm, asn1.der_bit_string(key))


def attribute(oid: str, *values: bytes) -> bytes:
    return asn1.der_sequence(asn1.der_oid(oid), asn1.der_set(*values))


def challenge(text: str) -> bytes:
    return attribute(CHALLENGE, asn1.der(asn1.UTF8_STRING, text.encode()))


def extension(oid: str, value: bytes, *, critical: bytes = b"") -> bytes:
    return asn1.der_sequence(asn1.der_oid(oid), critical, asn1.der_octets(value))


def extension_request(*requested: bytes, oid: str = EXTENSION_REQUEST) -> bytes:
    return attribute(oid, asn1.der_sequence(*requested))


def san(*names: GeneralName | bytes) -> bytes:
    parts = [name if isinstance(name, bytes) else name.der for name in names]
    return extension(extensions.SUBJECT_ALT_NAME, asn1.der_sequence(*parts))


def dns(value: str) -> GeneralName:
    return general_name("dns", value)


def raw_name(*attributes: tuple[str, int, bytes]) -> bytes:
    """A Name of (OID, string tag, content bytes), one attribute in each relative name."""
    return asn1.der_sequence(
        *(
            asn1.der_set(asn1.der_sequence(asn1.der_oid(oid), asn1.der(tag, value)))
            for oid, tag, value in attributes
        )
    )


def info(
    subject: bytes,
    attributes: Sequence[bytes] | None = (),
    *,
    spki_der: bytes | None = None,
    version: int = 0,
) -> bytes:
    """A CertificationRequestInfo; `attributes` None leaves the field out; their order stays."""
    parts = [asn1.der_integer(version), subject, spki_der or spki(rsa_key("alice"))]
    if attributes is not None:
        parts.append(asn1.der_context(0, *attributes))
    return asn1.der_sequence(*parts)


def signed(info_der: bytes, key: PrivateKey | None = None) -> bytes:
    """The request around an info, signed with alice's key or another."""
    key = key or rsa_key("alice")
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(info_der, padding.PKCS1v15(), hashes.SHA256())
        return asn1.der_sequence(info_der, SHA256_WITH_RSA, asn1.der_bit_string(signature))
    signature = key.sign(info_der, ec.ECDSA(hashes.SHA256()))
    return asn1.der_sequence(info_der, ECDSA_WITH_SHA256, asn1.der_bit_string(signature))


def request_der(
    subject: DistinguishedName | bytes | None = None,
    *attributes: bytes,
    key: PrivateKey | None = None,
) -> bytes:
    """A good request of alice's (or another) key."""
    subject = build_name([("CN", "r1.example"), ("O", "Example")]) if subject is None else subject
    subject_der = subject if isinstance(subject, bytes) else subject.der
    return signed(info(subject_der, attributes, spki_der=spki(key) if key else None), key)


def request(
    subject: DistinguishedName | bytes | None = None,
    *attributes: bytes,
    key: PrivateKey | None = None,
) -> CertificationRequest:
    return decode_csr(request_der(subject, *attributes, key=key))


@cache
def issuer() -> IssuerFacts:
    return IssuerFacts.from_certificate(certificate_der("ca"))


def content(
    spec: ProfileSpec | None = None,
    subject: DistinguishedName | None = None,
    sans: tuple[GeneralName, ...] = (),
    *,
    with_ec_key: bool = False,
) -> CertificateContent:
    """The certificate content of an approved request of alice (or carol's EC key) at NOW."""
    spec = spec or ProfileSpec()
    not_before, not_after = validity(spec, issuer(), NOW)
    return CertificateContent(
        spec=spec,
        issuer=issuer(),
        subject=build_name([("CN", "r1.example")]) if subject is None else subject,
        sans=sans,
        spki_der=spki(ec_key()) if with_ec_key else spki(rsa_key("alice")),
        serial_number=SERIAL,
        not_before=not_before,
        not_after=not_after,
    )
