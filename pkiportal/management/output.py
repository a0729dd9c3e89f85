"""What commands print: one JSON document for scripts, or lines and tables for people."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ca.text import visible


def iso(moment: datetime | None) -> str | None:
    """Return ISO 8601 in UTC with `Z`, whole seconds."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def to_json(document: Any) -> str:
    """Return a document as ASCII: what strangers wrote cannot reach a terminal as control or bidi characters."""
    return json.dumps(document, indent=2, ensure_ascii=True)


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows as an aligned table; wider than the terminal only where there is none."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in headings:
        drawn.add_column(heading, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(shown(cell)) for cell in row))
    width = None if sys.stdout.isatty() else 240
    console = Console(width=width, no_color=True, highlight=False)
    with console.capture() as captured:
        console.print(drawn)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def facts(pairs: Sequence[tuple[str, object]]) -> str:
    """Return names and values below each other; empty values are left out."""
    given = [(name, shown(value)) for name, value in pairs if value not in (None, "", [], ())]
    width = max((len(name) for name, _ in given), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in given)


def shown(value: object) -> str:
    """Return a value as a person reads it, hidden characters written out."""
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(item) for item in value)
    if isinstance(value, datetime):
        return iso(value) or ""
    return visible("" if value is None else str(value))
