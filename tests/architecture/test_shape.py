"""Rules about the code that neither imports nor a linter show."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.measures import MAX_FUNCTION, MAX_MODULE, body_lines, packages

ROOT = Path(__file__).parents[2]
DOOR = re.compile(r"(\w+_)?views|tasks|admin")
CLOCK = re.compile(r"timezone\.now\(\)|datetime\.now\(|date\.today\(|utcnow\(")
FORBIDDEN_WORDS = re.compile(
    r"\|safe\b|mark_safe|\.innerHTML|\beval\(|insertAdjacentHTML|autoescape off"
)


def modules() -> Iterator[Path]:
    """Yield every module of the product, migrations left out."""
    for package in packages():
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path


def named(path: Path) -> str:
    """Return the path below the root."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", list(modules()), ids=named)
def test_modules_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_MODULE
    long = [
        f"{node.name}: {body_lines(node)} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and body_lines(node) > MAX_FUNCTION
    ]
    assert not long


def test_only_doors_and_clocks_read_the_clock() -> None:
    """`now` is a parameter elsewhere: tests can set it, and one use case has one time."""
    readers = {
        named(path)
        for path in modules()
        if CLOCK.search(path.read_text()) and not DOOR.fullmatch(path.stem)
    }
    readers = {name for name in readers if not name.startswith("pkiportal/")}
    tags = {"approvals/templatetags/portal.py", "inspector/templatetags/inspector.py"}
    names = (
        "accounts/sign_in/adapter",
        "accounts/sign_in/browsers",
        "accounts/sign_in/sessions",
        "accounts/sign_in/sign_ins",
        "api/authentication",
    )
    doors = {f"{name}.py" for name in names}
    assert readers == {"database/clock.py", *doors, *tags}


def test_no_page_or_script_writes_unescaped_text() -> None:
    files = [*(ROOT / "templates").rglob("*.html"), *(ROOT / "static").rglob("*.js"), *modules()]
    offenders = [named(path) for path in files if FORBIDDEN_WORDS.search(path.read_text())]
    assert not offenders


def test_no_foreign_key_points_upwards() -> None:
    """Imports cannot show a foreign key by name into a higher app, or a look-up of its model."""
    order = ["keys", "database", "audit", "accounts", "ca", "approvals"]
    pattern = re.compile(r"""(?:get_model\(|ForeignKey\(|OneToOneField\()\s*["'](\w+)[."']""")
    for level, package in enumerate(order):
        for path in (ROOT / package).rglob("*.py"):
            if "migrations" in path.parts:
                continue
            for target in pattern.findall(path.read_text()):
                assert target not in order[level + 1 :], f"{named(path)} reaches up to {target}"


@pytest.mark.usefixtures("starts_processes")
def test_the_repository_speaks_of_the_product_alone() -> None:
    """No host names of package registries, no paths of a machine."""
    words = ["pypi" + ".org", "python" + "hosted", "registry." + "npmjs", "deb." + "debian"]
    tracked = subprocess.run(
        ["git", "grep", "-lIiE", "|".join(words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if tracked.returncode not in (0, 1):
        pytest.skip("not a git checkout")
    assert tracked.stdout.split() == []


def test_use_cases_are_told_who_acts_by_a_principal() -> None:
    """Of the functions that other modules call, only those of the log and the one that takes a step
    of a request are given an actor.
    """
    takers = {
        f"{named(path)}: {node.name}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
        for argument in (*node.args.args, *node.args.kwonlyargs)
        if argument.annotation is not None
        and re.search(r"\bActor\b", ast.unparse(argument.annotation))
    }
    assert {taker for taker in takers if not taker.startswith("audit/")} == {
        "approvals/records/transitions.py: advance"
    }


def test_an_actor_outside_of_the_log_has_an_address() -> None:
    """The portal itself, which no door leads to, is the only one without."""
    actors = [
        (named(path), ast.unparse(node))
        for path in modules()
        if not named(path).startswith("audit/")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Actor"
    ]
    assert len(actors) > 5
    without = [item for item in actors if "address=" not in item[1]]
    assert [item for item in without if "kind='system'" not in item[1]] == []
