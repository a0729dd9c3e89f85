"""The RA certificates and keys of a CA: they decrypt requests and sign CertReps.

They are never the CA's own key. The RA side makes key and CSR; the signing worker certifies it
(`ca.signing.service_keys`). A process reads certificates and keys once and looks for newer ones
every `FRESH_SECONDS`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from django.conf import settings
from django.db import transaction

from accounts.principals import PORTAL, Principal
from audit.events import SYSTEM, Event, Subject
from audit.log import record
from ca.authorities.ra_certificates import (
    certificates_of,
    certified_times,
    choose_offered,
    halves_of,
    ra_keys_of,
)
from ca.models.authorities import CertificateAuthority, CertificatesShape
from ca.models.keys import ServiceKey, ServicePurpose
from ca.models.lineage import Lineage
from database.caches import Cache, register
from database.ids import uuid7
from keys import file as key_file
from keys.errors import KeyStoreError
from scep.protocol.certificates import read_certificate, subject_key_identifier
from scep.protocol.constants import DigestName

FRESH_SECONDS = 30.0
_AUTHORITIES: Final = 256
_KEYS: Final = 1024
AGAIN_SECONDS = 1.0  # messages to keys of others cost one look a second, not one each
KEY_TYPE = "rsa:2048"  # every client can encrypt to it; its private operation takes 0.25 ms

_ALGORITHM: dict[DigestName, str] = {
    "sha256": "rsa-sha256",
    "sha384": "rsa-sha384",
    "sha512": "rsa-sha512",
}
_COMMON_NAMES = {
    ServicePurpose.RA: "SCEP RA {}",
    ServicePurpose.RA_SIGNING: "SCEP RA signing {}",
    ServicePurpose.RA_ENCRYPTION: "SCEP RA encryption {}",
}
_log = structlog.get_logger(__name__)


class RaNotReady(Exception):
    """There is no certified RA key for this CA yet."""


#: Errors of `RaKeys` when no RA key of a CA can be used.
RA_UNUSABLE: Final = (RaNotReady, KeyStoreError)


@dataclass(frozen=True, slots=True)
class RaCredential:
    """One RA certificate with its key, or the two of a split RA: `Recipient` and `ResponseSigner`.

    `certificate_der` signs answers; names and `ski` are those of `encryption_der`, to which
    requests are encrypted.
    """

    ca_id: int
    certificate_der: bytes
    encryption_der: bytes
    issuer_der: bytes
    serial_der: bytes
    ski: bytes
    issued_at: datetime
    not_after: datetime
    key: key_file.LoadedKey
    signing_key: key_file.LoadedKey

    @property
    def is_split(self) -> bool:
        """Whether one certificate encrypts and another one signs."""
        return self.certificate_der != self.encryption_der

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """The certificates for GetCACert: the encrypting one first, as Apple reads them.

        There are two if the RA is split.
        """
        return (
            (self.encryption_der, self.certificate_der)
            if self.is_split
            else (self.certificate_der,)
        )

    @property
    def subjects(self) -> frozenset[bytes]:
        """The names of its certificates, DER."""
        return frozenset(read_certificate(der).subject_der for der in self.certificates)

    def decrypt(self, ciphertext: bytes, oaep_hash: str | None) -> bytes:
        """Decrypt a content key (implicit rejection: bad padding gives other bytes, no error)."""
        return self.key.decrypt_rsa(ciphertext, oaep_hash)

    def sign(self, data: bytes, digest: DigestName) -> bytes:
        """Sign the attributes of a CertRep, PKCS #1 v1.5."""
        key = self.signing_key
        return key.sign_legacy(data) if digest == "sha1" else key.sign(data, _ALGORITHM[digest])


def ensure_ra_key(ca: CertificateAuthority, *, now: datetime, is_split: bool = False) -> ServiceKey:
    """Return the newest RA key of a CA; make key and CSR if there is none. Raises KeyStoreError.

    It is usable once certified. Locks the authority's row meanwhile: devices that ask at the same
    time get the one key.
    """
    existing = ra_keys_of(ca, is_split=is_split)
    if existing:
        return existing[0]
    with transaction.atomic():
        CertificateAuthority.objects.select_for_update(of=("self",), no_key=True).get(pk=ca.pk)
        existing = ra_keys_of(ca, is_split=is_split)
        return existing[0] if existing else make_ra_key(ca, now=now, is_split=is_split)


