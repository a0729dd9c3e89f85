"""Refusals and deliveries as facts: committed with their real reason; repeats are counted."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Sum

from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.records.refusal_numbers import (
    keep_number,
    keep_told_number,
    number_of_answer,
    number_of_request,
)
from approvals.records.transitions import department_of
from approvals.rules.errors import Refusal
from approvals.rules.submission import Submission
from audit.events import Actor, Event, Subject
from audit.log import first_of_minute, record_repeated
from audit.models import AuditEntry, RepeatedEvent
from ca.models.certificates import Certificate


@dataclass(frozen=True, slots=True)
class Unplanned:
    """The number of unexpected exceptions, and the last of them."""

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
    """Commit a refusal with its real reason, and return it with its number.

    The device gets `text` and `number`, unless it is to try again later.
    """
    number = record_refusal(
        profile,
        refusal.real_cause,
        address=submission.address,
        now=now,
        subject=_subject(refusal, request, renewed),
        data={
            "text": refusal.text,
            **({"detail": refusal.detail} if refusal.detail else {}),
            **(
                {"retry_after_s": int(refusal.retry_after.total_seconds())}
                if refusal.retry_after
                else {}
            ),
            **facts_of(submission),
        },
    )
    return replace(refusal, number=number)


def facts_of(submission: Submission) -> dict[str, object]:
    """Return the log's facts of a refused submission."""
    csr = submission.csr
    names = [f"{name.kind}:{name.value}" for name in csr.requested_sans[:10]]
    return {
        "subject": str(csr.subject)[:1000],
        **({"names": names} if names and not csr.subject.attributes else {}),
        "csr_spki_sha256": csr.spki_sha256.hex(),
        "transaction_id": submission.transaction_id,
    }


def _subject(
    refusal: Refusal, request: EnrollmentRequest | None, renewed: Certificate | None
) -> Subject | None:
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
) -> str:
    """Record a refusal, counting repeats within a minute; return the number for the device.

    `data` may contain the number if the answer is that of a request; else it follows from the
    `text` in `data`, and a counted refusal has the number of the first, whose text may have had
    other values in it. There is none if the device is to try again later: it gets no text.
    """
    facts = {"profile": profile.slug, **(data or {})}
    text = str(facts.get("text", ""))
    number = str(
        facts.pop("number", "") or number_of_answer(profile, address=address, text=text, now=now)
    )
    number = "" if "retry_after_s" in facts else number
    actor, counted_by = Actor(kind="device", address=address), f"{profile.slug}: {cause}"
    with transaction.atomic():
        entry = record_repeated(
            Event.MESSAGE_REFUSE,
            actor=actor,
            now=now,
            cause=counted_by,
            subject=subject,
            data={**facts, **({"number": number} if number else {})},
            department=department_of(profile),
        )
        if entry is not None and number:
            about = UUID(subject.identifier) if subject and subject.kind == "request" else None
            keep_number(number, profile, now=now, entry=entry, request_id=about)
        elif number:
            first = first_of_minute(
                Event.MESSAGE_REFUSE, actor=actor, now=now, cause=counted_by, subject=subject
            )
            number = str(first.data.get("number", number)) if first else number
    return number


def told_again(request: EnrollmentRequest, refusal: Refusal, *, now: datetime) -> Refusal:
    """Return a request's final refusal with its constant number."""
    number = number_of_request(request.pk)
    keep_told_number(number, request.profile, request.pk, now=now)
    return replace(refusal, number=number)


def refuse_message(
    profile: EnrollmentProfile,
    *,
    cause: str,
    address: str,
    now: datetime,
    data: dict[str, object] | None = None,
) -> str:
    """Record a refusal before there was a submission (bad signature, bad algorithm, …).

    Returns the number of the refusal.
    """
    return record_refusal(profile, cause, address=address, now=now, data=data)


def record_unplanned(
    slug: str, fault: str, message_sha256: str, *, address: str, now: datetime
) -> None:
    """Record an unexpected exception: its class and the digest of the message, without content."""
    with transaction.atomic():
        record_repeated(
            Event.MESSAGE_FAULT,
            actor=Actor(kind="device", address=address),
            now=now,
            cause=f"{slug}: {fault}",
            data={"profile": slug, "message_sha256": message_sha256},
        )


def unplanned_since(moment: datetime) -> Unplanned:
    """Count the faults that `record_unplanned` recorded since then, repeats included."""
    entries = AuditEntry.objects.filter(event=Event.MESSAGE_FAULT, at__gte=moment).order_by("-id")
    open_counts = RepeatedEvent.objects.filter(
        first_entry__event=Event.MESSAGE_FAULT, minute__gte=moment
    )
    data = list(entries.values_list("data", flat=True)[:1000])
    count = sum(int(item.get("repeated", 1)) for item in data)
    return Unplanned(
        count + (open_counts.aggregate(n=Sum("count"))["n"] or 0),
        str(data[0].get("cause", "")) if data else "",
    )


def record_delivery(request: EnrollmentRequest, *, address: str, now: datetime) -> None:
    """Record that a device got its certificate; repeats within a minute are counted."""
    if request.certificate is None:
        raise LookupError(f"request {request.pk} has no certificate to deliver")
    signer = request.signer_spki_sha256
    record_pickup(
        request.certificate, profile=request.profile, signer=signer, address=address, now=now
    )


def record_pickup(
    certificate: Certificate,
    *,
    profile: EnrollmentProfile,
    signer: str,
    address: str,
    now: datetime,
) -> None:
    """Record a delivery to the holder of the key `signer` (SHA-256 of its SPKI, hex)."""
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
