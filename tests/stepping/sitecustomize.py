"""Shifts the wall clock of each Python process that has this folder on its path.

The file named by STEPPED_CLOCK holds the seconds. The monotonic clock stays, as it does when a real
clock is set.
"""

import os
from pathlib import Path

import time_machine

_FILE = Path(os.environ["STEPPED_CLOCK"])


class _Stepped:
    """Stands in for a traveller of time_machine: the real time and the offset of this moment."""

    def time_ns(self) -> int:
        return (
            int(time_machine.escape_hatch.time.time_ns()) + int(_FILE.read_text()) * 1_000_000_000
        )


time_machine.travel(0).start()
time_machine.traveller_stack[-1] = _Stepped()  # type: ignore[call-overload]  # has all that is asked of one
