"""Revoke, hold, release: the status of a certificate on record.

The next CRL publishes it; nothing here signs. A trigger in the database repeats the steps
(`ca.apps.CERTIFICATE_STEPS`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accounts.principals import Principal
from audit.events import DepartmentRef, Event, Subject
from audit.log import record
from ca.certificates.crls import outdate_crl
from ca.models.certificates import Certificate, CertificateKind, CertificateStatus, RevocationReason
from ca.x509.errors import AlreadyRevoked, NotOnHold, NotRevocable, RevocationReasonUnknown

_CHANGED = "Another officer was faster: this certificate has changed. Nothing was done twice."


@dataclass(frozen=True, slots=True)
class Witness:
    """The author of a status change, and further facts for the log."""

    principal: Principal
    department: DepartmentRef
    facts: Mapping[str, object]


def revoke(
    certificate: Certificate,
    *,
    reason: str,
    witness: Witness,
    now: datetime,
    invalidity_date: datetime | None = None,
    kind: CertificateKind = CertificateKind.ORDERED,
) -> None:
    """Revoke a certificate of this kind or put it on hold; its CRL is due from now on.

    Runs in the caller's transaction. A certificate on hold keeps the time since when it is not
    trusted. Raises RevocationReasonUnknown, NotRevocable, AlreadyRevoked.
    """
    if reason not in RevocationReason.values:
        allowed = ", ".join(RevocationReason.values)
        raise RevocationReasonUnknown(f"revocation reason {reason!r}: allowed are {allowed}")
    _check_alive(certificate, kind, now=now)
    is_hold = reason == RevocationReason.CERTIFICATE_HOLD
    before = CertificateStatus(certificate.status)
    if before is CertificateStatus.ON_HOLD and is_hold:
        raise AlreadyRevoked(
            f"This certificate is on hold already, since {certificate.revoked_at:%Y-%m-%d %H:%M} "
            "UTC."
        )
    _change(
        certificate,
        Event.CERTIFICATE_HOLD if is_hold else Event.CERTIFICATE_REVOKE,
        witness=witness,
        now=now,
        status=CertificateStatus.ON_HOLD if is_hold else CertificateStatus.REVOKED,
        revoked_at=certificate.revoked_at or now,
        revocation_reason=reason,
        invalidity_date=invalidity_date or certificate.invalidity_date,
    )


def release(certificate: Certificate, *, witness: Witness, now: datetime) -> None:
    """Release a certificate from hold, in the caller's transaction; the next CRL omits it.

    Raises NotRevocable, AlreadyRevoked, NotOnHold.
    """
    _check_alive(certificate, CertificateKind.ORDERED, now=now)
    if certificate.status != CertificateStatus.ON_HOLD:
        raise NotOnHold("This certificate is not on hold: there is nothing to release.")
    _change(
        certificate,
        Event.CERTIFICATE_RELEASE,
        witness=witness,
        now=now,
        status=CertificateStatus.ISSUED,
        revoked_at=None,
        revocation_reason="",
        invalidity_date=None,
    )


def _check_alive(certificate: Certificate, kind: CertificateKind, *, now: datetime) -> None:
    if certificate.kind != kind:
        raise NotRevocable(
            "This is a certificate of the portal itself: without it no device could ask for "
            "anything."
        )
    if certificate.status in (CertificateStatus.PREPARED, CertificateStatus.ABANDONED):
        raise NotRevocable(
            f"This certificate is {certificate.get_status_display()}: there is nothing to revoke."
        )
    if certificate.status == CertificateStatus.REVOKED:
        why = certificate.revocation_reason
        raise AlreadyRevoked(
            f"Revoked already, {certificate.revoked_at:%Y-%m-%d %H:%M} UTC ({why}). It stays so."
        )
    if certificate.not_after < now:
        raise NotRevocable(
            f"This certificate expired {certificate.not_after:%Y-%m-%d %H:%M} UTC: it is not "
            "accepted anywhere."
        )


def _change(
    certificate: Certificate, event: Event, *, witness: Witness, now: datetime, **changes: Any
) -> None:
    """Take one step of the table: a conditional UPDATE, the CRL outdated, and the audit entry."""
    before = certificate.status
    outdate_crl(certificate.ca_id)
    if Certificate.objects.filter(pk=certificate.pk, status=before).update(**changes) != 1:
        raise AlreadyRevoked(_CHANGED)
    for name, value in changes.items():
        setattr(certificate, name, value)
    record(
        event,
        actor=witness.principal.actor,
        now=now,
        subject=Subject.of("certificate", certificate.pk),
        data={
            "from": str(before),
            "to": str(certificate.status),
            "reason": str(certificate.revocation_reason),
            "serial": certificate.serial_hex,
            "order": str(certificate.order_id),
            **witness.facts,
        },
        department=witness.department,
    )
