"""Triggers that repeat the rules of the models inside the database, on SQLite and PostgreSQL.

They are made again after every migration: on SQLite, Django's table rebuild silently drops them. A
system check compares them with the database and names the missing ones.

Trigger twins. The code has one place for each rule (`TRANSITIONS` and `advance` for the states of a
request, append-only models, columns written once), and a trigger repeats that rule for every
statement, whatever wrote it. The code's own check comes first and raises an error with facts, for
people. The trigger aborts the statement, for everything that passes the code by: a forgotten WHERE
in a later release, `manage.py shell`, `psql`, a repair script. It sees old and new row, so it holds
under any isolation level and between two processes that read the same row.

The twin rules:
- One declaration where possible: the trigger of requests takes its pairs from `TRANSITIONS`, so
  that a new state cannot be allowed on one side only. Tests try each rule on both databases.
- Each trigger exists twice, as SQLite and as PostgreSQL text. PostgreSQL needs one more for
  TRUNCATE, which row triggers do not see. SQLite needs the setting `recursive_triggers`: without it
  INSERT OR REPLACE deletes a row without firing DELETE triggers.
- A trigger only refuses. It never writes a value, so a database without triggers holds the same
  data; the system check and the doctor report that it is not protected.
- The owner of the database can drop a trigger: it protects against errors and against the web's
  role, not against the owner. `./portal check_invariants` compares the records themselves.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_migrate


@dataclass(frozen=True, slots=True)
class Trigger:
    """One rule: `sqlite` holds head and body of the trigger, `postgresql` head and function."""

    name: str
    table: str
    sqlite: tuple[str, ...]
    postgresql_head: str
    postgresql_body: str

    @property
    def mark(self) -> str:
        """A digest of the PostgreSQL definition; the check compares it with the stored one."""
        text = "\n".join((self.name, self.table, self.postgresql_head, self.postgresql_body))
        return hashlib.sha256(text.encode()).hexdigest()


def refuse_changes(table: str, *, deletable: bool = False) -> Trigger:
    """Return the trigger that makes a table append-only (no UPDATE, DELETE, TRUNCATE, REPLACE)."""
    message = f"{table} is append-only"
    sqlite = [f"BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, '{message}'); END"]
    if not deletable:
        sqlite.append(f"BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, '{message}'); END")
    events = "UPDATE" if deletable else "UPDATE OR DELETE"
    return Trigger(
        name=f"{table}_append_only",
        table=table,
        sqlite=tuple(sqlite),
        postgresql_head=f"BEFORE {events} ON {table} FOR EACH ROW",
        postgresql_body=(
            f"BEGIN RAISE EXCEPTION '{message}' USING ERRCODE = 'integrity_constraint_violation'; "
            "END"
        ),
    )


def refuse_truncate(table: str) -> Trigger:
    """Return the trigger that refuses TRUNCATE, which row triggers do not see (PostgreSQL only)."""
    return Trigger(
        name=f"{table}_no_truncate",
        table=table,
        sqlite=(),
        postgresql_head=f"BEFORE TRUNCATE ON {table} FOR EACH STATEMENT",
        postgresql_body=(
            f"BEGIN RAISE EXCEPTION '{table} is append-only' USING ERRCODE = "
            "'integrity_constraint_violation'; END"
        ),
    )


def immutable_columns(
    table: str,
    columns: Sequence[str],
    *,
    once: Sequence[str] = (),
    cleared: Mapping[str, str] | None = None,
) -> Trigger:
    """Return the trigger that keeps `columns` as inserted; those in `once` change once, from NULL.

    A column of `cleared` is one of `once` that may go back to NULL together with setting the column
    named for it.
    """
    message = f"{table}: a column that never changes was changed"
    changed = [(f"NEW.{column}", f"OLD.{column}", "") for column in columns]
    changed += [
        (f"NEW.{column}", f"OLD.{column}", f"OLD.{column} IS NOT NULL AND ") for column in once
    ]
    for column, marker in (cleared or {}).items():
        unchanged = f"NOT (NEW.{column} IS NULL AND NEW.{marker} IS NOT NULL)"
        changed.append(
            (f"NEW.{column}", f"OLD.{column}", f"OLD.{column} IS NOT NULL AND {unchanged} AND ")
        )
    sqlite = " OR ".join(f"({guard}{new} IS NOT {old})" for new, old, guard in changed)
    # Quoted: names such as `by` are keywords in PL/pgSQL.
    changed = [(_quoted(new), _quoted(old), guard) for new, old, guard in changed]
    postgresql = " OR ".join(
        f"({guard}{new} IS DISTINCT FROM {old})" for new, old, guard in changed
    )
    return Trigger(
        name=f"{table}_immutable",
        table=table,
        sqlite=(
            f"BEFORE UPDATE ON {table} WHEN {sqlite} BEGIN SELECT RAISE(ABORT, '{message}'); END",
        ),
        postgresql_head=f"BEFORE UPDATE ON {table} FOR EACH ROW",
        postgresql_body=f"BEGIN IF {postgresql} THEN RAISE EXCEPTION '{message}' "
        "USING ERRCODE = 'integrity_constraint_violation'; END IF; RETURN NEW; END",
    )


def _quoted(reference: str) -> str:
    row, column = reference.split(".")
    return f'{row}."{column}"'


def refuse_delete(table: str) -> Trigger:
    """Return the trigger that refuses DELETE of rows that are records."""
    message = f"{table}: records are never deleted"
    return Trigger(
        name=f"{table}_no_delete",
        table=table,
        sqlite=(f"BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, '{message}'); END",),
        postgresql_head=f"BEFORE DELETE ON {table} FOR EACH ROW",
        postgresql_body=(
            f"BEGIN RAISE EXCEPTION '{message}' USING ERRCODE = 'integrity_constraint_violation'; "
            "END"
        ),
    )


def allowed_steps(table: str, column: str, steps: Iterable[tuple[str, str]]) -> Trigger:
    """Return the trigger that allows a column to change only by one of `steps` (from, to)."""
    message = f"{table}: this change of {column} is not in the table of transitions"
    pairs = sorted(set(steps))
    allowed = " OR ".join(
        f"(OLD.{column} = '{old}' AND NEW.{column} = '{new}')" for old, new in pairs
    )
    forbidden = f"NEW.{column} <> OLD.{column} AND NOT ({allowed})"
    return Trigger(
        name=f"{table}_{column}_steps",
        table=table,
        sqlite=(
            (
                f"BEFORE UPDATE OF {column} ON {table} WHEN {forbidden} BEGIN SELECT RAISE(ABORT, "
                f"'{message}'); END"
            ),
        ),
        postgresql_head=f"BEFORE UPDATE ON {table} FOR EACH ROW",
        postgresql_body=f"BEGIN IF {forbidden} THEN RAISE EXCEPTION '{message}' "
        "USING ERRCODE = 'integrity_constraint_violation'; END IF; RETURN NEW; END",
    )


def keep(app: AppConfig, triggers: Sequence[Trigger]) -> None:
    """Make the triggers after each migration of the app, and check them in `check --database`."""

    def make(*, using: str, **_: Any) -> None:
        install(triggers, using=using)

    def look(*, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
        return [message for using in databases or [] for message in check(triggers, using=using)]

    post_migrate.connect(make, sender=app, weak=False, dispatch_uid=f"{app.label}.triggers")
    register(Tags.database)(look)


def install(triggers: Iterable[Trigger], *, using: str) -> None:
    """(Re)make the triggers; called from post_migrate, idempotent."""
    connection = connections[using]
    make = _install_sqlite if connection.vendor == "sqlite" else _install_postgresql
    for trigger in triggers:
        make(connection, trigger)


def check(triggers: Iterable[Trigger], *, using: str) -> list[CheckMessage]:
    """Return an error for each trigger that is missing or differs in the database."""
    connection = connections[using]
    tables = set(connection.introspection.table_names())
    stored = (
        _held_sqlite(connection) if connection.vendor == "sqlite" else _held_postgresql(connection)
    )
    return [
        Error(
            f"The database does not hold the trigger {trigger.name} as this version defines it.",
            hint=(
                "Run ./portal migrate: it makes the triggers again. If it comes back, the "
                "database owner removed it."
            ),
            id="audit.E001",
        )
        for trigger in triggers
        if trigger.table in tables and not _wanted(connection, trigger) <= stored
    ]


def _sqlite_statements(trigger: Trigger) -> list[tuple[str, str]]:
    names = [f"{trigger.name}_{number}" for number in range(1, len(trigger.sqlite) + 1)]
    return [
        (name, f"CREATE TRIGGER {name} {body}")
        for name, body in zip(names, trigger.sqlite, strict=True)
    ]


def _install_sqlite(connection: BaseDatabaseWrapper, trigger: Trigger) -> None:
    with connection.cursor() as cursor:
        for name, statement in _sqlite_statements(trigger):
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
            cursor.execute(statement)


def _install_postgresql(connection: BaseDatabaseWrapper, trigger: Trigger) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE OR REPLACE FUNCTION {trigger.name}() RETURNS trigger LANGUAGE plpgsql AS "
            "$body$ "
            f"{trigger.postgresql_body} $body$"
        )
        cursor.execute(f"COMMENT ON FUNCTION {trigger.name}() IS '{trigger.mark}'")
        cursor.execute(f"DROP TRIGGER IF EXISTS {trigger.name} ON {trigger.table}")
        cursor.execute(
            f"CREATE TRIGGER {trigger.name} {trigger.postgresql_head} EXECUTE FUNCTION "
            f"{trigger.name}()"
        )


def _wanted(connection: BaseDatabaseWrapper, trigger: Trigger) -> set[tuple[str, str]]:
    if connection.vendor == "sqlite":
        return set(_sqlite_statements(trigger))
    return {(trigger.name, trigger.mark)}


def _held_sqlite(connection: BaseDatabaseWrapper) -> set[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        return {(name, sql) for name, sql in cursor.fetchall()}


def _held_postgresql(connection: BaseDatabaseWrapper) -> set[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.tgname, obj_description(t.tgfoid, 'pg_proc') FROM pg_trigger t "
            "WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')"
        )
        return {(name, comment or "") for name, comment in cursor.fetchall()}
