"""The settings as processes of each kind see them, and the commands that read them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from manage import settings_options

#: Variables that say how a portal runs; those of the test run are not the ones of the portals it
#: starts.
OURS = ("PORTAL_", "DJANGO_", "DATABASE_", "REDIS_")
ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, data: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python on the product with a given environment."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    environment = clean | {"PORTAL_DATA": str(data), "PYTHONPATH": str(ROOT)} | variables
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def seen(expression: str, *, data: Path, **variables: str) -> Any:
    """Return the value of an expression over `settings` in a new process."""
    code = f"import json; from pkiportal import settings; print(json.dumps({expression}))"
    done = run("-c", code, data=data, **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder as the first command makes it."""
    folder = tmp_path_factory.mktemp("settings") / "portal"
    done = run(str(ROOT / "manage.py"), "check", data=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "portal"))


@pytest.mark.usefixtures("starts_processes")
@pytest.mark.parametrize(
    ("kind", "may_read"),
    [
        ("web", ["RA", "CHALLENGE"]),
        ("signing", ["CA"]),
        ("default", ["CHALLENGE"]),
        ("beat", []),
        ("command", ["CA", "RA", "CHALLENGE"]),
    ],
)
def test_each_process_can_read_its_own_secrets_only(
    data: Path, kind: str, may_read: list[str]
) -> None:
    code = """
from pkiportal import settings
for name in ("CA_PASSPHRASE", "RA_PASSPHRASE", "CHALLENGE_KEY"):
    try:
        print(name.split("_")[0], len(getattr(settings, name)()) > 32)
    except settings.SettingsError as error:
        print(error)
"""
    lines = run("-c", code, data=data, PORTAL_PROCESS=kind).stdout.splitlines()
    assert [line.split()[0] for line in lines if line.endswith(" True")] == may_read
    refusals = [line for line in lines if not line.endswith(" True")]
    assert all(line.endswith(f"a {kind} process has no access to it") for line in refusals)


@pytest.mark.usefixtures("starts_processes")
def test_sqlite_waits_for_its_turn_and_keeps_what_it_promised(data: Path) -> None:
    options = seen("settings.DATABASES['default']['OPTIONS']", data=data)
    assert options["transaction_mode"] == "IMMEDIATE"
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "recursive_triggers=ON",
        "foreign_keys=ON",
    ):
        assert pragma in options["init_command"]


@pytest.mark.usefixtures("starts_processes")
def test_postgresql_connections_last_and_statements_end(data: Path) -> None:
    url = "postgresql://alice:secret@db/portal?sslmode=require"
    settings = seen(
        "settings.DATABASES['default']", data=data, DATABASE_URL=url, PORTAL_PROCESS="web"
    )
    assert settings["CONN_MAX_AGE"] is None
    assert settings["ATOMIC_REQUESTS"] is False
    assert settings["OPTIONS"]["server_side_binding"] is True
    assert settings["OPTIONS"]["sslmode"] == "require"
    for limit in (
        "statement_timeout=15000",
        "lock_timeout=3000",
        "idle_in_transaction_session_timeout=10000",
    ):
        assert limit in settings["OPTIONS"]["options"]


@pytest.mark.usefixtures("starts_processes")
def test_who_rings_waits_a_second_and_a_worker_longer(data: Path) -> None:
    expression = "settings.CELERY_BROKER_TRANSPORT_OPTIONS['socket_timeout']"
    assert seen(expression, data=data, PORTAL_PROCESS="web") == 1
    assert seen(expression, data=data, PORTAL_PROCESS="signing") == 5


@pytest.mark.usefixtures("starts_processes")
def test_an_address_with_tls_makes_strict_cookies(data: Path) -> None:
    expression = (
        "[settings.SESSION_COOKIE_NAME, settings.SESSION_COOKIE_SECURE, "
        "settings.SECURE_HSTS_SECONDS > 0]"
    )
    assert seen(expression, data=data, PORTAL_PUBLIC_URL="https://pki.example") == [
        "__Host-session",
        True,
        True,
    ]
    assert seen(expression, data=data) == ["portal_session", False, False]


