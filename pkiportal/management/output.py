"""Output of commands: one JSON document for scripts, or lines and tables for people."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any

from ca.x509.text import visible


def iso(moment: datetime | None) -> str | None:
    """Return ISO 8601 in UTC with `Z`, whole seconds."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def to_json(document: Any) -> str:
    """Return a document as ASCII: no control or bidi characters of others reach the terminal."""
    return json.dumps(document, indent=2, ensure_ascii=True)


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows as aligned columns under a line; cells are never cut, so they can be copied."""
    cells = [list(headings), *([shown(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip_longest(*cells, fillvalue="")]
    lines = ["   ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    return "\n".join([lines[0], "─" * max(map(len, lines)), *lines[1:]])


def facts(pairs: Sequence[tuple[str, object]]) -> str:
    """Return names and values below each other; empty values are left out."""
    pairs_shown = [(name, shown(value)) for name, value in pairs if value not in (None, "", [], ())]
    width = max((len(name) for name, _ in pairs_shown), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in pairs_shown)


def shown(value: object) -> str:
    """Return a value for people, with hidden characters written out."""
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(item) for item in value)
    if isinstance(value, datetime):
        return iso(value) or ""
    return visible("" if value is None else str(value))
