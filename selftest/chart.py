"""The bar chart of a run: all steps on one time axis.

PURE.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

#: Units of the axis; pictures of bars scale to their place.
WIDTH: Final = 600
_THINNEST: Final = 4


class Timed(Protocol):
    """The times of one step, in microseconds."""

    @property
    def begun_us(self) -> int: ...
    @property
    def took_us(self) -> int: ...


class Bar(NamedTuple):
    """One bar, in whole units, so that no locale writes a comma into the picture."""

    x: int
    width: int


def bars_of(steps: Sequence[Timed]) -> list[Bar]:
    """Return the bars of the steps in order; a short step gets the thinnest visible bar."""
    end = max((step.begun_us + step.took_us for step in steps), default=0) or 1
    widths = [max(_THINNEST, step.took_us * WIDTH // end) for step in steps]
    return [
        Bar(min(step.begun_us * WIDTH // end, WIDTH - width), width)
        for step, width in zip(steps, widths, strict=True)
    ]
