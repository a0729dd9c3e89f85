"""An interrupted installation: the next start repeats it, and older packages still work."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pkiportal.launcher import Place

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL]
interrupted = pytest.mark.parametrize("step", ["venv", "pip"])
by_a_signal = pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)


@pytest.fixture
def place(starts_processes: None, tmp_path: Path) -> Place:
    return Place(tmp_path)


def runs(place: Place) -> bool:
    """Whether a command runs with the packages that are there, with no installation."""
    return place.run("doctor") == (0, "", [f"{place.folder}/manage.py doctor"])


@interrupted
@by_a_signal
def test_an_interrupted_first_installation_is_made_again(
    place: Place, step: str, number: signal.Signals
) -> None:
    assert place.interrupt("up", step=step, number=number) != 0
    status, output, _ = place.run("up")
    assert status == 0, output
    assert runs(place)


@interrupted
@by_a_signal
def test_an_interrupted_upgrade_leaves_the_packages_that_worked(
    place: Place, step: str, number: signal.Signals
) -> None:
    place.run("up")
    place.write_locks("a==2\n")
    assert place.interrupt("up", step=step, number=number) != 0
    place.write_locks("a==1\n")  # as by going back to the earlier version
    assert runs(place)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name
)
def test_an_interrupted_installation_takes_no_room(place: Place, number: signal.Signals) -> None:
    assert place.interrupt("up", step="pip", number=number) == 130
    assert sorted(path.name for path in place.venv.iterdir()) == [".lock"]


def test_a_failed_first_installation_is_made_again(place: Place) -> None:
    (place.folder / "broken-pip").touch()
    status, output, _ = place.run("up")
    assert status == 1
    assert (
        output.splitlines()[-1]
        == "portal: the packages of requirements.lock could not be installed, see above"
    )
    (place.folder / "broken-pip").unlink()
    assert place.run("up")[0] == 0
    assert runs(place)


@pytest.mark.parametrize("command", ["up", "test", "doctor", "fuzz", "interop"])
def test_a_failed_upgrade_leaves_the_packages_that_worked_and_says_so(
    place: Place, command: str
) -> None:
    place.run("up")
    place.write_locks("a==2\n")
    (place.folder / "broken-pip").touch()
    status, output, _ = place.run(command)
    assert status == 1
    assert output.splitlines()[-1].endswith(
        "see above; the packages that were installed before are still there"
    )
    place.write_locks("a==1\n")
    assert runs(place)


def test_the_earlier_version_needs_no_installation(place: Place) -> None:
    place.run("up")
    place.write_locks("a==2\n")
    place.run("up")
    (place.folder / "broken-pip").touch()
    for text in ("a==1\n", "a==2\n", "a==1\n"):
        place.write_locks(text)
        assert runs(place), text


def test_another_python_under_the_same_name_gets_packages_of_its_own(place: Place) -> None:
    place.run("up")
    shutil.copy(place.venv / "bin/python", place.folder / "python3.99")
    (place.venv / "a/bin/python").unlink()
    (place.venv / "a/bin/python").symlink_to(place.folder / "python3.99")
    status, output, _ = place.run("up")
    assert status == 0
    assert output.startswith("Installing")
    assert runs(place)


# A folder as portal 0.1.0 leaves it ---------------------------------------------------------------
def earlier_folder(place: Place, lock: str) -> None:
    """Make a folder with one place only."""
    (place.venv / "bin").mkdir(parents=True)
    (place.venv / "lib").mkdir()
    shutil.copy(place.folder / "python", place.venv / "bin/python")
    (place.venv / "packages").touch()
    shutil.copy(place.folder / lock, place.venv / f".{lock}")


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-test.lock"])
def test_a_folder_of_the_earlier_launcher_serves_as_it_is(place: Place, lock: str) -> None:
    earlier_folder(place, lock)
    assert runs(place)


@interrupted
@by_a_signal
def test_a_folder_of_the_earlier_launcher_survives_an_interrupted_upgrade(
    place: Place, step: str, number: signal.Signals
) -> None:
    earlier_folder(place, "requirements.lock")
    place.write_locks("a==2\n")
    assert place.interrupt("up", step=step, number=number) != 0
    place.write_locks("a==1\n")
    assert runs(place)


def test_a_folder_of_the_earlier_launcher_is_upgraded(place: Place) -> None:
    earlier_folder(place, "requirements-test.lock")
    place.write_locks("a==2\n")
    status, output, _ = place.run("up")
    assert status == 0
    assert "requirements-test.lock" in output
    assert (place.venv / "bin").readlink() == Path("current/bin")
    assert not (place.venv / ".requirements-test.lock").exists()
    assert runs(place)


@pytest.mark.parametrize("name", ["bin", "lib", ".requirements.lock", "current", "pyvenv.cfg"])
def test_an_upgrade_of_an_earlier_folder_that_was_cut_at_its_end_is_completed(
    place: Place, name: str
) -> None:
    place.run("up")
    (place.folder / "broken-pip").touch()
    (place.venv / name).unlink(missing_ok=True)
    if name.startswith("."):
        (place.venv / name).write_text("a==0\n")
    assert place.run("up")[0] == 0
    assert runs(place)


# Where nothing can be written ---------------------------------------------------------------------
def a_file(venv: Path) -> None:
    venv.write_text("")


def a_link_to_nowhere(venv: Path) -> None:
    venv.symlink_to("/proc/no-such-folder")


def a_link_to_a_system_folder(venv: Path) -> None:
    venv.symlink_to("/proc/sys")


def a_link_to_a_device(venv: Path) -> None:
    venv.symlink_to("/dev/null")


def a_lock_that_is_a_folder(venv: Path) -> None:
    (venv / ".lock").mkdir(parents=True)


@pytest.mark.parametrize(
    "obstacle",
    [
        a_file,
        a_link_to_nowhere,
        a_link_to_a_system_folder,
        a_link_to_a_device,
        a_lock_that_is_a_folder,
    ],
)
def test_a_tree_that_cannot_be_written_names_the_variable_for_another_folder(
    place: Place, tmp_path: Path, obstacle: Callable[[Path], None]
) -> None:
    obstacle(place.venv)
    status, output, _ = place.run("up")
    assert status == 1
    assert output.startswith(
        f"portal: cannot write to {place.venv}: name a folder for the Python packages, as in "
        "PORTAL_VENV="
    )
    elsewhere = tmp_path / "else where"
    assert place.run("up", variables={"PORTAL_VENV": str(elsewhere)})[0] == 0
    assert (elsewhere / "current/packages").exists()


def test_a_tree_that_cannot_be_written_serves_where_the_packages_are_there(place: Place) -> None:
    place.run("up")
    (place.venv / ".lock").unlink()
    (place.venv / ".lock").mkdir()  # not even root can write it
    assert runs(place)


def test_a_relative_folder_is_below_the_current_one(place: Place, tmp_path: Path) -> None:
    relative = os.path.relpath(tmp_path / "near", "/")
    assert place.run("test", variables={"PORTAL_VENV": relative})[0] == 0
    assert (tmp_path / "near/current/packages").exists()
