"""What a careful device checks of what it is given: chain, certificate, CRL.

PURE; StepFailed says what is wrong.
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

#: What the self-test's certificates may live at most: they are of no use to anybody who finds one.
LONGEST_LIFE: Final = timedelta(hours=1)
NEEDED_CAPABILITIES: Final = ("AES", "POSTPKIOperation", "SCEPStandard", "SHA-256")


@dataclass(frozen=True, slots=True)
class Chain:
    """The answer to GetCACert by roles: the RA's certificate, and the CAs from the issuing one to
    the last known.
    """

    ra: x509.Certificate
    authorities: tuple[x509.Certificate, ...]

    @property
    def issuing(self) -> x509.Certificate:
        return self.authorities[0]


def check_capabilities(offered: frozenset[str]) -> str:
    """Return the capabilities as text; all that RFC 8894 section 3.5.2 makes mandatory must be
    there.
    """
    missing = [name for name in NEEDED_CAPABILITIES if name not in offered]
    if missing:
        raise StepFailed(
            f"GetCACaps: {', '.join(missing)} missing, offered are "
            f"{', '.join(sorted(offered)) or 'none'}"
        )
    return ", ".join(sorted(offered))


def check_chain(received: Sequence[bytes], *, issuing_der: bytes, now: datetime) -> Chain:
    """Sort GetCACert into roles; each certificate must be valid now and be signed by the next one.

    `issuing_der` is the CA on record: what is served must be that one.
    """
    certificates = [x509.load_der_x509_certificate(der) for der in received]
    authorities = [found for found in certificates if _is_ca(found)]
    others = [found for found in certificates if not _is_ca(found)]
    issuing = next(
        (found for found in authorities if received[certificates.index(found)] == issuing_der), None
    )
    if issuing is None:
        raise StepFailed("GetCACert: the issuing CA on record is not in the answer")
    if not others:
        raise StepFailed("GetCACert: no RA certificate in the answer")
    for found in certificates:
        if not found.not_valid_before_utc <= now <= found.not_valid_after_utc:
            raise StepFailed(
                f"GetCACert: {_name(found)} is not valid now, but until "
                f"{found.not_valid_after_utc:%F}"
            )
    _check_signed(others[0], issuing, "RA certificate")
    chain = [issuing]
    while chain[-1].issuer != chain[-1].subject:
        parent = next(
            (
                found
                for found in authorities
                if found.subject == chain[-1].issuer and found not in chain
            ),
            None,
        )
        if parent is None:
            break
        _check_signed(chain[-1], parent, "CA certificate")
        chain.append(parent)
    return Chain(others[0], tuple(chain))


def fingerprints(chain: Chain) -> str:
    """Return what a technician compares: SHA-256 of the issuing CA and of the last certificate of
    the chain.
    """
    texts = [
        f"{_name(found)} SHA-256 {found.fingerprint(hashes.SHA256()).hex()}"
        for found in chain.authorities
    ]
    return "; ".join(texts)


def check_certificate(
    der: bytes, chain: Chain, *, key: RSAPublicKey, common_name: str, now: datetime
) -> x509.Certificate:
    """Return the certificate if it is ours: key, name, alternative name, signature, valid now and
    for minutes only.
    """
    found = x509.load_der_x509_certificate(der)
    if found.public_key() != key:
        raise StepFailed("certificate: not for the key of this device")
    names = [
        attribute.value
        for attribute in found.subject.get_attributes_for_oid(x509.oid.NameOID.COMMON_NAME)
    ]
    if names != [common_name]:
        raise StepFailed(f"certificate: common name {names}, asked for was {common_name}")
    if _dns_names(found) != [common_name]:
        raise StepFailed(
            f"certificate: alternative names {_dns_names(found)}, asked for was {common_name}"
        )
    if _is_ca(found):
        raise StepFailed("certificate: it could sign others")
    _check_signed(found, chain.issuing, "certificate")
    if not found.not_valid_before_utc <= now <= found.not_valid_after_utc:
        raise StepFailed(
            f"certificate: valid from {found.not_valid_before_utc} to {found.not_valid_after_utc}, "
            "not now"
        )
    if found.not_valid_after_utc - now > LONGEST_LIFE:
        raise StepFailed(
            f"certificate: lives until {found.not_valid_after_utc}, self-tests get minutes"
        )
    return found


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


def _check_signed(found: x509.Certificate, issuer: x509.Certificate, what: str) -> None:
    try:
        found.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise StepFailed(f"{what} {_name(found)}: not signed by {_name(issuer)}") from error


def _dns_names(found: x509.Certificate) -> list[str]:
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.DNSName)


def _is_ca(found: x509.Certificate) -> bool:
    try:
        return found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _name(found: x509.Certificate) -> str:
    return found.subject.rfc4514_string()
