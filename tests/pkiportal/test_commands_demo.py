"""The throw-away device."""

import stat
from pathlib import Path

import pytest
from cryptography import x509
from django.core.management import CommandError
from django.test import Client

from approvals.decisions.decide import approve_request, reject_request
from approvals.models.requests import EnrollmentRequest
from pkiportal.management.commands import demo
from pkiportal.management.demo.device import DemoFault, checked_chain
from scep.client import Identity
from scep.transport import HttpAnswer, HttpError
from tests.pki import rsa_key
from tests.pkiportal.commands import run, run_json, status_and_json
from tests.world import World, now, principal_of, run_worker, through

URL = "http://testserver/scep/routers/"


@pytest.fixture
def officer(world: World, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """While the device waits, an officer decides per `verdict`, and the worker runs."""
    result: dict[str, object] = {"verdict": None, "waits": 0}

    def wait(_: float) -> None:
        result["waits"] = int(str(result["waits"])) + 1
        request = EnrollmentRequest.objects.get()
        if request.state == "PENDING" and result["verdict"] == "approve":
            approve_request(
                request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
            )
            run_worker()
        if request.state == "PENDING" and result["verdict"] == "reject":
            reject_request(
                request_id=request.pk,
                principal=principal_of(world.alice),
                comment="not ours",
                now=now(),
            )

    monkeypatch.setattr("pkiportal.management.demo.display.time.sleep", wait)
    monkeypatch.setattr(demo, "fetch", through(Client()))
    monkeypatch.setattr(demo, "make_key", lambda: rsa_key("device-1"))
    return result


def test_the_demo_shows_each_step_and_keeps_the_result(
    officer: dict[str, object], tmp_path: Path
) -> None:
    officer["verdict"] = "approve"
    shown = run("demo", "--url", URL, "--name", "d1.example", "--out", str(tmp_path / "out"))
    steps = [line.split()[0] for line in shown.splitlines()]
    assert steps[:5] == ["wrote", "device", "GetCACaps", "GetCACert", "PKCSReq"]
    assert steps[5:] == ["CertPoll", "chain", "certificate", "wrote", "wrote"]
    key, certificate = (
        tmp_path / "out" / "d1.example.key.pem",
        tmp_path / "out" / "d1.example.cert.pem",
    )
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    assert loaded.public_key() == rsa_key("device-1").public_key()
    loaded.verify_directly_issued_by(
        x509.load_pem_x509_certificate((tmp_path / "out" / "d1.example.ca.pem").read_bytes())
    )
    with pytest.raises(CommandError, match="exists already"):
        run("demo", "--url", URL, "--name", "d1.example", "--out", str(tmp_path / "out"))


def test_the_demo_speaks_json(officer: dict[str, object]) -> None:
    officer["verdict"] = "approve"
    document = run_json("demo", "--url", URL, "--name", "d1.example")
    assert (document["status"], document["chain"]) == (
        "success",
        ["CN=d1.example", "CN=issuing CA,O=Example"],
    )
    assert set(document) == {
        *(
            "status",
            "url",
            "name",
            "transaction_id",
            "serial",
            "not_after",
            "chain",
            "fail_info",
            "fail_info_text",
        ),
        "files",
    }


def test_a_refusal_is_shown_with_its_reason(officer: dict[str, object]) -> None:
    officer["verdict"] = "reject"
    with pytest.raises(CommandError, match="refused: badRequest, not ours"):
        run("demo", "--url", URL)


def test_a_device_that_still_waits_ends_with_status_3(officer: dict[str, object]) -> None:
    status, document = status_and_json("demo", "--url", URL, "--wait", "0")
    assert (status, document["status"], officer["waits"]) == (demo.STILL_PENDING, "pending", 0)


def test_an_unknown_profile_is_named(officer: dict[str, object]) -> None:
    with pytest.raises(CommandError, match="scep/nothing/: HTTP 404"):
        run("demo", "--profile", "nothing")


def test_a_portal_that_is_away_for_a_moment_is_asked_again(
    officer: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    officer["verdict"] = "approve"
    real, posts = through(Client()), 0

    def flaky(url: str, body: bytes | None) -> HttpAnswer:
        nonlocal posts
        posts += body is not None
        if posts == 2:
            posts += 1
            raise HttpError("connection refused")
        return real(url, body)

    monkeypatch.setattr(demo, "fetch", flaky)
    assert "no answer, trying again" in run("demo", "--url", URL)


def test_a_certificate_that_the_ca_did_not_sign_is_not_believed(world: World) -> None:
    own = x509.load_der_x509_certificate(world.ca.certificate_der)
    with pytest.raises(DemoFault, match="without a certificate for the key"):
        checked_chain([world.ca.certificate_der], [own], rsa_key("device-1"))
    mine = Identity.self_signed(rsa_key("device-1"), "d1", now=now()).certificate_der
    with pytest.raises(DemoFault, match="not signed by a CA"):
        checked_chain([mine], [own], rsa_key("device-1"))
