"""Our own client over real HTTP: `./portal demo`, and failInfoText byte for byte."""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from scep.client import Identity, PKIStatus, ScepClient, build_csr
from scep.protocol.constants import FailInfo
from tests.interop.clients import Chain
from tests.interop.portal import Portal
from tests.pki import rsa_key

pytestmark = pytest.mark.interop

REASON = "Falscher Standort „BRN“ – bitte Gerät 7 prüfen"  # noqa: RUF001 - the dash is meant: not ASCII


def test_the_demo_waits_for_an_officer_checks_the_chain_and_keeps_key_and_certificate(
    portal: Portal, chain: Chain, tmp_path: Path
) -> None:
    name = "demo-approved.example"
    demo = portal.popen("demo", "--name", name, "--out", str(tmp_path), stdout=subprocess.PIPE)
    portal.approve(name)
    said, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0, said
    steps = [line.split()[0] for line in said.splitlines()]
    assert [step for step in dict.fromkeys(steps) if step != "wrote"] == [
        "device",
        "GetCACaps",
        "GetCACert",
        "PKCSReq",
        "CertPoll",
        "chain",
        "certificate",
    ]
    assert "PKCSReq     PENDING" in said
    certificate = tmp_path / f"{name}.cert.pem"
    assert chain.verifies(certificate)
    issuers = x509.load_pem_x509_certificates((tmp_path / f"{name}.ca.pem").read_bytes())
    assert len(issuers) == 2
    assert (tmp_path / f"{name}.key.pem").stat().st_mode & 0o777 == 0o600


def test_the_demo_shows_the_reason_of_a_rejection_byte_for_byte(portal: Portal) -> None:
    name = "demo-rejected.example"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    demo = portal.popen("demo", "--name", name, "--json", **pipes)
    portal.reject(name, REASON)
    out, err = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert f"refused: BAD_REQUEST, {REASON}" in err
    outcome = json.loads(out)
    assert (outcome["status"], outcome["fail_info"]) == ("failure", "BAD_REQUEST")
    request = portal.wait_for_request(name)
    assert outcome["fail_info_text"] == portal.rejection_reason(request) == REASON


def test_a_refused_message_is_answered_with_the_text_of_its_audit_entry_byte_for_byte(portal: Portal) -> None:
    key = rsa_key("device-6")
    identity = Identity.self_signed(key, "own.example", now=datetime.now(UTC))
    csr = build_csr(key, "own.example", challenge_password="not the challenge")
    answer = ScepClient(portal.scep("static"), use_get=True).enroll(csr, identity)
    assert (answer.status, answer.fail_info) == (PKIStatus.FAILURE, FailInfo.BAD_REQUEST)
    (entry,) = portal.refusals(identity.transaction_id)
    assert answer.fail_info_text == entry["text"] == "request not permitted"
    assert entry["cause"] == "static: challenge wrong", "what only the portal's own people read"
