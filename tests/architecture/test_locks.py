"""Each lock is closed: an installer finds everything in it and needs no index."""

from importlib.metadata import distributions

import pytest
from packaging.utils import canonicalize_name

from tests.architecture.locks import (
    ENVIRONMENTS,
    ROOT,
    faults,
    installed_requirements,
    read_lock,
    roots,
)

LOCKS = {"requirements.lock": (), "requirements-test.lock": ("test", "lint")}
INSTALLED: dict[str, str] = {
    canonicalize_name(one.metadata["Name"]): one.version for one in distributions()
}

#: A change of the test lock, as (text, replacement), and the beginning of the missing requirement.
BREAKS = [
    ("kombu[redis]==", "kombu==", "kombu[redis]"),
    ("django-stubs[compatible-mypy]==", "django-stubs==", "django-stubs[compatible-mypy]"),
    ("psycopg[binary]==", "psycopg==", "psycopg[binary]"),
    ("environs[django]==", "environs==", "environs[django]"),
    ("sqlparse==", "sqlparse-of-another-name==", "sqlparse"),
    ("cffi==", "cffi==0.", "cffi"),
    ("python_full_version < '3.11.3'", "python_full_version < '3.11.1'", "async-timeout"),
    ("pycparser==3", "pycparser-2==3", "pycparser"),
    (
        "colorama==0.4.6 ; sys_platform == 'win32'",
        "colorama==0.4.6 ; sys_platform == 'cygwin'",
        "colorama",
    ),
]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_answers_all_its_requirements(name: str, environment: str) -> None:
    pins = read_lock((ROOT / name).read_text())
    assert (
        faults(pins, roots(*LOCKS[name]), installed_requirements, ENVIRONMENTS[environment]) == []
    )


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_of_a_lock_has_a_hash(name: str) -> None:
    pins = read_lock((ROOT / name).read_text())
    assert [package for package, pin in pins.items() if not pin.hashes] == []


def test_the_requirements_are_read_from_the_locked_versions() -> None:
    """A locked package that is not installed here is left out by its marker.

    It has the locked version.
    """
    pins = read_lock((ROOT / "requirements-test.lock").read_text())
    here = {
        name: pin
        for name, pin in pins.items()
        if not pin.requirement.marker or pin.requirement.marker.evaluate()
    }
    assert {name: INSTALLED.get(name) for name in here} == {
        name: pin.version for name, pin in here.items()
    }


@pytest.mark.parametrize(("text", "replacement", "missing"), BREAKS)
def test_a_gap_in_a_lock_is_named(text: str, replacement: str, missing: str) -> None:
    lock = (ROOT / "requirements-test.lock").read_text()
    assert text in lock
    pins = read_lock(lock.replace(text, replacement))
    gaps = {
        gap
        for environment in ENVIRONMENTS.values()
        for gap in faults(pins, roots("test", "lint"), installed_requirements, environment)
    }
    assert any(gap.startswith(missing) for gap in gaps), gaps


@pytest.mark.parametrize(
    "line", ["django>=5", "django", "git+https://example.org/x", "-e .", "django~=5.2.0"]
)
def test_a_line_without_an_exact_version_is_no_lock(line: str) -> None:
    with pytest.raises(ValueError, match="no exact version"):
        read_lock(f"{line}\n")
