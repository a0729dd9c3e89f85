"""INSERT without compiling it anew: the statement of a model is built once, a row costs its parameters only.

For the rows that every device's message writes. Values are prepared by the model's own fields, so that the rows are the
ones `save` would write on either database; there are no signals here, and nothing reads one back.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import Field, Model


def insert(*rows: Model) -> None:
    """Insert rows of one model, in the caller's transaction; raises what `save(force_insert=True)` would."""
    if not rows:
        return
    statement, fields = _statement(type(rows[0]), connection.vendor)
    parameters = [_parameters(row, fields) for row in rows]
    with connection.cursor() as cursor:
        if len(parameters) == 1:
            cursor.execute(statement, parameters[0])
        else:
            cursor.executemany(statement, parameters)
    for row in rows:
        row._state.adding, row._state.db = False, "default"  # noqa: SLF001 - what Django's own save does


@cache
def _statement(model: type[Model], vendor: str) -> tuple[str, tuple["Field[Any, Any]", ...]]:
    """The statement and the fields of its parameters; a primary key that counts by itself is left to the database."""
    options = model._meta  # noqa: SLF001 - Django's documented name
    fields = tuple(field for field in options.concrete_fields if not (field.primary_key and field.auto_created))
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in fields)
    places = ", ".join(["%s"] * len(fields))
    return f"INSERT INTO {quote(options.db_table)} ({columns}) VALUES ({places})", fields  # noqa: S608 - names of our models


def _parameters(row: Model, fields: Sequence["Field[Any, Any]"]) -> list[Any]:
    return [field.get_db_prep_save(field.pre_save(row, add=True), connection) for field in fields]
