"""The measures count correctly, and the product stays within their limits."""

import ast
from collections.abc import Callable

import pytest

from tests.architecture import measures
from tests.architecture.summary import PROPERTY

#: The files of the tree are listed by git.
pytestmark = [
    pytest.mark.usefixtures("starts_processes"),
    pytest.mark.skipif(not (measures.ROOT / ".git").exists(), reason="the files are listed by git"),
]


def test_the_measures_are_shown(record_property: Callable[[str, object], None]) -> None:
    record_property(PROPERTY, "\n".join(measures.aligned(measures.table())))


def test_no_module_is_in_an_import_cycle() -> None:
    assert measures.in_cycles(measures.imports()) == set()


def test_no_import_points_up() -> None:
    assert measures.arrows_up() == []


def test_no_folder_is_crowded() -> None:
    assert measures.crowded_folders() == {}


def test_bindings_are_named_by_their_noun() -> None:
    assert measures.vague_share() <= measures.MAX_VAGUE, measures.vague_bindings()


def test_no_text_contains_a_banned_word() -> None:
    """Plain words to write instead: `nobody` "no device", `whoever` "the officer"."""
    assert measures.banned_places() == ()


def test_an_import_of_a_submodule_is_not_one_of_its_package() -> None:
    tree = ast.parse("import a.b\nfrom a import c\ndef f():\n    from a.b import x\nimport other")
    assert measures.imported_by(tree, {"a", "a.b", "a.c"}) == {"a.b", "a.c"}


def test_a_cycle_is_found_and_what_leads_to_it_is_not_in_it() -> None:
    graph = {
        "a": frozenset({"b"}),
        "b": frozenset({"c"}),
        "c": frozenset({"b"}),
        "d": frozenset[str](),
    }
    assert measures.in_cycles(graph) == {"b", "c"}


@pytest.mark.parametrize(
    ("importer", "imported", "wrong"),
    [
        ("app.top", "app.low.deep", False),
        ("app.low.deep", "app.top", True),
        ("app.left", "app.right", True),
        ("app.left.one", "app.left.two", False),
        ("app.low", "app.unnamed", False),
        ("app.low", "other.top", False),
    ],
)
def test_an_arrow_is_judged_by_the_floors(importer: str, imported: str, wrong: bool) -> None:
    graph = {importer: frozenset({imported})}
    layers = ["top", "left | right", "low"]
    assert list(measures.wrong_arrows(graph, "app", layers)) == [(importer, imported)] * wrong


def test_every_kind_of_binding_counts() -> None:
    source = """
a = 1
b: int = 2
for c in (): pass
with x as d: pass
try: pass
except E as e: pass
match x:
    case [f, *g]: pass
h = lambda i: (j := i)
def k(l, *m, n=0, **o): pass
import p
a.q = 1
"""
    assert sorted(measures.bindings(ast.parse(source))) == list("abcdefghijlmno")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Nobody knows whom.", 2),
        ("no more than two", 0),
        ("there are no more rows", 1),
        ("besides", 0),
        ("nobody_knows", 0),
        ("a table of ours", 1),
    ],
)
def test_banned_words_are_whole_words(text: str, count: int) -> None:
    assert len(measures.BANNED.findall(text)) == count


def test_of_a_change_log_only_what_is_not_released_counts() -> None:
    changes = "# Changes\n\n## 0.2.0 (unreleased)\nnew\n\n## 0.1.0 (1 May)\nold\n"
    assert measures.unreleased(changes) == "## 0.2.0 (unreleased)\nnew\n\n"


@pytest.mark.parametrize(
    ("folder", "free"),
    [
        ("docs/adr", True),
        ("docs", False),
        ("tests", True),
        ("tests/flows", True),
        ("pkiportal/management/commands", True),
        ("approvals/migrations", True),
        ("approvals/pages", False),
    ],
)
def test_some_folders_may_hold_more_files(folder: str, free: bool) -> None:
    assert (measures.FREE_FOLDERS.fullmatch(folder) is not None) == free
