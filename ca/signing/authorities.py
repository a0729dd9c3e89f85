"""Certification authorities: created by command, as the user who may read the keys."""

import os
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from accounts.principals import Principal
from audit.events import Event, Subject
from audit.log import record
from ca.content.builder import IssuerFacts, assemble_certificate, build_ca_tbs, new_serial_number
from ca.models.authorities import CertificateAuthority
from ca.x509.errors import AuthorityExists, AuthorityUnusable, CaError
from ca.x509.names import DistinguishedName, NameMalformed, build_name
from keys import file as key_file
from keys.errors import KeyStoreError

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?")
SERIAL_ENTROPY = 19


@dataclass(frozen=True, slots=True)
class AuthorityRequest:
    """The data of a new authority: name, subject, key type, and parent (None: a root)."""

    name: str
    subject: str
    key_type: str = "ec:p256"
    parent: CertificateAuthority | None = None
    days: int = 3650
    is_test: bool = False


def create_authority(
    order: AuthorityRequest, *, principal: Principal, now: datetime
) -> CertificateAuthority:
    """Create key, certificate and row of a new authority.

    The key is written first: a key without a row does no harm, a row without a key would be
    useless. Raises AuthorityExists, AuthorityUnusable (the parent cannot sign), KeyStoreError,
    CaError (bad name or subject).
    """
    if not _NAME.fullmatch(order.name):
        raise CaError(f"name {order.name!r}: lower-case letters, digits and hyphens, at most 50")
    if not 1 <= order.days <= 36_500:
        raise CaError(f"days {order.days}: between 1 and 36500")
    if CertificateAuthority.objects.filter(name=order.name).exists():
        raise AuthorityExists(f"an authority named {order.name} exists already")
    subject = parse_subject(order.subject)
    private = key_file.generate(order.key_type)
    own = key_file.LoadedKey.of(private)
    der = _certify(order, subject, own, now=now)
    key_file.write(key_path(f"{order.name}.pem"), private, settings.CA_PASSPHRASE())
    return _store(order, str(subject), der, principal=principal, now=now)


def _store(
    order: AuthorityRequest, subject: str, der: bytes, *, principal: Principal, now: datetime
) -> CertificateAuthority:
    certificate = x509.load_der_x509_certificate(der)
    with transaction.atomic():
        authority = CertificateAuthority.objects.create(
            name=order.name,
            parent=order.parent,
            subject=subject,
            certificate=der,
            certificate_sha256=sha256(der).hexdigest(),
            key_name=f"{order.name}.pem",
            key_type=order.key_type,
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            created_at=now,
            is_test=order.is_test,
        )
        record(
            Event.AUTHORITY_CREATE,
            actor=principal.actor,
            now=now,
            subject=Subject.of("authority", authority.name),
            data={
                "subject": authority.subject,
                "certificate_sha256": authority.certificate_sha256,
                "key_type": order.key_type,
                "parent": order.parent.name if order.parent else "",
            },
        )
    return authority


@lru_cache(maxsize=64)
def issuer_facts(certificate_der: bytes) -> IssuerFacts:
    """Return the facts about an issuer's certificate that issuance needs, parsed once."""
    return IssuerFacts.from_certificate(certificate_der)


def key_path(key_name: str) -> Path:
    """Return the file of a CA key; `key_name` is a bare file name."""
    if os.sep in key_name:
        raise CaError(f"key name {key_name!r}: a bare file name in {settings.CA_KEY_FOLDER}")
    return Path(settings.CA_KEY_FOLDER) / key_name


def open_key(authority: CertificateAuthority, *, now: datetime) -> key_file.LoadedKey:
    """Open the key of an authority that may sign now. Raises AuthorityUnusable with the reason.

    Checked each time: validity, and that key and certificate belong together. The process keeps the
    parsed key.
    """
    issuer = issuer_facts(authority.certificate_der)
    if not issuer.not_before <= now <= issuer.not_after:
        raise AuthorityUnusable(
            f"CA {authority.name}: its certificate is valid from {issuer.not_before:%Y-%m-%d} "
            f"to {issuer.not_after:%Y-%m-%d}"
        )
    try:
        key = key_file.load(key_path(authority.key_name), settings.CA_PASSPHRASE())
    except (KeyStoreError, ImproperlyConfigured) as error:
        raise AuthorityUnusable(f"CA {authority.name}: {error}") from error
    if key.spki_der != issuer.spki_der:
        raise AuthorityUnusable(
            f"CA {authority.name}: the key file does not belong to the certificate"
        )
    return key


def _certify(
    order: AuthorityRequest, subject: DistinguishedName, own: key_file.LoadedKey, *, now: datetime
) -> bytes:
    parent = order.parent
    issuer = IssuerFacts.from_certificate(parent.certificate_der) if parent else None
    signer = open_key(parent, now=now) if parent else own
    not_before = now.replace(microsecond=0) - timedelta(hours=1)
    not_after = not_before + timedelta(days=order.days, seconds=-1)
    if issuer is not None:
        not_before, not_after = max(not_before, issuer.not_before), min(not_after, issuer.not_after)
    tbs = build_ca_tbs(
        subject=subject,
        spki_der=own.spki_der,
        issuer=issuer,
        serial_number=new_serial_number(os.urandom(SERIAL_ENTROPY)),
        not_before=not_before,
        not_after=not_after,
    )
    algorithm = signer.signature_algorithm
    return assemble_certificate(tbs, algorithm, signer.sign(tbs, algorithm))


def parse_subject(text: str) -> DistinguishedName:
    """Parse the subject of an authority, such as CN=Example Root,O=Example. Raises CaError."""
    try:
        parsed = x509.Name.from_rfc4514_string(text)
        attributes = [(attribute.oid.dotted_string, str(attribute.value)) for attribute in parsed]
        if not attributes:
            raise CaError("subject: at least one attribute, for example CN=Example Root,O=Example")
        return build_name(attributes)
    except (ValueError, NameMalformed) as error:
        raise CaError(
            f"subject {text!r}: not a name like CN=Example Root,O=Example ({error})"
        ) from error
