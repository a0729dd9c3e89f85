"""Prints the measures of the code in the summary of a test run, once they have been taken."""

import pytest

PROPERTY = "measures"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the table that a test noted in its report."""
    reports = [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]
    for report in reports:
        if isinstance(report, pytest.TestReport):
            for text in (value for name, value in report.user_properties if name == PROPERTY):
                terminalreporter.section("measures of the code")
                terminalreporter.write_line(str(text))
