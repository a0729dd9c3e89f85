"""`./portal help`, `--version`, and the commands of Django that have no place here."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from html import unescape
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import get_commands, load_command_class
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from pkiportal.doctor.diagnosis import examine
from pkiportal.management.catalogue import (
    GROUPS,
    LAUNCHER,
    REFUSED,
    SENTENCES,
    NoCommand,
    check_command,
    help_text,
)
from tests.pages import signed_in
from tests.world import World, now

ROOT = Path(__file__).resolve().parents[2]
OURS = sorted(name for name, app in get_commands().items() if app == "pkiportal")
DJANGOS = sorted(name for name, app in get_commands().items() if app != "pkiportal")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
#: Commands that an operator or a developer runs as Django has them.
AS_DJANGO_HAS_THEM = {
    *("check", "makemigrations", "showmigrations", "sqlmigrate"),
    *("collectstatic", "clearsessions", "sendtestemail"),
}


def portal(*arguments: str, data: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run manage.py as the launcher does, in an environment with nothing of the tests'."""
    environment = {
        name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ
    }
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env={**environment, "PORTAL_DATA": str(data), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        encoding="latin-1",
    )


# Help ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", OURS)
def test_help_lists_each_command_with_its_own_sentence(name: str) -> None:
    if name != "migrate":  # its own is Django's
        assert SENTENCES[name] == load_command_class("pkiportal", name).help


def test_help_lists_nothing_that_is_not_there() -> None:
    assert set(SENTENCES) - set(LAUNCHER) == {*OURS, *AS_DJANGO_HAS_THEM}


def test_each_command_stands_in_one_group() -> None:
    names = [name for commands in GROUPS.values() for name in commands]
    assert len(names) == len(set(names))


@given(st.integers(min_value=60, max_value=200))
def test_help_fits_any_terminal(width: int) -> None:
    lines = help_text(VERSION, width=width).splitlines()
    assert all(len(line) <= max(width, 100) for line in lines)
    assert {line.split()[0] for line in lines if re.match(r"  [a-z]", line)} == set(SENTENCES)


@pytest.mark.usefixtures("starts_processes")
@pytest.mark.parametrize("arguments", [(), ("help",), ("--help",), ("-h",), ("help", "--commands")])
def test_help_needs_no_data_folder(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = portal(*arguments, data=tmp_path / "data")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"PKI portal {VERSION}\n")
    assert not (tmp_path / "data").exists()


@pytest.mark.usefixtures("starts_processes")
@pytest.mark.parametrize("arguments", [("help", "crl"), ("crl", "--help"), ("crl", "-h")])
def test_help_of_a_command_is_its_options(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert portal(*arguments, data=tmp_path / "data").stdout.startswith("usage: portal crl ")


@pytest.mark.usefixtures("starts_processes")
@pytest.mark.parametrize("name", LAUNCHER)
def test_help_of_a_command_of_the_launcher_is_its_sentence(name: str, tmp_path: Path) -> None:
    assert (
        portal("help", name, data=tmp_path / "data").stdout
        == f"./portal {name}: {LAUNCHER[name]}\n"
    )


# The version --------------------------------------------------------------------------------------
@pytest.mark.usefixtures("starts_processes")
@pytest.mark.parametrize(
    "arguments",
    [
        ("--version",),
        ("version",),
        ("up", "--version"),
        ("migrate", "--version"),
        ("crl", "list", "--version"),
    ],
)
def test_the_version_is_the_portals(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = portal(*arguments, data=tmp_path / "data")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{VERSION}\n", "")


# Refused commands ---------------------------------------------------------------------------------
@pytest.mark.parametrize("name", sorted({*DJANGOS, *REFUSED} - AS_DJANGO_HAS_THEM - {*LAUNCHER}))
def test_a_command_of_django_is_refused_with_the_reason_and_the_right_command(name: str) -> None:
    with pytest.raises(NoCommand) as refusal:
        check_command(name)
    text = str(refusal.value)
    assert text.startswith(f"{name}: ")
    named = set(re.findall(r"`\./portal (\w+)", text))
    assert "docs/operations.md" in text or (named and named <= {*SENTENCES, "help", "users"})


@pytest.mark.usefixtures("starts_processes")
@pytest.mark.parametrize(
    "arguments",
    ["changepassword alice", "createsuperuser --noinput", "dumpdata accounts", "shell -c 1"],
)
def test_a_refused_command_does_nothing_at_all(arguments: str, tmp_path: Path) -> None:
    done = portal(*arguments.split(), data=tmp_path / "data")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(arguments.split(maxsplit=1)[0] + ": ")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("crateca", "createca"),
        ("request", "requests"),
        ("Up", "up"),
        ("doctr", "doctor"),
        ("certificate", "certificates"),
    ],
)
def test_a_slip_is_answered_with_the_command_that_is_meant(typed: str, meant: str) -> None:
    with pytest.raises(
        NoCommand, match=rf"^{typed}: there is no such command. Did you mean `./portal {meant}`"
    ):
        check_command(typed)


