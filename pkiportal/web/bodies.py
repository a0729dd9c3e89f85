"""How large the body of a request may be and how long it may take to arrive, by path. PURE.

The web server asks before it takes in a byte (`pkiportal.web.front`), and so does the first
middleware, for a portal behind another web server. A path without a line in the table has the small
bound.
"""

import re
from dataclasses import dataclass
from typing import Final

#: More digits than any length that is taken; `int()` of a very long number is slow.
_LENGTH_DIGITS: Final = 12
_NAME: Final = r"[^/]+"


@dataclass(frozen=True, slots=True)
class Bound:
    """The largest body in bytes, the seconds in which all of it must arrive, and whether files may
    be in it.
    """

    size: int
    seconds: float
    takes_files: bool = False


#: Every form, message and JSON document of the portal fits, and every device on a slow line sends
#: it in time.
SMALL: Final = Bound(65_536, 10)
#: A list of 4 MiB with the rest of its form; a line of 1.2 Mbit/s sends it in time.
_LIST: Final = Bound(4 * 1024 * 1024 + SMALL.size, 30, takes_files=True)
#: A pasted message of 140,000 characters, as forms escape them.
_PASTED: Final = Bound(262_144, 20)

#: The paths that take more, all of them for people who are signed in. A test compares them with the
#: forms.
LARGER: Final[tuple[tuple[re.Pattern[str], Bound], ...]] = (
    (re.compile(rf"/profiles/{_NAME}/challenges/list"), _LIST),
    (re.compile(rf"/devices/{_NAME}/add"), _LIST),
    (re.compile(r"/inspector/"), _PASTED),
)


class LengthUnknown(ValueError):
    """The head of a request does not say how long its body is."""


class TooLarge(ValueError):
    """A body is larger than its path allows."""

    def __init__(self, bound: Bound) -> None:
        super().__init__(f"a body has at most {bound.size} bytes here")
        self.bound = bound


def bound_of(path: str) -> Bound:
    """The bound of a path."""
    return next((bound for pattern, bound in LARGER if pattern.fullmatch(path)), SMALL)


def body_length(path: str, *, length: str, is_chunked: bool) -> int:
    """Return the length of the body that a head announces: its Content-Length, 0 where it has none.

    Raises LengthUnknown and TooLarge.
    """
    if is_chunked or not (length.isascii() and (length or "0").isdecimal()):
        raise LengthUnknown("send the body with a Content-Length")
    bound = bound_of(path)
    if len(length) > _LENGTH_DIGITS or int(length or 0) > bound.size:
        raise TooLarge(bound)
    return int(length or 0)
