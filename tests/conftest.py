"""The fixtures that all tests share, and the report of skipped tests."""

import gc
import math
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import hypothesis
import pytest
from cryptography.hazmat.primitives import serialization
from django.db import connection
from django.db.models import CheckConstraint

from approvals.enrollment import polls
from keys import file as key_file
from pkiportal.doctor.invariants import check_invariants
from pkiportal.environment import fingerprints
from scep import faults
from tests.entry_addresses import watch_entries
from tests.interop.report import note_cells
from tests.lanes import (  # noqa: F401 - pytest finds the hooks and fixtures here
    only_declared_processes,
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_configure,
    starts_processes,
)
from tests.migrated import copy_migrated_database
from tests.recorded_checks import validate_once
from tests.recorded_keys import load_checked_once
from tests.recorded_world import recorded_world
from tests.world import World, create_world, forget_caches

pytest_plugins = ["tests.architecture.summary"]

#: Requirements of tests that a machine may lack, by the marker that names them.
_WANTED: Final = {
    "postgresql": "a PostgreSQL server (PORTAL_TEST_DATABASE_URL, or its programs installed)",
    "browser": "a browser (Debian package chromium)",
    "interop": "a SCEP client written by others",
    "chaos": "the kill test",
}
#: How long it takes to draw an input says something about the machine, and nothing about the code.
hypothesis.settings.register_profile(
    "portal", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("portal")
_REQUIRE_ALL: Final = "PORTAL_TEST_REQUIRE_ALL"

# Modules and test cases live to the end. Searching them for garbage again and again took a tenth of
# the time, so the collector runs seldom, and what exists before the first test is left out.
gc.set_threshold(100_000, 50, 100)


def pytest_collection_finish() -> None:
    """Leave what is there before the first test out of garbage collection."""
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores for `-n auto`: many tests wait for portals and browsers that
    they have started.

    In the fast lane none does: each core has one.
    """
    cores = os.cpu_count() or 1
    return cores if config.getoption("fast") else cores + 1


@pytest.fixture(scope="session", autouse=True)
def data_folder() -> Iterator[Path]:
    """The data folder that the settings of the tests name, with mode 0700, for the session."""
    from django.conf import settings

    from pkiportal.environment.datafolder import ensure_data_folder

    folder = ensure_data_folder(settings.PORTAL_DATA.root)
    yield folder.root
    shutil.rmtree(folder.root, ignore_errors=True)
    for left in folder.root.parent.glob(f"{folder.root.name}.sqlite3*"):
        left.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def django_db_keepdb(
    request: pytest.FixtureRequest, data_folder: Path, django_db_modify_db_settings: None
) -> bool:
    """On SQLite tests begin with a copy of a migrated database, except with --no-migrations."""
    if connection.vendor != "sqlite" or request.config.getoption("nomigrations"):
        return False
    copy_migrated_database(Path(connection.settings_dict["TEST"]["NAME"]))
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Note the requirement of a test in its report, for the summary in another process."""
    report = yield
    for marker in _WANTED:
        if item.get_closest_marker(marker):
            report.user_properties.append(("wanted", marker))
    if report.when == "call" or report.outcome != "passed":
        note_cells(item, report)
    return report


def left_out(reports: list[Any]) -> dict[str, list[str]]:
    """Names of the skipped tests by their missing requirement."""
    by_reason: dict[str, list[str]] = {}
    for report in reports:
        reasons = [value for name, value in report.user_properties if name == "wanted"] or ["other"]
        by_reason.setdefault(reasons[0], []).append(report.nodeid)
    return by_reason


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report the skipped tests and their missing requirements."""
    by_reason = left_out(terminalreporter.stats.get("skipped", []))
    if not by_reason:
        return
    terminalreporter.section("left out")
    for cause, names in sorted(by_reason.items()):
        reason = _WANTED.get(cause, "the reason shown above")
        terminalreporter.write_line(f"{len(names)} for want of {reason}:")
        for name in sorted(set(names)):
            terminalreporter.write_line(f"  {name}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the session if a test was skipped although all requirements are expected."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get(_REQUIRE_ALL) == "1" and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def cheap_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Derive keys and fingerprints with few rounds, and check each recorded RSA key once."""
    monkeypatch.setattr(key_file, "_PBKDF2_ITERATIONS", 1000)
    monkeypatch.setitem(fingerprints._COST, "n", 16)
    monkeypatch.setattr(serialization, "load_pem_private_key", load_checked_once)


@pytest.fixture(autouse=True)
def cheap_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the database about each check constraint once for the same values."""
    monkeypatch.setattr(CheckConstraint, "validate", validate_once)


@pytest.fixture(autouse=True)
def nothing_unplanned(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that causes an unexpected exception at the SCEP door, unless it expects one."""
    faults.seen.clear()
    yield
    if "unplanned_faults" not in request.fixturenames:
        assert not faults.seen, f"faults that the test did not plan: {list(faults.seen)}"


@pytest.fixture(autouse=True)
def entries_without_address(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """No door may write an audit entry of a person, program or device without its address.

    Each test that goes through a door walks it; one that expects such an entry clears the list.
    """
    missing = watch_entries(monkeypatch)
    yield missing
    assert not missing, f"entries that name no address: {missing}"


@pytest.fixture
def unplanned_faults() -> None:
    """For tests that cause an unexpected exception at the SCEP door."""


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests without a worker: a device whose request is approved is answered at once."""
    monkeypatch.setattr("scep.operations.enrollment.WAIT_SECONDS", 0)


@pytest.fixture
def within_a_minute() -> None:
    """For tests that repeat something at the real time: the log counts repeats by the minute.

    Where the minute ends within ten seconds, the test waits for the next one.
    """
    left = 60 - time.time() % 60
    if left < 10:
        time.sleep(left)


@pytest.fixture
def world(
    db: None, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """A CA, the profile `routers` with manual approval, Alice the officer, and empty caches.

    Counts of polls are written when a test asks for it, never because a second has passed: tests
    count queries.
    """
    monkeypatch.setattr(polls._counter, "_seconds", math.inf)
    settings.CA_KEY_FOLDER = tmp_path / "ca"
    settings.RA_KEY_FOLDER = tmp_path / "ra"
    forget_caches()
    yield recorded_world.build_or_play(create_world)
    forget_caches()


@pytest.fixture
def transactional_db(transactional_db: None) -> Iterator[None]:
    """Tests that commit: the tables are emptied afterwards, without the triggers that refuse it.

    Emptying ends with post_migrate, which makes the triggers again.
    """
    yield
    drop_triggers()


def drop_triggers() -> None:
    """Drop all triggers of the portal."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name, '' FROM sqlite_master WHERE type = 'trigger'")
        else:
            cursor.execute(
                "SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal"
            )
        for name, table in cursor.fetchall():
            cursor.execute(f"DROP TRIGGER {name}" + (f" ON {table}" if table else ""))


@pytest.fixture
def consistent(world: World, request: pytest.FixtureRequest) -> Iterator[None]:
    """The invariants hold after each test, except those with `forges_records`."""
    yield
    if "forges_records" not in request.fixturenames:
        assert check_invariants(at_rest=False).violations == ()


@pytest.fixture
def forges_records() -> None:
    """For tests that write records the portal would not write."""
