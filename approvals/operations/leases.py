"""Named leases: one process at a time does a chore, and a dead one delays the others by seconds."""

from datetime import datetime, timedelta

from approvals.models.operations import Lease
from database import moments
from database.clock import database_now


def acquire(name: str, *, length: timedelta) -> datetime | None:
    """Acquire the named lease if it is free, and return the database's time; else None.

    Leases expire; they are never released. One that ends further ahead than its own length is void
    (`database.moments`). The row is read before the clock, and changed only if it is still as read.
    So a lease that another process takes in between never looks too long, and of two processes that
    see the same one as free or void, one gets it.
    """
    row, _ = Lease.objects.get_or_create(name=name, defaults={"held_until": database_now()})
    now = database_now()
    if not moments.is_over(row.held_until, now=now, span=length):
        return None
    own_row = Lease.objects.filter(name=name, held_until=row.held_until)
    return now if own_row.update(held_until=now + length, last_run_at=now) == 1 else None
