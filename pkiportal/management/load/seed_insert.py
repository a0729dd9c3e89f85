"""Inserts many rows fast: one statement for all, no model objects.

Constraints and triggers apply as always.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import Field, Model

Row = dict[str, Any]

#: Types that every driver takes as they are; other values go through their field.
_PLAIN: Final = (str, int, bytes, type(None))


def insert_rows(model: type[Model], rows: Sequence[Row]) -> None:
    """Insert rows given by attribute name, all with the same names.

    A missing name gets the field's default.
    """
    if not rows:
        return
    fields = [field for field in model._meta.concrete_fields if not _is_generated(field)]  # noqa: SLF001 - Django's documented name
    columns = ", ".join(connection.ops.quote_name(str(field.column)) for field in fields)
    target = f"{connection.ops.quote_name(model._meta.db_table)} ({columns})"  # noqa: SLF001 - as above
    read = [(field.attname, _converter(field), field.get_default()) for field in fields]
    values = (
        tuple(convert(row.get(name, default)) for name, convert, default in read) for row in rows
    )
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {target} FROM STDIN") as copy:
                for value in values:
                    copy.write_row(value)
        else:
            marks = ", ".join(["%s"] * len(fields))
            cursor.executemany(f"INSERT INTO {target} VALUES ({marks})", list(values))  # noqa: S608 - names of our own models


def _is_generated(field: "Field[Any, Any]") -> bool:
    return bool(getattr(field, "db_returning", False))


def _converter(field: "Field[Any, Any]") -> Callable[[Any], Any]:
    is_json = field.get_internal_type() == "JSONField"

    def convert(value: Any) -> Any:
        if not is_json and isinstance(value, _PLAIN):
            return value
        if isinstance(value, UUID):
            return value if connection.features.has_native_uuid_field else value.hex
        if isinstance(value, datetime):
            return connection.ops.adapt_datetimefield_value(value)
        return field.get_db_prep_save(value, connection)

    return convert
