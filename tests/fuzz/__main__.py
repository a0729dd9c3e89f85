"""`./portal fuzz`: mutated messages through every reader and the SCEP door.

Status 1 for any finding.

A finding is an exception that is not in `scep.errors.PLANNED`, a response 5xx, something accepted
that breaks a promise, more than 50 ms of CPU or more than 50 MiB for one message. It is saved with
its bytes and can be replayed.
"""

from __future__ import annotations

import argparse
import gc
import logging
import multiprocessing
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django

django.setup()

from tests.fuzz import guided  # noqa: E402 - Django comes first
from tests.fuzz.cases import Case, Maker, Shares  # noqa: E402 - as above
from tests.fuzz.door import Door, prepare, remove  # noqa: E402 - as above
from tests.fuzz.measure import Bench  # noqa: E402 - as above
from tests.fuzz.report import Guided, Tally, as_json, as_text  # noqa: E402 - as above
from tests.pki import FOLDER  # noqa: E402 - as above

DEFAULT_FOLDER: Final = FOLDER.parent / "output" / "fuzz"
_BATCH: Final = 100
_GUIDED_SHARE: Final = 0.15
_GUIDED_MOST: Final = 120.0
_SAVED_MOST: Final = 200


@dataclass(frozen=True)
class Plan:
    """One run. It ends after so many messages or seconds, whichever comes first."""

    seed: int
    messages: int | None
    seconds: float
    processes: int
    shares: Shares
    folder: Path
    corpus: Path
    guided_seconds: float


def main() -> int:
    options = _arguments()
    logging.disable(logging.CRITICAL)
    try:
        if options.replay:
            return _replay([Path(name) for name in options.replay])
        return _run(_plan(options), options)
    finally:
        remove()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./portal fuzz", description="Hostile input, by the million."
    )
    add = parser.add_argument
    add(
        "--minutes",
        type=float,
        metavar="N",
        help="how long (1, or without end where --messages is given)",
    )
    add("--messages", type=int, metavar="N", help="how many messages")
    add("--seed", type=int, help="of all choices; a new one each time where it is left out")
    add("--processes", type=int, default=min(2, os.cpu_count() or 1), metavar="N", help="(2)")
    add(
        "--door",
        type=float,
        default=0.06,
        metavar="SHARE",
        help="of messages through the whole web application (0.06)",
    )
    add(
        "--resigned",
        type=float,
        default=0.35,
        metavar="SHARE",
        help="of messages that are encrypted and signed again (0.35)",
    )
    add(
        "--guided",
        type=float,
        metavar="SECONDS",
        help="of coverage-guided running before (15 %% of the time, at most 120)",
    )
    add(
        "--corpus",
        type=Path,
        metavar="DIR",
        help="keeps what guided runs found worth keeping (tests/output/fuzz/corpus)",
    )
    add(
        "--findings",
        type=Path,
        default=DEFAULT_FOLDER,
        metavar="DIR",
        help="where findings are saved (tests/output/fuzz)",
    )
    add("--report", type=Path, metavar="FILE", help="write the figures as JSON")
    add("--replay", nargs="+", metavar="FILE", help="send saved findings again, nothing else")
    return parser.parse_args()


def _plan(options: argparse.Namespace) -> Plan:
    minutes = (
        options.minutes
        if options.minutes is not None
        else (1.0 if options.messages is None else 10_000.0)
    )
    seconds = minutes * 60
    share = min(seconds * _GUIDED_SHARE, _GUIDED_MOST)
    options.findings.mkdir(parents=True, exist_ok=True)
    return Plan(
        seed=int.from_bytes(os.urandom(3), "big") if options.seed is None else options.seed,
        messages=options.messages,
        seconds=seconds,
        processes=max(1, options.processes),
        shares=Shares(options.door, options.resigned),
        folder=options.findings,
        corpus=options.corpus or options.findings / "corpus",
        guided_seconds=share if options.guided is None else options.guided,
    )


