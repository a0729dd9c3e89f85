"""Command lines of the documents that need processes, databases or repositories of their own."""

import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pkiportal.runtime import parts
from tests.architecture.fences import ROOT, fences
from tests.chaos.services import Keeper, Site, start_postgresql
from tests.flows.documented import LINES
from tests.migrated import copy_migrated_database


def lines(document: str, *beginnings: str) -> list[str]:
    """Return the command lines of a document that begin so, in order."""
    commands = [
        line.text
        for line in LINES
        if line.document == document and line.text.startswith(beginnings)
    ]
    assert len(commands) >= len(beginnings)
    return commands


def sh(line: str, folder: Path, **variables: str) -> str:
    """Run a command line in a folder with the program as `./portal`, and return its output."""
    launcher = folder / "portal"
    launcher.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT / "manage.py"} "$@"\n')
    launcher.chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **variables}
    command = ["sh", "-c", line]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        text=True,
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"{line}: status {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.usefixtures("starts_processes")
def test_the_repository_is_cloned(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "source")], check=True)
    (line,) = lines("README.md", "git clone")
    assert (
        sh(f"{line} && pwd", tmp_path, PORTAL_SOURCE=str(tmp_path / "source"))
        .strip()
        .endswith("/pki-portal")
    )


@pytest.mark.usefixtures("starts_processes")
def test_a_backup_is_made_restored_and_checked(tmp_path: Path) -> None:
    var = tmp_path / "var"
    var.mkdir(mode=0o700)
    copy_migrated_database(var / "db.sqlite3")
    sh("./portal createca root --key ec:p256 --subject CN=Root --no-ra-key --data var", tmp_path)
    make = lines("docs/operations.md", "umask 077 && mkdir -p backup", "python3 -c", "tar -C var")
    sh("\n".join(["set -e", *make]), tmp_path)
    assert {path.name for path in (tmp_path / "backup").iterdir()} == {
        "db.sqlite3",
        "keys.tar",
        "secrets.tar",
    }
    shutil.rmtree(var)
    restore = lines("docs/operations.md", "umask 077 && mkdir -p DIR", "cp backup", "tar -C DIR")
    sh("\n".join(["set -e", *restore]), tmp_path)
    checks = lines(
        "docs/operations.md",
        "./portal collectstatic",
        "./portal doctor",
        "./portal check_invariants",
    )
    outputs = [sh(line, tmp_path) for line in checks]
    assert not re.search("^(WARN|FAIL) .*static files", outputs[1], re.M)
    assert "Everything is as it must be." in outputs[-1]
    with sqlite3.connect(tmp_path / "DIR/db.sqlite3") as connection:
        assert connection.execute("SELECT name FROM ca_certificateauthority").fetchall() == [
            ("root",)
        ]


def test_the_parts_one_by_one_are_those_of_up() -> None:
    commands = {part.name: part.command for part in parts.portal_parts()}
    documented = lines("docs/operations.md", "PORTAL_PROCESS=")
    assert len(documented) == len(commands)
    for line in documented:
        process, program, *words = shlex.split(line.replace("\\\n", " "))
        name = process.removeprefix("PORTAL_PROCESS=")
        assert program == ".venv/bin/python"
        expected = [
            word.replace("@portal", "@%h") for word in commands[name][1:] if word != "--quiet"
        ]
        assert [word for word in words if not word.isdigit()] == [
            word for word in expected if not word.isdigit()
        ]


@pytest.mark.usefixtures("starts_processes")
def test_the_settings_in_the_documents_are_read(tmp_path: Path) -> None:
    blocks = [fence.text for fence in fences() if fence.language == "env"]
    settings = dict(line.split("=", 1) for text in blocks for line in text.splitlines())
    assert len(settings) == sum(len(text.splitlines()) for text in blocks)
    sh("./portal check --data data", tmp_path, **settings)


def test_the_unit_starts_the_portal_with_options_that_it_has() -> None:
    (text,) = (fence.text for fence in fences() if fence.language == "ini")
    unit = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    program, command, *options = unit["ExecStart"].split()
    assert (Path(program).name, command) == ("portal", "up")
    assert [word for word in options if word.startswith("--")] == ["--data", "--bind"]
    assert (unit["KillMode"], unit["Restart"]) == ("mixed", "on-failure")


@pytest.mark.usefixtures("starts_processes")
@pytest.mark.postgresql
def test_a_new_database_server_is_set_up() -> None:
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        pytest.skip("PostgreSQL's programs are not installed")
    with TemporaryDirectory(dir="/tmp") as place:  # the path of a socket is short
        folder = Path(place)
        folder.chmod(0o755)
        keeper = Keeper(folder)
        site = Site(folder, 0, "postgresql")
        site.chaos.mkdir()
        start_postgresql(site, keeper)
        try:
            _set_up_server(folder)
        finally:
            keeper.stop()


def _set_up_server(folder: Path) -> None:
    """Run the lines for PostgreSQL in their order.

    The socket stands for db.example, where a password is asked for.
    """
    host = str(folder / "pg")
    passwords = {"MIGRATE_PASSWORD": "m", "WEB_PASSWORD": "w", "SIGNING_PASSWORD": "s"}
    variables = {"PGHOST": host, "PGUSER": "portal", **passwords}
    sh("dropdb portal", folder, **variables)
    (make_user, make_database, export, migrate) = lines(
        "docs/operations.md", "createuser", "createdb", "export DATABASE_URL", "./portal migrate"
    )
    sh(
        f"printf 'm\\nm\\n' | setsid -w {make_user}", folder, **variables
    )  # without a terminal it reads its input
    sh(make_database, folder, **variables)
    export = export.replace("db.example", host.replace("/", "%2F"))
    sh(f"{export}\n{migrate}", folder, **variables, PORTAL_DATA="data")
    for line in lines("docs/operations.md", "./portal grants |", "psql"):
        sh(line, folder, **variables, PORTAL_DATA="data")
    owner = (
        'psql --dbname portal -Atc "SELECT tableowner FROM pg_tables WHERE tablename = '
        "'audit_auditentry'\""
    )
    assert sh(owner, folder, **variables).strip() == "pki_migrate"
    (dump,) = lines("docs/operations.md", "pg_dump")
    sh(f"mkdir backup && {dump} && pg_restore --list backup/portal.dump", folder, **variables)
    for role, right in (("portal_web", "INSERT"), ("portal_signing", "INSERT")):
        line = (
            f"psql --dbname portal -Atc \"SELECT has_table_privilege('{role}', 'audit_auditentry', "
            f"'{right}')\""
        )
        assert sh(line, folder, **variables).strip() == "t"
