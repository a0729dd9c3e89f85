"""Faults of the portal that a message revealed: counted, and reported to the operator only."""

from collections import deque
from datetime import datetime
from hashlib import sha256
from typing import Final

import structlog

from approvals.records.refusals import record_unplanned

_log = structlog.get_logger(__name__)
#: Faults of this process since its start, newest last: module and line, class of the exception.
seen: Final[deque[str]] = deque(maxlen=100)


def count(error: Exception, sent: bytes, *, slug: str, address: str, now: datetime) -> None:
    """Log `scep.unplanned` once, and record the fault for `/readyz` and the doctor.

    Recorded are class, place in the code and SHA-256 of the message, never its content, which may
    hold a challenge. If recording fails, as with a database that is away, only the record is lost.
    """
    name, place, digest = type(error).__name__, _place(error), sha256(sent).hexdigest()
    seen.append(f"{place} {name}")
    _log.error("scep.unplanned", profile=slug, fault=name, at=place, message_sha256=digest)
    try:
        record_unplanned(slug, name, digest, address=address, now=now)
    except Exception as fault:  # noqa: BLE001 - of the outermost door: whatever it is, the device gets its answer
        _log.error("scep.unplanned.not_recorded", fault=type(fault).__name__)


def _place(error: Exception) -> str:
    """Return the module and line that raised the error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"
