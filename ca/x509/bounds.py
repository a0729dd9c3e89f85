"""How large ASN.1 may be: hostile input is bounded in linear time before anything looks at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ca.x509.asn1 import CONSTRUCTED, END_OF_CONTENTS, INTEGER, OBJECT_IDENTIFIER, Asn1Error, header


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of `prescan`: bytes, nesting, number of values, length of OIDs and INTEGERs."""

    max_bytes: int = 65_536
    max_depth: int = 24
    max_nodes: int = 4_000
    max_oid: int = 64
    max_integer: int = 1_100


DEFAULT_LIMITS: Final = Limits()


def prescan(data: bytes, limits: Limits = DEFAULT_LIMITS) -> None:
    """Refuse anything but exactly one BER value within the limits; linear and iterative.

    Raises Asn1Error.
    """
    end = prescan_prefix(data, limits)
    if end != len(data):
        raise Asn1Error(f"trailing bytes: {len(data) - end} after the first value")


def prescan_prefix(data: bytes, limits: Limits = DEFAULT_LIMITS) -> int:
    """Check the first BER value in `data` like `prescan` and return where it ends.

    Raises Asn1Error.
    """
    if len(data) > limits.max_bytes:
        raise Asn1Error(f"message of {len(data)} bytes: at most {limits.max_bytes}")
    walls: list[tuple[int, bool]] = []
    position, wall, is_open = 0, len(data), False
    for _ in range(limits.max_nodes):
        tag, content, length = header(data, position, wall)
        if tag & CONSTRUCTED:
            if len(walls) >= limits.max_depth:
                raise Asn1Error(f"nesting: at most {limits.max_depth} levels")
            walls.append((wall, is_open))
            position, is_open = content, length < 0
            wall = wall if is_open else content + length
        else:
            _check_primitive(tag, length, limits)
            position = content + length
        if is_open or position >= wall:
            position, wall, is_open = _close(data, walls, position, wall, is_open=is_open)
        if not walls:
            return position
    raise Asn1Error(f"more than {limits.max_nodes} values")


def _close(
    data: bytes, walls: list[tuple[int, bool]], position: int, wall: int, *, is_open: bool
) -> tuple[int, int, bool]:
    """Leave every constructed value that ends at `position`."""
    while walls:
        if is_open:
            if data[position : position + 2] != END_OF_CONTENTS or position + 2 > wall:
                break
            position += 2
        elif position != wall:
            break
        wall, is_open = walls.pop()
    return position, wall, is_open


def _check_primitive(tag: int, length: int, limits: Limits) -> None:
    if tag == OBJECT_IDENTIFIER and length > limits.max_oid:
        raise Asn1Error(f"OBJECT IDENTIFIER of {length} bytes: at most {limits.max_oid}")
    if tag == INTEGER and length > limits.max_integer:
        raise Asn1Error(f"INTEGER of {length} bytes: at most {limits.max_integer}")
