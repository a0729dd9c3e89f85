"""Liveness, readiness, and the report of the doctor."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.db import DatabaseError, InterfaceError, OperationalError
from django.test import Client

from accounts.network import proxy_notice
from approvals.models.operations import Lease
from pkiportal import health
from pkiportal.doctor import database, diagnosis
from pkiportal.doctor.check import Check, Clock

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def a_dead_broker(settings: LazySettings, tmp_path: Path) -> None:
    settings.CELERY_BROKER_URL = f"redis+socket://{tmp_path}/missing.sock"


def test_alive_needs_no_database_and_no_host_name() -> None:
    answer = Client(REMOTE_ADDR="192.0.2.7").get("/healthz", headers={"host": "10.0.0.1:8000"})
    assert (answer.status_code, answer.content) == (200, b"ok\n")
    assert Client().post("/healthz").status_code == 405


def test_a_dead_broker_is_shown_but_is_no_reason(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "pending_migrations", list)
    answer = Client().get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["broker"] == "unreachable"
    assert answer.json()["signing"] == "ok"


def test_the_age_of_the_last_sweep_is_told(db: None) -> None:
    assert health.signing_facts(NOW)["last_sweep_seconds"] is None
    Lease.objects.create(name="sweep", held_until=NOW, last_run_at=NOW - timedelta(seconds=7))
    assert health.signing_facts(NOW)["last_sweep_seconds"] == 7.0


def test_missing_migrations_are_a_reason(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "pending_migrations", lambda: ["ca.0002_more"])
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["1 migrations are not applied, run `./portal migrate`"]


def test_a_database_that_does_not_answer_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[str]:
        raise DatabaseError("canary")

    monkeypatch.setattr(health, "pending_migrations", fail)
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["the database does not answer"]
    assert b"canary" not in answer.content


def findings() -> dict[tuple[str, str], str]:
    return {
        (finding.name, finding.state): finding.text
        for finding in diagnosis.examine(lambda: datetime.now(UTC))
    }


def test_the_doctor_says_in_words_what_is_missing(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "pending_migrations", list)
    texts = findings()
    assert "nothing is lost" in texts["broker", "warn"]
    assert "no TLS" in texts["https", "warn"]
    assert "./portal up" in texts["people", "warn"]
    assert texts["clock", "ok"].startswith("differs by 0.")


def test_the_doctor_says_that_one_user_runs_web_and_signing(
    db: None, settings: LazySettings, tmp_path: Path
) -> None:
    settings.CA_KEY_FOLDER = tmp_path
    (tmp_path / "demo.pem").touch(mode=0o600)
    assert (
        "the operating system does not separate web and signing"
        in findings()["authority keys", "warn"]
    )
    (tmp_path / "demo.pem").chmod(0o644)
    assert "chmod 600" in findings()["authority keys", "fail"]


def test_the_doctor_says_who_may_name_the_client(db: None, settings: LazySettings) -> None:
    assert (
        findings()["proxies", "ok"] == "none is named: the address of a connection is the client's"
    )
    settings.PORTAL_TRUSTED_PROXIES = (ip_network("10.0.0.0/8"),)
    assert (
        findings()["proxies", "ok"]
        == "10.0.0.0/8 may say who the client is, in X-Forwarded-For, 1 proxy"
    )
    settings.PORTAL_PROXY_HOPS = 2
    assert findings()["proxies", "ok"].endswith("up to 2 proxies one behind the other")


def test_the_doctor_says_for_a_day_that_a_proxy_wrote_no_address(
    db: None, settings: LazySettings
) -> None:
    settings.PORTAL_TRUSTED_PROXIES = (ip_network("10.0.0.0/8"),)
    proxy_notice.forget()
    settings.PORTAL_DATA.proxy_notice.unlink(missing_ok=True)
    assert ("proxies", "warn") not in findings()
    proxy_notice.note("X-Forwarded-For", "unknown", proxy="10.0.0.5")
    text = findings()["proxies", "warn"]
    assert text.startswith(
        "10.0.0.5 wrote 'unknown' into X-Forwarded-For, which is no address: such clients have"
    )
    assert "PORTAL_PROXY_HEADER" in text
    proxy_notice.forget()
    proxy_notice.note("X-Forwarded-For", "", proxy="10.0.0.5", other="Forwarded")
    assert findings()["proxies", "warn"].startswith(
        "10.0.0.5 sends Forwarded and no X-Forwarded-For: "
    )
    yesterday = NOW.timestamp() - 86_500
    os.utime(settings.PORTAL_DATA.proxy_notice, (yesterday, yesterday))
    assert ("proxies", "warn") not in findings()
    proxy_notice.forget()


def test_the_doctor_survives_a_dead_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[str]:
        raise DatabaseError("connection refused\nsecond line")

    monkeypatch.setattr(diagnosis, "pending_migrations", fail)
    assert findings()["database", "fail"] == "does not answer: connection refused"


@pytest.mark.parametrize(
    "fault", [ZeroDivisionError(), OSError(28, "No space left"), KeyError("x")]
)
def test_a_look_that_fails_is_a_finding_and_the_others_follow(
    db: None, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def disk(_: Clock) -> Iterator[Check]:
        raise fault
        yield

    monkeypatch.setattr(diagnosis, "MACHINE", (disk, *diagnosis.MACHINE))
    assert findings()["disk", "fail"].startswith(f"could not be examined: {type(fault).__name__}")
    assert "nothing is lost" in findings()["broker", "warn"]


@pytest.mark.parametrize(("pending", "status"), [([], 0), (["ca.0002_more"], 1)])
def test_the_doctor_tells_scripts(
    db: None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    pending: list[str],
    status: int,
) -> None:
    monkeypatch.setattr(diagnosis, "pending_migrations", lambda: pending)
    monkeypatch.setattr(database, "_pragmas", list)  # the tests do not wait for the disk
    code: Any = 0
    try:
        call_command("doctor", "--json")
    except SystemExit as end:
        code = end.code
    document = json.loads(capsys.readouterr().out)
    assert code == status
    assert {"name", "state", "text"} == set(document[0])
    assert ("fail" in {entry["state"] for entry in document}) == bool(status)


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        (OperationalError("server closed the connection"), 503, "Back in a moment"),
        (InterfaceError("connection already closed"), 503, "Back in a moment"),
        (ZeroDivisionError(), 500, "Something went wrong here"),
    ],
)
def test_a_page_without_a_database_says_try_again(
    db: None, fault: Exception, status: int, text: str
) -> None:
    with mock.patch("accounts.views.check_setup_link", side_effect=fault):
        answer = Client(raise_request_exception=False).get("/account/setup/none")
    assert (answer.status_code, answer.headers.get("Retry-After")) == (
        status,
        "10" if status == 503 else None,
    )
    assert text in answer.content.decode()
