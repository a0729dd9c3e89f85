"""Rollover and RA renewal with a real web server, signing worker and broker, over HTTP."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from scep.client import CaCertificates, Identity, ScepClient, build_csr
from scep.protocol.constants import PKIStatus
from scep.protocol.requests import BadCertRep
from tests.interop.portal import _KEPT, OFFICER, PASSWORD, Portal, start, stop, wait_until
from tests.pki import rsa_key
from tests.ports import free_port

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(300)]
DECIDED = ("--approval", "manual", "--allow-asserted-decisions")
PROFILE = (*DECIDED, "--challenge", "none", "--renewal", "automatic", "--renewal-window", "0")


@pytest.fixture
def portal(starts_processes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Portal:
    """A portal that is not started yet; it takes over settings of RA certificates."""
    monkeypatch.setattr(
        "tests.interop.portal._KEPT", (*_KEPT, "PORTAL_RA_DAYS", "PORTAL_RA_RENEW_DAYS")
    )
    return Portal(tmp_path / "data", free_port())


@contextmanager
def running(portal: Portal, log: Path) -> Iterator[None]:
    process = start(portal, log)
    try:
        yield
    finally:
        stop(process)


def create(portal: Portal) -> None:
    """An EC root, a profile that renews by itself, an officer."""
    portal.run("createca", "issuing", "--key", "ec:p256", "--subject", "CN=Issuing CA")
    portal.run("createprofile", "routers", "--ca", "issuing", *PROFILE)
    portal.run("createuser", OFFICER, "--role", "officer", "--password-stdin", text=PASSWORD)


def device(name: str, key: str) -> Identity:
    return Identity.self_signed(rsa_key(key), name, now=datetime.now(UTC))


def certified(portal: Portal, client: ScepClient, identity: Identity, name: str) -> Identity:
    assert client.enroll(build_csr(identity.key, name), identity).status is PKIStatus.PENDING
    portal.approve(name)
    wait_until(
        lambda: client.poll(identity).status is PKIStatus.SUCCESS,
        what=f"the certificate of {name}",
        within=180,
    )
    return Identity(client.poll(identity).certificates[0], identity.key)


def is_issued_by(identity: Identity, certificates: CaCertificates) -> None:
    """Raises unless the first CA among the certificates signed it."""
    issued = x509.load_der_x509_certificate(identity.certificate_der)
    issued.verify_directly_issued_by(x509.load_der_x509_certificate(certificates.certificates[1]))


def is_answered(client: ScepClient, identity: Identity) -> bool:
    """Whether the portal answers under this client's RA certificate, by some web process."""
    try:
        return (
            client.enroll(build_csr(identity.key, "r.example"), identity).status
            is PKIStatus.PENDING
        )
    except BadCertRep:
        return False


def test_a_ca_is_followed_by_another_and_every_device_finds_its_way(
    portal: Portal, tmp_path: Path
) -> None:
    with running(portal, tmp_path / "up.log"):
        create(portal)
        old = ScepClient(portal.scep("routers"))
        first = certified(portal, old, device("r1.example", "alice"), "r1.example")
        stage = ("--next", "second", "--key", "rsa:2048", "--subject", "CN=Second CA")
        assert (
            json.loads(portal.run("rollover", "stage", "issuing", *stage, "--json"))["stage"]
            == "staged"
        )
        assert "GetNextCACert" not in old.get_ca_caps()
        portal.run("rollover", "publish", "issuing")
        assert "GetNextCACert" in old.get_ca_caps()
        following = old.get_next_ca_cert()
        ahead = ScepClient(portal.scep("routers"))
        ahead.turn_to(following)
        is_issued_by(certified(portal, ahead, device("r2.example", "bob"), "r2.example"), following)
        switch = json.loads(portal.run("rollover", "switch", "issuing", "--json"))
        assert (switch["stage"], switch["profiles"]) == ("switched", ["routers"])
        assert (
            ScepClient(portal.scep("routers")).get_ca_cert().certificates == following.certificates
        )
        csr = build_csr(rsa_key("device-1"), "r1.example")
        wait_until(
            lambda: old.enroll(csr, first, renewal=True).status is PKIStatus.SUCCESS,
            what="the renewal",
            within=180,
        )
        renewed = old.enroll(csr, first, renewal=True)
        is_issued_by(Identity(renewed.certificates[0], rsa_key("device-1")), following)
        portal.run("check_invariants")


def test_a_web_process_renews_an_ra_certificate_and_both_are_answered(
    portal: Portal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_RA_DAYS", "10")
    portal.run("migrate")
    create(portal)
    monkeypatch.setenv("PORTAL_RA_DAYS", "730")
    monkeypatch.setenv("PORTAL_RA_RENEW_DAYS", "30")

    def ra_certificates() -> list[dict[str, Any]]:
        listed = json.loads(portal.run("racertificates", "list", "--ca", "issuing", "--json"))
        return [item for item in listed if item["certified_at"]]

    (short,) = ra_certificates()
    with running(portal, tmp_path / "up.log"):
        old = ScepClient(portal.scep("routers"))
        known = old.get_ca_cert()
        wait_until(
            lambda: portal.ra_certificates("issuing") == 2,
            what="the next RA certificate",
            within=180,
        )
        newest, before = ra_certificates()
        assert (before["serial"], before["given_out"], newest["given_out"]) == (
            short["serial"],
            True,
            False,
        )
        file = tmp_path / "ra.der"
        portal.run(
            "certificates", "export", newest["serial"], "--format", "der", "--out", str(file)
        )
        new = ScepClient(portal.scep("routers"))
        new.turn_to(CaCertificates.from_certificates((file.read_bytes(), *known.certificates[1:])))
        for client, identity in (
            (old, device("r1.example", "alice")),
            (new, device("r2.example", "bob")),
        ):
            wait_until(
                partial(is_answered, client, identity), what="an answer", within=180, every=1
            )
        portal.run("check_invariants")
