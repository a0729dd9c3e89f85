"""When a worker should process an approved request: the lease, the next attempt, their limits.

Lease against version. A request that is being signed has a lease (`lease_until`) and a version, and
they answer different questions.
- The lease saves work. It tells other workers that one is at it, so that they skip the request
  instead of repeating lint and signature. It is only a time in a row: a worker can be slower than
  its lease, and a clock can be set, so two workers may both think that they hold it.
- The version decides. Every step of a request is one UPDATE that names the version it has read and
  raises it (`transitions.advance`, `issue._take`). Of two workers that read the same version, one
  UPDATE matches a row; the other matches none, and its worker stores nothing. Taking the lease
  raises the version too, so a worker whose lease was taken over cannot record, even if it finishes
  first.
- Losing this race is harmless, since both workers sign the same stored bytes
  (`ca.signing.issuance`).
So nothing may be written because "the lease is mine": check the version in the same statement. And
a lease is never extended by its holder: a hanging worker would keep a request forever.

A lease or attempt further ahead than it can be was written under a clock that was ahead, and is
void (`database.moments`). Read the clock after the row, else a fresh lease looks too long.
"""

from datetime import datetime, timedelta
from typing import Final

from django.db.models import DateTimeField, ExpressionWrapper, F, Q, Value

from approvals.models.requests import EnrollmentRequest
from approvals.rules.states import State
from database import moments

LEASE = timedelta(seconds=60)
MAX_ATTEMPTS = 8
MAX_DELAY: Final = timedelta(minutes=10)
_FIRST_DELAY: Final = timedelta(seconds=5)


def backoff(attempts: int) -> timedelta:
    """Return how long to wait after so many attempts."""
    return moments.backoff(attempts, first=_FIRST_DELAY, most=MAX_DELAY)


def is_due(request: EnrollmentRequest, *, now: datetime) -> bool:
    """Return whether a worker should process it now; an impossibly late moment is void."""
    if (
        request.next_attempt_at is None
        or request.quarantined_at is not None
        or is_leased(request, now=now)
    ):
        return False
    wait = (
        LEASE
        + backoff(request.attempts)
        + (timedelta(0) if request.attempts else request.profile.undo_window)
    )
    return moments.is_over(request.next_attempt_at, now=now, span=wait)


def is_leased(request: EnrollmentRequest, *, now: datetime) -> bool:
    """Return whether a worker is at it.

    Read `now` after the row: then no valid lease looks longer than LEASE.
    """
    return not moments.is_over(request.lease_until, now=now, span=LEASE)


def due(*, now: datetime) -> Q:
    """Return the filter for approved requests to process, leased or not; the rule of `is_due`."""
    waits = [LEASE + backoff(attempts) for attempts in range(MAX_ATTEMPTS + 1)]
    is_void = _is_beyond(now + waits[0])
    fresh = Q(attempts=0) & (
        Q(next_attempt_at__lte=now) | is_void
    )  # its time is when the decision takes effect
    retry_due = Q(attempts__gt=0) & moments.attempt_is_due(now=now, waits=waits)
    return to_be_signed() & (fresh | retry_due)


def to_be_signed() -> Q:
    """Return the filter for requests to be signed some time, due or not."""
    return Q(state__in=[State.APPROVED, State.ISSUING], quarantined_at__isnull=True)


def settled(*, now: datetime) -> Q:
    """Return the filter for rejections that take effect: their key is free from then on."""
    unsettled = Q(state=State.REJECTED, next_attempt_at__isnull=False)
    return unsettled & (Q(next_attempt_at__lte=now) | _is_beyond(now))


def _is_beyond(moment: datetime) -> Q:
    """A time further ahead of `moment` than the window of the profile: of a clock that was
    ahead.
    """
    latest = Value(moment + moments.TOLERANCE, DateTimeField()) + F("profile__undo_window")
    return Q(next_attempt_at__gt=ExpressionWrapper(latest, output_field=DateTimeField()))


def next_bell(*, now: datetime, within: timedelta) -> datetime | None:
    """Return when the next decision takes effect, if that is within the span named."""
    rows = EnrollmentRequest.objects.filter(
        state__in=[State.APPROVED, State.REJECTED],
        attempts=0,
        next_attempt_at__gt=now,
        next_attempt_at__lte=now + within,
    )
    return rows.order_by("next_attempt_at").values_list("next_attempt_at", flat=True).first()


def free(*, now: datetime) -> Q:
    """Return the filter for requests without a worker."""
    return Q(lease_until__isnull=True) | moments.over("lease_until", now=now, span=LEASE)
