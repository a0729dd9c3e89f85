"""The checks of a careful device: chain, certificate, CRL.

PURE; StepFailed names the fault.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from selftest.errors import StepFailed

#: Maximum lifetime of the self-test's certificates: useless to a thief.
LONGEST_LIFE: Final = timedelta(hours=1)
NEEDED_CAPABILITIES: Final = ("AES", "POSTPKIOperation", "SCEPStandard", "SHA-256")


@dataclass(frozen=True, slots=True)
class Chain:
    """The answer to GetCACert: the RA certificate, and the CAs from the issuing one upwards."""

    ra: x509.Certificate
    authorities: tuple[x509.Certificate, ...]

    @property
    def issuing(self) -> x509.Certificate:
        return self.authorities[0]


def check_capabilities(offered: frozenset[str]) -> str:
    """Return the capabilities as text.

    Raises StepFailed unless all that RFC 8894 section 3.5.2 makes mandatory are there.
    """
    missing = [name for name in NEEDED_CAPABILITIES if name not in offered]
    if missing:
        raise StepFailed(
            f"GetCACaps: {', '.join(missing)} missing, offered are "
            f"{', '.join(sorted(offered)) or 'none'}"
        )
    return ", ".join(sorted(offered))


def check_chain(received: Sequence[bytes], *, issuing_der: bytes, now: datetime) -> Chain:
    """Sort the answer to GetCACert into roles; check validity and signature of each certificate.

    `issuing_der` is the CA on record: the answer must contain it.
    """
    certificates = [x509.load_der_x509_certificate(der) for der in received]
    authorities = [certificate for certificate in certificates if _is_ca(certificate)]
    others = [certificate for certificate in certificates if not _is_ca(certificate)]
    issuing = next(
        (
            certificate
            for certificate in authorities
            if received[certificates.index(certificate)] == issuing_der
        ),
        None,
    )
    if issuing is None:
        raise StepFailed("GetCACert: the issuing CA on record is not in the answer")
    if not others:
        raise StepFailed("GetCACert: no RA certificate in the answer")
    for certificate in certificates:
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise StepFailed(
                f"GetCACert: {_name(certificate)} is not valid now, but until "
                f"{certificate.not_valid_after_utc:%F}"
            )
    _check_signed(others[0], issuing, "RA certificate")
    chain = [issuing]
    while chain[-1].issuer != chain[-1].subject:
        parent = next(
            (
                certificate
                for certificate in authorities
                if certificate.subject == chain[-1].issuer and certificate not in chain
            ),
            None,
        )
        if parent is None:
            break
        _check_signed(chain[-1], parent, "CA certificate")
        chain.append(parent)
    return Chain(others[0], tuple(chain))


def fingerprints(chain: Chain) -> str:
    """Return the SHA-256 of the issuing CA and of the last certificate, for people to compare."""
    texts = [
        f"{_name(authority)} SHA-256 {authority.fingerprint(hashes.SHA256()).hex()}"
        for authority in chain.authorities
    ]
    return "; ".join(texts)


def check_certificate(
    der: bytes, chain: Chain, *, key: RSAPublicKey, common_name: str, now: datetime
) -> x509.Certificate:
    """Return the certificate if key, names, signature and validity (minutes only) are right."""
    certificate = x509.load_der_x509_certificate(der)
    if certificate.public_key() != key:
        raise StepFailed("certificate: not for the key of this device")
    names = [
        attribute.value
        for attribute in certificate.subject.get_attributes_for_oid(x509.oid.NameOID.COMMON_NAME)
    ]
    if names != [common_name]:
        raise StepFailed(f"certificate: common name {names}, asked for was {common_name}")
    if _dns_names(certificate) != [common_name]:
        raise StepFailed(
            f"certificate: alternative names {_dns_names(certificate)}, asked for was {common_name}"
        )
    if _is_ca(certificate):
        raise StepFailed("certificate: it could sign others")
    _check_signed(certificate, chain.issuing, "certificate")
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise StepFailed(
            f"certificate: valid from {certificate.not_valid_before_utc} "
            f"to {certificate.not_valid_after_utc}, not now"
        )
    if certificate.not_valid_after_utc - now > LONGEST_LIFE:
        raise StepFailed(
            f"certificate: lives until {certificate.not_valid_after_utc}, self-tests get minutes"
        )
    return certificate


def check_crl(
    der: bytes, issuing: x509.Certificate, *, now: datetime
) -> x509.CertificateRevocationList:
    """Return the CRL if the issuing CA signed it and it is not outdated."""
    crl = x509.load_der_x509_crl(der)
    key = issuing.public_key()
    if crl.issuer != issuing.subject or not crl.is_signature_valid(key):  # type: ignore[arg-type]  # a CA key is RSA or EC
        raise StepFailed("CRL: not signed by the issuing CA")
    if crl.next_update_utc is None or crl.next_update_utc < now:
        raise StepFailed(f"CRL: outdated since {crl.next_update_utc}")
    return crl


def _check_signed(certificate: x509.Certificate, issuer: x509.Certificate, what: str) -> None:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise StepFailed(f"{what} {_name(certificate)}: not signed by {_name(issuer)}") from error


def _dns_names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.DNSName)


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()
