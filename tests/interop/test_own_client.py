"""Our own client over real HTTP: `./portal demo`, and failInfoText byte for byte."""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from scep.client import Identity, ScepClient, build_csr
from scep.protocol.constants import FailInfo, PKIStatus
from tests.flows.wire import bare
from tests.interop.clients import Chain
from tests.interop.portal import Portal, wait_until
from tests.pki import ec_key, rsa_key

pytestmark = pytest.mark.interop

REASON = "Falscher Standort „BRN“ – bitte Gerät 7 prüfen"  # noqa: RUF001 - the dash is meant: not ASCII


@pytest.mark.cell("own", "approved", "CertPoll")
@pytest.mark.cell("own", "chain")
def test_the_demo_waits_for_an_officer_checks_the_chain_and_keeps_key_and_certificate(
    portal: Portal, chain: Chain, tmp_path: Path
) -> None:
    name = "demo-approved.example"
    demo = portal.popen("demo", "--name", name, "--out", str(tmp_path), stdout=subprocess.PIPE)
    portal.approve(name)
    output, _ = demo.communicate(timeout=240)
    assert demo.returncode == 0, output
    steps = [line.split()[0] for line in output.splitlines()]
    assert [step for step in dict.fromkeys(steps) if step != "wrote"] == [
        "device",
        "GetCACaps",
        "GetCACert",
        "PKCSReq",
        "CertPoll",
        "chain",
        "certificate",
    ]
    assert "PKCSReq     PENDING" in output
    certificate = tmp_path / f"{name}.cert.pem"
    assert chain.verifies(certificate)
    issuers = x509.load_pem_x509_certificates((tmp_path / f"{name}.ca.pem").read_bytes())
    assert len(issuers) == 2
    assert (tmp_path / f"{name}.key.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.cell("own", "rejected", "prints the officer's reason")
def test_the_demo_shows_the_reason_of_a_rejection_byte_for_byte(portal: Portal) -> None:
    name = "demo-rejected.example"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    demo = portal.popen("demo", "--name", name, "--json", **pipes)
    portal.reject(name, REASON)
    out, err = demo.communicate(timeout=240)
    assert demo.returncode == 1
    assert f"refused: badRequest, {REASON}" in err
    outcome = json.loads(out)
    assert (outcome["status"], outcome["fail_info"]) == ("failure", "badRequest")
    request = portal.wait_for_request(name)
    assert bare(outcome["fail_info_text"]) == portal.rejection_reason(request) == REASON


@pytest.mark.cell("own", "challenge", "badRequest")
def test_a_refused_message_is_answered_with_the_text_of_its_audit_entry_byte_for_byte(
    portal: Portal,
) -> None:
    key = rsa_key("device-6")
    identity = Identity.self_signed(key, "own.example", now=datetime.now(UTC))
    csr = build_csr(key, "own.example", challenge_password="not the challenge")
    answer = ScepClient(portal.scep("renewing"), use_get=True).enroll(csr, identity)
    assert (answer.status, answer.fail_info) == (PKIStatus.FAILURE, FailInfo.BAD_REQUEST)
    (entry,) = portal.refusals(identity.transaction_id)
    assert bare(answer.fail_info_text) == entry["text"] == "request not permitted"
    assert entry["cause"] == "renewing: challenge wrong", "what only the portal's own people read"


@pytest.mark.cell("own", "ra")
@pytest.mark.cell("own", "automatic")
@pytest.mark.cell("own", "again", "the same certificate")
@pytest.mark.parametrize(
    "use_get",
    [
        pytest.param(False, id="POST"),
        pytest.param(True, id="GET", marks=pytest.mark.cell("own", "get")),
    ],
)
def test_the_right_challenge_gives_a_certificate_at_once_and_each_later_poll_the_same(
    portal: Portal, use_get: bool, chain: Chain, tmp_path: Path
) -> None:
    key = rsa_key("device-7" if use_get else "device-8")
    name = f"own-at-once-{use_get}.example".lower()
    client = ScepClient(portal.scep("once"), use_get=use_get)
    identity = Identity.self_signed(key, name, now=datetime.now(UTC))
    first = client.enroll(
        build_csr(key, name, challenge_password=challenge_for(portal, "once")), identity
    )
    assert first.status is PKIStatus.SUCCESS, first
    assert client.poll(identity).certificates == first.certificates
    (tmp_path / "leaf.pem").write_bytes(as_pem(first.certificates[0]))
    assert chain.verifies(tmp_path / "leaf.pem")
    assert [state for _, state in portal.requests(name)] == ["ISSUED"]


@pytest.mark.cell("own", "renewal", "RenewalReq and PKCSReq")
@pytest.mark.parametrize("renewal", [True, False], ids=["RenewalReq", "PKCSReq"])
def test_a_certificate_renews_itself_with_either_message_type_and_without_a_challenge(
    portal: Portal, renewal: bool
) -> None:
    old_key, new_key = (rsa_key(f"device-{number}") for number in ((1, 2) if renewal else (3, 4)))
    name = f"own-renews-{renewal}.example".lower()
    client = ScepClient(portal.scep("renewing"))
    identity = Identity.self_signed(old_key, name, now=datetime.now(UTC))
    csr = build_csr(old_key, name, challenge_password=challenge_for(portal, "renewing"))
    first = client.enroll(csr, identity)
    assert first.status is PKIStatus.SUCCESS, first
    renewed = client.enroll(
        build_csr(new_key, name), Identity(first.certificates[0], old_key), renewal=renewal
    )
    assert renewed.status is PKIStatus.SUCCESS, renewed
    assert renewed.certificates != first.certificates
    assert [state for _, state in portal.requests(name)] == ["ISSUED", "ISSUED"]


def test_a_device_with_an_ec_key_waits_for_an_officer_and_reads_its_certificate_with_its_challenge(
    portal: Portal,
) -> None:
    name = "own-ec.example"
    identity = Identity.self_signed(
        ec_key(), name, now=datetime.now(UTC), password="moonlight-4711"
    )
    client = ScepClient(portal.scep())
    csr = build_csr(ec_key(), name, challenge_password=identity.password)
    assert client.enroll(csr, identity).status is PKIStatus.PENDING
    portal.approve(name)
    wait_until(lambda: client.poll(identity).status is PKIStatus.SUCCESS, what="the certificate")
    (certificate,) = client.poll(identity).certificates
    assert x509.load_der_x509_certificate(certificate).public_key() == ec_key().public_key()


def challenge_for(portal: Portal, profile: str) -> str:
    """Make a one-time challenge and return it."""
    (challenge,) = json.loads(portal.run("createchallenge", profile, "--json"))
    return str(challenge["challenge"])


def as_pem(der: bytes) -> bytes:
    """Return a certificate as PEM."""
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
