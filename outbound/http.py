"""One HTTP exchange with a checked external address (outbound.url_rules): short and small.

Redirects, proxies of the environment and cookies are not used. The time limit covers the whole
exchange, including the name look-up, so that a slow server cannot hold a worker by answering byte
by byte.
"""

import http.client
import io
import queue
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import Final, cast

from outbound.errors import NoAnswer
from outbound.url_rules import CallRules, Target, TargetRefused, check_addresses, read_target

MAX_BYTES: Final = 65_536
_TRIED: Final = 2  # addresses tried per host


@dataclass(frozen=True, slots=True)
class HttpReply:
    """Status and body of an answer within the time limit."""

    status: int
    body: bytes


def call(
    url: str,
    *,
    rules: CallRules,
    method: str = "POST",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    seconds: float,
) -> HttpReply:
    """Send one message and return the answer, whatever its status.

    Raises NoAnswer, whose text holds no secret.
    """
    deadline = time.monotonic() + seconds
    try:
        target = read_target(url, rules)
        addresses = check_addresses(_resolve(target, deadline), rules, host=target.host)
        with closing(_connect(target, addresses, deadline)) as connection:
            channel = _Channel(connection, deadline)
            return _exchange(target, channel, method=method, body=body, headers=headers or {})
    except TargetRefused as refused:
        raise NoAnswer(str(refused)) from refused
    except ssl.SSLCertVerificationError as error:
        raise NoAnswer(
            f"{target.authority}: its TLS certificate is not trusted: {error.verify_message}"
        ) from error
    except TimeoutError as error:
        raise NoAnswer(f"{target.authority}: no answer within {seconds:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(f"{target.authority}: {_plain(error)}") from error


class _Channel:
    """A socket with a deadline, in the form that `http.client` needs."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._connection.settimeout(_left(self._deadline))
        self._connection.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Drops(self._connection, self._deadline))

    def close(self) -> None:
        """Do nothing: `http.client` closes before it has read the body; the opener closes later."""


class _Drops(io.RawIOBase):
    """Reads within the remaining time, however small the pieces."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        super().__init__()
        self._connection = connection
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # what BufferedReader passes
        self._connection.settimeout(_left(self._deadline))
        return self._connection.recv_into(buffer)


def _exchange(
    target: Target,
    channel: _Channel,
    *,
    method: str,
    body: bytes | None,
    headers: Mapping[str, str],
) -> HttpReply:
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.sock = cast("socket.socket", channel)
    connection.putrequest(method, target.path, skip_host=True, skip_accept_encoding=True)
    for name, value in {
        "Host": target.authority,
        "Connection": "close",
        "User-Agent": "pki-portal",
        **headers,
    }.items():
        connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    response = connection.getresponse()
    content = response.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise NoAnswer(f"{target.authority}: the answer is longer than {MAX_BYTES:,} bytes")
    return HttpReply(response.status, content)


def _connect(target: Target, addresses: tuple[str, ...], deadline: float) -> socket.socket:
    """Connect to one of the checked addresses; TLS and the Host header keep the name."""
    connection = _reach(addresses[:_TRIED], target.port, deadline)
    if target.scheme != "https":
        return connection
    try:
        connection.settimeout(_left(deadline))
        return _tls().wrap_socket(connection, server_hostname=target.host)
    except BaseException:
        connection.close()
        raise


def _reach(addresses: tuple[str, ...], port: int, deadline: float) -> socket.socket:
    """Try the addresses in turn, each with its share of the remaining time."""
    for number, address in enumerate(addresses, start=1):
        share = _left(deadline) / (len(addresses) + 1 - number)
        try:
            return socket.create_connection((address, port), timeout=share)
        except OSError:
            if number == len(addresses):
                raise
    raise AssertionError("unreachable: there is an address, and the loop returns or raises")


def _resolve(target: Target, deadline: float) -> list[str]:
    """Resolve a host in a thread: the system's resolver has no time limit."""
    results: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            rows = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
            results.put([str(row[4][0]) for row in rows])
        except OSError as error:
            results.put(error)
        except UnicodeError:
            results.put(OSError("not a host name"))

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        answer = results.get(timeout=_left(deadline))
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, OSError):
        raise answer
    return answer


def _left(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    return remaining


def _plain(error: Exception) -> str:
    """Describe the fault without text from the other side."""
    if isinstance(error, socket.gaierror):
        return "the name is not known"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return f"not HTTP as expected ({type(error).__name__})"


@cache
def _tls() -> ssl.SSLContext:
    """The system's trusted authorities, or those of SSL_CERT_FILE; TLS 1.2 and newer."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
