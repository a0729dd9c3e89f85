"""One client against all, on loopback: `python -m tests.slow [--postgresql URL]`.

Thousands of slow clients send half a body or nothing, without and with TLS, on SQLite with 64
threads and on PostgreSQL with 32. Meanwhile the p99 of GetCACaps, of a PENDING and of the queue
page stays within three times that of the quiet portal, and every slow client is cut within 20
seconds. Quiet and besieged rounds alternate, and the answers of all rounds count together: a
hundred of the slowest kind, so that p99 is more than one answer. If a p99 is too high, the number
of rounds is doubled, since other programs may have used the processor; all rounds count.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from tests.slow.crowd import Order
from tests.slow.probes import Seen, warm_up, watch
from tests.slow.stage import Stage, stage

_MOST: Final = 3.0
_CUT_WITHIN: Final = 20.0
_UPLOAD_ENDS_WITHIN: Final = 1.0
_OTHERS: Final = 30
#: Seconds in which the server receives the heads of a crowd that came at once; requests of that
#: time are reported apart.
_SETTLE: Final = 1.5


def main() -> int:
    """Measure, print, and return whether all limits held."""
    parser = argparse.ArgumentParser(prog="tests.slow")
    parser.add_argument(
        "--postgresql", metavar="URL", help="also measure on PostgreSQL, in a database of its own"
    )
    parser.add_argument(
        "--clients", type=int, default=1000, help="how many of each of three kinds (1000)"
    )
    parser.add_argument(
        "--seconds", type=float, default=7.0, help="how long each measurement lasts (7)"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="how often quiet and besieged take turns (3)"
    )
    options = parser.parse_args()
    faults: list[str] = []
    for postgresql in [None, *filter(None, [options.postgresql])]:
        with (
            tempfile.TemporaryDirectory(prefix="portal-slow-") as folder,
            stage(Path(folder) / "stage", postgresql) as running,
        ):
            for name in running.doors:
                title = f"{'PostgreSQL, 32' if postgresql else 'SQLite, 64'} threads, {name}"
                faults += [f"{title}: {fault}" for fault in _measure(running, name, title, options)]
    _say("\n".join(faults) or "everything held")
    return 1 if faults else 0


@dataclass
class Measured:
    """The answers of a door: of the quiet portal, the arrival of the crowd, and the siege."""

    quiet: dict[str, Seen] = field(default_factory=lambda: defaultdict(Seen))
    besieged: dict[str, Seen] = field(default_factory=lambda: defaultdict(Seen))
    arrival: dict[str, Seen] = field(default_factory=lambda: defaultdict(Seen))
    not_cut: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Return the violated limits."""
        return [*self._missing(), *self.slower(), *self.not_cut]

    def slower(self) -> Iterator[str]:
        """Return the slow answers."""
        for name in self.quiet:
            if not self.ratio(name) <= _MOST:
                yield (
                    f"{name}: p99 is {self.ratio(name):.1f} times that of the quiet portal, at "
                    f"most {_MOST:g}"
                )

    def ratio(self, name: str) -> float:
        """How many times as long p99 is under siege."""
        return self.besieged[name].percentile(0.99) / self.quiet[name].percentile(0.99)

    def _missing(self) -> Iterator[str]:
        for name in self.quiet:
            failures = [
                fault
                for phase in (self.quiet, self.arrival, self.besieged)
                for fault in phase[name].failures
            ]
            if failures:
                yield f"{name}: {len(failures)} without the right answer, first {failures[0]}"


def _measure(running: Stage, name: str, title: str, options: argparse.Namespace) -> list[str]:
    measured = Measured()
    warm_up(running.doors[name])
    for _ in range(options.rounds):
        _round(running, name, measured, options)
    _print(title, measured)
    if list(measured.slower()):
        for _ in range(options.rounds):
            _round(running, name, measured, options)
        _print(f"{title}, with as many rounds again", measured)
    return measured.faults()


def _round(running: Stage, name: str, measured: Measured, options: argparse.Namespace) -> None:
    door = running.doors[name]
    memory = running.memory()
    _add(measured.quiet, watch(door, options.seconds))
    order = Order(door.port, door.with_tls, *(options.clients,) * 3, _OTHERS)
    command = [sys.executable, "-m", "tests.slow.crowd", json.dumps(asdict(order))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as crowd:
        assert crowd.stdout is not None
        arrived = json.loads(crowd.stdout.readline())
        _add(measured.arrival, watch(door, _SETTLE))
        _add(measured.besieged, watch(door, options.seconds))
        loaded = running.memory()
        upload = door.upload_without_end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            crowd.wait(_CUT_WITHIN)
        gone = json.loads(crowd.communicate()[0].splitlines()[-1])
    measured.not_cut += _not_cut(arrived, gone, upload)
    _say(
        f"{name}: {arrived} {gone}, endless upload {upload:.2f} s, memory {memory:.0f} to "
        f"{loaded:.0f} MiB"
    )


def _add(all_seen: dict[str, Seen], measured: dict[str, Seen]) -> None:
    for name, one in measured.items():
        all_seen[name].add(one)


def _print(title: str, measured: Measured) -> None:
    _say(title)
    for name, quiet in measured.quiet.items():
        besieged, arrival = measured.besieged[name], measured.arrival[name]
        medians = f"median {quiet.milliseconds(0.5)} to {besieged.milliseconds(0.5)}"
        p99 = (
            f"p99 {quiet.milliseconds(0.99)} to {besieged.milliseconds(0.99)} "
            f"({measured.ratio(name):.1f} times)"
        )
        counts = f"{len(quiet.times)} and {len(besieged.times)} answers"
        _say(
            f"  {name:11} ms: {medians}, {p99}; {counts}; slowest while they came "
            f"{arrival.milliseconds(1.0)}"
        )


def _not_cut(arrived: dict[str, float], gone: dict[str, float], upload: float) -> Iterator[str]:
    if arrived["refused"]:
        yield f"{arrived['refused']} slow clients could not connect"
    if gone["left"] or gone["longest"] > _CUT_WITHIN:
        yield f"{gone['left']} slow clients were not cut, others after up to {gone['longest']} s"
    if upload > _UPLOAD_ENDS_WITHIN:
        yield f"an endless upload ended after {upload:.1f} s"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
