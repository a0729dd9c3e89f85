"""Each command line of README, CONTRIBUTING and docs is run here or per `run_elsewhere.py`."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import load_command_class

from tests.architecture.fences import ROOT, CommandLine, command_lines, fences, fences_of
from tests.architecture.test_documents import SECTIONS, parsers
from tests.flows.documented import LINES, prepare, surroundings
from tests.flows.run_elsewhere import ELSEWHERE
from tests.quick_commands import QuickPortal, quick_portal

#: Languages of blocks that hold no command lines.
TEXTS = {"env", "ini", "java", "json", "python", "text"}


def elsewhere(line: CommandLine) -> list[tuple[str, str]]:
    """Return the entries of the table that a line has."""
    return [
        (document, beginning)
        for document, beginning in ELSEWHERE
        if document == line.document and line.text.startswith(beginning)
    ]


HERE = [line for line in LINES if not elsewhere(line)]


def speaks_json(line: CommandLine) -> bool:
    """Say whether the command, and the action of it that a line names, has the option --json."""
    name, action = (
        line.text.split()[1:3] if line.text.count(" ") > 1 else (line.text.split()[1], "")
    )
    first, *below = parsers(load_command_class("pkiportal", name).create_parser("portal", name))
    chosen = [parser for parser in below if parser.prog.split()[-1] == action] or [first]
    return "--json" in chosen[0]._option_string_actions


WITHOUT_JSON = [
    line
    for line in HERE
    if line.document == "docs/commands.md"
    and not {"--json", "--out", ">"} & set(line.text.split())
    and speaks_json(line)
]


@pytest.fixture
def portal(
    starts_processes: None,
    db: None,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[QuickPortal]:
    with surroundings(settings, monkeypatch, tmp_path), quick_portal(tmp_path) as portal:
        yield portal


def keys(document: Any) -> set[str]:
    """Return the names of the members of an object, or of the objects of a list."""
    items = document if isinstance(document, list) else [document]
    return {key for item in items for key in item}


def unnamed(line: CommandLine, printed: str) -> set[str]:
    """Return the members that the text about the command does not name."""
    return keys(json.loads(printed)) - set(re.findall(r"`(\w+)`", promised(line.text.split()[1])))


def promised(command: str) -> str:
    """Return the text about a command's --json output; `createprofile` prints `profiles`' text."""
    section = SECTIONS["profiles" if command == "createprofile" else command]
    return str(section[section.index("JSON") :])


@pytest.mark.parametrize("line", HERE, ids=str)
def test_a_command_line_does_what_it_says(portal: QuickPortal, line: CommandLine) -> None:
    assert line.text.startswith("./portal"), (
        "what is no command of the portal has its line in run_elsewhere.py"
    )
    outcome = portal.sh(line.text, prepare(portal, line))
    assert outcome.status == 0, f"status {outcome.status}: {outcome.err}{outcome.out}"
    if line.text.endswith("--json"):
        assert unnamed(line, outcome.out) == set()


@pytest.mark.parametrize("line", WITHOUT_JSON, ids=str)
def test_json_has_the_members_that_the_text_names(portal: QuickPortal, line: CommandLine) -> None:
    outcome = portal.sh(f"{line.text} --json", prepare(portal, line))
    assert outcome.status == 0, f"status {outcome.status}: {outcome.err}{outcome.out}"
    assert unnamed(line, outcome.out) == set()


def test_every_line_that_is_run_elsewhere_is_documented_and_its_test_is_there() -> None:
    used = {entry for line in LINES for entry in elsewhere(line)}
    assert set(ELSEWHERE) - used == set()
    for target in ELSEWHERE.values():
        path, _, test = target.partition("::")
        if not target.startswith("by hand: "):
            assert (ROOT / path).exists(), target
            assert not test or f"\ndef {test}(" in (ROOT / path).read_text(), target


def test_a_block_holds_command_lines_or_says_in_which_language_it_is() -> None:
    assert {fence.language for fence in fences()} - TEXTS == {""}


def test_no_line_has_a_place_that_is_left_out() -> None:
    assert [str(line) for line in LINES if "…" in line.text] == []


def test_blocks_in_lists_continued_lines_and_here_documents_are_read() -> None:
    text = (
        "1. First\n\n   ```\n   one \\\n     more\n   # a comment\n\n   two <<'END'\n   text\n   "
        "END\n   ```\n"
    )
    (fence,) = fences_of(text, "x.md")
    commands = [(line.line, line.text) for line in command_lines(fence)]
    assert commands == [(4, "one \\\n  more"), (8, "two <<'END'\ntext\nEND")]
