"""The documents name commands, settings and files as they are."""

import ast
import re
from argparse import SUPPRESS, ArgumentParser, _SubParsersAction
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import load_command_class

from audit.events import Event

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
COMMANDS = sorted(path.stem for path in (ROOT / "pkiportal/management/commands").glob("[a-z]*.py"))
SECTIONS = dict(
    re.findall(
        r"^## `(\w+)`\n(.*?)(?=^## |\Z)", (ROOT / "docs/commands.md").read_text(), re.M | re.S
    )
)
#: Django's own options, and those that the text before the sections explains once for all commands.
COMMON = {
    "--help",
    "--version",
    "--verbosity",
    "--settings",
    "--pythonpath",
    "--traceback",
    "--no-color",
} | {
    *("--force-color", "--skip-checks", "--json", "--data", "--yes"),
}
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#]*)(?:#([^)]*))?\)")
SETTING = re.compile(r"\"((?:PORTAL_[A-Z_]+|(?:EMAIL|REDIS|DATABASE)_URL))\"")
OURS = {"PORTAL_EMBEDDED", "PORTAL_SERVES"}  # between the portal's own processes: not set by people


def named(path: Path) -> str:
    """Return the path below the root."""
    return str(path.relative_to(ROOT))


def parsers(parser: ArgumentParser) -> Iterator[ArgumentParser]:
    """Yield a parser and those of its actions."""
    yield parser
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            for below in action.choices.values():
                yield from parsers(below)


def options_of(command: str) -> set[str]:
    """Return the long options of a command in addition to the common ones."""
    parser = load_command_class("pkiportal", command).create_parser("manage.py", command)
    actions = [
        action for one in parsers(parser) for action in one._actions if action.help != SUPPRESS
    ]
    return {text for action in actions for text in action.option_strings if text.startswith("--")}


def explained_in(section: str) -> set[str]:
    """Return the long options that a text names."""
    both = re.sub(r"--\[no-\]([a-z-]+)", r"--\1 --no-\1", section)
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", both))


def promised_by(command: str) -> set[str]:
    """Return the long options of a command's own examples and of its tables."""
    lines = SECTIONS[command].splitlines()
    cells = [line.split("|")[1] for line in lines if line.startswith("| `--")]
    return (
        explained_in(
            "\n".join(cells + [line for line in lines if line.startswith(f"./portal {command} ")])
        )
        - COMMON
    )


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def tables(path: Path) -> Iterator[list[str]]:
    """Yield the first cells of each table."""
    cells: list[str] = []
    for line in [*path.read_text().splitlines(), ""]:
        if line.startswith("|"):
            cells.append(line.split("|")[1].strip())
        elif cells:
            yield cells[2:]
            cells = []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_is_explained_and_no_other(command: str) -> None:
    known = options_of(command)
    assert promised_by(command) - known == set()
    if command != "migrate":  # Django explains its own
        assert known - COMMON - explained_in(SECTIONS[command]) == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_every_link_of_a_document_leads_somewhere(path: Path) -> None:
    broken = []
    for target, anchor in LINK.findall(path.read_text()):
        file = (path.parent / target) if target else path
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(f"{target}#{anchor}")
    assert not broken


def test_the_index_lists_every_document() -> None:
    index = ROOT / "docs/README.md"
    listed = {
        (index.parent / target).resolve() for target, _ in LINK.findall(index.read_text()) if target
    }
    expected = {
        path.resolve() for path in DOCUMENTS if path.parent != ROOT / "docs/adr" and path != index
    } - {ROOT / "CHANGELOG.md"}
    assert expected - listed == set()


@pytest.mark.parametrize("name", ["commands.md", "operations.md"])
def test_no_table_of_options_or_settings_says_a_thing_twice(name: str) -> None:
    for cells in tables(ROOT / "docs" / name):
        assert [cell for cell, times in Counter(cells).items() if times > 1] == []


def test_every_setting_is_explained() -> None:
    sources = "".join(
        (ROOT / "pkiportal" / name).read_text()
        for name in ("settings.py", "runtime/parts.py", "environment/datafolder.py")
    )
    explained = set(re.findall(r"[A-Z]+_[A-Z_]+", (ROOT / "docs/operations.md").read_text()))
    assert set(SETTING.findall(sources)) - explained - OURS == set()


def events_of(document: str) -> set[str]:
    """Return the events that a table of the auditors' document lists."""
    rows = re.findall(r"^\| `([a-z-]+):([a-z-]*)`([^|]*)\|", document, re.M)
    actions = [
        (subject, action.strip())
        for subject, one, more in rows
        for action in [one, *more.split(",")]
    ]
    return {f"{subject}:{action}" for subject, action in actions if action}


@pytest.mark.parametrize(
    ("line", "events"),
    [
        ("| `a:` b, c | text |", {"a:b", "a:c"}),
        ("| `a:b` | text |", {"a:b"}),
        ("| `a-b:` c-d | text `e:f`|", {"a-b:c-d"}),
        ("`a:` b, c", set()),
        ("| `a` | b |", set()),
    ],
)
def test_events_are_read_from_a_table(line: str, events: set[str]) -> None:
    assert events_of(line) == events


def test_the_auditors_document_lists_each_event_and_no_other() -> None:
    events = {event.value for event in Event}
    assert events_of((ROOT / "docs/auditors.md").read_text()) == events


CODE = re.compile(r"[a-z]+(?:-[a-z0-9]+)*")


def codes_in(source: str) -> set[str]:
    """Return the codes of findings, except those of checks of finished bytes."""
    codes = set[str]()
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and len(call.args) >= 2:
            place = {"refuse": 0, "ask_officer": 0, "warn": 0, "info": 0, "Finding": 1}.get(
                call.func.id
            )
            if place is not None:
                texts = [
                    node.value
                    for node in ast.walk(call.args[place])
                    if isinstance(node, ast.Constant)
                ]
                codes |= {text for text in texts if isinstance(text, str) and CODE.fullmatch(text)}
    return {code for code in codes if not code.startswith(("lint-", "crl-"))}


@pytest.mark.parametrize(
    ("source", "codes"),
    [
        ("refuse('a-b', 'text')", {"a-b"}),
        ("Finding('warn', 'c-d', 'text')", {"c-d"}),
        ("warn('e-f' if x else 'g-h', 'text')", {"e-f", "g-h"}),
        ("refuse('lint-x', 'text'); info('crl-x', 'text')", set()),
        ("other('a-b', 'text')", set()),
    ],
)
def test_codes_are_read_from_code(source: str, codes: set[str]) -> None:
    assert codes_in(source) == codes


def test_each_code_of_a_finding_is_explained() -> None:
    section = (
        (ROOT / "docs/errors.md").read_text().partition("\n## Findings\n")[2].partition("\n## ")[0]
    )
    explained = set(
        re.findall(r"`([a-z0-9-]+)`", "".join(re.findall(r"^\|([^|]*)\|", section, re.M)))
    )
    sources = [
        path.read_text() for part in ("ca", "approvals") for path in (ROOT / part).rglob("*.py")
    ]
    assert sorted(set[str]().union(*map(codes_in, sources)) - explained) == []
    assert [
        code for code in sorted(explained) if not any(f'"{code}"' in source for source in sources)
    ] == []
