"""What documents and settings repeat of the code is the same there."""

import re
import tomllib

import pytest

from approvals.decisions.decide import MAX_COMMENT
from approvals.device_setup.configurations.clients import CLIENTS
from approvals.records.transitions import EVENT_OF
from approvals.rules.errors import MAX_DEVICE_REASON
from approvals.rules.states import TRANSITIONS, State, Step
from tests.architecture.measures import ROOT, contracts, packages, tracked

#: A path in backticks: a folder and a file, or a folder with a slash at its end.
PATH = re.compile(r"`((?:[\w.-]+/)+(?:[\w-]+\.\w+)?)`")
NOT_IN_GIT = {"var/"}

#: The files of the tree are listed by git.
pytestmark = pytest.mark.usefixtures("starts_processes")


def section(document: str, heading: str) -> str:
    """Return the text under a heading of the second level."""
    return (ROOT / document).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_every_package_is_under_contract_and_measured() -> None:
    folders = {path.split("/")[0] for path in tracked() if path.count("/") == 1}
    roots = {name for name in folders if (ROOT / name / "__init__.py").exists()} - {"tests"}
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert set(packages()) == roots
    assert set(settings["coverage"]["run"]["source"]) == roots


def test_every_door_is_kept_from_signing_and_every_package_from_rest_framework() -> None:
    by_id = {contract["id"]: contract for contract in contracts()}
    names = packages()
    doors = set(names[: names.index("approvals")]) - {"pkiportal"}
    assert doors - set(by_id["web-never-signs"]["source_modules"]) == set()
    assert set(names) - {"api", "pkiportal"} == set(by_id["drf"]["source_modules"])
    assert names == by_id["acyclic"]["ancestors"]


def test_the_document_has_the_table_of_states() -> None:
    rows = re.findall(
        r"^\| ([A-Z]+) \|[^|]*\|([^|]*)\|",
        section("docs/internals/issuance-cycle.md", "States of a request"),
        re.MULTILINE,
    )
    steps = {
        (state, step, new)
        for state, text in rows
        for step, new in re.findall(r"(\w+) → (\w+)", text)
    }
    assert {state for state, _ in rows} == set(State)
    assert steps == {(str(old), str(step), str(new)) for (old, step), new in TRANSITIONS.items()}


def test_every_step_has_an_event() -> None:
    assert set(EVENT_OF) == set(Step)


def test_the_document_names_each_client_of_a_configuration() -> None:
    text = section("docs/commands.md", "`deviceconfig`").partition("Clients: ")[2]
    assert re.findall(r"`([\w-]+)`", text.partition(". ")[0]) == sorted(CLIENTS)


def test_the_documents_say_how_much_of_a_reason_reaches_the_device() -> None:
    (row,) = re.findall(r"^\| rejected \|.*", (ROOT / "docs/errors.md").read_text(), re.MULTILINE)
    texts = {
        "docs/officers.md": section("docs/officers.md", "Decide"),
        "docs/errors.md": row,
        "docs/commands.md": section("docs/commands.md", "`requests`"),
    }
    for path, text in texts.items():
        assert re.findall(r"first (\d+)", text) == [str(MAX_DEVICE_REASON)], path
    assert f"A reason may have {MAX_COMMENT} characters" in texts["docs/officers.md"]


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/internals/issuance-cycle.md"])
def test_every_path_that_a_document_names_is_there(document: str) -> None:
    paths = set(PATH.findall((ROOT / document).read_text())) - NOT_IN_GIT
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []
