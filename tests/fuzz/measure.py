"""The cost of one case, and its limits.

CPU time of the process, not wall time: a busy machine is no finding. It still includes other work
of the process, such as garbage collection: a slow case is measured three more times, and the
fastest counts. Memory: after each case the peak of resident memory (`ru_maxrss`) is compared with
the one before; where it grew by a mebibyte or more, and for one case in a thousand besides, the
case runs once more under tracemalloc, whose peak is exact for Python's allocations.
"""

from __future__ import annotations

import resource
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.fuzz.cases import DOOR, Case
from tests.fuzz.readers import described, read

MAX_CPU_MS: Final = 50.0
MAX_MIB: Final = 50.0
_SEEMS_SLOW_MS: Final = 5.0
_SAMPLE_EVERY: Final = 1_000
_WORTH_A_LOOK_KIB: Final = 1_024


@dataclass(frozen=True, slots=True)
class Measured:
    """One case: its result, CPU milliseconds, peak MiB (None: not measured), and its fault."""

    outcome: str
    cpu_ms: float
    mib: float | None = None
    grown_kib: int = 0
    fault: str = ""


class Bench:
    """Runs cases one after the other in one process; `send` takes those for the door."""

    def __init__(self, send: Callable[[Case], str]) -> None:
        self._send = send
        self._peak = _peak_kib()

    def run(self, case: Case, number: int) -> Measured:
        try:
            outcome, cpu_ms = self._timed(case)
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            return Measured("unplanned", 0.0, fault=described(error))
        before, self._peak = self._peak, _peak_kib()
        grown = self._peak - before
        if cpu_ms > min(_SEEMS_SLOW_MS, MAX_CPU_MS):
            cpu_ms = min(self._timed(case)[1] for _ in range(3))
        mib = (
            self._traced(case)
            if grown >= _WORTH_A_LOOK_KIB or number % _SAMPLE_EVERY == 0
            else None
        )
        return Measured(outcome, cpu_ms, mib, grown, _excess(cpu_ms, mib, grown))

    def _timed(self, case: Case) -> tuple[str, float]:
        started = time.process_time_ns()
        outcome = self._answer(case)
        return outcome, (time.process_time_ns() - started) / 1e6

    def _answer(self, case: Case) -> str:
        return self._send(case) if case.target == DOOR else read(case.target, case.data)

    def _traced(self, case: Case) -> float:
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            self._answer(case)
            return (tracemalloc.get_traced_memory()[1] - before) / 2**20
        finally:
            tracemalloc.stop()


def _excess(cpu_ms: float, mib: float | None, grown_kib: int) -> str:
    most = max(mib or 0.0, grown_kib / 1024)
    excesses = [
        f"{cpu_ms:.1f} ms of CPU: at most {MAX_CPU_MS:.0f}" if cpu_ms > MAX_CPU_MS else "",
        f"{most:.1f} MiB: at most {MAX_MIB:.0f}" if most > MAX_MIB else "",
    ]
    return "; ".join(filter(None, excesses))


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
