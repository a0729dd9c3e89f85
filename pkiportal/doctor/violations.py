"""What a broken invariant is called, and the portions in which rows are read."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

CHUNK: Final = 500
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule."""

    invariant: str
    subject: str
    text: str


def chunks(rows: Iterator[_T]) -> Iterator[list[_T]]:
    """Yield the rows in portions of CHUNK."""
    while chunk := list(islice(rows, CHUNK)):
        yield chunk