def _run(plan: Plan, options: argparse.Namespace) -> int:
    started = time.monotonic()
    led = _guided_runs(plan)
    of_device = prepare()
    extra = (
        {target: _kept(plan.corpus / target) for target in guided.TARGETS}
        if plan.guided_seconds
        else {}
    )
    maker = Maker(plan.seed, plan.shares, extra, of_device)
    tally = _in_processes(plan, maker, deadline=started + plan.seconds)
    seconds = time.monotonic() - started
    for number, _, _ in tally.findings[:_SAVED_MOST]:
        (plan.folder / f"{plan.seed}-{number}.json").write_text(maker.case(number).to_json())
    sys.stdout.write(
        as_text(tally, led, seed=plan.seed, seconds=seconds, folder=plan.folder) + "\n"
    )
    if options.report:
        options.report.write_text(as_json(tally, led, seed=plan.seed, seconds=seconds) + "\n")
    return 1 if tally.findings or led.findings or not tally.messages else 0


def _in_processes(plan: Plan, maker: Maker, *, deadline: float) -> Tally:
    """Share the numbers among processes: each takes every n-th.

    They are forked, so all have the same cases.
    """
    context = multiprocessing.get_context("fork")
    total, pipes = Tally(), []
    for process in range(plan.processes):
        here, there = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(plan, maker, process, deadline, there))
        worker.start()
        there.close()
        pipes.append((worker, here))
    for worker, here in pipes:
        try:
            total.add(here.recv())
        except EOFError:
            total.findings.append((-1, "process", f"a process ended with status {worker.exitcode}"))
        worker.join()
    return total


def _work(plan: Plan, maker: Maker, process: int, deadline: float, there: Any) -> None:
    tally, bench = Tally(), Bench(Door(process).send)
    number = process
    gc.freeze()  # objects made before the fork are never garbage
    while (plan.messages is None or number < plan.messages) and time.monotonic() < deadline:
        for _ in range(_BATCH):
            case = maker.case(number)
            tally.see(number, case, bench.run(case, number))
            number += plan.processes
            if plan.messages is not None and number >= plan.messages:
                break
        if process == 0:
            _show(tally.messages * plan.processes)
    there.send(tally)


def _show(done: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\rabout {done:,} messages ")


def _kept(folder: Path, most: int = 2_000) -> tuple[bytes, ...]:
    files = sorted(folder.glob("*"))[:most] if folder.is_dir() else []
    return tuple(data for data in (path.read_bytes() for path in files) if 2 <= len(data) < 20_000)


def _guided_runs(plan: Plan) -> Guided:
    """The coverage-guided runs, as many at a time as there are processes."""
    if not plan.guided_seconds:
        return Guided(absent="not asked for")
    if absent := guided.missing():
        return Guided(absent=absent)
    each = max(2, round(plan.guided_seconds * plan.processes / len(guided.TARGETS)))
    executions: dict[str, int] = {}
    findings: list[str] = []
    waiting = list(guided.TARGETS)
    while waiting:
        batch, waiting = waiting[: plan.processes], waiting[plan.processes :]
        started = [
            (
                t,
                guided.start(
                    t, each, seed=plan.seed + 1, corpus=plan.corpus / t, findings=plan.folder
                ),
            )
            for t in batch
        ]
        for target, process in started:
            output, _ = process.communicate()
            executions[target] = guided.executions(output)
            findings += [line for line in output.splitlines() if line.startswith("FINDING")]
            if process.returncode:
                findings.append(
                    f"{target}: libFuzzer ended with status {process.returncode}: {output[-400:]}"
                )
    return Guided(executions, tuple(findings))


def _replay(paths: list[Path]) -> int:
    """Send saved cases again and print the result of each."""
    prepare()
    bench, is_bad = Bench(Door(0).send), False
    for path in paths:
        try:
            case = Case.from_json(path.read_text())
        except (OSError, ValueError, KeyError, TypeError) as error:
            sys.stderr.write(f"{path}: not a saved finding: {error}\n")
            return 2
        measured = bench.run(case, 0)
        is_bad = is_bad or bool(measured.fault)
        outcome = (
            measured.fault
            or f"{measured.outcome}, {measured.cpu_ms:.2f} ms, {measured.mib or 0:.2f} MiB"
        )
        sys.stdout.write(f"{path}: {case.target}, {len(case.data)} bytes: {outcome}\n")
    return 1 if is_bad else 0


if __name__ == "__main__":
    sys.exit(main())