def make_ra_key(ca: CertificateAuthority, *, now: datetime, is_split: bool = False) -> ServiceKey:
    """Make another RA key and its CSR; for a split RA two: returns the decrypting one.

    Raises KeyStoreError.
    """
    if not is_split:
        return _make(ca, ServicePurpose.RA, now=now)
    signing = _make(ca, ServicePurpose.RA_SIGNING, now=now)
    return _make(ca, ServicePurpose.RA_ENCRYPTION, now=now, signing_key=signing)


def retire_ra_key(key: ServiceKey, *, now: datetime) -> None:
    """Stop using a key and its signing half: mark the row first, then remove the files."""
    with transaction.atomic():
        mark_retired(key, principal=PORTAL, now=now)
    remove_retired_files()


def mark_retired(key: ServiceKey, *, principal: Principal, now: datetime) -> None:
    """Mark a key and its signing half as retired, in the caller's transaction."""
    for half in halves_of(key):
        if not ServiceKey.objects.filter(pk=half.pk, retired_at__isnull=True).update(
            retired_at=now
        ):
            continue
        record(
            Event.SERVICE_KEY_RETIRE,
            actor=principal.actor,
            now=now,
            subject=Subject.of("service-key", half.pk),
            data={"ca": half.ca.name, "purpose": half.purpose, "spki_sha256": half.spki_sha256},
        )


def remove_retired_files() -> int:
    """Remove files of retired keys that remain in this machine's folder; returns how many."""
    removed = 0
    there = {path.name for path in Path(settings.RA_KEY_FOLDER).glob("*.pem")}
    for name in ServiceKey.objects.filter(key_name__in=there, retired_at__isnull=False).values_list(
        "key_name", flat=True
    ):
        _path(name).unlink(missing_ok=True)
        removed += 1
    return removed


class RaKeys:
    """The certified RA credentials of each CA, newest first. One per process."""

    def __init__(self, fresh: float = FRESH_SECONDS) -> None:
        self._by_ca: Cache[int, tuple[RaCredential, ...]] = Cache(most=_AUTHORITIES, seconds=fresh)
        self._loaded: Cache[UUID, RaCredential] = Cache(most=_KEYS)

    def of(self, ca: CertificateAuthority) -> tuple[RaCredential, ...]:
        """Return the credentials of a CA. Raises RaNotReady while there are none.

        A key that cannot be opened is left out and logged; raises KeyStoreError only if no other is
        left.
        """
        cached = self._by_ca.get(ca.pk)
        if cached:
            return cached
        rows = [key for is_split in (False, True) for key in ra_keys_of(ca, is_split=is_split)]
        credentials = self._open([key for key in rows if certificates_of(key) is not None])
        if not credentials:
            raise RaNotReady(
                f"CA {ca.name}: its RA certificate is not there yet; the signing worker makes it"
            )
        return self._by_ca.put(ca.pk, credentials)

    def behind(self, lineage: Lineage) -> tuple[RaCredential, ...]:
        """Return every credential that a message at a profile may be encrypted to.

        The current CA's come first. Raises as `of` for the current CA; another one without a usable
        RA key is left out.
        """
        credentials = list(self.of(lineage.current))
        for ca in lineage.authorities()[1:]:
            credentials += self._beside(ca)
        return tuple(credentials)

    def offered(
        self, ca: CertificateAuthority, shape: CertificatesShape, *, now: datetime
    ) -> RaCredential:
        """Return the credential whose certificates GetCACert delivers.

        Raises as `of`; RaNotReady for the shape. A missing entry in memory never refuses alone:
        another process may have made the certificates since.
        """
        credential = self._offered(ca, shape, now=now)
        if credential is None:
            self._by_ca.discard(ca.pk)
            credential = self._offered(ca, shape, now=now)
        if credential is None:
            self._by_ca.discard(ca.pk)  # what is on its way is looked for with the next message
            raise RaNotReady(f"CA {ca.name}: its RA certificates for {shape} are not there yet")
        return credential

    def _offered(
        self, ca: CertificateAuthority, shape: CertificatesShape, *, now: datetime
    ) -> RaCredential | None:
        fitting = [
            credential for credential in self.of(ca) if credential.is_split == shape.is_split
        ]
        return choose_offered(fitting, now=now)

    def look_again(self, lineage: Lineage) -> bool:
        """Forget the keys of these CAs unless just read; returns whether anything was forgotten."""
        ages = {ca.pk: self._by_ca.age(ca.pk) for ca in lineage.authorities()}
        stale = [pk for pk, age in ages.items() if age is not None and age >= AGAIN_SECONDS]
        for pk in stale:
            self._by_ca.discard(pk)
        return bool(stale)

    def forget(self) -> None:
        """Read everything again next time."""
        self._by_ca.clear()
        self._loaded.clear()

    def _beside(self, ca: CertificateAuthority) -> tuple[RaCredential, ...]:
        """As `of`, or empty.

        The empty result is remembered too: a predecessor's keys end retired.
        """
        cached = self._by_ca.get(ca.pk)
        if cached is not None:
            return cached
        try:
            return self.of(ca)
        except (RaNotReady, KeyStoreError) as error:
            _log.info("ra.left_out", ca=ca.name, fault=str(error))
            return self._by_ca.put(ca.pk, ())

    def _open(self, rows: Sequence[ServiceKey]) -> tuple[RaCredential, ...]:
        credentials: list[RaCredential] = []
        fault: KeyStoreError | None = None
        for row in rows:
            try:
                credentials.append(self._load(row))
            except KeyStoreError as error:
                _log.error("ra.key_unusable", ca=row.ca_id, fault=str(error))
                fault = error
        if fault is not None and not credentials:
            raise fault
        return tuple(credentials)

    def _load(self, row: ServiceKey) -> RaCredential:
        return self._loaded.get(row.pk) or self._loaded.put(row.pk, _load_credential(row))


