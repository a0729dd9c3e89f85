"""An entry is found by the identifier of its subject, of any kind."""

import ast
from pathlib import Path

import pytest

from accounts.roles import Role
from audit.events import SYSTEM, Event, Subject
from audit.log import record
from history.filters import SUBJECT_KINDS
from tests.pages import signed_in
from tests.world import World, create_person, now

ROOT = Path(__file__).parents[2]
CODE = [
    path
    for path in ROOT.glob("*/**/*.py")
    if path.relative_to(ROOT).parts[0] not in {"tests", ".venv", "node_modules"}
]


def kinds_in(source: str) -> set[str]:
    """Return the kinds for which `Subject.of` is called, and "?" for a kind that is no literal."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    makers = [call for call in calls if ast.unparse(call.func) == "Subject.of"]
    return {
        str(kind.value) if isinstance(kind := call.args[0], ast.Constant) else "?"
        for call in makers
    }


@pytest.mark.parametrize(
    ("source", "kinds"),
    [
        ("Subject.of('key', x)", {"key"}),
        ("record(subject=None if a else Subject.of('token', t.pk))", {"token"}),
        ("Subject.of(kind, x)", {"?"}),
        ("Other.of('key', x)", set()),
        ("a = Subject.of('user', 1); b = Subject.of('secret', 2, 3)", {"user", "secret"}),
    ],
)
def test_kinds_are_read_from_code(source: str, kinds: set[str]) -> None:
    assert kinds_in(source) == kinds


def test_the_filter_knows_each_kind_that_the_code_writes_and_no_other() -> None:
    written = set[str]().union(*(kinds_in(path.read_text(encoding="utf-8")) for path in CODE))
    assert sorted(SUBJECT_KINDS) == sorted(written)


@pytest.mark.parametrize(
    "kind", ["key", "token", "ndes-account", "secret", "user", "authority", "device-group"]
)
def test_an_entry_is_found_by_its_subject(world: World, kind: str) -> None:
    identifier = "ab" * 32
    for name in (identifier, "cd" * 32):
        record(Event.KEY_BLOCK, actor=SYSTEM, now=now(), subject=Subject.of(kind, name), data={})
    page = signed_in(create_person("bob", Role.AUDITOR)).get(
        "/history/audit/", {"subject": identifier}
    )
    assert [entry.subject_id for entry in page.context["page"].rows] == [identifier]
