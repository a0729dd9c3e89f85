"""Checks a signed CRL before it is published (RFC 5280 5).

It does not use `ca.content.builder`.
"""

from collections.abc import Iterator
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from ca.content.issuers import IssuerFacts
from ca.x509.findings import Finding, refuse

_NOT_FOR_FULL_CRLS = (x509.ReasonFlags.unspecified, x509.ReasonFlags.remove_from_crl)


def lint_crl(der: bytes, *, issuer: IssuerFacts, number: int) -> tuple[Finding, ...]:
    """Check a signed CRL; () means clean. Nothing is raised for bad bytes."""
    try:
        crl = x509.load_der_x509_crl(der)
        return (*_frame(crl, issuer), *_extensions(crl, issuer, number), *_entries(crl))
    except (
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
        InvalidSignature,
        x509.ExtensionNotFound,
    ) as error:
        return (refuse("crl-unreadable", f"CRL: not readable ({type(error).__name__}: {error})"),)


def _frame(crl: x509.CertificateRevocationList, issuer: IssuerFacts) -> Iterator[Finding]:
    key = load_der_public_key(issuer.spki_der)
    if not crl.is_signature_valid(key):  # type: ignore[arg-type]  # the key of an issuer is RSA or EC
        yield refuse("crl-signature", "CRL: the signature is not the issuer's")
    if crl.issuer.public_bytes() != issuer.subject_der:
        yield refuse("crl-issuer", "CRL: its issuer is not the name of the CA, byte for byte")
    if crl.next_update_utc is None or crl.next_update_utc <= crl.last_update_utc:
        yield refuse("crl-times", "CRL: nextUpdate is not after thisUpdate")


def _extensions(
    crl: x509.CertificateRevocationList, issuer: IssuerFacts, number: int
) -> Iterator[Finding]:
    values = crl.extensions
    if values.get_extension_for_class(x509.CRLNumber).value.crl_number != number:
        yield refuse("crl-number", f"CRL: cRLNumber is not {number}")
    identifier = values.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    if identifier != issuer.subject_key_identifier:
        yield refuse("crl-aki", "CRL: authorityKeyIdentifier is not the identifier of the CA")
    if any(extension.critical for extension in values):
        yield refuse(
            "crl-critical",
            "CRL: an extension is critical, and old devices refuse what they do not know",
        )


def _entries(crl: x509.CertificateRevocationList) -> Iterator[Finding]:
    if any(before.serial_number >= after.serial_number for before, after in pairwise(crl)):
        yield refuse(
            "crl-order",
            "CRL: entries are not in the order of their serial numbers, or one is there twice",
        )
    for entry in crl:
        for extension in entry.extensions:
            value = extension.value
            if isinstance(value, x509.CRLReason) and value.reason in _NOT_FOR_FULL_CRLS:
                yield refuse(
                    "crl-reason",
                    f"CRL: entry {entry.serial_number:x} has reason {value.reason.value}",
                )
