"""The number of an entry among all entries that its process wrote, so that a deleted one is missed.

The hard place: a number stands in the canonical form, so it is given when the entry is inserted,
and only the commit decides whether the entry stays. Between the two other threads of the process
insert and commit entries of their own. So each entry names what may be missing below it:

`open`  numbers whose transaction had not ended when this one was given
`lost`  numbers whose transaction, or savepoint, was rolled back; named until an entry that names
        them has committed

A number that is missing although a later entry of its writer names it neither open nor lost was
deleted (`audit.gaps`). A crash needs no rule of its own: every later entry names open what the
crash took away.

A process that records its start is named after that entry, which is its number 1. A child of such a
process is named after the same entry, a slash and 8 random digits. Any other process, as a
management command, is named after the first entry that it writes.

The end of a number is told by its commit hook, which Django calls after the commit and drops with
a rollback of the transaction or of the savepoint.
"""

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from secrets import token_hex
from typing import Final
from uuid import UUID

from django.db import connection, transaction

#: The start entry that the children of a process follow; in the environment, which they inherit.
STARTED: Final = "PORTAL_START_ENTRY"

Ranges = list[list[int]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry stands among those of its process."""

    writer: str
    number: int
    open: Ranges
    lost: Ranges


class _Hook:
    """The commit hook of one number. Freed without a call, it reports the number as lost."""

    __slots__ = ("_names", "_writer", "number")

    def __init__(self, writer: "_Writer", number: int, names: frozenset[int]) -> None:
        self._writer: _Writer | None = writer
        self.number, self._names = number, names

    def __call__(self) -> None:
        """The transaction has committed: what its entry names is named for good."""
        self._end(lost=frozenset(), named=self._names)

    def __del__(self) -> None:
        self.lose()

    def lose(self) -> None:
        """The transaction or the savepoint was rolled back."""
        self._end(lost=frozenset((self.number,)), named=frozenset())

    def _end(self, *, lost: frozenset[int], named: frozenset[int]) -> None:
        """Report once. Python frees a hook anywhere, so there is no lock: appending is atomic."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.ended.append((self.number, lost, named))


class _Writer:
    """The numbers of one process."""

    def __init__(self, name: str) -> None:
        self._name = name  # empty: the identifier of the first entry becomes the name
        self._lock = threading.Lock()
        self._last = 0
        self._open: set[int] = set()
        self._lost: set[int] = set()
        #: Number of an ended transaction, what is lost with it, what its entry has named.
        self.ended: deque[tuple[int, frozenset[int], frozenset[int]]] = deque()

    def take(self, entry_id: UUID) -> tuple[Place, _Hook]:
        """Give the next number."""
        with self._lock:
            self._name = self._name or str(entry_id)
            self._settle()
            others = self._open - _of_this_transaction() if self._open else frozenset[int]()
            self._last += 1
            self._open.add(self._last)
            place = Place(self._name, self._last, ranges(others), ranges(self._lost))
            return place, _Hook(self, self._last, frozenset(self._lost))

    def _settle(self) -> None:
        while self.ended:
            number, lost, named = self.ended.popleft()
            self._open.discard(number)
            self._lost |= lost
            self._lost -= named


def _of_this_transaction() -> set[int]:
    """The numbers that are committed or lost together with the next one. A savepoint that was
    rolled back took its hooks along.
    """
    hooks = (hooked[1] for hooked in connection.run_on_commit)
    return {hook.number for hook in hooks if isinstance(hook, _Hook)}


def ranges(numbers: Iterable[int]) -> Ranges:
    """Return numbers as [first, last] pairs, in order."""
    number_ranges: Ranges = []
    for number in sorted(numbers):
        if number_ranges and number_ranges[-1][1] == number - 1:
            number_ranges[-1][1] = number
        else:
            number_ranges.append([number, number])
    return number_ranges


@contextmanager
def numbered(entry_id: UUID) -> Iterator[Place]:
    """Give the place of an entry that is inserted within; the number is lost if that fails."""
    place, hook = _writer.take(entry_id)
    try:
        yield place
        transaction.on_commit(hook, robust=True)
    except BaseException:
        hook.lose()  # at once: the traceback keeps the hook alive
        raise


def begin() -> None:
    """Begin to count at 1, as a writer named after its first entry: the start entry comes now."""
    global _writer  # noqa: PLW0603 - one per process
    _writer = _Writer("")


def name_start_to_children(start: UUID) -> None:
    """Let the processes that this one starts or forks name its start entry."""
    os.environ[STARTED] = str(start)


def begin_as_child() -> None:
    """Begin to count at 1, below the start entry of the parent if there is one."""
    global _writer  # noqa: PLW0603 - one per process
    _writer = _Writer(_name_of_child())


def _name_of_child() -> str:
    start = os.environ.get(STARTED)
    return f"{start}/{token_hex(4)}" if start else ""


_writer = _Writer(_name_of_child())
os.register_at_fork(after_in_child=begin_as_child)
