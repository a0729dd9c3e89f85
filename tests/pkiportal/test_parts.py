"""The settings and secrets of each part of an embedded portal."""

import os
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from django.conf import LazySettings

from pkiportal.environment.variables import ProcessKind, SettingsError
from pkiportal.runtime import parts
from pkiportal.runtime.valkey import valkey_program

SECRETS = ("PORTAL_CA_PASSPHRASE", "PORTAL_RA_PASSPHRASE", "PORTAL_CHALLENGE_KEY")


@pytest.mark.parametrize("suffix", ["", "_FILE"])
@pytest.mark.parametrize(
    ("kind", "secrets"),
    [
        ("web", {"PORTAL_RA_PASSPHRASE", "PORTAL_CHALLENGE_KEY"}),
        ("signing", {"PORTAL_CA_PASSPHRASE"}),
        ("default", {"PORTAL_CHALLENGE_KEY"}),
        ("beat", set()),
    ],
)
def test_a_part_is_not_given_the_secrets_of_others(
    monkeypatch: pytest.MonkeyPatch, kind: ProcessKind, secrets: set[str], suffix: str
) -> None:
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(f"{name}{suffix}", "canary")
    environment = parts.environment_for(kind)
    assert {name for name in SECRETS if f"{name}{suffix}" in environment} == secrets
    assert environment["PORTAL_PROCESS"] == kind


def test_values_that_came_from_files_are_not_given_twice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PORTAL_PUBLIC_URL_FILE", str(tmp_path / "url"))
    environment = parts.environment_for("default")
    assert "PORTAL_PUBLIC_URL_FILE" not in environment
    assert environment["PORTAL_PUBLIC_URL"] == "http://localhost:8000"


def test_the_broker_is_given_nothing_of_the_portal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://alice:canary@db/portal")
    broker = parts.broker()
    assert not [name for name in broker.environment if name.startswith(("PORTAL_", "DATABASE_"))]
    assert broker.command[broker.command.index("--port") + 1] == "0"


def test_the_program_of_the_broker_is_found() -> None:
    assert valkey_program().name == "valkey-server"
    assert os.access(valkey_program(), os.X_OK)


class Gone:
    """A file that the list names and that is not there."""

    name = "valkey-server"

    def locate(self) -> str:
        return "/nowhere/valkey-server"


def not_installed(name: str) -> None:
    raise PackageNotFoundError(name)


@pytest.mark.parametrize(
    "listed", [not_installed, lambda _: None, lambda _: [], lambda _: [Gone()]]
)
def test_a_broker_without_its_program_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, listed: Callable[[str], object]
) -> None:
    monkeypatch.setattr("pkiportal.runtime.valkey.files", listed)
    with pytest.raises(SettingsError, match="install the packages"):
        parts.broker()


def test_there_is_one_of_each_part_and_the_broker_stops_last() -> None:
    all_parts = parts.portal_parts()
    assert [part.name for part in all_parts] == ["web", "signing", "default", "beat"]
    assert max(part.stop_order for part in all_parts) < parts.broker().stop_order


def test_with_tls_devices_may_be_served_without(
    monkeypatch: pytest.MonkeyPatch, settings: LazySettings
) -> None:
    settings.PORTAL_HTTP_BIND = ("::", 80)
    settings.PORTAL_PUBLIC_URL = "https://pki.example"
    for name in ("PORTAL_TLS_CERT", "PORTAL_TLS_KEY", "PORTAL_HTTP_BIND"):
        monkeypatch.setenv(name, "given")
    web, plain = (part for part in parts.portal_parts() if part.name.startswith("web"))
    assert web.environment["PORTAL_TLS_CERT"] == "given"
    assert plain.environment["PORTAL_BIND"] == "[::]:80"
    assert plain.environment["PORTAL_PUBLIC_URL"] == "https://pki.example"
    assert not {"PORTAL_TLS_CERT", "PORTAL_TLS_KEY", "PORTAL_HTTP_BIND"} & set(plain.environment)
    signing = next(part for part in parts.portal_parts() if part.name == "signing")
    assert not {"PORTAL_TLS_KEY", "PORTAL_HTTP_BIND"} & set(signing.environment)
