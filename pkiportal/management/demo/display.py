"""Output of the demo: a line for each step, and a progress bar while the device waits."""

import time
from typing import Final

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

_TICK: Final = 0.1  # seconds
_NAME_WIDTH: Final = 11


class Display:
    """Plain lines without a terminal; nothing if a script reads JSON."""

    def __init__(self, out: OutputWrapper, *, is_quiet: bool, is_terminal: bool) -> None:
        self._out = out
        self._is_quiet = is_quiet
        self._is_drawing = is_terminal and not is_quiet

    def step(self, name: str, text: str) -> None:
        """Show one step and its result."""
        if not self._is_quiet:
            self._out.write(f"{name:<{_NAME_WIDTH}} {text}")
            self._out.flush()

    def wait(self, seconds: float, text: str) -> None:
        """Wait, with a bar that fills on a terminal."""
        if not self._is_drawing:
            time.sleep(seconds)
            return
        columns = (
            TextColumn(f"{'':<{_NAME_WIDTH}} {text}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=Console(), transient=True) as progress:
            task = progress.add_task("", total=seconds)
            end = time.monotonic() + seconds
            while (remaining := end - time.monotonic()) > 0:
                progress.update(task, completed=seconds - remaining)
                time.sleep(min(_TICK, remaining))
