"""Webhook and Intune with the whole portal as processes: web server, workers and broker.

On SQLite, or on the PostgreSQL and Redis of the run.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from scep.client import Identity, ScepClient, build_csr
from scep.protocol.constants import PKIStatus
from scep.protocol.requests import ReceivedCertRep
from tests.approvals.validation.mdm import CODE, SECRET, Intune, StandIn, mdm, served
from tests.flows.wire import bare
from tests.interop.portal import PASSWORD, Portal, start, stop, wait_until
from tests.pki import rsa_key
from tests.ports import free_port

DATABASE = f"portal_validation_{os.getpid()}"


@dataclass(frozen=True)
class Site:
    """A running portal, the MDM and the cloud that it asks, and where its data is."""

    portal: Portal
    webhook: StandIn
    cloud: Intune
    folder: Path

    def enroll(
        self, profile: str, name: str, key: str, code: str = CODE
    ) -> tuple[ScepClient, Identity, ReceivedCertRep]:
        client = ScepClient(self.portal.scep(profile))
        device = Identity.self_signed(rsa_key(key), name, now=datetime.now(UTC))
        return (
            client,
            device,
            client.enroll(build_csr(device.key, name, challenge_password=code), device),
        )


@pytest.fixture
def services() -> Iterator[dict[str, str]]:
    """Database and broker of the run, with a new database; by default the embedded ones."""
    database, broker = (
        os.environ.get("PORTAL_TEST_DATABASE_URL"),
        os.environ.get("PORTAL_TEST_REDIS_URL"),
    )
    if not database or not broker:
        yield {}
        return
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
    yield {"DATABASE_URL": f"{database.rpartition('/')[0]}/{DATABASE}", "REDIS_URL": broker}
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


@pytest.fixture
def site(
    starts_processes: None,
    tmp_path: Path,
    services: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Site]:
    """A portal with profiles of each kind, automatic and manual."""
    cloud = Intune()
    with ExitStack() as stack:
        webhook, intune = stack.enter_context(served(mdm)), stack.enter_context(served(cloud))
        cloud.origin = intune.origin
        allowed = {
            "PORTAL_WEBHOOK_HOSTS": webhook.origin,
            "PORTAL_WEBHOOK_NETWORKS": "127.0.0.0/8",
            "PORTAL_INTUNE_HOSTS": intune.origin,
            **dict.fromkeys(
                ("PORTAL_INTUNE_LOGIN_URL", "PORTAL_INTUNE_GRAPH_URL", "PORTAL_INTUNE_API_URL"),
                intune.origin,
            ),
        }
        monkeypatch.setattr(
            "tests.interop.portal._environment", lambda: _environment() | services | allowed
        )
        portal = Portal(tmp_path / "data", free_port())
        process = start(portal, tmp_path / "up.log")
        stack.callback(stop, process)
        _furnish(portal, webhook)
        yield Site(portal, webhook, cloud, tmp_path)


def _environment() -> dict[str, str]:
    environment = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ
    }
    return environment | {"PYTHONUNBUFFERED": "1"}


def _furnish(portal: Portal, webhook: StandIn) -> None:
    portal.run("createca", "issuing", "--key", "ec:p256", "--subject", "CN=Issuing")
    portal.run("createuser", "alice", "--role", "officer", "--password-stdin", text=PASSWORD)
    make = ("createprofile", "--ca", "issuing", "--secret-file", "-")
    hook = ("--challenge", "webhook", "--url", f"{webhook.origin}/scep")
    tenant = ("--challenge", "intune", "--tenant", "contoso.example", "--client-id", "0000")
    portal.run(*make, "phones", "--approval", "automatic", *hook, text=f"{SECRET}\n")
    portal.run(*make, "tablets", "--approval", "automatic", *tenant, text="a client secret\n")
    manual = ("--approval", "manual", "--allow-asserted-decisions")
    portal.run(*make, "laptops", *manual, *tenant, text="a client secret\n")


@pytest.mark.timeout(300)
def test_codes_of_an_mdm_and_of_intune_through_the_whole_portal(site: Site) -> None:
    wait_until(lambda: _answers(site, "phones"), what="an RA certificate", within=60)
    until_answered(site, "phones", "p1.example", "alice")
    assert "works" in site.portal.run("validation", "test", "tablets", "--json")
    until_answered(site, "tablets", "t1.example", "alice")
    assert [kind for kind, _ in site.cloud.notices] == ["successNotification"]

    client, device, _ = site.enroll("phones", "p2.example", "bob", "guessed-0815")
    wait_until(lambda: client.poll(device).status is PKIStatus.FAILURE, what="a denial")
    assert bare(client.poll(device).fail_info_text) == "request not permitted"

    site.webhook.answer = lambda heard: (503, b"")
    client, device, answer = site.enroll("phones", "p3.example", "device-1")
    assert answer.status is PKIStatus.PENDING
    wait_until(
        lambda: "HTTP 503" in site.portal.run("validation", "list"), what="the fault on record"
    )
    assert client.poll(device).status is PKIStatus.PENDING
    site.webhook.answer = mdm
    wait_until(
        lambda: client.poll(device).status is PKIStatus.SUCCESS, what="the later answer", within=60
    )

    client, device, answer = site.enroll("laptops", "l1.example", "device-2")
    assert answer.status is PKIStatus.PENDING
    wait_until(lambda: len(site.cloud.validated) == 2, what="Intune being asked")
    wait_until(lambda: _approves(site), what="the officer's approval", every=1.0)
    wait_until(lambda: client.poll(device).status is PKIStatus.SUCCESS, what="the certificate")
    assert len(site.cloud.notices) == 2
    site.portal.run("check_invariants")
    assert written_down(site, CODE) == []


def until_answered(site: Site, profile: str, name: str, key: str) -> None:
    """Enroll; the first exchange mostly has the certificate, on a busy machine a poll has it."""
    client, device, answer = site.enroll(profile, name, key)
    if answer.status is not PKIStatus.SUCCESS:
        wait_until(
            lambda: client.poll(device).status is PKIStatus.SUCCESS,
            what=f"a certificate for {name}",
        )


def written_down(site: Site, secret: str) -> list[str]:
    """Files of the data folder, logs and database included, in which a challenge stands."""
    files = [path for path in site.folder.rglob("*") if path.is_file()]
    return [path.name for path in files if secret.encode() in path.read_bytes()]


def _answers(site: Site, profile: str) -> bool:
    try:
        return bool(ScepClient(site.portal.scep(profile)).get_ca_cert())
    except Exception:  # noqa: BLE001 - not ready in whatever way
        return False


def _approves(site: Site) -> bool:
    output = site.portal.run("requests", "list", "--state", "pending", "--json")
    if '"id"' not in output:
        return False
    try:
        site.portal.run("requests", "approve", "--all-pending", "--officer", "alice")
    except AssertionError:
        return False
    return True
