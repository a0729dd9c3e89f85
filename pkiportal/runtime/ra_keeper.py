"""A thread in each web process maintains RA keys: only the web has their passphrase."""

import os
import random
import threading
from datetime import timedelta
from typing import Final

import structlog
from django.conf import settings
from django.db import DatabaseError, close_old_connections

from approvals.operations.leases import acquire
from approvals.operations.pulse import beat
from database.clock import database_now
from scep.ra.renewal import keep_ra_keys

EVERY: Final = timedelta(seconds=30)
#: Set in web processes that serve; others that only import the application do no maintenance.
SERVING: Final = "PORTAL_SERVES"

_log: Final = structlog.get_logger(__name__)


def start_keeping() -> threading.Thread | None:
    """Maintain RA keys every half minute, if this process serves; a lease selects one process."""
    if os.environ.get(SERVING) != "1":
        return None
    thread = threading.Thread(target=_keep_forever, name="ra-keeper", daemon=True)
    thread.start()
    return thread


def _keep_forever() -> None:
    pause = threading.Event()
    while not pause.wait(EVERY.total_seconds() * random.uniform(0.2, 1.0)):  # noqa: S311 - only spreads the load
        keep_once()


def keep_once() -> None:
    """Do the due work once. Errors are logged; the next round follows in half a minute."""
    try:
        close_old_connections()
        beat.write(settings.PORTAL_PROCESS, now=database_now())
        now = acquire("ra-keys", length=EVERY * 0.8)
        if now is not None:
            keep_ra_keys(now=now)
    except DatabaseError as error:
        _log.warning("ra.not_kept", fault=f"{type(error).__name__}: {error}")
    except Exception:  # noqa: BLE001 - the outermost door of this thread
        _log.exception("ra.not_kept")
