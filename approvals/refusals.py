"""Refusals and deliveries as facts: committed with their real reason, counted where they repeat."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Sum

from approvals.errors import Refusal
from approvals.models import EnrollmentProfile, EnrollmentRequest
from approvals.records import department_of
from approvals.submission import Submission
from audit.events import Actor, Event, Subject
from audit.log import record_repeated
from audit.models import AuditEntry, RepeatedEvent
from ca.models import Certificate


@dataclass(frozen=True, slots=True)
class Unplanned:
    """How often a message ran into an exception that nobody planned, and into which one last."""

    count: int
    newest: str = ""


def refused(
    profile: EnrollmentProfile,
    refusal: Refusal,
    submission: Submission,
    *,
    now: datetime,
    request: EnrollmentRequest | None = None,
    renewed: Certificate | None = None,
) -> Refusal:
    """Commit a refusal with its real reason; the device reads `refusal.text`."""
    record_refusal(
        profile,
        refusal.cause.value,
        address=submission.address,
        now=now,
        subject=_subject(refusal, request, renewed),
        data={
            "text": refusal.text,
            **({"detail": refusal.detail} if refusal.detail else {}),
            "subject": str(submission.csr.subject)[:1000],
            "csr_spki_sha256": submission.csr.spki_sha256.hex(),
            "transaction_id": submission.transaction_id,
        },
    )
    return refusal


def _subject(refusal: Refusal, request: EnrollmentRequest | None, renewed: Certificate | None) -> Subject | None:
    if request is not None:
        return Subject.of("request", request.pk)
    if renewed is not None:
        return Subject.of("certificate", renewed.pk)
    return Subject.of("challenge", refusal.challenge) if refusal.challenge else None


def record_refusal(
    profile: EnrollmentProfile,
    cause: str,
    *,
    address: str,
    now: datetime,
    subject: Subject | None = None,
    data: dict[str, object] | None = None,
) -> None:
    with transaction.atomic():
        record_repeated(
            Event.MESSAGE_REFUSE,
            actor=Actor(kind="device", address=address),
            now=now,
            cause=f"{profile.slug}: {cause}",
            subject=subject,
            data={"profile": profile.slug, **(data or {})},
            department=department_of(profile),
        )


def refuse_message(
    profile: EnrollmentProfile, *, cause: str, address: str, now: datetime, data: dict[str, object] | None = None
) -> None:
    """Record that a door refused a message before it became a submission (bad signature, bad algorithm, …)."""
    record_refusal(profile, cause, address=address, now=now, data=data)


def record_unplanned(slug: str, fault: str, message_sha256: str, *, address: str, now: datetime) -> None:
    """Record that a message made us fail: the class of the exception and a digest of the message, nothing of either."""
    with transaction.atomic():
        record_repeated(
            Event.MESSAGE_FAULT,
            actor=Actor(kind="device", address=address),
            now=now,
            cause=f"{slug}: {fault}",
            data={"profile": slug, "message_sha256": message_sha256},
        )


def unplanned_since(moment: datetime) -> Unplanned:
    """Count what `record_unplanned` wrote down since then, repeats included."""
    entries = AuditEntry.objects.filter(event=Event.MESSAGE_FAULT, at__gte=moment).order_by("-id")
    open_counts = RepeatedEvent.objects.filter(first_entry__event=Event.MESSAGE_FAULT, minute__gte=moment)
    data = list(entries.values_list("data", flat=True)[:1000])
    count = sum(int(item.get("repeated", 1)) for item in data)
    return Unplanned(
        count + (open_counts.aggregate(n=Sum("count"))["n"] or 0), str(data[0].get("cause", "")) if data else ""
    )


def record_delivery(request: EnrollmentRequest, *, address: str, now: datetime) -> None:
    """Record that a device was handed its certificate; repeats within a minute are counted."""
    if request.certificate is None:
        raise LookupError(f"request {request.pk} has no certificate to deliver")
    signer = request.signer_spki_sha256
    record_pickup(request.certificate, profile=request.profile, signer=signer, address=address, now=now)


def record_pickup(
    certificate: Certificate, *, profile: EnrollmentProfile, signer: str, address: str, now: datetime
) -> None:
    """Record that a certificate was handed to the holder of the key `signer` (SHA-256 of its SPKI, hex)."""
    with transaction.atomic():
        record_repeated(
            Event.CERTIFICATE_DELIVER,
            actor=Actor(kind="device", identifier=signer, address=address),
            now=now,
            cause="delivered",
            subject=Subject.of("certificate", certificate.pk),
            data={"request": str(certificate.order_id), "serial": certificate.serial_hex},
            department=department_of(profile),
        )
