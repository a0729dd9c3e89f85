"""Facts that documents and settings repeat agree with the code."""

import ast
import re
import tomllib
from datetime import timedelta

import pytest
from django.core.management import load_command_class

from approvals.decisions.decide import MAX_COMMENT
from approvals.device_setup.configurations.clients import CLIENTS
from approvals.profiles.manage import REFUSED_TTL, REQUEST_TTL
from approvals.records.transitions import EVENT_OF
from approvals.rules.errors import MAX_DEVICE_REASON
from approvals.rules.policy import RENEWAL_WINDOW
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


def default_of(command: str, *words: str) -> timedelta:
    """Return the time that a command takes where `--expires` is left out."""
    parser = load_command_class("pkiportal", command).create_parser("manage.py", command)
    time: timedelta = vars(parser.parse_args(list(words)))["expires"]
    return time


@pytest.mark.parametrize(
    ("document", "sentence", "time"),
    [
        (
            "docs/officers.md",
            "Requests wait (30 days) unless",
            REQUEST_TTL,
        ),
        ("docs/errors.md", r"the same transaction after (24 hours) \(`refused_ttl`\)", REFUSED_TTL),
        (
            "docs/commands.md",
            r"`30m`, `(1h)` \(the default\)",
            default_of("createchallenge", "phones"),
        ),
        (
            "docs/commands.md",
            r"live for `--expires` \(`(1h)`\)",
            default_of("deviceconfig", "vpn", "sscep", "--cn", "x"),
        ),
        (
            "docs/commands.md",
            r"else `--expires`, (7d)\)",
            default_of("challenges", "make", "vpn", "devices.csv"),
        ),
        ("docs/commands.md", "how long before its end [^|]*, `(30d)`; `0`", RENEWAL_WINDOW),
    ],
)
def test_the_documents_name_the_default_times(
    document: str, sentence: str, time: timedelta
) -> None:
    (text,) = re.findall(sentence, (ROOT / document).read_text())
    number, unit = re.findall(r"(\d+) ?([dh])", text)[0]
    assert timedelta(**{{"d": "days", "h": "hours"}[unit]: int(number)}) == time


def test_the_document_names_the_default_numbers_of_the_settings() -> None:
    documented = re.findall(
        r"^\| `(PORTAL_\w+)` \| `(\d+)` \|", (ROOT / "docs/operations.md").read_text(), re.MULTILINE
    )
    source = (ROOT / "pkiportal/settings.py").read_text()
    read = {
        call.args[0].value: keyword.value.value
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call) and call.args and isinstance(call.args[0], ast.Constant)
        for keyword in call.keywords
        if keyword.arg == "default" and isinstance(keyword.value, ast.Constant)
    }
    numbers = {name: value for name, value in read.items() if type(value) is int}
    assert {name: int(number) for name, number in documented} == numbers


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/internals/issuance-cycle.md"])
def test_every_path_that_a_document_names_is_there(document: str) -> None:
    paths = set(PATH.findall((ROOT / document).read_text())) - NOT_IN_GIT
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []
