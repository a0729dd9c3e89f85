"""Runs the parts of the portal, each in its own session, and restarts them after growing pauses."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from pkiportal.runtime.lifeline import die_with_parent

#: Seconds. A part that ran this long was healthy: its next pause is short again.
HEALTHY_AFTER: Final = 60.0
LONGEST_PAUSE: Final = 30.0
#: Maximum size of a log file in bytes; then it becomes NAME.log.1, replacing the older one.
LOG_LIMIT: Final = 10_000_000
_TICK: Final = 0.2
_STOP_AFTER: Final = 8.0

Say = Callable[[str], None]


class AlreadyRunning(Exception):
    """Another supervisor, or one of its remaining parts, uses the data folder."""


@dataclass(frozen=True, slots=True)
class Part:
    """One long-running program. Parts with a lower `stop_order` stop first."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    stop_order: int = 0


def pause_after(failures: int) -> float:
    """Return the seconds to wait before the next start: 1, 2, 4, 8, 16, then 30."""
    return min(2.0 ** max(failures - 1, 0), LONGEST_PAUSE)


@dataclass(slots=True)
class _Running:
    """A part and its runs. Times are seconds of the monotonic clock."""

    part: Part
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    failures: int = 0
    next_start_at: float = 0.0


@dataclass(slots=True)
class Supervisor:
    """Starts parts and keeps them running until `stop`.

    Use it from one thread only: see `lifeline.die_with_parent`.
    """

    logs: Path
    say: Say
    lock: "FolderLock"
    clock: Callable[[], float] = time.monotonic
    _running: dict[str, _Running] = field(default_factory=dict)

    def start(self, part: Part) -> None:
        """Start a part now, and again whenever it ends."""
        running = self._running[part.name] = _Running(part)
        self._launch(running)

    def watch(self, *, until: Callable[[], bool]) -> None:
        """Supervise the parts until `until` returns true."""
        next_rotation = 0.0
        while not until():
            now = self.clock()
            self.tick(now)
            if now >= next_rotation:
                self._rotate_logs()
                next_rotation = now + 10
            time.sleep(_TICK)

    def tick(self, now: float) -> None:
        """Note ended parts, and start those whose pause is over."""
        for running in self._running.values():
            if running.process is not None and running.process.poll() is not None:
                self._note_end(running, now)
            if running.process is None and now >= running.next_start_at:
                self._launch(running)

    def is_up(self, name: str) -> bool:
        """Whether the part is running now."""
        process = self._running[name].process
        return process is not None and process.poll() is None

    def stop(self) -> None:
        """End all parts, by request, then by force; the broker stops last."""
        for order in sorted({running.part.stop_order for running in self._running.values()}):
            group = [
                running for running in self._running.values() if running.part.stop_order == order
            ]
            self._stop_all(running.process for running in group if running.process is not None)

    def _launch(self, running: _Running) -> None:
        part = running.part
        supervisor = os.getpid()

        def prepare() -> None:
            die_with_parent(supervisor, signal.SIGTERM)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])

        with self._log_file(part.name).open("ab") as log:
            running.process = subprocess.Popen(  # noqa: S603 - commands are made in pkiportal.runtime.parts
                list(part.command),
                env=dict(part.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=prepare,  # noqa: PLW1509 - one thread only
                pass_fds=[self.lock.descriptor],
            )
        running.started_at = self.clock()

    def _note_end(self, running: _Running, now: float) -> None:
        if running.process is None:
            return
        _kill_group(running.process)
        status = running.process.returncode
        running.process = None
        running.failures = 1 if now - running.started_at >= HEALTHY_AFTER else running.failures + 1
        pause = pause_after(running.failures)
        running.next_start_at = now + pause
        name = running.part.name
        self.say(
            f"{name} {_how(status)}, starting it again in {pause:.0f} s (log: "
            f"{self._log_file(name)})"
        )

    def _stop_all(self, processes: Iterable[subprocess.Popen[bytes]]) -> None:
        waiting = list(processes)
        for process in waiting:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        deadline = self.clock() + _STOP_AFTER
        for process in waiting:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(deadline - self.clock(), 0.01))
        for process in waiting:
            _kill_group(process)
            process.wait()

    def _log_file(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def _rotate_logs(self) -> None:
        """Copy and truncate: the part appends to the open file and continues at its new end."""
        for name in self._running:
            path = self._log_file(name)
            if path.exists() and path.stat().st_size > LOG_LIMIT:
                shutil.copyfile(path, path.with_suffix(".log.1"))
                os.truncate(path, 0)


class FolderLock:
    """One supervisor per data folder.

    The parts inherit the lock, so it is free only when the last one has ended.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    @property
    def descriptor(self) -> int:
        """The open file that the parts inherit. Raises ValueError before `take`."""
        if self._file is None:
            raise ValueError(f"{self.path} is not locked yet")
        return self._file.fileno()

    def take(self, *, patience: float = 15.0) -> None:
        """Take the lock, waiting for parts of a dead supervisor. Raises AlreadyRunning."""
        file = self.path.open("a+")
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                holder = file.read().strip()
                if _is_alive(holder) or time.monotonic() > deadline:
                    file.close()
                    raise AlreadyRunning(holder or "unknown") from error
                time.sleep(_TICK)
            else:
                break
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Release the lock."""
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None


def _is_alive(holder: str) -> bool:
    if not holder.isdecimal():
        return False
    try:
        os.kill(int(holder), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the rest of a part and all it started; its session makes it a process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _how(status: int) -> str:
    if status < 0:
        try:
            return f"was ended by {signal.Signals(-status).name}"
        except ValueError:
            return f"was ended by signal {-status}"
    return f"ended with status {status}"
