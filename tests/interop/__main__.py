"""`./portal interop`: run every client against a portal of its own, and write the matrix to docs/interop.md."""

import argparse
import platform
import sys
from pathlib import Path

import pytest

from tests.interop.report import Reporter

_FOLDER = Path(__file__).parent
_PAGE = _FOLDER.parents[1] / "docs" / "interop.md"


def main() -> int:
    """Return pytest's status: 0 when every cell of the matrix is as the page says."""
    parser = argparse.ArgumentParser(prog="./portal interop", description=__doc__)
    parser.add_argument("--out", type=Path, default=_PAGE, metavar="FILE", help="where the page goes (docs/interop.md)")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the page would say otherwise")
    options, rest = parser.parse_known_args()
    page = None if options.check else options.out
    reporter = Reporter(page, _system())
    fixed = [str(_FOLDER), "--rootdir", str(_FOLDER.parents[1]), "-p", "no:randomly"]
    status = pytest.main([*fixed, *rest], plugins=[reporter])
    if options.check and status == pytest.ExitCode.OK:
        return _compare(reporter)
    return int(status)


def _compare(reporter: Reporter) -> int:
    """Versions and system may differ from those of the page; what the clients do may not."""
    said = {line for line in _PAGE.read_text().splitlines() if line.startswith("| ") and "---" not in line}
    rows = {line for line in reporter.page().splitlines() if line.startswith("| ") and "---" not in line}
    changed = sorted(line for line in rows - said if not line.startswith("|  |"))
    for line in changed:
        sys.stderr.write(f"docs/interop.md does not say: {line}\n")
    return 1 if changed else 0


def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        name = platform.system()
    return f"{name}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
