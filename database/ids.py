"""Identifiers that sort by time, as primary keys of everything that has pages (RFC 9562 §5.7)."""

import os
import time
from datetime import datetime
from uuid import UUID

_MILLISECONDS = 1_000_000  # in nanoseconds


def uuid7() -> UUID:
    """Return a version 7 UUID: 48 bits of Unix milliseconds, 12 of the fraction, 62 random bits."""
    nanoseconds = time.time_ns()
    milliseconds, rest = divmod(nanoseconds, _MILLISECONDS)
    fraction = rest * 4096 // _MILLISECONDS
    random_bits = int.from_bytes(os.urandom(8)) & ((1 << 62) - 1)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | random_bits)


def since(moment: datetime) -> UUID:
    """Return the smallest key of rows created at `moment` or later.

    Keys begin with milliseconds since 1970.
    """
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)
