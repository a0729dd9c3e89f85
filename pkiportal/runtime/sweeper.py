"""The sweep in each worker, so that a dead beat stops nothing."""

import random
import threading
import time
from typing import Final

import structlog
from django.conf import settings
from django.db import close_old_connections

from approvals.issuance.sweep import EVERY, ring_for_due, sweep
from approvals.operations.pulse import beat
from database.clock import database_now

_log: Final = structlog.get_logger(__name__)


def start_sweeping() -> threading.Thread:
    """Sweep every few seconds in a thread of this pool process; a lease selects one process."""
    thread = threading.Thread(target=_sweep_forever, name="sweep", daemon=True)
    thread.start()
    return thread


def _sweep_forever() -> None:
    pause = threading.Event()
    while not pause.wait(EVERY.total_seconds() * random.uniform(0.9, 1.3)):  # noqa: S311 - only spreads the load
        sweep_once()


def sweep_once() -> None:
    """Run one sweep, and ring for decisions that take effect before the next one.

    Errors are logged; the next sweep follows in a few seconds.
    """
    try:
        close_old_connections()
        beat.write(settings.PORTAL_PROCESS, now=database_now())
        seconds = sweep().next_bell
        if seconds is not None:
            time.sleep(seconds)
            ring_for_due(now=database_now())
    except Exception:  # noqa: BLE001 - the outermost door of this thread
        _log.exception("sweep.failed")
