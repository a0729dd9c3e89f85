"""Maximum size of a request body, and the time for it to arrive, by path.

PURE. The web server asks before it reads a byte (`pkiportal.web.front`), and so does the first
middleware, for a portal behind another web server. A path that the table lacks has the small bound.
"""

import re
from dataclasses import dataclass
from typing import Final

#: More digits than any accepted length; `int()` of a very long number is slow.
_LENGTH_DIGITS: Final = 12
_NAME: Final = r"[^/]+"


@dataclass(frozen=True, slots=True)
class Bound:
    """The maximum body in bytes, the seconds for all of it, and whether files are allowed."""

    size: int
    seconds: float
    takes_files: bool = False


#: Enough for every form, message and JSON document, and for every device on a slow line.
SMALL: Final = Bound(65_536, 10)
#: A list of 4 MiB with its form; a line of 1.2 Mbit/s is fast enough.
_LIST: Final = Bound(4 * 1024 * 1024 + SMALL.size, 30, takes_files=True)
#: A pasted message of 140,000 characters, escaped as in a form.
_PASTED: Final = Bound(262_144, 20)

#: Paths with larger bounds, all for signed-in people. A test compares them with the forms.
LARGER: Final[tuple[tuple[re.Pattern[str], Bound], ...]] = (
    (re.compile(rf"/profiles/{_NAME}/challenges/list"), _LIST),
    (re.compile(rf"/devices/{_NAME}/add"), _LIST),
    (re.compile(r"/inspector/"), _PASTED),
)


class LengthUnknown(ValueError):
    """The head of a request gives no length of its body."""


class TooLarge(ValueError):
    """A body is larger than its path allows."""

    def __init__(self, bound: Bound) -> None:
        super().__init__(f"a body has at most {bound.size} bytes here")
        self.bound = bound


def bound_of(path: str) -> Bound:
    """Return the bound of a path."""
    return next((bound for pattern, bound in LARGER if pattern.fullmatch(path)), SMALL)


def body_length(path: str, *, length: str, is_chunked: bool) -> int:
    """Return the body length that a head announces: its Content-Length, or 0.

    Raises LengthUnknown and TooLarge.
    """
    if is_chunked or not (length.isascii() and (length or "0").isdecimal()):
        raise LengthUnknown("send the body with a Content-Length")
    bound = bound_of(path)
    if len(length) > _LENGTH_DIGITS or int(length or 0) > bound.size:
        raise TooLarge(bound)
    return int(length or 0)
