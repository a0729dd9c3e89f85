"""Orders an immediate retry of signing."""

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F

from accounts.principals import Principal
from accounts.roles import Verb
from approvals.decisions.decide import load_for_decision
from approvals.models.requests import EnrollmentRequest
from approvals.operations.doorbell import ring
from approvals.records.transitions import department_of
from approvals.rules.errors import (
    NothingToRetry,
)
from approvals.rules.states import State
from audit.events import Event, Subject
from audit.log import record


def retry_request(*, request_id: UUID, principal: Principal, now: datetime) -> None:
    """Let the worker try again at once what needs attention. Raises NothingToRetry."""
    with transaction.atomic():
        _retry(
            load_for_decision(request_id, principal, now=now, verb=Verb.REQUEST_RETRY),
            principal=principal,
            now=now,
        )
    ring([request_id])


def order_retry(*, request_id: UUID, principal: Principal, now: datetime) -> None:
    """Do the same for the operator: a retry decides nothing, so no officer is needed."""
    with transaction.atomic():
        request = (
            EnrollmentRequest.objects.select_for_update(of=("self",), no_key=True)
            .filter(pk=request_id)
            .first()
        )
        if request is None:
            raise NothingToRetry("There is no such request.")
        _retry(request, principal=principal, now=now)
    ring([request_id])


def _retry(request: EnrollmentRequest, *, principal: Principal, now: datetime) -> None:
    waiting = EnrollmentRequest.objects.filter(
        pk=request.pk, state__in=[State.APPROVED, State.ISSUING], version=request.version
    ).exclude(last_fault="")
    if not waiting.update(
        quarantined_at=None, attempts=0, next_attempt_at=now, version=F("version") + 1
    ):
        raise NothingToRetry("This request is not waiting for a retry.")
    record(
        Event.REQUEST_RETRY,
        actor=principal.actor,
        now=now,
        subject=Subject.of("request", request.pk, request.version + 1),
        data={"last_fault": request.last_fault},
        department=department_of(request.profile),
    )
