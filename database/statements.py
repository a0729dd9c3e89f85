"""Prebuilt INSERT and UPDATE: a statement is compiled once; each row costs only its parameters.
And the values of hand-written SQL that the two databases store differently.

For the rows that every device message and every certificate writes. The model's own fields prepare
the values, so that the rows are the ones `save` would write on either database. No signals are
sent, and no values are read back.
"""

from collections.abc import Mapping, Sequence, Sized
from functools import cache
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Model


def insert(*rows: Model) -> None:
    """Insert rows of one model in the caller's transaction.

    Raises as `save(force_insert=True)` does.
    """
    if not rows:
        return
    connection = connections[DEFAULT_DB_ALIAS]  # `django.db.connection` looks it up at each use
    statement, fields = _insert(type(rows[0]), connection.vendor)
    parameters = [_parameters(row, fields, connection) for row in rows]
    with connection.cursor() as cursor:
        if len(parameters) == 1:
            cursor.execute(statement, parameters[0])
        else:
            cursor.executemany(statement, parameters)
    for row in rows:
        row._state.adding, row._state.db = False, "default"  # noqa: SLF001 - what Django's own save does


def update(
    model: type[Model],
    *,
    where: Mapping[str, object],
    changes: Mapping[str, object],
    count_up: str = "",
) -> int:
    """Update rows whose columns equal `where`, and add one to column `count_up`.

    Returns how many. Names are those of fields; a foreign key takes a row or its key. `where`
    cannot match NULL.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    statement, fields = _update(model, connection.vendor, tuple(changes), count_up, tuple(where))
    values = (*changes.values(), *where.values())
    with connection.cursor() as cursor:
        cursor.execute(
            statement,
            [
                _prepared(field, value, connection)
                for field, value in zip(fields, values, strict=True)
            ],
        )
        return int(cursor.rowcount)


@cache
def _insert(model: type[Model], vendor: str) -> tuple[str, tuple["Field[Any, Any]", ...]]:
    """The statement and the fields of its parameters; the database assigns automatic keys."""
    options = model._meta  # noqa: SLF001 - Django's documented name
    fields = tuple(
        field for field in options.concrete_fields if not (field.primary_key and field.auto_created)
    )
    quote = connections[DEFAULT_DB_ALIAS].ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in fields)
    return f"INSERT INTO {quote(options.db_table)} ({columns}) VALUES ({places(fields)})", fields  # noqa: S608 - names of our models


@cache
def _update(
    model: type[Model], vendor: str, changed: tuple[str, ...], count_up: str, where: tuple[str, ...]
) -> tuple[str, tuple["Field[Any, Any]", ...]]:
    """The statement and the fields of its parameters, first those that change."""
    options = model._meta  # noqa: SLF001 - Django's documented name
    fields: tuple[Field[Any, Any], ...] = tuple(
        options.get_field(name)  # type: ignore[misc]  # no relations from elsewhere
        for name in (*changed, *where)
    )
    quote = connections[DEFAULT_DB_ALIAS].ops.quote_name
    columns = [quote(str(field.column)) for field in fields]
    changes = [f"{column} = %s" for column in columns[: len(changed)]]
    if count_up:
        counter = quote(count_up)
        changes.append(f"{counter} = {counter} + 1")
    conditions = [f"{column} = %s" for column in columns[len(changed) :]]
    return (
        (
            f"UPDATE {quote(options.db_table)} SET {', '.join(changes)} WHERE "  # noqa: S608 - names of our models
            f"{' AND '.join(conditions)}"
        ),
        fields,
    )


def _parameters(
    row: Model, fields: Sequence["Field[Any, Any]"], connection: BaseDatabaseWrapper
) -> list[Any]:
    return [field.get_db_prep_save(field.pre_save(row, add=True), connection) for field in fields]


def _prepared(field: "Field[Any, Any]", value: object, connection: BaseDatabaseWrapper) -> Any:
    return field.get_db_prep_save(value.pk if isinstance(value, Model) else value, connection)


def key_parameter(key: UUID) -> str:
    """Return a key as a parameter of hand-written SQL: SQLite stores 32 hex digits."""
    is_native = connections[DEFAULT_DB_ALIAS].features.has_native_uuid_field
    return str(key) if is_native else key.hex


def key_of(value: UUID | str) -> UUID:
    """Return a key that hand-written SQL selected: PostgreSQL gives a UUID, SQLite its text."""
    return value if isinstance(value, UUID) else UUID(value)


def places(values: Sized) -> str:
    """Return the placeholders of an IN list."""
    return ", ".join(["%s"] * len(values))
