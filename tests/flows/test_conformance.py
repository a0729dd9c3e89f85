"""The conformance table names tests that exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pki import FOLDER

ROOT = FOLDER.parent.parent
TABLE = ROOT / "docs" / "internals" / "rfc8894-conformance.md"


def cited() -> Iterator[tuple[str, list[str]]]:
    """Files and beginnings of test names in the last column."""
    for line in TABLE.read_text().splitlines():
        if line.startswith("| ") and "`" in line:
            for name, tests in re.findall(r"`([^`]+)`((?:,? \*[^*]+\*)*)", line.split("|")[-2]):
                yield name, [test.replace(" ", "_") for test in re.findall(r"\*([^*]+)\*", tests)]


def files_of(name: str) -> list[Path]:
    folders = (ROOT / "tests", ROOT / "tests" / "flows", ROOT)
    files = [
        path
        for folder in folders
        for path in [*folder.glob(f"{name}.py"), *folder.glob(name.rstrip("/"))]
    ]
    return files[:1] if "*" not in name else files


@pytest.mark.parametrize(("name", "tests"), list(cited()))
def test_what_the_table_says_is_shown_by_a_test_is_shown_by_one(
    name: str, tests: list[str]
) -> None:
    (file, *_) = files_of(name)
    known = re.findall(r"def test_(\w+)", file.read_text()) if file.is_file() else []
    for test in tests:
        assert any(one.startswith(test) for one in known), f"{name}: {test}"
