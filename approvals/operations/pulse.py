"""Signs of life: each process writes one regularly, and so learns if the database takes writes.

There is a row for each kind of process on each machine, and one for each queue, written by a task
that went through the broker. So a worker that is alive but idle shows too: its process is fresh,
its queue is old.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction

from approvals.models.operations import Pulse
from database.availability import write_fault

#: Seconds between two writes of one process.
EVERY: Final = 10.0
#: Age at which a sign of life is old, and at which it is deleted.
FRESH: Final = timedelta(seconds=90)
KEPT: Final = timedelta(days=1)
#: Free bytes that SQLite's disk needs: with less, some writes fit and others do not.
LEAST_ROOM: Final = 16 * 1024 * 1024
_PATIENCE: Final = 2  # seconds for one write
QUEUES: Final = ("signing", "default")
_QUEUE: Final = "tasks "


def process_name(kind: str) -> str:
    """Return the name of this kind of process on this machine."""
    return f"{kind}@{socket.gethostname()}"[:120]


def queue_name(queue: str) -> str:
    """Return the name of a queue's sign of life."""
    return f"{_QUEUE}{queue}"


class Beat:
    """The sign of life of this process, written at most once in EVERY seconds. One per process."""

    def __init__(self, every: float = EVERY, clock: Callable[[], float] = time.monotonic) -> None:
        self._every, self._clock = every, clock
        self._lock = threading.Lock()
        self._written_at = float("-inf")
        self._fault = ""

    def write(self, kind: str, *, now: datetime) -> str:
        """Write it if it is time; returns the fault of the newest write, or ""."""
        with self._lock:
            if self._clock() - self._written_at < self._every:
                return self._fault
            self._written_at = self._clock()
        fault = _write(process_name(kind), now=now)
        with self._lock:
            self._fault = fault
        return fault

    def forget(self) -> None:
        """Write again next time."""
        with self._lock:
            self._written_at = float("-inf")


beat = Beat()


def sign_queue(queue: str, *, now: datetime) -> None:
    """Write the sign of a queue: runs as one of its tasks. Raises DatabaseError."""
    _upsert(queue_name(queue), now=now)


def forget_gone(*, now: datetime) -> int:
    """Delete signs of removed machines, and of a clock that was ahead; returns how many."""
    rows = Pulse.objects.exclude(at__gt=now - KEPT, at__lte=now + FRESH)
    return rows.delete()[0]


@dataclass(frozen=True, slots=True)
class Sign:
    """A sign of life; `age` is negative if the clock that wrote it was ahead."""

    name: str
    age: timedelta
    version: str

    @property
    def is_fresh(self) -> bool:
        """Whether it is recent."""
        return -FRESH < self.age < FRESH


def signs(*, now: datetime) -> dict[str, Sign]:
    """Return every sign of life by name. Raises DatabaseError."""
    return {
        row.name: Sign(row.name, now - row.at, row.version)
        for row in Pulse.objects.order_by("name")
    }


def room() -> int | None:
    """Return the free bytes for SQLite's database; None for a server."""
    if connection.vendor != "sqlite":
        return None
    folder = Path(str(connection.settings_dict["NAME"])).absolute().parent
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def _write(name: str, *, now: datetime) -> str:
    try:
        free = room()
        if free is not None and free < LEAST_ROOM:
            return f"the disk of the database is full, {free // 1024} KiB are left: free some space"
        with _patience(), transaction.atomic():
            _upsert(name, now=now)
    except (DatabaseError, InterfaceError) as error:
        return write_fault(error)
    except OSError as error:
        return f"the folder of the database cannot be examined: {error.strerror}"
    return ""


def _upsert(name: str, *, now: datetime) -> None:
    values = {"at": now, "version": settings.PORTAL_VERSION}
    if not Pulse.objects.filter(name=name).update(**values):
        Pulse.objects.bulk_create([Pulse(name=name, **values)], ignore_conflicts=True)


@contextmanager
def _patience() -> Iterator[None]:
    """Limit the wait for a lock to moments: a readiness check must get an answer."""
    connection.ensure_connection()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"SET statement_timeout = '{_PATIENCE}s'")
            try:
                yield
            finally:
                _reset("RESET statement_timeout")
            return
        (before,) = cursor.execute("PRAGMA busy_timeout").fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {_PATIENCE * 1000}")
        try:
            yield
        finally:
            _reset(f"PRAGMA busy_timeout = {int(before)}")


def _reset(statement: str) -> None:
    """Restore the connection's own timeout; a broken one is closed, and the next has it."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    except (DatabaseError, InterfaceError):
        if not connection.in_atomic_block:
            connection.close()
