"""The published matrix of clients and scenarios, from the tests that carry its cells only.

A test of this folder names by `@pytest.mark.cell(CLIENT, SCENARIO, …)` the cell it shows. A cell
without a test has a reason here; an unknown client or scenario, and a cell with neither, stop the
run.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

SCENARIOS: Final[Mapping[str, str]] = {
    "automatic": "a certificate at once",
    "approved": "pending, then approved",
    "rejected": "pending, then rejected",
    "challenge": "wrong challenge",
    "renewal": "renewal",
    "again": "asked again after SUCCESS",
    "get": "GET only",
    "ra": "RA certificate in GetCACert",
    "chain": "root and intermediate CA",
}


@dataclass(frozen=True)
class Client:
    """A client of the matrix; `packages` are Debian's, `asks` prints its version otherwise."""

    name: str
    packages: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()

    def version(self) -> str:
        """Return the version that ran, or an empty text where the client is not there."""
        if self.asks:
            return _printed(self.asks)
        for package in self.packages:
            version = _printed(("dpkg-query", "-W", "-f", "${Version}", package))
            if version:
                return version
        return ""


CLIENTS: Final[Mapping[str, Client]] = {
    "own": Client("own client"),
    "strongswan": Client("strongSwan pki", ("strongswan-pki",)),
    "certmonger": Client("certmonger", ("certmonger",)),
    "scepclient": Client("micromdm scepclient", ("scep",)),
}

_DES: Final = (
    "encrypts with single DES, whatever the server offers, so its first message is refused"
)
#: Why a cell has no test.
IMPOSSIBLE: Final[Mapping[tuple[str, str], str]] = {
    ("scepclient", "approved"): _DES,
    ("scepclient", "rejected"): _DES,
    ("scepclient", "challenge"): _DES,
    ("scepclient", "renewal"): _DES,
    ("scepclient", "again"): _DES,
    ("strongswan", "get"): "this version sends POST, even to a server that does not offer it",
    ("scepclient", "get"): "sends POST whenever it is offered",
    ("certmonger", "again"): "whatever it sends with a certificate in its hands is a renewal",
}


@dataclass(frozen=True)
class ByHand:
    """A client outside the run, and the results of a run by hand."""

    client: str
    when: str
    seen: str


BY_HAND: Final = (
    ByHand(
        "sscep 0.10.0",
        "2026-11",
        "at once; pending, then approved or rejected; wrong challenge; renewal; asked again; POST "
        "and GET; one RA "
        "certificate, split RA, intermediate CA; GetCert, GetCRL, GetNextCACert",
    ),
    ByHand(
        "jscep 2.5.7-SNAPSHOT",
        "2026-11",
        "at once; pending, then approved or rejected; wrong challenge; renewal by RenewalReq and "
        "PKCSReq; asked again; "
        "POST and GET; one RA certificate, split RA, intermediate CA, EC CA; GetCert, GetCRL, "
        "GetNextCACert",
    ),
    ByHand(
        "PyScep 0.0.14", "2026-11", "pending, then approved; one RA certificate, and a split RA"
    ),
)


@dataclass(frozen=True)
class Cell:
    """The cell that one test shows: the expected outcome, in a few words."""

    client: str
    scenario: str
    shows: str = "works"

    def __post_init__(self) -> None:
        if self.client not in CLIENTS or self.scenario not in SCENARIOS:
            raise ValueError(
                f"cell {self.client}, {self.scenario}: no such client or scenario in {__name__}"
            )
        if (self.client, self.scenario) in IMPOSSIBLE:
            raise ValueError(
                f"cell {self.client}, {self.scenario}: declared impossible, and here is its test"
            )


