"""The findings of a run, added up over its processes."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.cases import Case
from tests.fuzz.measure import MAX_CPU_MS, MAX_MIB, Measured


@dataclass
class Extreme:
    """The case that took most of something."""

    amount: float = 0.0
    number: int = -1
    target: str = ""

    def see(self, amount: float, number: int, target: str) -> None:
        if amount > self.amount:
            self.amount, self.number, self.target = amount, number, target


@dataclass
class Tally:
    """Of one process, or of all of them."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    cpu_ms: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, Extreme] = field(default_factory=dict)
    largest: Extreme = field(default_factory=Extreme)
    growth: Extreme = field(default_factory=Extreme)
    findings: list[tuple[int, str, str]] = field(default_factory=list)

    def see(self, number: int, case: Case, measured: Measured) -> None:
        self.outcomes[case.target, measured.outcome] += 1
        self.cpu_ms[case.target] += measured.cpu_ms  # type: ignore[assignment]  # a Counter adds fractions as well
        self.slowest.setdefault(case.target, Extreme()).see(measured.cpu_ms, number, case.target)
        self.largest.see(measured.mib or 0.0, number, case.target)
        self.growth.see(measured.grown_kib / 1024, number, case.target)
        if measured.fault:
            self.findings.append((number, case.target, measured.fault))

    def add(self, other: Tally) -> None:
        self.outcomes += other.outcomes
        self.cpu_ms += other.cpu_ms
        for target, extreme in other.slowest.items():
            self.slowest.setdefault(target, Extreme()).see(extreme.amount, extreme.number, target)
        for mine, theirs in ((self.largest, other.largest), (self.growth, other.growth)):
            mine.see(theirs.amount, theirs.number, theirs.target)
        self.findings += other.findings

    @property
    def messages(self) -> int:
        return sum(self.outcomes.values())


@dataclass(frozen=True)
class Guided:
    """The coverage-guided runs: executions by target, or the reason without any."""

    executions: dict[str, int] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    absent: str = ""


def as_text(tally: Tally, guided: Guided, *, seed: int, seconds: float, folder: Path) -> str:
    lines = [
        (
            f"{tally.messages:,} messages in {seconds:.0f} s "
            f"({tally.messages / max(seconds, 0.1):.0f}/s), seed {seed}"
        ),
        "",
    ]
    lines.append(f"{'what reads':26}{'what came of it':34}{'messages':>10}")
    for (target, outcome), count in sorted(tally.outcomes.items()):
        lines.append(f"{target:26}{outcome:34}{count:>10,}")
    lines += ["", f"{'what reads':26}{'mean ms':>9}{'slowest ms':>12}  message"]
    for target, extreme in sorted(tally.slowest.items()):
        count = sum(number for (name, _), number in tally.outcomes.items() if name == target)
        lines.append(
            f"{target:26}{tally.cpu_ms[target] / count:>9.3f}{extreme.amount:>12.2f}  "
            f"{extreme.number}"
        )
    lines += [
        "",
        f"slowest {slowest(tally).amount:.2f} ms of CPU (at most {MAX_CPU_MS:.0f})",
        (
            f"largest {tally.largest.amount:.2f} MiB under tracemalloc, message "
            f"{tally.largest.number}; "
            f"resident memory grew by at most {tally.growth.amount:.2f} MiB, message "
            f"{tally.growth.number} "
            f"(at most {MAX_MIB:.0f})"
        ),
        _guided_text(guided),
        (
            f"{unplanned(tally)} unplanned exceptions or responses 5xx, {len(tally.findings)} "
            "findings "
            "in all"
        ),
    ]
    lines += [
        f"  message {number} ({target}): {fault}" for number, target, fault in tally.findings[:50]
    ]
    lines += [f"  guided: {finding}" for finding in guided.findings[:50]]
    if tally.findings or guided.findings:
        lines.append(f"saved in {folder}: ./portal fuzz --replay {folder}/NAME.json")
    return "\n".join(lines)


def as_json(tally: Tally, guided: Guided, *, seed: int, seconds: float) -> str:
    outcomes: dict[str, dict[str, int]] = {}
    for (target, outcome), count in sorted(tally.outcomes.items()):
        outcomes.setdefault(target, {})[outcome] = count
    document = {
        "messages": tally.messages,
        "seconds": round(seconds, 1),
        "seed": seed,
        "outcomes": outcomes,
        "slowest_cpu_ms": {
            target: [round(e.amount, 3), e.number] for target, e in sorted(tally.slowest.items())
        },
        "largest_mib": [round(tally.largest.amount, 3), tally.largest.number],
        "resident_growth_mib": [round(tally.growth.amount, 3), tally.growth.number],
        "unplanned": unplanned(tally),
        "findings": [
            {"message": n, "target": target, "fault": fault} for n, target, fault in tally.findings
        ],
        "guided": {
            "executions": guided.executions,
            "findings": list(guided.findings),
            "absent": guided.absent,
        },
    }
    return json.dumps(document, indent=2)


def slowest(tally: Tally) -> Extreme:
    return max(tally.slowest.values(), key=lambda extreme: extreme.amount, default=Extreme())


def unplanned(tally: Tally) -> int:
    return sum(count for (_, outcome), count in tally.outcomes.items() if outcome == "unplanned")


def _guided_text(guided: Guided) -> str:
    if guided.absent:
        return f"no coverage-guided run: {guided.absent}"
    runs = ", ".join(f"{target} {count:,}" for target, count in guided.executions.items())
    return f"coverage-guided: {sum(guided.executions.values()):,} executions ({runs})"
