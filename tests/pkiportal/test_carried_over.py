"""A data folder of version 0.1.0 is carried over by `./portal migrate`, and serves as before.

The folder was made by the code of that version: decisions in the browser's way, by command and by
policy, a rejection, a revocation, challenges of both kinds, expected devices, an NDES account and
a token (`tests/vectors/README.md`).
"""

import os
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
_ARCHIVE: Final = ROOT / "tests" / "vectors" / "data-folder-0.1.0.tar.xz"

pytestmark = [pytest.mark.embedded, pytest.mark.usefixtures("starts_processes")]


def portal(data: Path, *arguments: str) -> str:
    """Run a command on a data folder, and return what it printed."""
    environment = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ
    }
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=environment | {"PORTAL_DATA": str(data)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def schema_of(database: Path) -> dict[tuple[str, str], str | tuple[str, ...]]:
    """Return tables with their columns in any order, and indexes and triggers as they are."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql NOTNULL")
        return {
            (kind, name): sql if kind != "table" else tuple(sorted(columns_of(sql)))
            for kind, name, sql in rows.fetchall()
            if not name.startswith("sqlite_")
        }


def columns_of(sql: str) -> list[str]:
    """Split the inside of a CREATE TABLE at the commas outside of brackets."""
    parts, depth = [""], 0
    for character in sql[sql.index("(") + 1 : sql.rindex(")")]:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


@pytest.fixture
def carried(tmp_path: Path) -> Path:
    """A copy of the folder, migrated."""
    with tarfile.open(_ARCHIVE) as archive:
        archive.extraction_filter = lambda member, _: member  # modes stay; 3.11.2 has no filters
        archive.extractall(tmp_path)  # noqa: S202 - an archive of this repository
    data = tmp_path / "data"
    data.chmod(0o700)
    portal(data, "migrate", "--verbosity", "0")
    return data


def test_its_rows_keep_every_invariant_and_its_schema_is_that_of_a_new_folder(
    carried: Path, tmp_path: Path
) -> None:
    checked = portal(carried, "check_invariants")
    assert "6 requests, 4 issued, 7 certificates" in checked
    assert "Everything is as it must be." in checked
    portal(tmp_path / "new", "migrate", "--verbosity", "0")
    assert schema_of(carried / "db.sqlite3") == schema_of(tmp_path / "new" / "db.sqlite3")


def test_its_people_requests_and_certificates_are_listed_with_their_comments(carried: Path) -> None:
    listed = portal(carried, "requests", "list")
    assert listed.count(" issued ") == 4
    assert listed.count(" rejected ") == listed.count(" pending ") == 1
    identifier = next(line for line in listed.splitlines() if "router-1.example" in line).split()[0]
    shown = portal(carried, "requests", "show", identifier)
    assert "checked against the asset list" in shown
    assert "alice" in portal(carried, "users", "list")
    assert " revoked " in portal(carried, "certificates", "list")
