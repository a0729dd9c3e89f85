"""How many connections the web server may hold, and for how long an answer may stay unread."""

import resource
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from pkiportal.doctor import machine
from pkiportal.web import sockets
from tests.ports import free_port

NEEDED = sockets.CONNECTIONS + sockets.OTHER_DESCRIPTORS
UNLIMITED = resource.RLIM_INFINITY


class Limits:
    """A system that allows so many open files."""

    def __init__(self, soft: int, hard: int, *, refuses: bool = False) -> None:
        self.now, self.refuses = (soft, hard), refuses

    def getrlimit(self, _: int) -> tuple[int, int]:
        return self.now

    def setrlimit(self, _: int, limits: tuple[int, int]) -> None:
        if self.refuses:
            raise ValueError("not allowed")
        self.now = limits


@pytest.mark.parametrize(
    ("limits", "reached"),
    [
        (Limits(1024, 524_288), NEEDED),
        (Limits(1024, 4096), 4096),
        (Limits(1024, UNLIMITED), NEEDED),
        (Limits(UNLIMITED, UNLIMITED), NEEDED),
        (Limits(20_000, 20_000), 20_000),
        (Limits(1024, 524_288, refuses=True), 1024),
    ],
)
def test_the_limit_of_open_files_is_raised_as_far_as_the_system_lets_it(
    monkeypatch: pytest.MonkeyPatch, limits: Limits, reached: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", limits.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", limits.setrlimit)
    assert sockets.raise_descriptor_limit() == reached
    (finding,) = machine.open_files(lambda: pytest.fail("no clock is needed"))
    assert finding.state == ("ok" if reached >= NEEDED else "warn")
    assert finding.state == "ok" or f"LimitNOFILE={NEEDED}" in finding.text


@pytest.mark.parametrize(
    ("limit", "connections"),
    [(NEEDED, 8192), (NEEDED + 1, 8192), (4096, 3584), (1024, 512), (600, 88), (100, 64)],
)
def test_fewer_open_files_are_fewer_connections_and_the_log_says_so(
    limit: int, connections: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert sockets.connections_within(limit) == connections
    assert ("web.few_connections" in caplog.text) == (connections < sockets.CONNECTIONS)


class Loop:
    """An event loop whose time passes when the test says so."""

    def __init__(self) -> None:
        self.later: list[Callable[[], Any]] = []

    def call_later(self, _: float, call: Callable[..., Any], *arguments: Any) -> None:
        self.later.append(lambda: call(*arguments))

    def tick(self) -> None:
        waiting, self.later = self.later, []
        for call in waiting:
            call()


def unread_ms(served: socket.socket) -> int:
    return served.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)


def watch(loop: Loop, port: int, looks: int = 3) -> None:
    sockets.cut_clients_that_never_read(cast("Any", loop), port=port, milliseconds=700, looks=looks)


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.enable_socket
def test_a_connection_has_its_time_also_if_it_came_before_the_server_was_ready() -> None:
    loop, port = Loop(), free_port()
    watch(loop, port)
    with socket.create_server(("127.0.0.1", port)) as listener:
        before = descriptors()
        with socket.create_connection(("127.0.0.1", port)) as early, listener.accept()[0] as served:
            loop.tick()
            assert (unread_ms(listener), unread_ms(served), unread_ms(early)) == (700, 700, 0)
            with socket.create_connection(("127.0.0.1", port)), listener.accept()[0] as inherits:
                assert unread_ms(inherits) == 700
        loop.tick()
        assert loop.later == [], "one look after it has found the server, it ends"
        assert descriptors() == before


@pytest.mark.enable_socket
def test_a_connection_that_was_queued_when_the_server_was_found_has_its_time_after_the_last_look() -> (  # noqa: E501
    None
):
    loop = Loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            watch(loop, port)
            with listener.accept()[0] as served:
                assert unread_ms(served) == 0
                loop.tick()
                assert unread_ms(served) == 700


def test_looking_for_a_server_that_never_listens_ends() -> None:
    loop = Loop()
    watch(loop, 1, looks=3)
    for left in (1, 1, 0):
        loop.tick()
        assert len(loop.later) == left
