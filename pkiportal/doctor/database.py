"""The database itself: its settings, its clock, its triggers."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from django.core import checks
from django.db import connection

from pkiportal.doctor.check import Check, Clock, State

#: Seconds. Leases use the database's clock, certificates the signing worker's.
_CLOCK_WARN: Final = 2.0
_CLOCK_FAIL: Final = 30.0
_PRAGMAS: Final[dict[str, Any]] = {
    "journal_mode": "wal",
    "synchronous": 2,
    "recursive_triggers": 1,
    "foreign_keys": 1,
}


def engine(_: Clock) -> Iterator[Check]:
    """Settings of the database that the portal relies on."""
    yield from _pragmas() if connection.vendor == "sqlite" else _server()


def _pragmas() -> Iterator[Check]:
    for name, needed in _PRAGMAS.items():
        with connection.cursor() as cursor:
            value = cursor.execute(f"PRAGMA {name}").fetchone()[0]
        state: State = "ok" if value == needed else "fail"
        yield Check(
            "sqlite",
            state,
            f"{name} is {value}" + ("" if state == "ok" else f", {needed} is needed"),
        )


def _server() -> Iterator[Check]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('server_version'), current_setting('fsync'), "
            "current_setting('max_connections')"
        )
        version, fsync, most = cursor.fetchone()
    yield Check("postgresql", "ok", f"version {version}, {most} connections allowed")
    yield Check("postgresql", "ok" if fsync == "on" else "fail", f"fsync is {fsync}")


def clock(now: Clock) -> Iterator[Check]:
    """The difference between the clocks of this machine and of the database."""
    statement = (
        "SELECT clock_timestamp()"
        if connection.vendor == "postgresql"
        else "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement)
        value = cursor.fetchone()[0]
    there = (
        value if isinstance(value, datetime) else datetime.fromisoformat(value).replace(tzinfo=UTC)
    )
    offset = abs((now() - there).total_seconds())
    state: State = "ok" if offset < _CLOCK_WARN else "warn" if offset < _CLOCK_FAIL else "fail"
    yield Check("clock", state, f"differs by {offset:.1f} s from the database")


def system_checks(_: Clock) -> Iterator[Check]:
    """Django's checks, and those of the portal for triggers and settings."""
    messages = checks.run_checks(databases=["default"], include_deployment_checks=False)
    for message in messages:
        state: State = "fail" if message.level >= checks.ERROR else "warn"
        yield Check(
            "checks", state, str(message.msg) + (f", {message.hint}" if message.hint else "")
        )
    if not messages:
        yield Check("checks", "ok", "triggers and settings are as they should be")
