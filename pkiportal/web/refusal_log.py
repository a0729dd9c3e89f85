"""Refused requests in the log: one line without a traceback, at most one a minute per kind.

Django logs each answer of 400 to 499, some with a traceback. A client can cause as many as it
likes, so further lines of the same kind and network are counted instead.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from accounts.network.addresses import client_address, network_of
from pkiportal.web.access import shown_path

#: Seconds for one line per kind of refusal and network.
EVERY: Final = 60.0
#: Maximum number of kinds and networks; all others share one line.
MOST: Final = 1_024
_OTHERS: Final = ("other networks", "", "")
_LONGEST: Final = 600

_log: Final = structlog.get_logger(__name__)

#: Network, logger and the message without its values.
Kind = tuple[str, str, str]


@dataclass(slots=True)
class Window:
    """The count of one kind since a line was written."""

    began: float
    left_out: int = 0


class OneLineEach(logging.Filter):
    """A filter of the log handler; everything except refusals passes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._windows: dict[Kind, Window] = {}
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        if not _is_refusal(record):
            return True
        address, text = _address_of(record), _text_of(record)
        kind = (network_of(address), record.name, record.msg if record.args else "")
        is_first = self._count(kind)
        record.exc_info = record.exc_text = None
        record.msg, record.args = f"{text} (from {address})", ()
        return is_first

    def _count(self, kind: Kind) -> bool:
        """Whether a line of this kind is due; reports the counts of windows that are over."""
        with self._lock:
            now = self._clock()
            over = [
                (kind_of_window, window)
                for kind_of_window, window in self._windows.items()
                if now - window.began >= EVERY
            ]
            for kind_of_window, _ in over:
                del self._windows[kind_of_window]
            if kind not in self._windows and len(self._windows) >= MOST:
                kind = _OTHERS
            is_first = kind not in self._windows
            if is_first:
                self._windows[kind] = Window(now)
            else:
                self._windows[kind].left_out += 1
        for (network, logger, message), window in over:
            if window.left_out:
                _log.warning(
                    "refusals.repeated",
                    network=network,
                    kind=message or logger,
                    count=window.left_out,
                )
        return is_first


def _is_refusal(record: logging.LogRecord) -> bool:
    status = getattr(record, "status_code", 500)
    return record.name.startswith(("django.request", "django.security")) and 400 <= status < 500


def _address_of(record: logging.LogRecord) -> str:
    request = getattr(record, "request", None)
    return client_address(request) if request is not None else ""


def _text_of(record: logging.LogRecord) -> str:
    """Return the message, without the secret of a link in its path."""
    path = getattr(getattr(record, "request", None), "path", "")
    text = record.getMessage()
    return (text.replace(path, shown_path(path)) if path else text)[:_LONGEST]
