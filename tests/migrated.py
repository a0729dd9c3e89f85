"""An SQLite database as `migrate` leaves it, made once and copied, which saves seconds.

The copy is migrated as any database is when a portal or a test session starts; nothing is left to
do. `tests/pkiportal/test_up.py` and `test_migrate.py` show `migrate` on an empty file.
"""

import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from tests.lanes import processes_allowed

ROOT: Final = Path(__file__).resolve().parents[1]
_FOLDER: Final = ROOT / "tests" / "output"


def copy_migrated_database(target: Path) -> None:
    """Put a copy there, readable by the owner only. The folder must exist."""
    target.touch(mode=0o600)
    shutil.copyfile(_template(), target)


@cache
def _template() -> Path:
    """The file for these very migrations; of processes that miss it at once, one makes it and the
    others wait.
    """
    sources = sorted(
        [*ROOT.glob("*/migrations/*.py"), *ROOT.glob("*/triggers*.py"), ROOT / "requirements.lock"]
    )
    digest = sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()
    template = _FOLDER / f"migrated-{digest[:20]}.sqlite3"
    if not template.exists():
        _FOLDER.mkdir(exist_ok=True)
        with template.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not template.exists():
                _make(template)
    return template


def _make(template: Path) -> None:
    """Migrate an empty database by the command, and put it there by one rename."""
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        command = [
            sys.executable,
            str(ROOT / "manage.py"),
            "migrate",
            "--data",
            str(data),
            "--verbosity",
            "0",
        ]
        environment = {
            name: os.environ[name]
            for name in ("PATH", "HOME", "LANG", "TMPDIR")
            if name in os.environ
        }
        with processes_allowed():
            subprocess.run(command, env=environment, check=True, capture_output=True)
        merged = Path(scratch) / "merged.sqlite3"
        _merge(data / "db.sqlite3", merged)
        ours = template.with_suffix(f".{os.getpid()}")
        shutil.copyfile(merged, ours)
        ours.replace(template)


def _merge(source: Path, target: Path) -> None:
    """Write one file, including the write-ahead log."""
    connection = sqlite3.connect(source)
    connection.execute("VACUUM INTO ?", (str(target),))
    connection.close()
