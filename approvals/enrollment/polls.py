"""Counts polls of waiting devices: in memory, written in batches, never part of the log.

A process that dies loses at most the last second of counts; nothing depends on them.
"""

import threading
import time
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from django.db import Error, transaction
from django.db.models import F

from approvals.models.requests import EnrollmentRequest, PollRecord
from database.caches import register

FLUSH_SECONDS = 1.0
FLUSH_ROWS = 200

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Count:
    number: int
    first_at: datetime
    last_at: datetime
    address: str


class PollCounter:
    """Counts of this process that are not written yet."""

    def __init__(self, seconds: float = FLUSH_SECONDS, rows: int = FLUSH_ROWS) -> None:
        self._seconds = seconds
        self._rows = rows
        self._lock = threading.Lock()
        self._counts: dict[UUID, _Count] = {}
        self._flushed = time.monotonic()

    def note(self, request_id: UUID, *, address: str, now: datetime) -> None:
        """Count one poll; now and then the caller writes the collected counts.

        No device waits for a count.
        """
        with self._lock:
            count = self._counts.get(request_id)
            if count is None:
                self._counts[request_id] = _Count(1, now, now, address)
            else:
                count.number += 1
                count.last_at, count.address = now, address
            is_time = (
                time.monotonic() - self._flushed > self._seconds or len(self._counts) >= self._rows
            )
            if not is_time:
                return
            counts, self._counts = self._counts, {}
            self._flushed = time.monotonic()
        try:
            self._write(counts)
        except Error as error:
            _log.warning(
                "polls.not_counted", requests=len(counts), fault=f"{type(error).__name__}: {error}"
            )

    def flush(self) -> None:
        """Write the collected counts."""
        with self._lock:
            counts, self._counts = self._counts, {}
        self._write(counts)

    def forget(self) -> None:
        """Drop the collected counts."""
        with self._lock:
            self._counts = {}

    @staticmethod
    def _write(counts: dict[UUID, _Count]) -> None:
        if not counts:
            return
        with transaction.atomic():
            alive = set(
                EnrollmentRequest.objects.filter(pk__in=counts).values_list("pk", flat=True)
            )
            existing = set(PollRecord.objects.filter(pk__in=alive).values_list("pk", flat=True))
            fresh = [
                PollRecord(
                    request_id=request_id,
                    count=count.number,
                    first_at=count.first_at,
                    last_at=count.last_at,
                    last_address=count.address,
                )
                for request_id, count in sorted(counts.items())
                if request_id in alive - existing
            ]
            PollRecord.objects.bulk_create(fresh, ignore_conflicts=True)
            for request_id in sorted(
                existing
            ):  # one order everywhere: two processes never wait for each other
                count = counts[request_id]
                PollRecord.objects.filter(pk=request_id).update(
                    count=F("count") + count.number,
                    last_at=count.last_at,
                    last_address=count.address,
                )


_counter = PollCounter()
note = _counter.note
flush = _counter.flush
register("polls", _counter.forget)
