"""The view of honest clients: times of GetCACaps, a PENDING and the queue page.

Each uses its own connection.
"""

import http.client
import math
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Final

CAPS: Final = "GetCACaps"
PENDING: Final = "PENDING"
QUEUE: Final = "queue page"
#: Number of requests per turn: fast ones are asked more often.
_TURN: Final = (CAPS, PENDING, CAPS, PENDING, CAPS, QUEUE)
#: Turns before a measurement, so that no answer in it is the first one of its process.
_WARM_UP: Final = 6
_PATIENCE: Final = 15.0
_QUEUE: Final = "/queue/"
_PENDING: Final = "/scep/slow/?operation=PKIOperation"
_CAPS: Final = "/scep/slow/?operation=GetCACaps"


@cache
def _trusting() -> ssl.SSLContext:
    """Trust every certificate; made once, since it takes as long as many answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@dataclass
class Seen:
    """Times of answers in seconds, and how many answers were missing or wrong."""

    times: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, other: "Seen") -> None:
        """Add the results of another measurement."""
        self.times += other.times
        self.failures += other.failures

    def milliseconds(self, share: float) -> str:
        """The same, to be read."""
        return f"{1000 * self.percentile(share):.1f}"

    def percentile(self, share: float) -> float:
        """The time within which this share of the answers came."""
        return (
            sorted(self.times)[max(math.ceil(share * len(self.times)) - 1, 0)]
            if self.times
            else math.inf
        )


@dataclass(frozen=True)
class Door:
    """An address of the portal, with the data of an honest client."""

    port: int
    with_tls: bool
    cookie: str
    message: bytes

    def connect(self) -> http.client.HTTPConnection:
        """A new connection, not yet opened."""
        if not self.with_tls:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        return http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=_PATIENCE, context=_trusting()
        )

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """Send one request; status and body of the answer."""
        connection = self.connect()
        try:
            method = "GET" if body is None else "POST"
            connection.request(method, path, body, {"Host": f"localhost:{self.port}", **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def probes(self) -> dict[str, Callable[[], bool]]:
        """Return the requests, and the checks of their answers."""
        return {
            CAPS: lambda: b"POSTPKIOperation" in self.ask(_CAPS)[1],
            PENDING: lambda: self.ask(_PENDING, self.message)[0] == 200,
            QUEUE: lambda: b"device-" in self.ask(_QUEUE, Cookie=self.cookie)[1],
        }

    def upload_without_end(self) -> float:
        """Send a body until the server ends it; how many seconds that took."""
        began = time.monotonic()
        connection = self.connect()
        connection.connect()
        sending: socket.socket = connection.sock
        head = (
            b"POST /account/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
            b"99999999999\r\n\r\n"
        )
        try:
            sending.sendall(head)
            while time.monotonic() - began < _PATIENCE:
                sending.sendall(b"x" * 65_536)
        except OSError:
            pass
        finally:
            connection.close()
        return time.monotonic() - began


def warm_up(door: Door) -> None:
    """Ask until every process has answered everything once, or nearly so."""
    for name in _TURN * _WARM_UP:
        door.probes()[name]()


def watch(door: Door, seconds: float) -> dict[str, Seen]:
    """Ask one after the other for so long."""
    results = {name: Seen() for name in door.probes()}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name in _TURN:
            results[name].add(_ask(door.probes()[name]))
    return results


def _ask(probe: Callable[[], bool]) -> Seen:
    began = time.monotonic()
    try:
        is_right = probe()
    except OSError as error:
        return Seen(failures=[str(error) or type(error).__name__])
    return Seen([time.monotonic() - began], [] if is_right else ["a wrong answer"])
