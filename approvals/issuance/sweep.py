"""The sweep: rings again for everything due, and expires overdue requests.

It makes every lost ring harmless. Beat and each worker call it; a lease selects one of them.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from accounts.sign_in import throttle
from approvals.challenges.lockouts import forget_old
from approvals.challenges.static import overdue
from approvals.models.challenges import AlarmKind, StaticChallenge
from approvals.models.requests import EnrollmentRequest
from approvals.models.validations import Validation
from approvals.operations.alarms import raise_alarm
from approvals.operations.attention import tell_administrators
from approvals.operations.doorbell import ring_for, ring_for_validations_now, ring_now
from approvals.operations.leases import acquire
from approvals.operations.pulse import QUEUES, forget_gone
from approvals.records.due import due, free, next_bell, settled
from approvals.records.stored_csrs import discard_overdue
from approvals.records.transitions import advance
from approvals.records.validation_gate import due as due_validations
from approvals.rules.errors import AlreadyDecided
from approvals.rules.states import State, Step
from audit.events import SYSTEM
from audit.log import close_minutes
from database.clock import database_now

EVERY = timedelta(seconds=5)
_RINGS = 1000
_EXPIRIES = 200
_VALIDATIONS = 100  # more than that wait for a service that does not answer


#: Regular chores: name of the lease, task, queue, seconds between two rings. Beat does not ring for
#: them: it waits by the wall clock and keeps its times in a file, so after a clock was set back it
#: sends nothing for as long as the step was, even after a restart. The workers sweep by themselves.
CHORES = (
    ("certify", "ca.certify_service_keys", "signing", 10),
    ("crls", "ca.issue_crls", "signing", 30),
    ("notices", "approvals.deliver_notices", "default", 10),
    ("exchanges", "exchanges.prune", "default", 600),
)


@dataclass(frozen=True, slots=True)
class SweepResult:
    """The result of a sweep; `ran` is False when another process did it a moment ago."""

    ran: bool
    rung: int = 0
    expired: int = 0
    closed: int = 0
    next_bell: float | None = None  # seconds until a decision takes effect, before the next sweep


def sweep(*, every: timedelta = EVERY) -> SweepResult:
    """Run one sweep unless one was begun within `every`."""
    now = acquire("sweep", length=every * 0.8)
    if now is None:
        return SweepResult(ran=False)
    rung = ring_for_due(now=now)
    _ring_for_chores()
    validations = Validation.objects.filter(due_validations(now)).order_by("next_attempt_at")
    ring_for_validations_now(list(validations.values_list("pk", flat=True)[:_VALIDATIONS]))
    discard_overdue(now=now)
    forget_old(now=now)
    throttle.forget_old(now=now)
    remind_of_static(now=now)
    tell_administrators(now=now)
    return SweepResult(
        ran=True,
        rung=rung,
        expired=_expire(now),
        closed=close_minutes(now=now),
        next_bell=_seconds_to_next_bell(now, within=every),
    )


def ring_for_due(*, now: datetime) -> int:
    """Settle the rejections that take effect, and ring for what a worker should look at; returns of
    how many.
    """
    EnrollmentRequest.objects.filter(settled(now=now)).update(next_attempt_at=None)
    waiting = list(
        EnrollmentRequest.objects.filter(due(now=now), free(now=now))
        .filter(profile__paused_at__isnull=True, ca__paused_at__isnull=True)
        .order_by("next_attempt_at")
        .values_list("pk", flat=True)[:_RINGS]
    )
    if waiting:
        ring_now(waiting)
    return len(waiting)


def _seconds_to_next_bell(now: datetime, *, within: timedelta) -> float | None:
    moment = next_bell(now=now, within=within)
    return (moment - now).total_seconds() if moment else None


def _ring_for_chores() -> None:
    """Ring for regular chores; each has its own lease, so that a stepped clock stops none."""
    for name, task, queue, seconds in CHORES:
        if acquire(f"chore {name}", length=timedelta(seconds=seconds) * 0.8) is not None:
            ring_for(task, queue=queue)
    if acquire("chore signs", length=timedelta(seconds=24)) is not None:
        for queue in QUEUES:
            ring_for("approvals.sign_queue", queue=queue, of=queue)
        forget_gone(now=database_now())


def remind_of_static(*, now: datetime) -> int:
    """Alarm administrators about old static challenges; returns how many."""
    rows = overdue(now=now)
    for row in rows:
        with transaction.atomic():
            if StaticChallenge.objects.filter(pk=row.pk, reminded_at=row.reminded_at).update(
                reminded_at=now
            ):
                days = (now - row.created_at).days
                text = (
                    f"The static challenge is {days} days old: rotate it, with an overlap for "
                    "devices that have it."
                )
                raise_alarm(AlarmKind.STATIC_OLD, row.profile, text, now=now)
    return len(rows)


def _expire(now: datetime) -> int:
    rows = EnrollmentRequest.objects.filter(
        state__in=[State.PENDING, State.FAILED], expires_at__lte=now
    )
    expired = 0
    for request in rows.select_related("profile__department").order_by("expires_at")[:_EXPIRIES]:
        try:
            with transaction.atomic():
                advance(
                    request,
                    Step.EXPIRE,
                    actor=SYSTEM,
                    now=now,
                    reason="no officer decided in time",
                    next_attempt_at=None,
                )
        except AlreadyDecided:
            continue
        expired += 1
    return expired
