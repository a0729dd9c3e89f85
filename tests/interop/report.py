"""pytest's side of the matrix: read the cells of tests, collect results, write page and data."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from tests.interop.matrix import CLIENTS, Cell, Matrix, document, render

_CELL: Final = "cell"


def cells_of(item: pytest.Item) -> list[Cell]:
    """Return the cells that a test shows. Raises ValueError for one that is not in the matrix."""
    return [Cell(*marker.args, **marker.kwargs) for marker in item.iter_markers(_CELL)]


class Reporter:
    """A pytest plugin; with xdist it runs in the process that gathers the reports of the others."""

    def __init__(self, page: Path | None, data: Path | None, platform: str) -> None:
        self.matrix = Matrix()
        self._page = page
        self._data = data
        self._platform = platform

    def seen(self) -> dict[str, Any]:
        """Return the results so far."""
        return document(
            self.matrix, {key: client.version() for key, client in CLIENTS.items()}, self._platform
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the outcome: of the test itself, or of its fixtures where it did not come so far."""
        if report.when != "call" and report.outcome == "passed":
            return
        for name, value in report.user_properties:
            if name == _CELL:
                client, scenario, shows = str(value).split("|")
                self.matrix.note(Cell(client, scenario, shows), report.outcome)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Report missing cells, and write the page if requested."""
        for cell in self.matrix.missing():
            terminalreporter.write_line(f"interop matrix: {cell}: neither a test nor a reason")
        texts = (
            (self._page, render(self.seen())),
            (self._data, json.dumps(self.seen(), indent=2) + "\n"),
        )
        for path, text in texts:
            if path is not None:
                path.write_text(text)
                terminalreporter.write_line(f"interop matrix: wrote {path}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A matrix with a hole or a failure is a failure."""
        if not self.matrix.is_green() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def note_cells(item: pytest.Item, report: Any) -> None:
    """Write the cells of a test into its report, so that the gathering process has them."""
    report.user_properties += [
        (_CELL, f"{cell.client}|{cell.scenario}|{cell.shows}") for cell in cells_of(item)
    ]
