"""Warns the operator once when a proxy reports a client without a usable address.

Such clients share the limits of the proxy. The log of this process gets one warning. The doctor,
another process, reads a file, which is rewritten at most once an hour.
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
    """Note an unusable entry of a trusted proxy; `other` names a header that came instead."""
    now = time.monotonic()
    with _lock:
        is_first = not _noted_at
        if not is_first and now - _noted_at[0] < _AGAIN_SECONDS:
            return
        _noted_at[:] = [now]
    printable = "".join(letter if letter.isprintable() else "?" for letter in entry[:_LONGEST])
    if is_first:
        _log.warning(
            "proxy.no_address", header=header, entry=printable, proxy=proxy, other_header=other
        )
    sentence = (
        f"sends {other} and no {header}"
        if other
        else f"wrote {printable!r} into {header}, which is no address"
    )
    with contextlib.suppress(OSError):  # a full or read-only folder: the warning in the log remains
        _path().write_text(f"{proxy} {sentence}\n", encoding="utf-8")


def last(*, now: float, within: float) -> str:
    """Return the last note of any process on this machine, or "".

    Only notes of the last `within` seconds before `now` (Unix time) count.
    """
    try:
        if _path().stat().st_mtime < now - within:
            return ""
        return _path().read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def forget() -> None:
    """Warn again next time, as in a new process."""
    _noted_at.clear()


def _path() -> Path:
    path: Path = settings.PORTAL_DATA.proxy_notice
    return path
