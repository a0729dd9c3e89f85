"""The fast lane starts no process, and each test is in one lane."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.lanes import LANES, ProcessRefused, guard, lane_of, processes_allowed, slow_first

ROOT = Path(__file__).resolve().parents[1]


def _by(method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    context.Process(target=print).start()


STARTS = {
    "subprocess": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
    "a shell": lambda: os.system("true"),  # noqa: S605 - refused before it starts
    "fork": os.fork,
    "posix_spawn": lambda: os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {}),
    "multiprocessing by spawn": lambda: _by("spawn"),
    "multiprocessing by fork": lambda: _by("fork"),
    "multiprocessing by a server": lambda: _by("forkserver"),
}


@pytest.fixture
def refusals() -> Iterator[list[str]]:
    """What was refused; it does not fail this test."""
    yield guard.refused
    guard.refused.clear()


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_a_test_of_the_fast_lane_starts_no_process(
    start: Callable[[], object], refusals: list[str], request: pytest.FixtureRequest
) -> None:
    with pytest.raises(ProcessRefused, match="ask for the fixture starts_processes") as refused:
        start()
    assert request.node.nodeid in str(refused.value)
    assert refusals


def test_a_refusal_that_is_caught_is_noted(refusals: list[str]) -> None:
    with pytest.raises(RuntimeError):
        subprocess.run(["true"], check=True)
    assert refusals == ["subprocess.Popen 'true'"]


def test_a_test_that_asks_for_it_starts_processes(starts_processes: None) -> None:
    assert subprocess.run(["true"], check=False).returncode == 0


def test_the_preparation_of_a_session_may_start_processes() -> None:
    with processes_allowed():
        assert subprocess.run(["true"], check=False).returncode == 0


@pytest.mark.parametrize(
    ("fixtures", "markers", "lane"),
    [
        (("db", "world"), ("django_db",), "fast"),
        (("portal", "starts_processes"), ("embedded",), "processes"),
        (("live_server",), (), "browser"),
        (("chromium", "starts_processes"), ("browser",), "browser"),
        (("portal", "starts_processes"), ("interop", "browser"), "interop"),
    ],
)
def test_fixtures_and_markers_choose_the_lane(
    fixtures: tuple[str, ...], markers: tuple[str, ...], lane: str
) -> None:
    item: Any = SimpleNamespace(
        fixturenames=fixtures, get_closest_marker=lambda name: name if name in markers else None
    )
    assert lane_of(item) == lane


def test_the_option_keeps_the_tests_of_the_fast_lane(starts_processes: None) -> None:
    options = ["--fast", "--collect-only", "-q", "-p", "no:randomly"]
    command = [sys.executable, "-m", "pytest", *options, "tests/keys"]
    collected = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "tests/keys/test_file.py::test_a_key_is_never_overwritten\n" in collected
    assert "test_openssl_opens_the_file" not in collected


@pytest.mark.parametrize(
    ("slow", "fast", "workers", "ordered"),
    [
        ("ABCD", "efghijkl", 2, "ABefghCDijkl"),
        ("ABC", "defg", 2, "ABdCefg"),
        ("ABCDE", "f", 3, "ABCDEf"),
        ("AB", "", 3, "AB"),
        ("", "abc", 2, "abc"),
        ("AB", "cd", 1, "ABcd"),
    ],
)
def test_each_worker_begins_with_its_share_of_the_slow_tests(
    slow: str, fast: str, workers: int, ordered: str
) -> None:
    assert "".join(slow_first(list(slow), list(fast), workers=workers)) == ordered


def test_each_test_is_in_one_lane(request: pytest.FixtureRequest) -> None:
    for item in request.session.items:
        assert len([lane for lane in LANES if item.get_closest_marker(lane)]) == 1, item.nodeid
