"""`./portal doctor`: check this installation and report in plain words."""

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from django.core.management.base import BaseCommand
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from pkiportal.doctor.diagnosis import examine
from pkiportal.management import key_looks

_CONNECT_WITHIN: Final = 5  # seconds
_STATEMENTS: Final = {
    "sqlite": (("PRAGMA query_only = ON",), ("PRAGMA query_only = OFF",)),
    "postgresql": (
        ("SET default_transaction_read_only = on", "SET statement_timeout = '10s'"),
        ("RESET default_transaction_read_only", "RESET statement_timeout"),
    ),
}
_MARKS: Final = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


@contextmanager
def _reading_only() -> Iterator[None]:
    """Let the database refuse every write of the doctor, and every slow statement."""
    connection.settings_dict.setdefault("OPTIONS", {})
    if connection.vendor == "postgresql":
        connection.settings_dict["OPTIONS"].setdefault("connect_timeout", _CONNECT_WITHIN)
    on, off = _STATEMENTS[connection.vendor]
    with suppress(DatabaseError, InterfaceError):
        # Django asks SQLite in a transaction that may write, and remembers the answer for its own
        # checks.
        _ = connection.features.supports_json_field
    with (
        suppress(DatabaseError, InterfaceError),
        connection.cursor() as cursor,
    ):  # a database that is away is a finding
        for statement in on:
            cursor.execute(statement)
    try:
        yield
    finally:
        with suppress(DatabaseError, InterfaceError), connection.cursor() as cursor:
            for statement in off:
                cursor.execute(statement)


class Command(BaseCommand):
    """Status 0: nothing failed (warnings are possible); 1: a check failed."""

    help = "Check this installation and say what is wrong with it."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add one option for scripts."""
        parser.add_argument(
            "--json", action="store_true", help="a list of name, state (ok, warn, fail) and text"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print one line for each finding."""
        with _reading_only():
            findings = list(
                examine(timezone.now, more=(key_looks.authority_keys, key_looks.ra_keys))
            )
        if options["json"]:
            self.stdout.write(json.dumps([finding.to_json() for finding in findings], indent=2))
        else:
            for finding in findings:
                self.stdout.write(f"{_MARKS[finding.state]} {finding.name}: {finding.text}")
        if any(finding.state == "fail" for finding in findings):
            raise SystemExit(1)
