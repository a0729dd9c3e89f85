"""The world of a test, built once and played back: the same rows, the same files, equal objects.

Building it takes 47 ms of CPU, most of them for the constraints of a profile and for writing two
keys; playing it back takes 2. That runs the same INSERT and UPDATE statements again, so the
triggers and constraints of the database see them each time.

A recording serves for RECORDING_SECONDS, so nothing in a world is older than that. It serves only
in a transaction in which its tables are empty, as they were when it was made. In every other case
the world is built.
"""

import pickle
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.models import AutoField

W = TypeVar("W")

RECORDING_SECONDS: Final = 30
_FOLDERS: Final = ("CA_KEY_FOLDER", "RA_KEY_FOLDER")
_WRITE: Final = re.compile(r'(?:INSERT INTO|UPDATE|DELETE FROM) "(\w+)"')


@dataclass(frozen=True, slots=True)
class _Statement:
    table: str
    sql: str
    parameters: Any
    is_many: bool


@dataclass(frozen=True, slots=True)
class _Recording:
    """What building a world wrote, and the world itself, pickled."""

    made_at: datetime
    statements: tuple[_Statement, ...]
    first_keys: tuple[tuple[str, str, int], ...]
    """Table, its column that counts by itself, and the first number that was used."""
    files: tuple[tuple[str, str, bytes], ...]
    """The setting that names the folder, the name of the file, its content."""
    world: bytes

    def is_usable(self) -> bool:
        """Whether it is fresh, and its tables are empty in this transaction."""
        age = datetime.now(UTC) - self.made_at
        if not timedelta(0) <= age <= timedelta(seconds=RECORDING_SECONDS):
            return False
        return not _filled({statement.table for statement in self.statements})

    def play(self) -> Any:
        """Write the rows and files again; returns the world."""
        with connection.cursor() as cursor:
            _count_from(cursor, self.first_keys)
            for statement in self.statements:
                execute = cursor.executemany if statement.is_many else cursor.execute
                execute(statement.sql, statement.parameters)
        for setting, name, content in self.files:
            path = Path(getattr(settings, setting)) / name
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.touch(mode=0o600)
            path.write_bytes(content)
        return pickle.loads(self.world)  # noqa: S301 - pickled by this process


class RecordedWorld:
    """The recording of a process. Tests of it make their own."""

    def __init__(self) -> None:
        self._recording: _Recording | None = None

    def build_or_play(self, build: Callable[[], W]) -> W:
        """Return what `build` returns, from the recording where that is usable."""
        if not connection.in_atomic_block:
            return build()  # few tests commit, and building runs the hooks of each commit
        if self._recording is not None and self._recording.is_usable():
            world: W = self._recording.play()
            return world
        world, self._recording = _record(build)
        return world


def _record(build: Callable[[], W]) -> tuple[W, _Recording | None]:
    """Build a world; the recording is None where a table that was written held rows before."""
    made_at = datetime.now(UTC)
    keys = {model._meta.db_table: model._meta.pk for model in apps.get_models()}
    filled = _filled(keys)
    statements: list[_Statement] = []
    with _noting(statements):
        world = build()
    tables = {statement.table for statement in statements}
    if tables & filled:
        return world, None
    counted = [table for table in sorted(tables) if isinstance(keys[table], AutoField)]
    return world, _Recording(
        made_at=made_at,
        statements=tuple(statements),
        first_keys=tuple(_first_key(table, str(keys[table].column)) for table in counted),
        files=tuple(_files()),
        world=pickle.dumps(world),
    )


@contextmanager
def _noting(statements: list[_Statement]) -> Iterator[None]:
    def note(execute: Any, sql: str, parameters: Any, is_many: bool, context: Any) -> Any:
        if write := _WRITE.match(sql):
            statements.append(_Statement(write[1], sql, parameters, is_many))
        return execute(sql, parameters, is_many, context)

    with connection.execute_wrapper(note):
        yield


def _files() -> Iterator[tuple[str, str, bytes]]:
    for setting in _FOLDERS:
        for path in sorted(Path(getattr(settings, setting)).iterdir()):
            yield setting, path.name, path.read_bytes()


def _filled(tables: Iterable[str]) -> set[str]:
    """Return those of the tables that hold a row."""
    look = "SELECT '{0}' WHERE EXISTS (SELECT 1 FROM \"{0}\")"
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(look.format(table) for table in sorted(tables)))
        return {table for (table,) in cursor.fetchall()}


def _first_key(table: str, column: str) -> tuple[str, str, int]:
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT MIN("{column}") FROM "{table}"')  # noqa: S608 - names of a model
        return table, column, int(cursor.fetchone()[0])


def _count_from(cursor: Any, first_keys: Iterable[tuple[str, str, int]]) -> None:
    """Let each table count from the number that it has in the recording.

    Numbers that other tests used may come again, because their rows were rolled back.
    """
    if connection.vendor == "postgresql":
        setting = ", ".join("setval(pg_get_serial_sequence(%s, %s), %s, false)" for _ in first_keys)
        cursor.execute(f"SELECT {setting}", [value for key in first_keys for value in key])
        return
    cursor.executemany(
        "DELETE FROM sqlite_sequence WHERE name = %s", [(table,) for table, _, _ in first_keys]
    )
    last = [(table, first - 1) for table, _, first in first_keys]
    cursor.executemany("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", last)


recorded_world: Final = RecordedWorld()
