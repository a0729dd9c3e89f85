"""What the published run of real clients has seen: `interop.json`, written by `./portal interop`
with its document.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).with_name("interop.json")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one client did in one scenario, in a few words."""

    client: str
    text: str

    @property
    def tone(self) -> str:
        """How it is shown: `good`, `bad` for a refusal, `quiet` where the client does not go that
        way.
        """
        if self.text in {"no", "not run"}:
            return "quiet"
        return "bad" if self.text.startswith(("refused", "**")) else "good"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that was tried with every client."""

    title: str
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a client does not go some ways."""

    client: str
    scenarios: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class RunByHand:
    """A client that is no part of the run, and what was seen when somebody ran it."""

    client: str
    when: str
    seen: str


@dataclass(frozen=True, slots=True)
class PublishedRun:
    """The whole run: clients with their versions, and what each of them did."""

    platform: str
    clients: tuple[str, ...]
    scenarios: tuple[Scenario, ...]
    reasons: tuple[Reason, ...]
    by_hand: tuple[RunByHand, ...]


@cache
def published_run() -> PublishedRun:
    """Read the run that came with this version."""
    seen = json.loads(_FILE.read_text())
    clients = tuple(seen["clients"])
    return PublishedRun(
        platform=seen["platform"],
        clients=clients,
        scenarios=tuple(
            Scenario(row["title"], tuple(map(Outcome, clients, row["outcomes"])))
            for row in seen["scenarios"]
        ),
        reasons=tuple(
            Reason(item["client"], tuple(item["scenarios"]), item["reason"])
            for item in seen["reasons"]
        ),
        by_hand=tuple(RunByHand(**item) for item in seen["by_hand"]),
    )
