"""Values from the environment."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pkiportal.environment import variables
from pkiportal.environment.variables import Secret, SettingsError, is_set, read


@pytest.mark.parametrize(
    ("parse", "text", "rest"),
    [
        (variables.host_port, "x", "is not HOST:PORT, for example 127.0.0.1:8000 or [::]:8000"),
        (variables.host_port, "localhost:0", "is not HOST:PORT"),
        (variables.host_port, "localhost:65536", "is not HOST:PORT"),
        (variables.public_url, "pki.example", "is not a web address without a path"),
        (
            variables.public_url,
            "https://pki.example/portal",
            "is not a web address without a path",
        ),
        (
            variables.public_url,
            "https://pki.example:99999",
            "is not a web address without a path",
        ),
        (
            variables.public_url,
            "https://alice@pki.example",
            "is not a web address without a path",
        ),
        (variables.names, "pki.example,*", "has '*', which is not a host name"),
        (variables.networks, "10.0.0.0/8, ten", "has 'ten', which is not a network"),
        (variables.networks, "10.0.0.1/8", "has '10.0.0.1/8', which is not a network"),
        (variables.proxy_hops, "0", "is not a number of proxies from 1 to 10"),
        (variables.proxy_hops, "two", "is not a number of proxies from 1 to 10"),
        (variables.existing_file, "/nowhere/cert.pem", "is not a readable file"),
        (variables.time_zone, "Mars/Olympus", "is not a time zone"),
        (variables.time_zone, "../etc/passwd", "is not a time zone"),
        (variables.log_level, "loud", "is not one of debug, info"),
        (variables.log_level, "notset", "is not one of debug, info"),
        (variables.process_kind, "webb", "is not one of web, signing, default, beat, command"),
        (variables.redis_url, "http://broker", "is not redis://HOST:PORT/N"),
        (variables.redis_url, "redis+socket://broker", "is not redis://HOST:PORT/N"),
        (variables.secret_key, "short", "is shorter than 32 characters"),
        (variables.database, "mysql://db/portal", "is not postgresql://"),
        (variables.database, "postgresql://db", "is not postgresql://"),
        (variables.email, "pigeon://loft", "is not smtp://"),
    ],
)
def test_a_wrong_value_is_named_and_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, parse: Callable[[str], object], text: str, rest: str
) -> None:
    monkeypatch.setenv("PORTAL_SOMETHING", text)
    with pytest.raises(SettingsError) as refusal:
        read("PORTAL_SOMETHING", parse, default=None)
    assert str(refusal.value).startswith(f"PORTAL_SOMETHING: {text!r} {rest}")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (variables.host_port, "[::1]:8000", ("::1", 8000)),
        (variables.host_port, "pki.example:443", ("pki.example", 443)),
        (variables.public_url, "https://pki.example:8443/", "https://pki.example:8443"),
        (variables.names, "pki.example, .lab.example", ("pki.example", ".lab.example")),
        (variables.proxy_hops, "2", 2),
        (variables.log_level, "debug", "DEBUG"),
        (
            variables.redis_url,
            "rediss://user:secret@broker:6380/1",
            "rediss://user:secret@broker:6380/1",
        ),
        (
            variables.redis_url,
            "redis+socket:///run/valkey.sock",
            "redis+socket:///run/valkey.sock",
        ),
        (variables.time_zone, "Europe/Berlin", "Europe/Berlin"),
    ],
)
def test_a_right_value_is_read(
    monkeypatch: pytest.MonkeyPatch, parse: Callable[[str], object], text: str, value: object
) -> None:
    monkeypatch.setenv("PORTAL_SOMETHING", text)
    assert read("PORTAL_SOMETHING", parse, default=None) == value


def test_networks_of_both_kinds_are_read() -> None:
    assert [str(network) for network in variables.networks("10.0.0.0/8, fd00::/8, 192.0.2.1,")] == [
        "10.0.0.0/8",
        "fd00::/8",
        "192.0.2.1/32",
    ]


def test_databases_and_mail_servers_are_read() -> None:
    assert variables.database("postgresql://alice:s%40crt@db:5433/portal")["PASSWORD"] == "s@crt"
    assert variables.database("sqlite:////srv/portal.sqlite3")["NAME"] == "/srv/portal.sqlite3"
    assert (
        variables.email("submission://alice:secret@mail.example:587")["EMAIL_HOST"]
        == "mail.example"
    )


def test_each_value_is_also_read_from_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "level").write_text("debug\n")
    monkeypatch.setenv("PORTAL_SOMETHING_FILE", str(tmp_path / "level"))
    assert read("PORTAL_SOMETHING", variables.log_level, default="INFO") == "DEBUG"
    assert is_set("PORTAL_SOMETHING")


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_SOMETHING_FILE", "/nowhere/level")
    with pytest.raises(
        SettingsError, match="PORTAL_SOMETHING_FILE: '/nowhere/level' is not a readable text file"
    ):
        read("PORTAL_SOMETHING", str, default="")


def test_value_and_file_together_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PORTAL_SOMETHING", "debug")
    monkeypatch.setenv("PORTAL_SOMETHING_FILE", str(tmp_path))
    with pytest.raises(
        SettingsError, match="PORTAL_SOMETHING and PORTAL_SOMETHING_FILE are both set"
    ):
        read("PORTAL_SOMETHING", str, default="")


def test_a_wrong_secret_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_SOMETHING", "canary")
    with pytest.raises(SettingsError) as refusal:
        read("PORTAL_SOMETHING", variables.secret_key, default="", secret=True)
    assert "canary" not in str(refusal.value)


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("PORTAL_SOMETHING", lambda: "canary")
    assert "canary" not in f"{secret!r} {secret}"
    assert secret() == b"canary"


def test_a_tls_key_in_another_form_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("-----BEGIN RSA PRIVATE KEY-----\n")
    with pytest.raises(ValueError, match="openssl pkcs8 -topk8"):
        variables.tls_key(str(path))
    path.write_text("-----BEGIN PRIVATE KEY-----\n")
    assert variables.tls_key(str(path)) == path
