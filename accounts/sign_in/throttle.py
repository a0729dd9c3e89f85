"""Limits on attempts that may fail, counted in the database.

The counts hold across all processes, and no cache or broker is asked. An attempt is counted before
it is checked and given back if it succeeds, so that many at once are counted too. Each step is one
statement that changes a row or does not: no lock is held, and of two that compete one sees the
other.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import F, Q

from accounts.models.people import Tries
from database import moments

_KEPT: Final = timedelta(days=1)
_FIRST_PAUSE: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` attempts of one kind in `window`, which begins with the first of them."""

    kind: str
    most: int
    window: timedelta

    def take(self, *of: str, now: datetime) -> bool:
        """Count an attempt for `of`, such as a person or an address.

        Returns False, without counting, at the limit.
        """
        rows = Tries.objects.filter(key=_key(self.kind, of))
        lately = moments.within("since", now=now, span=self.window)
        recent, old = rows.filter(lately), rows.filter(~lately)
        if recent.filter(number__lt=self.most).update(number=F("number") + 1):
            return True
        if recent.filter(
            number__gte=self.most
        ).exists():  # a row alone proves nothing: others create it at the same time
            return False
        if old.update(number=1, since=now, free_at=None):
            return True
        _begin(self.kind, of, now=now)
        return bool(rows.filter(number__lt=self.most).update(number=F("number") + 1))

    def give_back(self, *of: str) -> None:
        """Take back an attempt that succeeded."""
        Tries.objects.filter(key=_key(self.kind, of), number__gt=0).update(number=F("number") - 1)


@dataclass(frozen=True, slots=True)
class BackOff:
    """`free` attempts in a window, then one after each pause; pauses double up to `longest`."""

    kind: str
    free: int
    window: timedelta
    longest: timedelta

    def take(self, *of: str, now: datetime) -> bool:
        """Count an attempt; returns False, without counting, during a pause.

        Of several at once after a pause one gets through.
        """
        if Limit(self.kind, self.free, self.window).take(*of, now=now):
            return True
        rows = Tries.objects.filter(key=_key(self.kind, of))
        row = rows.filter(
            Q(free_at__isnull=True) | moments.over("free_at", now=now, span=self.longest)
        ).first()
        if row is None:
            return False
        beyond = row.number - self.free + 1
        pause = moments.backoff(beyond, first=_FIRST_PAUSE, most=self.longest)
        same = (
            rows.filter(number=row.number, free_at=row.free_at)
            if row.free_at
            else rows.filter(free_at__isnull=True)
        )
        return bool(same.update(number=F("number") + 1, free_at=now + pause))

    def give_back(self, *of: str) -> None:
        """Take back an attempt that succeeded, with its pause."""
        Tries.objects.filter(key=_key(self.kind, of), number__gt=0).update(
            number=F("number") - 1, free_at=None
        )


def forget_old(*, now: datetime) -> int:
    """Delete outdated counts, and those of a clock that was ahead; returns how many."""
    return Tries.objects.exclude(moments.within("since", now=now, span=_KEPT)).delete()[0]


def _begin(kind: str, of: tuple[str, ...], *, now: datetime) -> None:
    """Create the row of a first attempt; of several at the same time one creates it."""
    Tries.objects.bulk_create(
        [Tries(key=_key(kind, of), number=0, since=now)], ignore_conflicts=True
    )


def _key(kind: str, of: tuple[str, ...]) -> str:
    """Return a digest: names and addresses are personal data and stay out of the table."""
    return hashlib.sha256("\x00".join((kind, *of)).encode()).hexdigest()
