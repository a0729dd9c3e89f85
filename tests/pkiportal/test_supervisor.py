"""The supervisor, with small parts of our own: real processes, no part of the product."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pkiportal.runtime import supervisor as module
from pkiportal.runtime.supervisor import AlreadyRunning, FolderLock, Part, Supervisor, pause_after

ROOT = Path(__file__).resolve().parents[2]
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', "
        "flush=True); time.sleep(600)"
    ),
]
FAILING = [sys.executable, "-c", "import sys; sys.exit('no luck')"]


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.fixture
def messages() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, messages: list[str]) -> Iterator[Supervisor]:
    lock = FolderLock(tmp_path / "up.lock")
    lock.take()
    started = Supervisor(logs=tmp_path, say=messages.append, lock=lock)
    yield started
    started.stop()
    lock.release()


def part(name: str, command: list[str], stop_order: int = 0) -> Part:
    return Part(name, command, dict(os.environ), stop_order)


def test_pauses_grow_to_half_a_minute() -> None:
    assert [pause_after(failures) for failures in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.usefixtures("starts_processes")
def test_a_part_that_dies_is_started_again_after_its_pause(
    supervisor: Supervisor, messages: list[str], tmp_path: Path
) -> None:
    supervisor.start(part("failing", FAILING))
    wait_for(lambda: not supervisor.is_up("failing"))
    now = time.monotonic()
    supervisor.tick(now)
    assert messages == [
        f"failing ended with status 1, starting it again in 1 s (log: {tmp_path / 'failing.log'})"
    ]
    supervisor.tick(now + 0.9)
    assert not supervisor.is_up("failing")
    supervisor.tick(now + 1.1)
    wait_for(lambda: (tmp_path / "failing.log").read_text().count("no luck") == 2)
    wait_for(lambda: not supervisor.is_up("failing"))
    supervisor.tick(now + 1.2)
    assert "starting it again in 2 s" in messages[1]


@pytest.mark.usefixtures("starts_processes")
def test_a_part_that_was_healthy_for_a_minute_is_forgiven(
    supervisor: Supervisor, messages: list[str]
) -> None:
    supervisor.start(part("failing", FAILING))
    for minute in (1, 2, 3):
        wait_for(lambda: not supervisor.is_up("failing"))
        supervisor.tick(time.monotonic() + 61 * minute)
        supervisor.tick(time.monotonic() + 61 * minute + 1.1)
    assert [line.partition("again in ")[2][:3] for line in messages] == ["1 s"] * 3


@pytest.mark.usefixtures("starts_processes")
def test_a_part_that_was_killed_is_named_with_the_signal(
    supervisor: Supervisor, messages: list[str]
) -> None:
    supervisor.start(
        part(
            "sleeper",
            [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"],
        )
    )
    wait_for(lambda: not supervisor.is_up("sleeper"))
    supervisor.tick(time.monotonic())
    assert messages[0].startswith("sleeper was ended by SIGKILL, ")


@pytest.mark.usefixtures("starts_processes")
def test_stopping_ends_stubborn_parts_and_their_children_by_force(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STOP_AFTER", 0.3)
    parent = (
        f"import subprocess, sys, time; print(subprocess.Popen({SLEEP!r}).pid, flush=True); "
        "time.sleep(600)"
    )
    supervisor.start(part("stubborn", STUBBORN))
    supervisor.start(part("parent", [sys.executable, "-c", parent]))
    wait_for(lambda: "ready" in (tmp_path / "stubborn.log").read_text())
    wait_for(lambda: (tmp_path / "parent.log").read_text().strip().isdecimal())
    supervisor.stop()
    assert not supervisor.is_up("stubborn")
    grandchild = int((tmp_path / "parent.log").read_text())
    wait_for(lambda: not is_alive(grandchild))


@pytest.mark.usefixtures("starts_processes")
def test_the_broker_stops_after_the_rest(supervisor: Supervisor, tmp_path: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "def end(*_): print(time.monotonic(), flush=True); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('ready', flush=True); time.sleep(600)"
    )
    supervisor.start(part("broker", [sys.executable, "-c", code], stop_order=1))
    supervisor.start(part("web", [sys.executable, "-c", code]))
    for name in ("broker", "web"):
        wait_for(lambda name=name: "ready" in (tmp_path / f"{name}.log").read_text())  # type: ignore[misc]  # a default argument
    supervisor.stop()
    ended = {
        name: float((tmp_path / f"{name}.log").read_text().split()[1]) for name in ("broker", "web")
    }
    assert ended["web"] < ended["broker"]


@pytest.mark.usefixtures("starts_processes")
def test_a_large_log_is_put_aside_while_its_part_goes_on(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOG_LIMIT", 5)
    supervisor.start(
        part(
            "talker",
            [sys.executable, "-c", "import time; print('before', flush=True); time.sleep(600)"],
        )
    )
    wait_for(lambda: (tmp_path / "talker.log").read_text() == "before\n")
    rounds = iter([False, True])
    supervisor.watch(until=lambda: next(rounds))
    assert (tmp_path / "talker.log").read_text() == ""
    assert (tmp_path / "talker.log.1").read_text() == "before\n"


SUPERVISED = """
import os, signal, sys, time
from pathlib import Path
from pkiportal.runtime.supervisor import FolderLock, Part, Supervisor
folder = Path(sys.argv[1])
lock = FolderLock(folder / "up.lock")
lock.take()
supervisor = Supervisor(logs=folder, say=print, lock=lock)
child = (
    "import os, time\\n"
    "from pkiportal.runtime.lifeline import be_followed, follow_the_starter\\n"
    "be_followed()\\n"
    "if os.fork() == 0: follow_the_starter()\\n"
    "print(os.getpid(), flush=True); time.sleep(600)"
)
supervisor.start(Part("child", [sys.executable, "-c", child], dict(os.environ)))
time.sleep(600)
"""


@pytest.mark.usefixtures("starts_processes")
def test_nothing_outlives_a_supervisor_that_is_killed_and_the_next_one_waits_for_it(
    tmp_path: Path,
) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    killed = subprocess.Popen([sys.executable, "-c", SUPERVISED, str(tmp_path)], env=environment)
    log = tmp_path / "child.log"
    wait_for(lambda: log.exists() and len(log.read_text().split()) == 2)
    family = [int(pid) for pid in log.read_text().split()]
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    next_one = FolderLock(tmp_path / "up.lock")
    next_one.take()
    assert not any(is_alive(pid) for pid in family)
    next_one.release()


def test_two_supervisors_on_one_folder_are_refused(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path / "up.lock"), FolderLock(tmp_path / "up.lock")
    first.take()
    with pytest.raises(AlreadyRunning, match=str(os.getpid())):
        second.take(patience=0)
    first.release()
    second.take(patience=0)
    second.release()


def test_a_lock_that_is_not_taken_has_no_descriptor(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not locked yet"):
        _ = FolderLock(tmp_path / "up.lock").descriptor
