"""Revocation and CRLs by command."""

import pytest
from django.core.management import CommandError, call_command

from approvals.decisions.decide import approve_request
from approvals.models.requests import EnrollmentRequest
from audit.models import AuditEntry
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import Certificate
from ca.models.crls import CrlIssue
from tests.pkiportal.commands import run, run_json
from tests.world import Device, World, now, principal_of, run_worker


@pytest.fixture
def serial(world: World) -> str:
    """The serial number of a certificate that a device was issued."""
    Device.named("r1.example").enroll(dns_names=["r1.example"])
    request = EnrollmentRequest.objects.get()
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    run_worker()
    return Certificate.objects.get(order_id=request.pk).serial_hex


def test_an_officer_is_named_for_each_step_and_the_log_says_asserted(serial: str) -> None:
    common = (serial, "--officer", "alice")
    held = run_json(
        "certificates", "revoke", *common, "--reason", "certificateHold", "--comment", "lost"
    )
    assert set(held) == {"id", "serial", "status", "revoked_at", "reason"}
    assert (held["serial"], held["status"], held["reason"]) == (
        serial,
        "on_hold",
        "certificateHold",
    )
    assert "issued" in run("certificates", "release", *common)
    assert run_json("certificates", "show", serial)["revoked_at"] is None
    assert "revoked" in run("certificates", "revoke", *common, "--reason", "keyCompromise")
    shown = run_json("certificates", "show", serial)
    assert (shown["status"], shown["revocation_reason"], shown["invalidity_date"]) == (
        "revoked",
        "keyCompromise",
        None,
    )
    assert shown["revoked_at"].endswith("Z")
    assert [item["serial"] for item in run_json("certificates", "list", "--status", "revoked")] == [
        serial
    ]
    entry = AuditEntry.objects.get(event="certificate:revoke")
    assert (entry.actor_kind, entry.data["evidence"]) == ("command", "asserted")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("revoke", "--reason", "superseded", "--officer", "unknown"), "officer 'unknown'"),
        (("revoke", "--reason", "cACompromise", "--officer", "alice"), "invalid choice"),
        (("release", "--officer", "alice"), "not on hold"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(
    serial: str, arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("certificates", arguments[0], serial, *arguments[1:])


def test_crl_list_and_issue(serial: str) -> None:
    (none,) = run_json("crl", "list")
    assert (none["ca"], none["number"], none["is_due"]) == ("issuing", None, True)
    (first,) = run_json("crl", "issue", "--ca", "issuing")
    (second,) = run_json("crl", "issue")
    assert second["number"] > first["number"]
    assert (second["entries"], second["is_due"]) == (0, False)
    assert set(second) == {
        "ca",
        "number",
        "entries",
        "this_update",
        "next_update",
        "sha256",
        "is_due",
    }
    run("certificates", "revoke", serial, "--officer", "alice", "--reason", "superseded")
    assert "yes" in run("crl", "list", "--ca", "issuing")
    assert run_json("crl", "issue")[0]["entries"] == 1
    entries = AuditEntry.objects.filter(event="crl:issue")
    assert {entry.actor_kind for entry in entries} == {"command"}
    with pytest.raises(CommandError, match="authority 'unknown'"):
        run("crl", "issue", "--ca", "unknown")


def test_a_new_authority_has_its_crl_at_once(world: World) -> None:
    run("createca", "second", "--key", "ec:p256", "--subject", "CN=Second")
    ca = CertificateAuthority.objects.get(name="second")
    assert CrlIssue.objects.get(ca=ca).der is not None


def test_without_authorities_there_is_nothing_to_list(db: None) -> None:
    assert "createca" in run("crl", "list")