@given(st.text(min_size=1).filter(lambda text: text not in {*SENTENCES, *REFUSED}))
def test_everything_else_is_no_command(name: str) -> None:
    with pytest.raises(NoCommand):
        check_command(name)


@pytest.mark.usefixtures("starts_processes")
@pytest.mark.parametrize("name", LAUNCHER)
def test_what_the_launcher_runs_is_not_run_by_django(name: str, tmp_path: Path) -> None:
    done = portal(name, data=tmp_path / "data")
    assert (done.returncode, done.stderr) == (
        2,
        f"{name}: the file portal runs it: `./portal {name}`\n",
    )


# Terminals that cannot show everything ------------------------------------------------------------
@pytest.mark.usefixtures("starts_processes")
@pytest.mark.parametrize(
    "encoding", ["iso8859-1", "iso8859-15", "ascii", "cp1252", "koi8-r", "shift_jis"]
)
def test_no_encoding_of_a_terminal_ends_in_a_traceback(encoding: str, tmp_path: Path) -> None:
    variables = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    for arguments in (("help",), ("doctor",), ("crl", "show", "\N{SNOWMAN}")):
        done = portal(*arguments, data=tmp_path / "data", **variables)
        assert "Traceback" not in done.stderr
        assert done.returncode in {0, 1, 2}


@pytest.mark.usefixtures("starts_processes")
@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "en_US.ISO-8859-1", "xx_XX"])
@pytest.mark.parametrize("text", [b"\xe9t\xe9", b"\xff", b"a\x80", b"\xc3", b"\xed\xa0\x80"])
def test_an_argument_in_another_encoding_is_refused_in_words_or_read(
    locale: str, text: bytes, tmp_path: Path
) -> None:
    done = portal("tokens", os.fsdecode(text), data=tmp_path / "data", LC_ALL=locale)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


# The folder and the version, where people look for them -------------------------------------------
@pytest.mark.usefixtures("starts_processes")
@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "with blank",
        "it's",
        'a "b" c',
        "$HOME",
        "semi;colon",
        "back\\slash",
        "(1)",
        "Jürgen",
        "a&b",
    ],
)
def test_a_printed_command_works_on_any_folder(
    world: World, settings: LazySettings, name: str, tmp_path: Path
) -> None:
    folder = tmp_path / name
    code = "from pkiportal import settings; print(settings.PORTAL_DATA_OPTION)"
    environment = {
        **os.environ,
        "PORTAL_DATA": str(folder),
        "PYTHONPATH": str(ROOT),
        "PORTAL_SECRET_KEY": "k" * 40,
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert shlex.split(done.stdout) == ["--data", str(folder)]
    settings.PORTAL_DATA_OPTION = done.stdout.rstrip("\n")
    for page in ("queue", "history_certificates"):
        text = unescape(signed_in(world.alice).get(reverse(page)).content.decode())
        command = re.search(r"<code>(\./portal demo.*?)</code>", text, re.DOTALL)
        assert command, page
        assert shlex.split(command[1]) == ["./portal", "demo", "--data", str(folder)]


def test_pages_readyz_and_the_doctor_say_the_version(world: World, settings: LazySettings) -> None:
    settings.CELERY_BROKER_URL = "redis+socket:///proc/none"
    assert f"PKI portal {VERSION}" in signed_in(world.alice).get(reverse("queue")).content.decode()
    assert Client().get("/readyz").json()["version"] == VERSION
    finding = next(finding for finding in examine(now) if finding.name == "version")
    assert (finding.state, finding.text) == ("ok", f"PKI portal {VERSION}")
    assert VERSION not in Client().get(reverse("account_login")).content.decode(), (
        "strangers are not told by pages"
    )
