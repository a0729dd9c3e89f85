"""RA keys, as commands create and show them."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from ca.authorities.ra_certificates import (
    certificates_of,
    halves_of,
    offered_certificates,
    ra_keys_of,
)
from ca.models.authorities import CertificateAuthority, CertificatesShape
from ca.models.keys import ServiceKey
from ca.signing.service_keys import certify_service_keys
from keys.errors import KeyStoreError
from pkiportal.management.output import iso
from scep.ra.keys import ensure_ra_key


def make_ready(
    authority: CertificateAuthority, *, note: Callable[[str], None], is_split: bool = False
) -> bool:
    """Create and certify the RA key at once; if this user may not, print what is left to do."""
    try:
        key = ensure_ra_key(authority, now=timezone.now(), is_split=is_split)
    except (ImproperlyConfigured, KeyStoreError, OSError) as error:
        note(f"The RA key for SCEP was not made: {error}")
        return False
    certify_service_keys(now=timezone.now())
    newest = next(
        candidate
        for candidate in ra_keys_of(authority, is_split=is_split)
        if candidate.pk == key.pk
    )
    if certificates_of(newest) is None:
        note("The RA key for SCEP is not certified yet: the signing worker does it, see its log.")
        return False
    return True


def ra_documents(authority: CertificateAuthority) -> list[dict[str, Any]]:
    """Return the RA certificates of an authority for scripts, newest first."""
    given_out = {
        der
        for shape in CertificatesShape
        for der in offered_certificates(authority, shape, now=timezone.now()) or ()
    }
    documents = []
    for is_split in (False, True):
        for key in ra_keys_of(authority, is_split=is_split):
            documents += [_document(half, authority.name, given_out) for half in halves_of(key)]
    return documents


def _document(key: ServiceKey, ca: str, given_out: set[bytes]) -> dict[str, Any]:
    certificate = key.certificate
    der = (
        bytes(certificate.der) if certificate is not None and certificate.der is not None else None
    )
    return {
        "ca": ca,
        "purpose": str(key.purpose),
        "key": key.key_name,
        "serial": certificate.serial_hex if certificate else None,
        "certified_at": iso(certificate.issued_at)
        if certificate and certificate.issued_at
        else None,
        "not_after": iso(certificate.not_after) if certificate else None,
        "given_out": der in given_out,
    }
