"""Which entries are missing: the numbers of each writer that a later entry vouches for.

Cannot be found: the last entries of a writer, deleted together, since nothing of it came later; a
whole writer; entries of version 1, which have no number; an entry whose commit hook never ran
although the database kept it, as when the connection broke during the commit.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from audit.writers import Ranges

#: An entry that names more was not written by this code, and shall not keep the reader busy.
_MOST_NAMED: Final = 100_000


@dataclass(frozen=True, slots=True)
class Gap:
    """Entries `first` to `last` of a writer that were committed and are gone."""

    writer: str
    first: int
    last: int


@dataclass(slots=True)
class _Numbers:
    """What was read of one writer."""

    present: Ranges = field(default_factory=list)  # in the order of reading
    open: Counter[int] = field(default_factory=Counter)  # by number, how many entries name it
    lost: set[int] = field(default_factory=set)

    def add(self, number: int) -> None:
        """Take the number of an entry that is there."""
        if self.present and self.present[-1][1] == number - 1:
            self.present[-1][1] = number
        else:
            self.present.append([number, number])

    def missing(self) -> Iterator[list[int]]:
        """Yield ranges of numbers that at least one later entry counts as committed."""
        later = sum(last - first + 1 for first, last in self.present)
        expected = 1
        for first, last in sorted(self.present):
            yield from self._unexcused(expected, first, later)
            later -= last - first + 1
            expected = max(expected, last + 1)

    def _unexcused(self, start: int, end: int, later: int) -> Iterator[list[int]]:
        """Yield what is left of [start, end) without the numbers that were lost or stayed open."""
        excused = {number for number in self.lost if start <= number < end}
        excused |= {n for n, named in self.open.items() if start <= n < end and named >= later}
        for number in (*sorted(excused), end):
            if start < number:
                yield [start, number - 1]
            start = number + 1


class Numbering:
    """Collects the numbers of entries as they are read, in any order."""

    def __init__(self) -> None:
        self._writers: dict[str, _Numbers] = {}

    def add(self, writer: str, number: int | None, document: Mapping[str, Any]) -> None:
        """Take one entry: its columns, and what its canonical form names. Version 1 has no
        number.
        """
        if number is None:
            return
        numbers = self._writers.setdefault(writer, _Numbers())
        numbers.add(number)
        numbers.open.update(_each(document.get("open", ())))
        numbers.lost.update(_each(document.get("lost", ())))

    def gaps(self) -> Iterator[Gap]:
        """Yield what is missing and should not be."""
        for writer, numbers in sorted(self._writers.items()):
            for first, last in numbers.missing():
                yield Gap(writer, first, last)


def _each(pairs: Any) -> Iterator[int]:
    numbers = (number for first, last in pairs for number in range(first, last + 1))
    return islice(numbers, _MOST_NAMED)
