"""The certificate store: certificates and authorities as they are found and read, without a key."""

from collections.abc import Sequence
from functools import lru_cache

from ca.content.issuers import IssuerFacts
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import Certificate, CertificateStatus
from ca.x509 import asn1
from ca.x509.extensions import SUBJECT_ALT_NAME
from ca.x509.general_names import GeneralName, decode_general_names
from ca.x509.name_matching import ComparableName, comparable_name
from ca.x509.names import DistinguishedName, NameMalformed, decode_name


def certificate_by_fingerprint(der_sha256: bytes) -> Certificate | None:
    """Return the portal's certificate with this SHA-256 over its DER, or None.

    Names and serial numbers prove nothing.
    """
    return Certificate.objects.filter(der_sha256=der_sha256.hex()).first()


def authority_by_fingerprint(der_sha256: bytes) -> CertificateAuthority | None:
    """Return the authority with this SHA-256 over the DER of its certificate, or None."""
    return CertificateAuthority.objects.filter(certificate_sha256=der_sha256.hex()).first()


def certificate_by_serial(
    issuer_der: bytes, serial_der: bytes, *, cas: Sequence[CertificateAuthority]
) -> Certificate | None:
    """Return the certificate with this issuer (Name) and serial number (INTEGER) of these CAs.

    Both are complete DER values.
    """
    issuers = [ca for ca in cas if is_named(ca, issuer_der)]
    if not issuers:
        return None
    try:
        number = asn1.integer(asn1.parse_exact(serial_der))
    except asn1.Asn1Error:
        return None
    return Certificate.objects.filter(ca__in=issuers, serial_hex=f"{number:x}").first()


def has_certificate_of_key(spki_sha256: bytes, *, cas: Sequence[CertificateAuthority]) -> bool:
    """Return whether one of these CAs prepared or issued a certificate over this key."""
    return (
        Certificate.objects.filter(ca__in=cas, spki_sha256=spki_sha256.hex())
        .exclude(status=CertificateStatus.ABANDONED)
        .exists()
    )


def subject_of(certificate: Certificate) -> DistinguishedName:
    """Return the subject as encoded in the certificate; the column holds only its beginning."""
    return decode_name(_subject(certificate.tbs_der, is_tbs=True))


def sans_of(certificate: Certificate) -> tuple[GeneralName, ...]:
    """Return the alternative names as encoded in the certificate; the column is for people."""
    members = asn1.sequence(asn1.parse_exact(certificate.tbs_der))
    for extension in asn1.sequence(asn1.parse_exact(members[7].value)):
        parts = asn1.sequence(extension, 2)
        if asn1.oid(parts[0]) == SUBJECT_ALT_NAME:
            return decode_general_names(parts[-1].value)
    return ()


def is_named(authority: CertificateAuthority, name_der: bytes) -> bool:
    """Whether this complete Name is that of the authority (RFC 5280 §7.1), in any encoding."""
    try:
        return comparable_name(decode_name(name_der)) == _comparable_subject(
            authority.certificate_der
        )
    except NameMalformed:
        return False


@lru_cache(maxsize=256)
def _comparable_subject(certificate_der: bytes) -> ComparableName:
    return comparable_name(decode_name(IssuerFacts.from_certificate(certificate_der).subject_der))


def _subject(der: bytes, *, is_tbs: bool = False) -> bytes:
    """Return the encoded subject of a version 3 certificate of the portal (RFC 5280 §4.1)."""
    outer = asn1.sequence(asn1.parse_exact(der))
    members = outer if is_tbs else asn1.sequence(outer[0])
    return members[5].raw


def chain_of(certificate: Certificate) -> list[bytes]:
    """Return the certificate and its issuers up to the root, DER."""
    return [
        certificate.certificate_der,
        *(authority.certificate_der for authority in certificate.ca.chain()),
    ]


def authority_named(name: str) -> CertificateAuthority | None:
    """Return an authority with its parents loaded, or None."""
    return CertificateAuthority.objects.select_related("parent__parent").filter(name=name).first()
