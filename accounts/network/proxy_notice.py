"""Tell the operator, once, that a proxy says of a client what is no address: those clients share
the proxy's limits.

The log of this process has it once. The doctor, another process, reads a file, rewritten at most
once an hour.
"""

import contextlib
import threading
import time
from pathlib import Path
from typing import Final

import structlog
from django.conf import settings

_AGAIN_SECONDS: Final = 3600.0
_LONGEST: Final = 60

_log = structlog.get_logger(__name__)
_lock = threading.Lock()
_noted_at: list[float] = []


def note(header: str, entry: str, *, proxy: str, other: str = "") -> None:
    """Note an entry of a named proxy that is no address; `other`: this header came instead of the
    one that is read.
    """
    now = time.monotonic()
    with _lock:
        is_first = not _noted_at
        if not is_first and now - _noted_at[0] < _AGAIN_SECONDS:
            return
        _noted_at[:] = [now]
    shown = "".join(letter if letter.isprintable() else "?" for letter in entry[:_LONGEST])
    if is_first:
        _log.warning(
            "proxy.no_address", header=header, entry=shown, proxy=proxy, other_header=other
        )
    said = (
        f"sends {other} and no {header}"
        if other
        else f"wrote {shown!r} into {header}, which is no address"
    )
    with contextlib.suppress(OSError):  # a folder that is full or read-only: the log has said it
        _path().write_text(f"{proxy} {said}\n", encoding="utf-8")


def last(*, now: float, within: float) -> str:
    """Return what was noted last by any process of this machine in so many seconds before `now`
    (Unix time), or "".
    """
    try:
        if _path().stat().st_mtime < now - within:
            return ""
        return _path().read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def forget() -> None:
    """Note afresh next time, as in a new process."""
    _noted_at.clear()


def _path() -> Path:
    path: Path = settings.PORTAL_DATA.proxy_notice
    return path
