"""Faults of ours that a message brought to light: counted, and told to nobody but the operator."""

from collections import deque
from datetime import datetime
from hashlib import sha256
from typing import Final

import structlog

from approvals.records.refusals import record_unplanned

_log = structlog.get_logger(__name__)
#: What this process met since it started, newest last: module and line, class of the exception.
seen: Final[deque[str]] = deque(maxlen=100)


def count(error: Exception, sent: bytes, *, slug: str, address: str, now: datetime) -> None:
    """Log `scep.unplanned` once, and put it on record for `/readyz` and the doctor.

    Class, place in the code and SHA-256 of what was sent; never its content, which may hold a
    challenge. A fault in recording it, as of a database that is away, takes away the record only.
    """
    name, place, digest = type(error).__name__, _place(error), sha256(sent).hexdigest()
    seen.append(f"{place} {name}")
    _log.error("scep.unplanned", profile=slug, fault=name, at=place, message_sha256=digest)
    try:
        record_unplanned(slug, name, digest, address=address, now=now)
    except Exception as fault:  # noqa: BLE001 - of the outermost door: whatever it is, the device gets its answer
        _log.error("scep.unplanned.not_recorded", fault=type(fault).__name__)


def _place(error: Exception) -> str:
    """Where it was raised, as module and line."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"