@pytest.mark.usefixtures("starts_processes")
def test_a_command_knows_the_address_of_its_portal(data: Path) -> None:
    (data / "address").write_text("https://pki.example\n")
    assert seen("settings.PORTAL_PUBLIC_URL", data=data) == "https://pki.example"
    assert (
        seen("settings.PORTAL_PUBLIC_URL", data=data, PORTAL_BIND="[::1]:8001")
        == "http://localhost:8001"
    )
    assert (
        seen("settings.PORTAL_PUBLIC_URL", data=data, PORTAL_PUBLIC_URL="https://ra.example")
        == "https://ra.example"
    )


@pytest.mark.usefixtures("starts_processes")
@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (
            {"PORTAL_BIND": "x"},
            "PORTAL_BIND: 'x' is not HOST:PORT, for example 127.0.0.1:8000 or [::]:8000\n",
        ),
        (
            {"PORTAL_TLS_CERT": str(ROOT / "pyproject.toml")},
            "PORTAL_TLS_CERT and PORTAL_TLS_KEY: one of them is missing, set both or none\n",
        ),
        (
            {"PORTAL_PROXY_HOPS": "2"},
            (
                "PORTAL_PROXY_HOPS: without PORTAL_TRUSTED_PROXIES no proxy is believed, name the "
                "proxies too\n"
            ),
        ),
        (
            {"PORTAL_PROXY_HEADER": "Forwarded"},
            (
                "PORTAL_PROXY_HEADER: without PORTAL_TRUSTED_PROXIES no proxy is believed, "
                "name the "
                "proxies too\n"
            ),
        ),
        (
            {"PORTAL_PROXY_HEADER": "X-Real-IP", "PORTAL_TRUSTED_PROXIES": "10.0.0.1"},
            "PORTAL_PROXY_HEADER: 'X-Real-IP' is neither X-Forwarded-For nor Forwarded\n",
        ),
        (
            {"PORTAL_SECRET_KEY": "canary"},
            "PORTAL_SECRET_KEY: the value is shorter than 32 characters\n",
        ),
    ],
)
def test_a_command_refuses_a_wrong_setting_without_a_traceback(
    tmp_path: Path, variables: dict[str, str], sentence: str
) -> None:
    done = run(str(ROOT / "manage.py"), "check", data=tmp_path / "portal", **variables)
    assert (done.returncode, done.stderr) == (2, sentence)


def test_options_become_variables_before_the_settings_are_read() -> None:
    assert settings_options(["up", "--bind", "[::]:80", "--data=/srv", "--verbosity", "2"]) == (
        ["up", "--verbosity", "2"],
        {"PORTAL_BIND": "[::]:80", "PORTAL_DATA": "/srv"},
    )


def test_other_commands_keep_their_own_options() -> None:
    assert settings_options(["bench", "--bind", "x", "--data", "d", "--", "--data"]) == (
        ["bench", "--bind", "x", "--", "--data"],
        {"PORTAL_DATA": "d"},
    )


def test_an_option_without_value_is_named() -> None:
    with pytest.raises(SystemExit, match="--data: the value is missing"):
        settings_options(["doctor", "--data"])


@pytest.mark.usefixtures("starts_processes")
@pytest.mark.parametrize("command", [["doctor"], ["secrets", "list"], ["check_invariants"]])
def test_commands_that_look_make_no_data_folder_and_no_secret(
    tmp_path: Path, command: list[str]
) -> None:
    folder = tmp_path / "mistyped"
    done = run(str(ROOT / "manage.py"), *command, "--data", str(folder), data=tmp_path)
    assert (done.returncode, done.stdout, folder.exists()) == (2, "", False)
    assert (
        "secrets/django cannot be read: No such file or directory, restore it from a backup or name"
        in done.stderr
    )


@pytest.mark.usefixtures("starts_processes")
def test_their_help_needs_no_data_folder_made_before(tmp_path: Path) -> None:
    assert run(str(ROOT / "manage.py"), "doctor", "--help", data=tmp_path / "new").returncode == 0
