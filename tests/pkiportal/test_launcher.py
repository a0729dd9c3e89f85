"""The launcher, with stand-ins for Python: nothing is installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Notes its arguments; as `-m venv` makes a folder with itself as python.
PYTHON = """#!/bin/sh
echo "$*" >> "{log}"
case "$*" in
    *version_info*) exit {too_old} ;;
    *ensurepip*) exit {no_venv} ;;
    -V) echo "Python 3.9.2" ;;
    "-m venv"*) for folder; do :; done; mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python" ;;
esac
"""


class Place:
    """A copy of the launcher beside small locks."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "calls"
        shutil.copy(ROOT / "portal", folder / "portal")
        (folder / "requirements.lock").write_text("a==1\n")
        (folder / "requirements-test.lock").write_text("a==1\nb==1\n")
        self.install_python()

    def install_python(self, *, too_old: int = 0, no_venv: int = 0) -> None:
        text = PYTHON.format(log=self.log, too_old=too_old, no_venv=no_venv)
        (self.folder / "python").write_text(text)
        (self.folder / "python").chmod(0o755)

    def run(self, *arguments: str) -> tuple[int, str, list[str]]:
        """Status, standard error, and the calls of Python."""
        self.log.write_text("")
        done = subprocess.run(
            [str(self.folder / "portal"), *arguments],
            env={"PATH": "/usr/bin:/bin", "PYTHON": str(self.folder / "python")},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            cwd="/",
        )
        return done.returncode, done.stderr, self.log.read_text().splitlines()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_first_start_installs_with_hashes_and_says_so(place: Place) -> None:
    status, told, calls = place.run("up", "--bind", "[::]:80")
    assert status == 0
    assert told.startswith("Installing the Python packages of requirements.lock into ")
    assert "--require-hashes --only-binary :all:" in calls[-2]
    assert calls[-1] == f"{place.folder}/manage.py up --bind [::]:80"


def test_the_second_start_is_silent_and_calls_python_once(place: Place) -> None:
    place.run("up")
    assert place.run("doctor") == (0, "", [f"{place.folder}/manage.py doctor"])


def test_a_changed_lock_is_installed(place: Place) -> None:
    place.run("up")
    (place.folder / "requirements.lock").write_text("a==2\n")
    assert "Installing" in place.run("up")[1]


def test_the_test_packages_serve_other_commands_too(place: Place) -> None:
    _, told, calls = place.run("test", "-k", "bob")
    assert "requirements-test.lock" in told
    assert calls[-1] == "-m pytest -n auto --dist worksteal -k bob"
    assert place.run("up")[1] == ""
    (place.folder / "requirements-test.lock").write_text("a==2\nb==1\n")
    (place.folder / "requirements.lock").write_text("a==2\n")
    assert "requirements-test.lock" in place.run("up")[1]


def test_a_given_number_of_test_processes_stands(place: Place) -> None:
    assert place.run("test", "-n", "0")[2][-1] == "-m pytest -n 0"


@pytest.mark.parametrize("part", ["fuzz", "attack"])
def test_hostile_input_runs_with_the_test_packages(place: Place, part: str) -> None:
    _, told, calls = place.run(part, "--seed", "7")
    assert told.startswith("Installing the Python packages of requirements-test.lock into ")
    assert calls[-1] == f"-m tests.{part} --seed 7"


def test_without_a_command_the_commands_are_listed(place: Place) -> None:
    assert place.run()[2][-1] == f"{place.folder}/manage.py help"


def test_a_python_too_old_is_named(place: Place) -> None:
    place.install_python(too_old=1)
    status, told, _ = place.run("up")
    assert status == 1
    assert told.splitlines()[-1].startswith("portal: Python 3.9.2 is too old, 3.11 or newer is needed")


def test_a_missing_venv_module_is_named_with_the_package(place: Place) -> None:
    place.install_python(no_venv=1)
    status, told, _ = place.run("up")
    assert status == 1
    assert told.splitlines()[-1].endswith("is missing: apt install python3-venv")
