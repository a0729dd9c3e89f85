"""The sweep: whatever is due is rung for again, whatever ran out expires. It makes every lost ring harmless.

Called from beat and from each worker; a lease lets one of them do it at a time.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from approvals.alarms import raise_alarm
from approvals.clock import database_now
from approvals.doorbell import ring_for_validations_now, ring_now
from approvals.errors import AlreadyDecided
from approvals.kept import discard_overdue
from approvals.lockouts import forget_old
from approvals.models import AlarmKind, EnrollmentRequest, Lease, StaticChallenge, Validation
from approvals.records import advance
from approvals.states import State, Step
from approvals.static_challenges import overdue
from approvals.validations import due as due_validations
from audit.events import SYSTEM
from audit.log import close_minutes

EVERY = timedelta(seconds=5)
_RINGS = 1000
_EXPIRIES = 200
_VALIDATIONS = 100  # more than that wait for a service that does not answer


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
    if not take_lease("sweep", now=now, until=now + every * 0.8):
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
    asked = Validation.objects.filter(due_validations(now)).order_by("next_attempt_at")
    ring_for_validations_now(list(asked.values_list("pk", flat=True)[:_VALIDATIONS]))
    discard_overdue(now=now)
    forget_old(now=now)
    remind_of_static(now=now)
    return SweepResult(ran=True, rung=len(due), expired=_expire(now), closed=close_minutes(now=now))


def remind_of_static(*, now: datetime) -> int:
    """Alarm administrators of static challenges that are old; returns of how many."""
    rows = overdue(now=now)
    for row in rows:
        with transaction.atomic():
            if StaticChallenge.objects.filter(pk=row.pk, reminded_at=row.reminded_at).update(reminded_at=now):
                days = (now - row.created_at).days
                text = f"The static challenge is {days} days old: rotate it, with an overlap for devices that have it."
                raise_alarm(AlarmKind.STATIC_OLD, row.profile, text, now=now)
    return len(rows)


def take_lease(name: str, *, now: datetime, until: datetime) -> bool:
    """Take the lease of this name unless somebody has it; nobody gives it back, it runs out."""
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
