"""The key that signs device configurations: one per CA, made by the web, certified by the worker.

It is stored with the RA keys, since the same processes use it, and its certificate serves for CMS
signatures alone.
"""

from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from django.conf import settings
from django.db import transaction

from approvals.device_setup.configurations.signed_data import sign_content
from audit.events import SYSTEM, Event, Subject
from audit.log import record
from ca.authorities.ra_certificates import is_renewal_due
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import CertificateStatus
from ca.models.keys import ServiceKey, ServicePurpose
from database.ids import uuid7
from keys import file as key_file
from keys.errors import KeyStoreError

KEY_TYPE: Final = "rsa:2048"  # every device verifies it
RENEWED_BEFORE: Final = timedelta(days=30)
_SIGNATURE: Final = "rsa-sha256"

_log = structlog.get_logger(__name__)


class _Life(NamedTuple):
    """Lifetime and renewal of certificates of the portal's own keys."""

    life: timedelta
    renew_before: timedelta


def ensure_configuration_key(ca: CertificateAuthority, *, now: datetime) -> ServiceKey:
    """Return the newest key of a CA; make key and CSR if there is none, or its end is near.

    Raises KeyStoreError if the key cannot be written.
    """
    rows = ServiceKey.objects.filter(ca=ca, purpose=ServicePurpose.CONFIGURATION)
    newest = rows.select_related("certificate").order_by("-id").first()
    if newest is not None and not _ends_soon(newest, ca, now=now):
        return newest
    private = key_file.generate(KEY_TYPE)
    service_id = uuid7()
    name = f"{ca.name}-configuration-{service_id}.pem"
    key_file.write(_path(name), private, settings.RA_PASSPHRASE())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, f"Device configurations {ca.name}"[:64])]
    )
    csr = (
        x509.CertificateSigningRequestBuilder().subject_name(subject).sign(private, hashes.SHA256())
    )
    with transaction.atomic():
        service = ServiceKey.objects.create(
            id=service_id,
            ca=ca,
            purpose=ServicePurpose.CONFIGURATION,
            key_name=name,
            csr=csr.public_bytes(serialization.Encoding.DER),
            spki_sha256=sha256(key_file.LoadedKey.of(private).spki_der).hexdigest(),
            created_at=now,
        )
        record(
            Event.SERVICE_KEY_CREATE,
            actor=SYSTEM,
            now=now,
            subject=Subject.of("service-key", service.pk),
            data={
                "ca": ca.name,
                "purpose": ServicePurpose.CONFIGURATION,
                "spki_sha256": service.spki_sha256,
            },
        )
    return service


def sign_configuration(ca: CertificateAuthority, content: bytes, *, now: datetime) -> bytes | None:
    """Return `content` in a CMS signature of this CA's configuration key, or None without one.

    `ca` is as read with its parents. The first call makes the key; it can be used once the worker
    has certified it.
    """
    try:
        ensure_configuration_key(ca, now=now)
        service = _certified(ca, now=now)
        if service is None or service.certificate is None:
            return None
        key = key_file.load(_path(service.key_name), settings.RA_PASSPHRASE())
    except KeyStoreError as error:
        _log.warning("configuration.not_signed", ca=ca.name, fault=str(error))
        return None
    chain = [
        service.certificate.certificate_der,
        *(authority.certificate_der for authority in ca.chain()),
    ]
    return sign_content(
        content, chain=chain, signing_time=now, sign=lambda data: key.sign(data, _SIGNATURE)
    )


def is_ready(ca: CertificateAuthority, *, now: datetime) -> bool:
    """Return whether there is a certified key, so that configurations are signed."""
    return _certified(ca, now=now) is not None


def _certified(ca: CertificateAuthority, *, now: datetime) -> ServiceKey | None:
    usable = ServiceKey.objects.filter(
        ca=ca,
        purpose=ServicePurpose.CONFIGURATION,
        certificate__status=CertificateStatus.ISSUED,
        certificate__not_after__gt=now,
    )
    return usable.select_related("certificate").order_by("-id").first()


def _ends_soon(service: ServiceKey, ca: CertificateAuthority, *, now: datetime) -> bool:
    """Whether the certificate ends soon and a successor would last longer. Revoked counts as ended.

    A key that still waits for its certificate does not end soon.
    """
    certificate = service.certificate
    if certificate is None:
        return False
    life: timedelta = settings.PORTAL_RA_LIFE
    return certificate.status != CertificateStatus.ISSUED or is_renewal_due(
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        ca_not_after=ca.not_after,
        now=now,
        policy=_Life(life, min(RENEWED_BEFORE, life / 3)),
    )


def _path(name: str) -> Path:
    return Path(settings.RA_KEY_FOLDER) / name
