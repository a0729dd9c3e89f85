"""The launcher in its own folder, with small locks and a stand-in for Python."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]

#: Notes its arguments. `-m venv` copies it to a folder, where `-m pip` works only after ensurepip
#: and the portal only after pip. A file `hold-venv` or `hold-pip` stops it at that step, a file
#: `broken-pip` lets pip fail.
PYTHON: Final = """#!/bin/sh
echo "$*" >> "{folder}/calls"
here=$(dirname "$0")/..
hold() {{
    [ -e "{folder}/hold-$1" ] || return 0
    : > "{folder}/holding"
    exec sleep 60
}}
case "$*" in
    *version_info*) exit {too_old} ;;
    *ensurepip*) exit {no_venv} ;;
    -V) echo "Python 3.9.2" ;;
    "-m venv"*)
        for place; do :; done
        mkdir -p "$place/bin" && cp "$0" "$place/bin/python"
        hold venv
        : > "$place/pip"
        ;;
    "-m pip"*)
        [ -e "$here/pip" ] || {{ echo "No module named pip" >&2; exit 1; }}
        echo "Collecting a==1 (from -r requirements.lock (line 1))"
        hold pip
        [ ! -e "{folder}/broken-pip" ] || {{ echo "ERROR: No matching distribution" >&2; exit 1; }}
        echo "Installing collected packages: a"
        : > "$here/packages"
        ;;
    *) [ -e "$here/packages" ] || {{ echo "No module named django" >&2; exit 1; }} ;;
esac
"""


def _hear_signals() -> None:
    """Let signals end the new process as on a terminal, even if the tests run under nohup."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Place:
    """A copy of the launcher next to small locks."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log, self.venv = folder, folder / "calls", folder / ".venv"
        shutil.copy(ROOT / "portal", folder / "portal")
        self.write_locks("a==1\n")
        self.install_python()

    def write_locks(self, text: str) -> None:
        (self.folder / "requirements.lock").write_text(text)
        (self.folder / "requirements-test.lock").write_text(f"{text}b==1\n")

    def install_python(self, *, too_old: int = 0, no_venv: int = 0) -> None:
        text = PYTHON.format(folder=self.folder, too_old=too_old, no_venv=no_venv)
        (self.folder / "python").write_text(text)
        (self.folder / "python").chmod(0o755)

    def environment(self) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "PYTHON": str(self.folder / "python")}

    def run(
        self, *arguments: str, variables: Mapping[str, str] | None = None
    ) -> tuple[int, str, list[str]]:
        """Status, standard error, and the calls of Python."""
        self.log.write_text("")
        done = subprocess.run(
            [str(self.folder / "portal"), *arguments],
            env={**self.environment(), **(variables or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd="/",
        )
        return done.returncode, done.stderr, self.log.read_text().splitlines()

    def interrupt(self, *arguments: str, step: str, number: signal.Signals) -> int:
        """Start, send a signal to all its processes at a step of the installation; the status."""
        (self.folder / f"hold-{step}").touch()
        command = [str(self.folder / "portal"), *arguments]
        with subprocess.Popen(
            command,
            env=self.environment(),
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_hear_signals,  # noqa: PLW1509 - no thread of the tests runs here
        ) as process:
            deadline = time.monotonic() + 20
            while not (self.folder / "holding").exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            os.killpg(process.pid, number)
            status = process.wait(timeout=120)
        (self.folder / f"hold-{step}").unlink()
        (self.folder / "holding").unlink()
        return status
