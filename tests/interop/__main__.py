"""`./portal interop`: run every client against its own portal, and publish the results.

The matrix goes to docs/devices/interop.md, and as data to approvals/device_setup/interop.json,
which the page of clients shows.
"""

import argparse
import json
import platform
import sys
from pathlib import Path

import pytest

from tests.interop.matrix import render
from tests.interop.report import Reporter

_FOLDER = Path(__file__).parent
_PAGE = _FOLDER.parents[1] / "docs" / "devices" / "interop.md"
_DATA = _FOLDER.parents[1] / "approvals" / "device_setup" / "interop.json"


def main() -> int:
    """Return pytest's status: 0 when every cell of the matrix is as the page says."""
    parser = argparse.ArgumentParser(prog="./portal interop", description=__doc__)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where the page goes, and nothing else is written"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; fail where the page would say otherwise",
    )
    options, rest = parser.parse_known_args()
    page = None if options.check else options.out or _PAGE
    data = None if options.check or options.out else _DATA
    reporter = Reporter(page, data, _system())
    fixed = [str(_FOLDER), "--rootdir", str(_FOLDER.parents[1]), "-p", "no:randomly"]
    status = pytest.main([*fixed, *rest], plugins=[reporter])
    if options.check and status == pytest.ExitCode.OK:
        return _compare(reporter)
    return int(status)


def _compare(reporter: Reporter) -> int:
    """Versions and system may differ from the published ones; the results may not."""
    outcomes, published = reporter.seen(), json.loads(_DATA.read_text())
    changed = [row for row in outcomes["scenarios"] if row not in published["scenarios"]]
    for row in changed:
        sys.stderr.write(f"{_DATA.name} does not say: {row}\n")
    if _PAGE.read_text() != render(published):
        sys.stderr.write(f"{_PAGE.name} is not made of {_DATA.name}: run ./portal interop\n")
        return 1
    return 1 if changed else 0


def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        name = platform.system()
    return f"{name}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
