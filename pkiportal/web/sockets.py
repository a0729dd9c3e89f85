"""Sockets of the web server: their number, and the time for clients to read an answer."""

import asyncio
import contextlib
import os
import resource
import socket
import stat
from functools import partial
from typing import Final

import structlog

#: Maximum number of connections of one worker process, idle ones included; more wait in the
#: system's queue.
CONNECTIONS: Final = 8_192
#: Connections that may wait to be accepted; the system's own limit (`net.core.somaxconn`) may be
#: lower.
BACKLOG: Final = 4_096
#: Descriptors of one process for everything else: databases of threads, logs, the broker.
OTHER_DESCRIPTORS: Final = 512
_FEWEST: Final = 64
#: Milliseconds in which a client must take part of a waiting answer.
UNREAD_MS: Final = 15_000
_LOOK_AGAIN: Final = 0.1
_LOOKS: Final = 100

_log: Final = structlog.get_logger(__name__)


def raise_descriptor_limit() -> int:
    """Raise the limit of open files for this process and its children; returns the limit."""
    needed = CONNECTIONS + OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        within = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (within, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else needed


def connections_within(limit: int) -> int:
    """Return the connections that a worker takes under a limit of open files; logs a low number."""
    allowed = max(min(CONNECTIONS, limit - OTHER_DESCRIPTORS), _FEWEST)
    if allowed < CONNECTIONS:
        _log.warning("web.few_connections", connections=allowed, open_files=limit, cure=cure(limit))
    return allowed


def cure(limit: int) -> str:
    """Return advice about a low limit of open files."""
    return (
        f"{limit} open files are allowed, {CONNECTIONS + OTHER_DESCRIPTORS} are needed for "
        f"{CONNECTIONS} connections: "
        f"set LimitNOFILE={CONNECTIONS + OTHER_DESCRIPTORS} in the service, or raise `ulimit -Hn`"
    )


def cut_clients_that_never_read(
    loop: asyncio.AbstractEventLoop,
    *,
    port: int,
    milliseconds: int = UNREAD_MS,
    looks: int = _LOOKS,
    is_last: bool = False,
) -> None:
    """End connections whose client takes nothing of its answer for `milliseconds`.

    It starts as soon as the server listens at the port. The server opens its own listening socket
    and has no setting for this. Connections inherit the option from the listening socket, so it is
    set there. A last step sets it on connections that arrived before.
    """
    is_open = False
    for served in _sockets_at(port):
        with served, contextlib.suppress(OSError):
            served.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
            is_open = is_open or bool(served.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    if not is_last and looks:
        again = partial(
            cut_clients_that_never_read, port=port, milliseconds=milliseconds, looks=looks - 1
        )
        loop.call_later(_LOOK_AGAIN, partial(again, is_last=is_open), loop)


def _sockets_at(port: int) -> list[socket.socket]:
    """Return duplicates of this process's sockets on this port; the caller closes them."""
    sockets = []
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []:  # noqa: PTH112, PTH208
        with contextlib.suppress(OSError, ValueError):
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            candidate = socket.socket(fileno=os.dup(int(name)))
            if (
                candidate.family in {socket.AF_INET, socket.AF_INET6}
                and candidate.getsockname()[1] == port
            ):
                sockets.append(candidate)
            else:
                candidate.close()
    return sockets
