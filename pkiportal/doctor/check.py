"""The results of the doctor's checks."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

State = Literal["ok", "warn", "fail"]
#: Called when needed: clocks are compared at one moment.
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Check:
    """One fact about this installation, and whether it is in order."""

    name: str
    state: State
    text: str

    def to_json(self) -> dict[str, str]:
        """Return the finding for scripts."""
        return asdict(self)


#: One check: it reads and yields findings.
Look = Callable[[Clock], Iterable[Check]]


def first_line(error: Exception) -> str:
    """The first line of an error's text."""
    return str(error).strip().partition("\n")[0]
