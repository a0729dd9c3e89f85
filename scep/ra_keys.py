"""The RA certificate and key of a CA: they decrypt requests and sign CertReps. Never the CA's own key.

The RA side makes key and CSR; the signing worker certifies it (`ca.service_keys`). A process reads certificate and key
once and looks for newer ones every `FRESH_SECONDS`.
"""

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from django.conf import settings
from django.db import transaction

from audit.events import SYSTEM, Event, Subject
from audit.ids import uuid7
from audit.log import record
from ca.models import CertificateAuthority, ServiceKey
from keys import file as key_file
from scep.protocol.certificates import read_certificate, subject_key_identifier
from scep.protocol.constants import DigestName

FRESH_SECONDS = 30.0
PURPOSE = "scep-ra"
KEY_TYPE = "rsa:2048"  # every client can encrypt to it, and its private operation is a quarter millisecond

_ALGORITHM: dict[DigestName, str] = {"sha256": "rsa-sha256", "sha384": "rsa-sha384", "sha512": "rsa-sha512"}


class RaNotReady(Exception):
    """There is no certified RA key for this CA yet."""


@dataclass(frozen=True, slots=True)
class RaCredential:
    """One RA certificate with its key: a `Recipient` of requests and a `ResponseSigner`."""

    certificate_der: bytes
    issuer_der: bytes
    serial_der: bytes
    ski: bytes
    key: key_file.LoadedKey

    def decrypt(self, ciphertext: bytes, oaep_hash: str | None) -> bytes:
        """Decrypt a content-encryption key (implicit rejection: bad padding gives other bytes, no error)."""
        return self.key.decrypt_rsa(ciphertext, oaep_hash)

    def sign(self, data: bytes, digest: DigestName) -> bytes:
        """Sign the attributes of a CertRep, PKCS #1 v1.5."""
        return self.key.sign(data, _ALGORITHM[digest])


def ensure_ra_key(ca: CertificateAuthority, *, now: datetime) -> ServiceKey:
    """Return the newest RA key of a CA; make key and CSR where there is none. It is usable once certified."""
    newest = ServiceKey.objects.filter(ca=ca, purpose=PURPOSE).order_by("-id").first()
    if newest is not None:
        return newest
    private = key_file.generate(KEY_TYPE)
    service_id = uuid7()
    name = f"{ca.name}-{service_id}.pem"
    key_file.write(_path(name), private, settings.RA_PASSPHRASE())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"SCEP RA {ca.name}"[:64])])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(private, hashes.SHA256())
    spki = key_file.LoadedKey.of(private).spki_der
    with transaction.atomic():
        service = ServiceKey.objects.create(
            id=service_id,
            ca=ca,
            purpose=PURPOSE,
            key_name=name,
            csr=csr.public_bytes(serialization.Encoding.DER),
            spki_sha256=_sha256(spki),
            created_at=now,
        )
        record(
            Event.SERVICE_KEY_CREATE,
            actor=SYSTEM,
            now=now,
            subject=Subject.of("service-key", service.pk),
            data={"ca": ca.name, "purpose": PURPOSE, "spki_sha256": service.spki_sha256},
        )
    return service


class RaKeys:
    """The certified RA credentials of each CA, newest first. One per process."""

    def __init__(self, fresh: float = FRESH_SECONDS) -> None:
        self._fresh = fresh
        self._by_ca: dict[int, tuple[float, tuple[RaCredential, ...]]] = {}
        self._loaded: dict[UUID, RaCredential] = {}

    def of(self, ca: CertificateAuthority) -> tuple[RaCredential, ...]:
        """Return the credentials of a CA; raises RaNotReady while there are none, KeyStoreError for an unusable key."""
        known = self._by_ca.get(ca.pk)
        if known is not None and time.monotonic() - known[0] < self._fresh:
            return known[1]
        rows = (
            ServiceKey.objects.filter(ca=ca, purpose=PURPOSE, certificate__der__isnull=False)
            .select_related("certificate")
            .order_by("-id")
        )
        credentials = tuple(self._load(row) for row in rows)
        if not credentials:
            raise RaNotReady(f"CA {ca.name}: its RA certificate is not there yet; the signing worker makes it")
        self._by_ca[ca.pk] = (time.monotonic(), credentials)
        return credentials

    def forget(self) -> None:
        """Read everything afresh next time."""
        self._by_ca.clear()
        self._loaded.clear()

    def _load(self, row: ServiceKey) -> RaCredential:
        loaded = self._loaded.get(row.pk)
        if loaded is None:
            loaded = self._loaded[row.pk] = _load_credential(row)
        return loaded


ra_keys = RaKeys()


def _load_credential(row: ServiceKey) -> RaCredential:
    if row.certificate is None:
        raise RaNotReady(f"RA key {row.pk} has no certificate yet")
    der = row.certificate.certificate_der
    read = read_certificate(der)
    key = key_file.load(_path(row.key_name), settings.RA_PASSPHRASE())
    key_file.check_implicit_rejection(key)
    return RaCredential(
        certificate_der=der,
        issuer_der=read.issuer_der,
        serial_der=read.serial_der,
        ski=subject_key_identifier(der) or b"",
        key=key,
    )


def _path(name: str) -> Path:
    return Path(settings.RA_KEY_FOLDER) / name


def _sha256(data: bytes) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize().hex()
