"""RA certificates over time: which one is published, when to renew, when to retire.

A new one is published some time after it was certified, so that every web process on every machine
can have read its key by then. Older ones go on decrypting and signing until they expire.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar

from ca.models.authorities import CertificateAuthority, CertificatesShape
from ca.models.keys import ServiceKey, ServicePurpose

OFFERED_AFTER: Final = timedelta(hours=1)
#: A renewed certificate must outlast the old one by at least this, or renewing is useless.
_GAIN: Final = timedelta(hours=1)


class Dated(Protocol):
    """A certified key with the times of certification and expiry."""

    @property
    def issued_at(self) -> datetime: ...
    @property
    def not_after(self) -> datetime: ...


D = TypeVar("D", bound=Dated)


def choose_offered(newest_first: Sequence[D], *, now: datetime) -> D | None:
    """Return the newest RA certificate that has settled; if all are too new, the oldest."""
    valid = [item for item in newest_first if item.not_after >= now] or list(newest_first[:1])
    settled = [item for item in valid if item.issued_at + OFFERED_AFTER <= now]
    return next(iter(settled or valid[-1:]), None)


def is_renewal_due(
    *,
    not_before: datetime,
    not_after: datetime,
    ca_not_after: datetime,
    now: datetime,
    policy: "RaLife",
) -> bool:
    """Return whether the newest RA certificate needs a successor: too little of its life is left.

    Never if the successor could not last longer, since the CA itself ends.
    """
    if policy.renew_before == timedelta(0):
        return False
    margin = (
        policy.renew_before if policy.renew_before is not None else (not_after - not_before) / 3
    )
    return now >= not_after - margin and min(now + policy.life, ca_not_after) >= not_after + _GAIN


class RaLife(Protocol):
    """Lifetime of RA certificates, and the time before their end for renewal.

    None means a third of the life, zero means never.
    """

    @property
    def life(self) -> timedelta: ...
    @property
    def renew_before(self) -> timedelta | None: ...


def ra_keys_of(ca: CertificateAuthority, *, is_split: bool) -> list[ServiceKey]:
    """Return the RA keys of a CA that are in use or wait for their certificate, newest first.

    Of a split RA, the decrypting ones; `signing_key` is the other half.
    """
    purpose = ServicePurpose.RA_ENCRYPTION if is_split else ServicePurpose.RA
    rows = ServiceKey.objects.filter(ca=ca, purpose=purpose, retired_at__isnull=True)
    return list(rows.select_related("certificate", "signing_key__certificate").order_by("-id"))


def ra_key_with(
    ca: CertificateAuthority, serial_hex: str
) -> tuple[ServiceKey | None, list[ServiceKey]]:
    """Return the RA key in use with this certificate serial number (or None), and the others.

    The others are certified keys of the same kind, newest first.
    """
    for is_split in (False, True):
        keys = [
            key for key in ra_keys_of(ca, is_split=is_split) if certificates_of(key) is not None
        ]
        for key in keys:
            if serial_hex in {
                half.certificate.serial_hex
                for half in halves_of(key)
                if half.certificate is not None
            }:
                return key, [other for other in keys if other is not key]
    return None, []


def halves_of(key: ServiceKey) -> list[ServiceKey]:
    """Return the key, and the signing half of a split RA."""
    return [key] if key.signing_key is None else [key, key.signing_key]


def certificates_of(key: ServiceKey) -> tuple[bytes, ...] | None:
    """Return the certificates of an RA key, the encrypting one first; None while one is missing."""
    halves = halves_of(key)
    ders = [half.certificate.der for half in halves if half.certificate is not None]
    return (
        tuple(bytes(der) for der in ders if der is not None)
        if len(ders) == len(halves) and all(ders)
        else None
    )


def offered_certificates(
    ca: CertificateAuthority, shape: CertificatesShape, *, now: datetime
) -> tuple[bytes, ...] | None:
    """Return the published RA certificates in this shape, or None while there are none."""
    ready = [
        _Ready(key)
        for key in ra_keys_of(ca, is_split=shape.is_split)
        if certificates_of(key) is not None
    ]
    current = choose_offered(ready, now=now)
    return certificates_of(current.key) if current is not None else None


@dataclass(frozen=True, slots=True)
class RaCertificateFacts:
    """One RA certificate for people; the first of a list is the newest of its kind."""

    purpose: str
    serial_hex: str
    issued_at: datetime
    not_after: datetime
    is_given_out: bool


def ra_certificates_of(ca: CertificateAuthority, *, now: datetime) -> list[RaCertificateFacts]:
    """Return the RA certificates of a CA that are in use."""
    facts = []
    for is_split in (False, True):
        ready = [
            _Ready(key)
            for key in ra_keys_of(ca, is_split=is_split)
            if certificates_of(key) is not None
        ]
        current = choose_offered(ready, now=now)
        for item in ready:
            for half in halves_of(item.key):
                if half.certificate is None:
                    continue
                facts.append(
                    RaCertificateFacts(
                        purpose=half.get_purpose_display(),
                        serial_hex=half.certificate.serial_hex,
                        issued_at=item.issued_at,
                        not_after=half.certificate.not_after,
                        is_given_out=item is current,
                    )
                )
    return facts


class _Ready:
    """A certified key with the times of its certificate."""

    def __init__(self, key: ServiceKey) -> None:
        self.key = key
        self.issued_at, self.not_after = certified_times(key)


def certified_times(key: ServiceKey) -> tuple[datetime, datetime]:
    """Return the time a certified key was complete, and the first expiry of its certificates.

    Raises LookupError for a key without a certificate.
    """
    halves = halves_of(key)
    times = [
        (half.certificate.issued_at, half.certificate.not_after)
        for half in halves
        if half.certificate is not None and half.certificate.issued_at is not None
    ]
    if len(times) != len(halves):
        raise LookupError(f"service key {key.pk}: not certified yet")
    return max(issued for issued, _ in times), min(end for _, end in times)
