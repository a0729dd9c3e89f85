"""The result of a run, as a table, and whether it was good."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SHOWN = 40


@dataclass(frozen=True)
class Outcome:
    """The figures of one run. `served` is (served, devices); times are seconds."""

    plan: str
    folder: Path
    point_kills: Mapping[str, Counter[str]]
    random_kills: Mapping[str, int]
    wanted: int
    served: tuple[int, int]
    answers: Mapping[str, int]
    officers: Mapping[str, Mapping[str, int]]
    slowest_click: float
    restarts: Mapping[str, int]
    violations: Sequence[str]
    checked: Mapping[str, int]
    took: Mapping[str, float]

    @property
    def too_few(self) -> list[str]:
        """Points and victims with fewer kills than wanted: such a run proves nothing."""
        totals = {point: kills.total() for point, kills in self.point_kills.items()} | dict(
            self.random_kills
        )
        return [
            f"{name}: {number} kills of {self.wanted}"
            for name, number in totals.items()
            if number < self.wanted
        ]

    @property
    def is_good(self) -> bool:
        """Whether everything held, and enough was killed to say so."""
        return not self.violations and not self.too_few and self.served[0] == self.served[1]

    def text(self) -> str:
        """Return the whole report."""
        lines = [f"Kill test: {self.plan}", "", "Killed with SIGKILL at named points"]
        lines += [
            f"  {point:<30}{kills.total():>4}  {_listed(kills)}"
            for point, kills in self.point_kills.items()
        ]
        lines += ["", "Killed at random"]
        lines += [f"  {name:<30}{number:>4}" for name, number in self.random_kills.items()]
        lines += [
            "",
            f"Started again: {_listed(self.restarts)}",
            f"Answers to devices: {_listed(self.answers)}",
        ]
        lines += [f"{name}: {_listed(outcomes)}" for name, outcomes in self.officers.items()]
        lines += [
            f"Slowest click on Approve: {self.slowest_click:.1f} s",
            f"Checked: {_listed(self.checked)}",
        ]
        times = ", ".join(f"{phase} {seconds:.0f} s" for phase, seconds in self.took.items())
        lines += [f"Time: {times}; {sum(self.took.values()):.0f} s in all", ""]
        lines += [
            f"Devices served: {self.served[0]} of {self.served[1]}",
            f"Violations: {len(self.violations)}",
        ]
        lines += [f"  {text}" for text in self.violations[:_SHOWN]]
        lines += [f"Too few kills: {text}" for text in self.too_few]
        lines.append("GOOD" if self.is_good else f"FAILED, logs and data are in {self.folder}")
        return "\n".join(lines)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items())) or "none"
