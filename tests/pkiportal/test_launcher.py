"""The launcher, with stand-ins for Python: nothing is installed."""

from pathlib import Path

import pytest

from tests.pkiportal.launcher import Place


@pytest.fixture
def place(starts_processes: None, tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_first_start_installs_with_hashes_and_says_so(place: Place) -> None:
    status, output, calls = place.run("up", "--bind", "[::]:80")
    assert status == 0
    assert output.startswith("Installing the Python packages of requirements.lock into ")
    assert "--require-hashes" in calls[-2]
    assert "--only-binary :all:" in calls[-2]
    assert calls[-1] == f"{place.folder}/manage.py up --bind [::]:80"


def test_pip_resolves_nothing_by_itself(place: Place) -> None:
    assert "--no-deps" in place.run("up")[2][-2].split()


def test_an_installation_tells_each_step(place: Place) -> None:
    output = place.run("up")[1].splitlines()
    assert output[1:] == ["  making a Python environment ...", "  unpacking 1 packages ..."]


def test_the_second_start_is_silent_and_calls_python_once(place: Place) -> None:
    place.run("up")
    assert place.run("doctor") == (0, "", [f"{place.folder}/manage.py doctor"])


def test_a_changed_lock_is_installed(place: Place) -> None:
    place.run("up")
    (place.folder / "requirements.lock").write_text("a==2\n")
    assert "Installing" in place.run("up")[1]


def test_the_test_packages_serve_other_commands_too(place: Place) -> None:
    _, output, calls = place.run("test", "-k", "bob")
    assert "requirements-test.lock" in output
    assert calls[-1] == "-m pytest -n auto --dist worksteal -k bob"
    assert place.run("up")[1] == ""
    (place.folder / "requirements-test.lock").write_text("a==2\nb==1\n")
    (place.folder / "requirements.lock").write_text("a==2\n")
    assert "requirements-test.lock" in place.run("up")[1]


def test_the_fast_lane_is_an_option_of_the_tests(place: Place) -> None:
    assert place.run("test", "--fast")[2][-1] == "-m pytest -n auto --dist worksteal --fast"


def test_a_given_number_of_test_processes_stands(place: Place) -> None:
    assert place.run("test", "-n", "0")[2][-1] == "-m pytest -n 0"


@pytest.mark.parametrize("part", ["fuzz", "attack"])
def test_hostile_input_runs_with_the_test_packages(place: Place, part: str) -> None:
    _, output, calls = place.run(part, "--seed", "7")
    assert output.startswith("Installing the Python packages of requirements-test.lock into ")
    assert calls[-1] == f"-m tests.{part} --seed 7"


def test_without_a_command_the_commands_are_listed(place: Place) -> None:
    assert place.run()[2][-1] == f"{place.folder}/manage.py help"


def test_a_python_too_old_is_named(place: Place) -> None:
    place.install_python(too_old=1)
    status, output, _ = place.run("up")
    assert status == 1
    assert output.splitlines()[-1].startswith(
        "portal: Python 3.9.2 is too old, 3.11 or newer is needed"
    )


def test_a_missing_venv_module_is_named_with_the_package(place: Place) -> None:
    place.install_python(no_venv=1)
    status, output, _ = place.run("up")
    assert status == 1
    assert output.splitlines()[-1].endswith("is missing: apt install python3-venv")