ra_keys = RaKeys()
register("RA keys", ra_keys.forget)


def _make(
    ca: CertificateAuthority,
    purpose: ServicePurpose,
    *,
    now: datetime,
    signing_key: ServiceKey | None = None,
) -> ServiceKey:
    private = key_file.generate(KEY_TYPE)
    service_id = uuid7()
    name = f"{ca.name}-{service_id}.pem"
    key_file.write(_path(name), private, settings.RA_PASSPHRASE())
    common_name = _COMMON_NAMES[purpose].format(ca.name)[:64]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    csr = (
        x509.CertificateSigningRequestBuilder().subject_name(subject).sign(private, hashes.SHA256())
    )
    spki = key_file.LoadedKey.of(private).spki_der
    with transaction.atomic():
        service = ServiceKey.objects.create(
            id=service_id,
            ca=ca,
            purpose=purpose,
            key_name=name,
            csr=csr.public_bytes(serialization.Encoding.DER),
            spki_sha256=sha256(spki).hexdigest(),
            created_at=now,
            signing_key=signing_key,
        )
        record(
            Event.SERVICE_KEY_CREATE,
            actor=SYSTEM,
            now=now,
            subject=Subject.of("service-key", service.pk),
            data={"ca": ca.name, "purpose": str(purpose), "spki_sha256": service.spki_sha256},
        )
    return service


def _load_credential(row: ServiceKey) -> RaCredential:
    certificates = certificates_of(row)
    if certificates is None:
        raise RaNotReady(f"RA key {row.pk} has no certificate yet")
    read = read_certificate(certificates[0])
    key = key_file.load(_path(row.key_name), settings.RA_PASSPHRASE())
    key_file.check_implicit_rejection(key)
    signing = row.signing_key
    issued_at, not_after = certified_times(row)
    return RaCredential(
        ca_id=row.ca_id,
        certificate_der=certificates[-1],
        encryption_der=certificates[0],
        issuer_der=read.issuer_der,
        serial_der=read.serial_der,
        ski=subject_key_identifier(certificates[0]) or b"",
        issued_at=issued_at,
        not_after=not_after,
        key=key,
        signing_key=key_file.load(_path(signing.key_name), settings.RA_PASSPHRASE())
        if signing
        else key,
    )


def _path(name: str) -> Path:
    return Path(settings.RA_KEY_FOLDER) / name
