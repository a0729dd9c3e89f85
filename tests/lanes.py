"""Lanes: each test belongs to one, by what it starts. `./portal test --fast` runs the fast lane.

The fixtures of a test decide; no test names its lane. A test or fixture that starts a program asks
for the fixture `starts_processes`. Without it, starting a process fails the test: that is why the
fast lane starts none. `tests/test_lanes.py` shows that the refusal works.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import util
from typing import Any, Final, TypeVar

import pytest

Item = TypeVar("Item")

#: The lanes from the dearest to the cheapest; a test belongs to the first one that fits.
LANES: Final = {
    "interop": "runs a SCEP client of another project against a portal",
    "browser": "opens pages in Chromium",
    "processes": "starts programs, portals or servers",
    "fast": "starts no process",
}
_BROWSER_FIXTURES: Final = frozenset({"chromium", "live_server"})
#: The audit events of CPython that begin a process.
_STARTS: Final = frozenset(
    ["subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec"]
)


class ProcessRefused(RuntimeError):
    """A test started a process without asking for `starts_processes`."""


class _Guard:
    """Refuses processes while `test` is set. There is one: an audit hook cannot be taken away."""

    def __init__(self) -> None:
        self.test = ""
        self.refused: list[str] = []
        self._is_installed = False

    def install(self) -> None:
        """Watch all ways of the standard library to a new process, once."""
        if self._is_installed:
            return
        self._is_installed = True
        sys.addaudithook(_auditor(self))
        _watch_spawned_processes(self)

    def refuse(self, start: str) -> None:
        """Raise ProcessRefused where a test runs that may not start a process."""
        if self.test:
            self.refused.append(start)
            raise ProcessRefused(
                f"{self.test} starts a process ({start}) and is in the fast lane, where none may "
                "start; ask for the fixture starts_processes"
            )


guard = _Guard()


def _auditor(guard: _Guard) -> Callable[[str, tuple[Any, ...]], None]:
    """Return the audit hook. It is called some thousand times in a test, mostly for nothing."""

    def audit(event: str, arguments: tuple[Any, ...], starts: frozenset[str] = _STARTS) -> None:
        if event in starts:
            guard.refuse(f"{event} {arguments[0]!r}" if arguments else event)

    return audit


def _watch_spawned_processes(guard: _Guard) -> None:
    """Watch multiprocessing's spawn and forkserver, which raise no audit event of their own."""
    spawn = util.spawnv_passfds

    def watched(path: Any, args: Any, passfds: Any) -> int:
        guard.refuse(f"multiprocessing {args!r}")
        return spawn(path, args, passfds)

    util.spawnv_passfds = watched


@contextmanager
def processes_allowed() -> Iterator[None]:
    """Allow processes for a while: for what a session prepares during its first test."""
    before, guard.test = guard.test, ""
    try:
        yield
    finally:
        guard.test = before


def lane_of(item: pytest.Item) -> str:
    """Return the lane of a test, from its fixtures and from the clients that it names."""
    fixtures = set(getattr(item, "fixturenames", ()))
    if item.get_closest_marker("interop"):
        return "interop"
    if item.get_closest_marker("browser") or fixtures & _BROWSER_FIXTURES:
        return "browser"
    return "processes" if "starts_processes" in fixtures else "fast"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --fast."""
    told = "run the fast lane: the tests that start no process"
    parser.addoption("--fast", action="store_true", help=told)


def pytest_configure(config: pytest.Config) -> None:
    """Name the lanes as markers, so that `-m processes` selects one."""
    for lane, meaning in LANES.items():
        config.addinivalue_line("markers", f"{lane}: {meaning} (set by tests/lanes.py)")
    guard.install()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Iterator[None]:
    """Mark each test with its lane, keep the fast ones alone where asked, and put the slow ones
    first.
    """
    for item in items:
        item.add_marker(lane_of(item))
    if config.getoption("fast"):
        others = [item for item in items if not item.get_closest_marker("fast")]
        items[:] = [item for item in items if item.get_closest_marker("fast")]
        config.hook.pytest_deselected(items=others)
    yield  # other plugins put them into random order, and leave out what no option asks for
    if not config.getoption("randomly_reorganize", default=False):
        return
    fast = [item for item in items if item.get_closest_marker("fast")]
    slow = [item for item in items if not item.get_closest_marker("fast")]
    items[:] = slow_first(slow, fast, workers=int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def slow_first(slow: list[Item], fast: list[Item], *, workers: int) -> list[Item]:
    """Return all tests so that each worker begins with its share of the slow ones.

    The scheduler `worksteal` of xdist gives each worker a run of tests of equal length. A worker
    that is done takes tests from the end of another one's run, so the fast tests fill the gaps at
    the end. Within the lanes the order stays as it was: random, the tests of a module together.
    """
    ordered: list[Item] = []
    slow, fast = list(slow), list(fast)
    for left in range(workers, 0, -1):
        length = (len(slow) + len(fast)) // left
        share = min(-(-len(slow) // left), length)
        ordered += slow[:share] + fast[: length - share]
        del slow[:share], fast[: length - share]
    return ordered


@pytest.fixture(scope="session")
def starts_processes() -> None:
    """Allow a test, or a fixture, to start processes; it leaves the fast lane by that."""


@pytest.fixture(autouse=True)
def only_declared_processes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Refuse processes in the fast lane, and fail the test even if it caught the refusal."""
    guard.refused.clear()
    guard.test = request.node.nodeid if request.node.get_closest_marker("fast") else ""
    yield
    guard.test = ""
    assert not guard.refused, f"started without the fixture starts_processes: {guard.refused}"
