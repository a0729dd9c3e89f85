"""The sweep: whatever is due is rung for again, whatever ran out expires. It makes every lost ring harmless.

Called from beat and from each worker; a lease lets one of them do it at a time.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from approvals.clock import database_now
from approvals.doorbell import ring_now
from approvals.errors import AlreadyDecided
from approvals.models import EnrollmentRequest, Lease
from approvals.records import advance
from approvals.states import State, Step
from audit.events import SYSTEM
from audit.log import close_minutes

EVERY = timedelta(seconds=5)
_RINGS = 1000
_EXPIRIES = 200


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What a sweep found; `ran` is False when another process did it a moment ago."""

    ran: bool
    rung: int = 0
    expired: int = 0
    closed: int = 0


def sweep(*, every: timedelta = EVERY) -> SweepResult:
    """Do one sweep unless one was begun within `every`."""
    now = database_now()
    if not _take_lease("sweep", now=now, until=now + every * 0.8):
        return SweepResult(ran=False)
    due = list(
        EnrollmentRequest.objects.filter(
            state__in=[State.APPROVED, State.ISSUING],
            next_attempt_at__lte=now,
            quarantined_at__isnull=True,
            profile__paused_at__isnull=True,
            ca__paused_at__isnull=True,
        )
        .filter(Q(lease_until__isnull=True) | Q(lease_until__lte=now))
        .order_by("next_attempt_at")
        .values_list("pk", flat=True)[:_RINGS]
    )
    if due:
        ring_now(due)
    return SweepResult(ran=True, rung=len(due), expired=_expire(now), closed=close_minutes(now=now))


def _take_lease(name: str, *, now: datetime, until: datetime) -> bool:
    Lease.objects.get_or_create(name=name, defaults={"held_until": now - timedelta(seconds=1)})
    return Lease.objects.filter(name=name, held_until__lte=now).update(held_until=until, last_run_at=now) == 1


def _expire(now: datetime) -> int:
    rows = EnrollmentRequest.objects.filter(state__in=[State.PENDING, State.FAILED], expires_at__lte=now)
    expired = 0
    for request in rows.select_related("profile__department").order_by("expires_at")[:_EXPIRIES]:
        try:
            with transaction.atomic():
                advance(
                    request, Step.EXPIRE, actor=SYSTEM, now=now, reason="nobody decided in time", next_attempt_at=None
                )
        except AlreadyDecided:
            continue
        expired += 1
    return expired
