"""Moments that lie ahead, as the end of a lease, of a lock or of a pause; and the effect of a
stepped clock on them.

Each such moment was written as the time of writing plus a span that the code knows. A row whose
moment is further ahead than that span was written under a clock that was ahead of the one that
reads it: a clock was set back in between, by an operator, by NTP after a bad start, by a failover
to another server. To wait for the moment would stop the work for as long as the step was, and no
restart would help, since the row stays. So such a moment counts as over.

That never gives two workers the right to one result. A lease only spares work: each result is
stored by an UPDATE that has to hit the version that the worker read, or the attempt that it
counted, and a worker that lost its lease stores nothing. The other direction has always needed that
too: a clock set forward ends every lease at once.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q

#: Clocks of several machines may differ by this much without a fault.
TOLERANCE: Final = timedelta(seconds=2)


def is_over(moment: datetime | None, *, now: datetime, span: timedelta) -> bool:
    """Return whether a moment set `span` ahead at most is past, was never set, or cannot be
    meant.
    """
    return moment is None or moment <= now or moment > now + span + TOLERANCE


def over(field: str, *, now: datetime, span: timedelta) -> Q:
    """Return the filter for rows whose moment, set `span` ahead at most, is past or cannot be
    meant; never NULL.
    """
    return Q(**{f"{field}__lte": now}) | Q(**{f"{field}__gt": now + span + TOLERANCE})


def attempt_is_due(*, now: datetime, waits: Sequence[timedelta]) -> Q:
    """Return the filter for rows whose `next_attempt_at` is past or cannot be meant; NULL is
    neither.

    After n attempts a row waits `waits[n]` at most, after more than are listed as long as after the
    last.
    """
    is_due = Q(next_attempt_at__lte=now) | Q(next_attempt_at__gt=now + max(waits) + TOLERANCE)
    for attempts, wait in enumerate(waits):
        is_due |= Q(attempts=attempts, next_attempt_at__gt=now + wait + TOLERANCE)
    return is_due


def ahead(field: str, *, now: datetime, span: timedelta) -> Q:
    """Return the filter for rows whose moment, set `span` ahead at most, is still to come; the
    opposite of `over`.
    """
    return Q(**{f"{field}__gt": now, f"{field}__lte": now + span + TOLERANCE})


def within(field: str, *, now: datetime, span: timedelta) -> Q:
    """Return the filter for what happened at most `span` ago.

    What lies ahead did not happen lately.
    """
    return Q(**{f"{field}__gt": now - span, f"{field}__lte": now + TOLERANCE})


def is_ahead(moment: datetime, *, now: datetime) -> bool:
    """Return whether something that has happened bears a time ahead of the clock."""
    return moment > now + TOLERANCE
