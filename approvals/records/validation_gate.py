"""Challenges that a service must confirm, and the gate that no unconfirmed request passes.

Deny when in doubt: a request with such a challenge can only be approved if its row says `allowed`.
`approvals.validation.worker` asks the services.
"""

import hmac
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from approvals.models.profiles import VALIDATED, EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, KeptCsr
from approvals.models.validations import UNDECIDED, ReportState, Validation, ValidationState
from approvals.records.stored_csrs import keep_csr
from approvals.rules.errors import NotValidated
from approvals.rules.states import REFUSED_STATES, State
from database import moments
from database.statements import insert

#: For the report of the outcome, which needs the CSR and may come late.
KEPT_AFTER_EXPIRY = timedelta(days=7)
LEASE: Final = timedelta(seconds=30)  # of a worker that asks a service
MAX_DELAY: Final = timedelta(minutes=10)
_FIRST_DELAY: Final = timedelta(seconds=1)
#: Attempts after which the wait has its full length.
FULL_DELAY_AFTER: Final = 11
_FINISHED = sorted({State.ISSUED, *REFUSED_STATES})


def is_validated_elsewhere(request: EnrollmentRequest) -> bool:
    """Return whether a service must confirm the challenge of this request."""
    return request.challenge in VALIDATED


def open_validation(
    request: EnrollmentRequest,
    *,
    profile: EnrollmentProfile,
    csr_der: bytes,
    challenge: str,
    now: datetime,
) -> None:
    """Record that the challenge must be confirmed, in the transaction that opens the request."""
    insert(
        Validation(
            request=request,
            kind=profile.challenge,
            challenge_hash=challenge_hash(profile, challenge),
            next_attempt_at=now,
        )
    )
    if not KeptCsr.objects.filter(pk=request.pk).exists():
        keep_csr(request, csr_der, until=request.expires_at + KEPT_AFTER_EXPIRY)


def challenge_hash(profile: EnrollmentProfile, challenge: str) -> str:
    """Return the HMAC-SHA256 that recognises a challenge, hex."""
    return hmac.new(
        settings.CHALLENGE_KEY(), f"validated\0{profile.pk}\0{challenge}".encode(), sha256
    ).hexdigest()


def is_another_challenge(request: EnrollmentRequest, presented: str | None) -> bool:
    """Return whether a device presents another challenge than the one of this request."""
    validation = validation_of(request)
    if validation is None or not presented:
        return False
    return not hmac.compare_digest(
        validation.challenge_hash, challenge_hash(request.profile, presented)
    )


def validation_of(request: EnrollmentRequest) -> Validation | None:
    """Return the validation of a request; None if none is needed, or without a row (denies)."""
    return getattr(request, "validation", None) if is_validated_elsewhere(request) else None


def state_of(request: EnrollmentRequest) -> str:
    """Return the state of its validation, "" if none is needed."""
    if not is_validated_elsewhere(request):
        return ""
    validation = validation_of(request)
    return validation.state if validation else "missing"


def missing_validation(request: EnrollmentRequest) -> str:
    """Return the sentence why the request must not be approved, "" if it may."""
    match state_of(request):
        case "" | ValidationState.ALLOWED:
            return ""
        case ValidationState.DENIED:
            return (
                "The validation service denied the challenge: let the device ask again with a new "
                "one."
            )
        case ValidationState.UNREACHABLE:
            return (
                "The validation service gives no answer about the challenge yet: it is asked again "
                "by itself."
            )
        case ValidationState.WAITING:
            return (
                "The validation service has not said anything about the challenge yet: wait for it."
            )
        case _:
            return "Nothing is known of the challenge: let the device ask again."


def require_validation(request: EnrollmentRequest) -> None:
    """Raise NotValidated unless the challenge is confirmed or needs no confirmation."""
    text = missing_validation(request)
    if text:
        raise NotValidated(text)


def require_reopenable(request: EnrollmentRequest) -> None:
    """Raise NotValidated for a refused request that cannot be opened again."""
    text = closed_for_good(request)
    if text:
        raise NotValidated(text)


def closed_for_good(request: EnrollmentRequest) -> str:
    """Return the sentence why a refused request cannot be reopened, "" if it can.

    The challenge was never confirmed, or the service already has the final outcome.
    """
    validation = validation_of(request)
    if validation is None or validation.state == ValidationState.DENIED:
        return missing_validation(request)
    if validation.state != ValidationState.ALLOWED:
        return "The challenge was never confirmed: let the device ask again."
    if validation.report == ReportState.SENT:
        return (
            "The validation service was told that this request is over: let the device ask again."
        )
    return ""


def holds_back(request_id: UUID | None) -> bool:
    """Return whether the certificate waits for a report to the service. Reads again."""
    rows = Validation.objects.filter(
        pk=request_id,
        report__in=[ReportState.OWED, ReportState.GIVEN_UP],
        request__profile__validation_service__delivers_after_report=True,
    )
    return rows.exists()


def is_moving(request: EnrollmentRequest) -> bool:
    """Return whether a worker is about to change the device's answer. Reads again."""
    if not is_validated_elsewhere(request):
        return False
    if request.state == State.PENDING:
        return Validation.objects.filter(pk=request.pk, state=ValidationState.WAITING).exists()
    return request.state == State.ISSUED and holds_back(request.pk)


def due(now: datetime) -> Q:
    """Return the filter for validations to process: a question to ask, or an outcome to report."""
    asks = Q(state__in=UNDECIDED, request__state=State.PENDING, request__expires_at__gt=now)
    unsettled = Q(request__state=State.REJECTED, request__next_attempt_at__isnull=False)
    reports = Q(report=ReportState.OWED, request__state__in=_FINISHED) & ~unsettled
    free = Q(lease_until__isnull=True) | moments.over("lease_until", now=now, span=LEASE)
    waits = [timedelta(0), *(backoff(attempts) for attempts in range(1, FULL_DELAY_AFTER + 1))]
    return moments.attempt_is_due(now=now, waits=waits) & free & (asks | reports)


def backoff(attempts: int) -> timedelta:
    """Return how long to wait after so many attempts."""
    return moments.backoff(attempts, first=_FIRST_DELAY, most=MAX_DELAY)
