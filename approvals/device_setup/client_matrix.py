"""The published test run of real clients: `interop.json`, written by `./portal interop`."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).with_name("interop.json")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one client in one scenario, in a few words."""

    client: str
    text: str

    @property
    def tone(self) -> str:
        """Its tone on pages: `good`, `bad` for a refusal, `quiet` for an unsupported scenario."""
        if self.text in {"no", "not run"}:
            return "quiet"
        return "bad" if self.text.startswith(("refused", "**")) else "good"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One test of every client."""

    title: str
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """The reason why a client does not support some scenarios."""

    client: str
    scenarios: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class RunByHand:
    """A client outside the automatic run, and the result of a run by hand."""

    client: str
    when: str
    seen: str


@dataclass(frozen=True, slots=True)
class PublishedRun:
    """The whole run: clients with their versions, and their results."""

    platform: str
    clients: tuple[str, ...]
    scenarios: tuple[Scenario, ...]
    reasons: tuple[Reason, ...]
    by_hand: tuple[RunByHand, ...]


@cache
def published_run() -> PublishedRun:
    """Read the run shipped with this version."""
    document = json.loads(_FILE.read_text())
    clients = tuple(document["clients"])
    return PublishedRun(
        platform=document["platform"],
        clients=clients,
        scenarios=tuple(
            Scenario(row["title"], tuple(map(Outcome, clients, row["outcomes"])))
            for row in document["scenarios"]
        ),
        reasons=tuple(
            Reason(item["client"], tuple(item["scenarios"]), item["reason"])
            for item in document["reasons"]
        ),
        by_hand=tuple(RunByHand(**item) for item in document["by_hand"]),
    )
