"""Slow clients by the thousand, in their own process: `python -m tests.slow.crowd '{"port": …}'`.

Prints one line of JSON when all are there, and one when all were cut or its input ended.
"""

import contextlib
import json
import resource
import select
import socket
import ssl
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Final, Literal

#: The behaviour of a connected client: nothing, or a byte a second.
Kind = Literal[
    "half body",
    "dripping body",
    "silent",
    "silent after handshake",
    "dripping head",
    "dripping handshake",
    "deaf",
]

_HEAD: Final = (
    b"POST /scep/slow/?operation=PKIOperation HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
    b"60000\r\n\r\nx"
)
_DEAF: Final = b"GET /queue/ HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n\r\n" * 40
_HELLO: Final = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
#: Seconds after which a client with TLS sends its head, even if others are still on their way.
_HEAD_AFTER: Final = 5.0
#: Parts of a second, each with its share of those that drip: clients that know nothing of each
#: other drip at all times.
_PARTS: Final = 100
#: Seconds between two reads of answers.
_PAUSE: Final = 0.005
#: Seconds between two looks at which of the deaf the server has closed: each look reads the
#: machine's whole table.
_LOOK_EVERY: Final = 4.0
_DRIPS: Final[dict[Kind, bytes]] = {
    "dripping body": b"x",
    "dripping head": b"G",
    "dripping handshake": b"\x01",
}


@dataclass(frozen=True)
class Order:
    """How many clients of which kind, from how many addresses."""

    port: int
    with_tls: bool
    one_address: int
    many_addresses: int
    silent: int
    others: int

    def kinds(self) -> Iterator[tuple[Kind, int]]:
        """The kind of each client, and the last number of its address in 127.0.1.0/24."""
        for number in range(self.many_addresses):
            yield "dripping body", 1 + number % 50
        for _ in range(self.one_address):
            yield "half body", 100
        others: tuple[Kind, ...] = ("dripping head", "deaf", "dripping handshake")
        for number in range(self.others):
            yield others[number % (3 if self.with_tls else 2)], 101
        for number in range(self.silent):
            yield ("silent after handshake" if self.with_tls and number % 2 else "silent"), 102


@dataclass
class Client:
    """One slow client; times are of the monotonic clock."""

    kind: Kind
    connection: socket.socket
    opened_at: float
    head_sent: bool = False

    def start(self) -> None:
        """Send the first bytes."""
        self.head_sent = True
        first = {
            "half body": _HEAD,
            "dripping body": _HEAD,
            "deaf": _DEAF,
            "dripping handshake": _HELLO,
            "dripping head": b"GET /",
        }
        if self.kind in first:
            self.send(first[self.kind])

    def send(self, piece: bytes) -> None:
        with contextlib.suppress(OSError):
            self.connection.send(piece)

    def has_ended(self) -> bool:
        """Whether the server has closed; earlier answers are dropped."""
        try:
            while self.connection.recv(4096):
                pass
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True
        return True


@dataclass
class Crowd:
    """All of them."""

    order: Order
    there: dict[int, Client] = field(default_factory=dict)
    refused: int = 0
    ended_after: list[float] = field(default_factory=list)

    def gather(self) -> None:
        """Connect all; those with a head send it when all are there, or after a few seconds."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for kind, number in self.order.kinds():
            try:
                self._add(kind, number, context)
            except OSError:
                self.refused += 1
            self._start(older_than=_HEAD_AFTER)
        self._start(older_than=0)

    def _add(self, kind: Kind, number: int, context: ssl.SSLContext) -> None:
        connection = socket.socket()
        if kind == "deaf":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(10)
        connection.bind((f"127.0.1.{number}", 0))
        connection.connect(("127.0.0.1", self.order.port))
        if self.order.with_tls and kind not in {"silent", "dripping handshake"}:
            connection = context.wrap_socket(connection)
        connection.setblocking(False)
        self.there[connection.fileno()] = Client(kind, connection, time.monotonic())

    def _start(self, *, older_than: float) -> None:
        now = time.monotonic()
        for client in self.there.values():
            if now - client.opened_at < older_than:
                return  # the younger ones come after it
            if not client.head_sent:
                client.start()

    def wait(self) -> None:
        """Wait until all were cut or the input ends; those that drip send a byte a second."""
        drips = [client for client in self.there.values() if client.kind in _DRIPS]
        parts = cycle(drips[part::_PARTS] for part in range(_PARTS))
        drip_at, look_at = time.monotonic(), time.monotonic() + _LOOK_EVERY
        with (
            select.epoll() as watch
        ):  # looking at thousands costs it nothing: the processor is for the portal
            for descriptor in (
                0,
                *(number for number, client in self.there.items() if client.kind != "deaf"),
            ):
                watch.register(descriptor, select.EPOLLIN)
            while self.there and self._hear(watch):
                if time.monotonic() >= drip_at:
                    drip_at += 1 / _PARTS
                    for client in next(parts):
                        client.send(_DRIPS[client.kind])
                if time.monotonic() >= look_at:
                    look_at += _LOOK_EVERY
                    self._look_at_the_deaf()

    def _hear(self, watch: select.epoll) -> bool:
        """Take note of those that were cut; returns whether the input goes on."""
        for descriptor, _ in watch.poll(_PAUSE):
            if descriptor == 0:
                return False
            if self.there[descriptor].has_ended():
                watch.unregister(descriptor)
                self._end(descriptor)
        return True

    def _look_at_the_deaf(self) -> None:
        held = _held_by_server(self.order.port)
        deaf = [(number, client) for number, client in self.there.items() if client.kind == "deaf"]
        for descriptor, client in deaf:
            if client.connection.getsockname()[1] not in held:
                self._end(descriptor)

    def _end(self, descriptor: int) -> None:
        client = self.there.pop(descriptor)
        self.ended_after.append(time.monotonic() - client.opened_at)
        client.connection.close()


def _held_by_server(port: int) -> set[int]:
    """The clients' ports of the connections that the server at a port has not closed."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return {
        int(row[2].partition(":")[2], 16)
        for row in rows
        if row[1].endswith(f":{port:04X}") and row[3] == "01"
    }


def say(**facts: object) -> None:
    """One line for the conductor."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Come, be slow, tell."""
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (min(20_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2
    )
    crowd = Crowd(Order(**json.loads(sys.argv[1])))
    started = time.monotonic()
    crowd.gather()
    say(there=len(crowd.there), refused=crowd.refused, seconds=round(time.monotonic() - started, 1))
    crowd.wait()
    left = Counter(client.kind for client in crowd.there.values())
    longest = max(crowd.ended_after, default=0.0)
    say(cut=len(crowd.ended_after), longest=round(longest, 1), left=left.total(), kinds=left)


if __name__ == "__main__":
    main()