@dataclass
class Matrix:
    """The results of one run."""

    outcomes: dict[Cell, list[str]] = field(default_factory=dict)

    def note(self, cell: Cell, outcome: str) -> None:
        """Add the outcome of one test: passed, failed or skipped."""
        self.outcomes.setdefault(cell, []).append(outcome)

    def missing(self) -> list[str]:
        """Cells that have neither a test nor a reason."""
        known = {(cell.client, cell.scenario) for cell in self.outcomes} | set(IMPOSSIBLE)
        return [
            f"{client}, {name}"
            for client in CLIENTS
            for name in SCENARIOS
            if (client, name) not in known
        ]

    def is_green(self) -> bool:
        """Whether every cell is there and every test of every cell passed."""
        return not self.missing() and all(
            set(outcomes) == {"passed"} for outcomes in self.outcomes.values()
        )

    def text(self, client: str, scenario: str) -> str:
        """Return the text of a cell."""
        if (client, scenario) in IMPOSSIBLE:
            return "no"
        results = [
            (cell, set(outcomes))
            for cell, outcomes in self.outcomes.items()
            if _is(cell, client, scenario)
        ]
        if any("failed" in outcomes for _, outcomes in results):
            return "**fails**"
        if not results or any("passed" not in outcomes for _, outcomes in results):
            return "not run"
        return ", ".join(sorted({cell.shows for cell, _ in results}))


def document(matrix: Matrix, versions: Mapping[str, str], platform: str) -> dict[str, Any]:
    """Return the results of the run as data for the page of clients.

    See `approvals.device_setup.client_matrix`.
    """
    return {
        "platform": platform,
        "clients": [
            f"{client.name} {versions.get(key, '')}".strip() for key, client in CLIENTS.items()
        ],
        "scenarios": [
            {"title": title, "outcomes": [matrix.text(client, scenario) for client in CLIENTS]}
            for scenario, title in SCENARIOS.items()
        ],
        "reasons": [
            {"client": CLIENTS[client].name, "scenarios": _titles(client, why), "reason": why}
            for client, why in _reasons()
        ],
        "by_hand": [asdict(run) for run in BY_HAND],
    }


def render(results: Mapping[str, Any]) -> str:
    """Return the page: one row for each scenario, one column for each client, the reasons below."""
    rows = [[row["title"], *row["outcomes"]] for row in results["scenarios"]]
    lines = [
        "# Which clients work",
        "",
        (
            "Written by `./portal interop`, which starts a whole portal and runs each client "
            "against "
            "it over HTTP. Nothing"
        ),
        (
            "in the table is written by hand: each cell is what a test has seen, and CI runs them "
            "all "
            "with each change."
        ),
        "",
        f"Run on {results['platform']}.",
        "",
        *_table(["", *results["clients"]], rows),
        "",
        "*no* is a road that the client does not go:",
        "",
        *[
            f"* {item['client']}, {', '.join(item['scenarios'])}: {item['reason']}."
            for item in results["reasons"]
        ],
        "",
        "## Run by hand",
        "",
        (
            "Not part of the run above: each was built or installed by hand and run against this "
            "portal."
        ),
        "",
        *_table(
            ["client", "when", "seen"],
            [[run["client"], run["when"], run["seen"]] for run in results["by_hand"]],
        ),
        "",
        (
            "How to run each client by hand, and what it prints: [clients.md](clients.md). "
            "Messages "
            "recorded from these"
        ),
        (
            "clients, and hand-made ones that look like those of Apple and Windows devices, are in "
            "`tests/vectors/`."
        ),
        "",
    ]
    return "\n".join(lines)


def _reasons() -> list[tuple[str, str]]:
    return list(dict.fromkeys((client, why) for (client, _), why in IMPOSSIBLE.items()))


def _titles(client: str, why: str) -> list[str]:
    return [
        SCENARIOS[name]
        for (of, name), reason in IMPOSSIBLE.items()
        if (of, reason) == (client, why)
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]


def _is(cell: Cell, client: str, scenario: str) -> bool:
    return (cell.client, cell.scenario) == (client, scenario)


def _printed(command: Sequence[str]) -> str:
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    match = re.search(r"\d+(?:\.\d+)+", done.stdout) if done.returncode == 0 else None
    return match.group() if match else ""
