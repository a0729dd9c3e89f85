"""When a worker should look at an approved request: the lease, the next attempt, and how long each
may be.
"""

from datetime import datetime, timedelta
from typing import Final

from django.db.models import DateTimeField, ExpressionWrapper, F, Q, Value

from approvals.models.requests import EnrollmentRequest
from approvals.rules.states import State
from database import moments

LEASE = timedelta(seconds=60)
MAX_ATTEMPTS = 8
MAX_DELAY: Final = 600  # seconds


def backoff(attempts: int) -> timedelta:
    """Return how long to wait after so many attempts: 5 s doubled each time, at most ten
    minutes.
    """
    return timedelta(seconds=min(5 * 2 ** max(attempts - 1, 0), MAX_DELAY))


def is_due(request: EnrollmentRequest, *, now: datetime) -> bool:
    """Return whether a worker should look at it now; a lease or attempt further ahead than it can
    be is void.
    """
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

    Read `now` after the row: then no living lease looks longer than LEASE.
    """
    return not moments.is_over(request.lease_until, now=now, span=LEASE)


def due(*, now: datetime) -> Q:
    """Return the filter for approved requests that a worker should look at, leased or not; the rule
    of `is_due`.
    """
    waits = [LEASE + backoff(attempts) for attempts in range(MAX_ATTEMPTS + 1)]
    latest = Value(now + waits[0] + moments.TOLERANCE, DateTimeField()) + F("profile__undo_window")
    is_void = Q(next_attempt_at__gt=ExpressionWrapper(latest, output_field=DateTimeField()))
    fresh = Q(attempts=0) & (
        Q(next_attempt_at__lte=now) | is_void
    )  # its time is when the decision takes effect
    tried = Q(attempts__gt=0) & moments.attempt_is_due(now=now, waits=waits)
    return Q(state__in=[State.APPROVED, State.ISSUING], quarantined_at__isnull=True) & (
        fresh | tried
    )


def free(*, now: datetime) -> Q:
    """Return the filter for requests that no worker is at."""
    return Q(lease_until__isnull=True) | moments.over("lease_until", now=now, span=LEASE)
