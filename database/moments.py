"""Moments ahead, such as the end of a lease, lock or pause, under a clock that may be stepped.

Each such moment was written as the time of writing plus a span that the code knows. If it is
further ahead than that span, the clock of the writer was ahead of the clock of the reader: a clock
was set back in between, by an operator, by NTP after a bad start, or by a failover to another
server. Waiting for the moment would stop the work for as long as the step was, and no restart would
help, since the row stays. So such a moment counts as over.

This never gives two workers the right to one result. A lease only saves work: each result is stored
by an UPDATE that has to match the version that the worker read, or the attempt that it counted, and
a worker that lost its lease stores nothing. The other direction needs that too: a clock set forward
ends every lease at once.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q

#: Normal difference between the clocks of several machines.
TOLERANCE: Final = timedelta(seconds=2)


_MOST_STEPS: Final = 32  # beyond it every pause is as long as it may be


def backoff(tries: int, *, first: timedelta, most: timedelta, factor: int = 2) -> timedelta:
    """Return the pause after so many tries: `first` after one of them, and `factor` times as long
    after each further one, up to `most`.
    """
    steps = min(max(tries - 1, 0), _MOST_STEPS)
    return min(most, timedelta(seconds=first.total_seconds() * factor**steps))


def is_over(moment: datetime | None, *, now: datetime, span: timedelta) -> bool:
    """Return whether a moment is past, was never set, or is further ahead than `span` allows."""
    return moment is None or moment <= now or moment > now + span + TOLERANCE


def over(field: str, *, now: datetime, span: timedelta) -> Q:
    """Return the filter for rows whose moment is past or further ahead than `span`; never NULL."""
    return Q(**{f"{field}__lte": now}) | Q(**{f"{field}__gt": now + span + TOLERANCE})


def attempt_is_due(*, now: datetime, waits: Sequence[timedelta]) -> Q:
    """Return the filter for rows whose `next_attempt_at` is past or impossibly far ahead.

    NULL is never due. After n attempts a row waits at most `waits[n]`; after more attempts than
    listed, the last one.
    """
    is_due = Q(next_attempt_at__lte=now) | Q(next_attempt_at__gt=now + max(waits) + TOLERANCE)
    for attempts, wait in enumerate(waits):
        is_due |= Q(attempts=attempts, next_attempt_at__gt=now + wait + TOLERANCE)
    return is_due


def ahead(field: str, *, now: datetime, span: timedelta) -> Q:
    """Return the filter for rows whose moment is still to come; the opposite of `over`."""
    return Q(**{f"{field}__gt": now, f"{field}__lte": now + span + TOLERANCE})


def within(field: str, *, now: datetime, span: timedelta) -> Q:
    """Return the filter for events of the last `span`. Moments ahead do not count."""
    return Q(**{f"{field}__gt": now - span, f"{field}__lte": now + TOLERANCE})


def is_ahead(moment: datetime, *, now: datetime) -> bool:
    """Return whether the time of a past event is ahead of the clock."""
    return moment > now + TOLERANCE
