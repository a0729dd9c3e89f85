"""Reports of the decoder, as values for a page.

PURE. Reports hold no secrets: challenges are named, never shown.
"""

from dataclasses import dataclass, field
from typing import Literal

Tone = Literal["", "good", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Row:
    """One fact: its name in the RFC's spelling, its value as text."""

    name: str
    value: str
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """The end of reading: the field, its first byte within the named part, and the reason."""

    field: str
    byte: int
    part: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}, byte {self.byte} of the {self.part}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Section:
    """One step of the decoding.

    `verdict` is a sentence with its tone; `stop` is the place where the step ended early.
    """

    title: str
    rows: tuple[Row, ...] = ()
    verdict: str = ""
    tone: Tone = ""
    stop: Stop | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One value of the outline.

    `text` holds object identifiers and small numbers only, no text of the message.
    """

    byte: int
    depth: int
    name: str
    length: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The whole report about some bytes."""

    kind: str
    size: int
    sha256: str
    sections: tuple[Section, ...]
    outline: tuple[Line, ...] = field(repr=False)
    outline_end: str = ""
