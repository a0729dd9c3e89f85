"""How many connections the web server may hold."""

import resource

import pytest

from pkiportal import sockets
from pkiportal.doctor import machine

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
    ("limit", "connections"), [(NEEDED, 8192), (NEEDED + 1, 8192), (4096, 3584), (1024, 512), (600, 88), (100, 64)]
)
def test_fewer_open_files_are_fewer_connections_and_the_log_says_so(
    limit: int, connections: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert sockets.connections_within(limit) == connections
    assert ("web.few_connections" in caplog.text) == (connections < sockets.CONNECTIONS)
