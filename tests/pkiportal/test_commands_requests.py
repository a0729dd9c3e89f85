"""Requests and certificates by command."""

import base64
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography import x509
from django.core.management import CommandError

from accounts.roles import Role
from approvals.models.decisions import Decision
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from audit.models import AuditEntry
from pkiportal.management.arguments import operating_system_user
from scep.protocol.constants import PKIStatus
from tests.flows.wire import bare
from tests.pkiportal.commands import run, run_json, status_and_json
from tests.world import Device, World, create_person, now, run_worker

LISTED = {"id", "state", "profile", "subject", "transaction_id", "submitted_at", "serial"}


@pytest.fixture
def device(world: World) -> Device:
    """A device whose request is pending."""
    device = Device.named("r1.example")
    assert device.enroll(dns_names=["r1.example"]).status is PKIStatus.PENDING
    return device


@pytest.fixture
def request_id(device: Device) -> str:
    """Its request."""
    return str(EnrollmentRequest.objects.get().pk)


def test_requests_list_is_one_flat_list(device: Device, request_id: str) -> None:
    (item,) = run_json("requests", "list", "--state", "pending", "--profile", "routers")
    assert set(item) == LISTED
    assert (item["id"], item["state"], item["profile"]) == (request_id, "pending", "routers")
    assert (item["subject"], item["serial"]) == ("CN=r1.example", None)
    assert item["transaction_id"] == device.identity.transaction_id
    assert item["submitted_at"].endswith("Z")
    assert run_json("requests", "list", "--state", "issued") == []
    assert request_id in run("requests", "list")


def test_requests_show_has_everything_to_judge_by(request_id: str) -> None:
    document = run_json("requests", "show", request_id)
    assert set(document) > LISTED
    assert document["names"] == ["dns:r1.example"]
    assert document["would_issue"]["validity_days"] == 365
    assert len(document["fingerprints"]["public_key_sha256"]) == 64
    assert document["decisions"] == []
    assert "r1.example" in run("requests", "show", request_id)


def test_an_approval_by_command_is_asserted_and_gets_the_device_its_certificate(
    device: Device, request_id: str
) -> None:
    document = run_json(
        "requests", "approve", request_id, "--officer", "alice", "--comment", "known"
    )
    assert document == [{"id": request_id, "done": True, "text": "approved"}]
    decision = Decision.objects.get()
    assert (decision.evidence, decision.asserted_by) == ("asserted", operating_system_user())
    run_worker()
    assert device.poll().status is PKIStatus.SUCCESS
    shown = run_json("requests", "show", request_id)
    assert shown["state"] == "issued"
    assert shown["decisions"][0] | {"decided_at": ""} == {
        "id": str(decision.pk),
        "verdict": "approved",
        "officer": "alice",
        "evidence": "asserted, not authenticated",
        "asserted_by": operating_system_user(),
        "account_changes": [],
        "comment": "known",
        "comment_erased": False,
        "decided_at": "",
        "round": 1,
    }
    assert "asserted, not authenticated" in run("requests", "show", request_id)


def test_all_pending_requests_are_approved_in_one_go(device: Device, request_id: str) -> None:
    Device.named("r2.example", "bob").enroll()
    assert run_json(
        "requests", "approve", "--all-pending", "--profile", "routers", "--officer", "alice"
    ) == [
        {"id": str(pk), "done": True, "text": "approved"}
        for pk in EnrollmentRequest.objects.order_by("id").values_list("pk", flat=True)
    ]
    assert (
        run("requests", "approve", "--all-pending", "--officer", "alice").strip()
        == "Nothing is pending."
    )


def test_the_reason_of_a_rejection_by_command_reaches_the_device(
    device: Device, request_id: str
) -> None:
    run("requests", "reject", request_id, "--officer", "alice", "--comment", "unknown device")
    assert bare(device.poll().fail_info_text) == "unknown device"
    status, document = status_and_json(
        "requests", "reject", request_id, "--officer", "alice", "--comment", "again"
    )
    assert status == 1
    assert document[0]["done"] is False
    assert "Already rejected by" in document[0]["text"]


def test_a_profile_may_refuse_decisions_by_command(world: World, request_id: str) -> None:
    EnrollmentProfile.objects.update(allow_asserted_decisions=False)
    status, document = status_and_json("requests", "approve", request_id, "--officer", "alice")
    assert (status, document[0]["text"]) == (
        1,
        "Profile routers takes decisions from signed-in officers only.",
    )


def test_one_request_that_cannot_be_decided_does_not_hold_up_the_others(request_id: str) -> None:
    stranger = str(uuid4())
    status, document = status_and_json(
        "requests", "approve", stranger, request_id, "--officer", "alice"
    )
    assert (status, [item["done"] for item in document]) == (1, [False, True])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("approve", "ID", "--officer", "bob"), "officer 'bob': not known, there are alice"),
        (("approve", "ID", "--officer", "charlie"), "officer 'charlie'"),
        (("approve", "--officer", "alice"), "either ID"),
        (("approve", "ID", "--all-pending", "--officer", "alice"), "either ID"),
        (("approve", "ID", "--profile", "routers", "--officer", "alice"), "--all-pending"),
        (("approve", "nonsense", "--officer", "alice"), "request 'nonsense': not an identifier"),
        (("show", "00000000-0000-0000-0000-000000000000"), "not known"),
        (("list", "--profile", "nothing"), "profile 'nothing'"),
        (("list", "--state", "waiting"), "invalid choice: 'waiting'.*pending"),
    ],
)
def test_requests_names_what_cannot_be(
    request_id: str, arguments: tuple[str, ...], message: str
) -> None:
    create_person("charlie", Role.AUDITOR)
    with pytest.raises(CommandError, match=message):
        run("requests", *(request_id if argument == "ID" else argument for argument in arguments))
    assert not Decision.objects.exists()


def test_a_retry_needs_no_officer(request_id: str) -> None:
    run("requests", "approve", request_id, "--officer", "alice")
    status, document = status_and_json("requests", "retry", request_id)
    assert (status, document[0]["text"]) == (1, "This request is not waiting for a retry.")
    EnrollmentRequest.objects.update(
        last_fault="key not readable", attempts=8, quarantined_at=now()
    )
    assert run_json("requests", "retry", request_id)[0]["done"] is True
    assert EnrollmentRequest.objects.get().quarantined_at is None
    assert AuditEntry.objects.get(event="request:retry").actor_kind == "command"
    EnrollmentRequest.objects.update(last_fault="key not readable", quarantined_at=now())
    assert run_json("requests", "retry", request_id, "--officer", "alice")[0]["done"] is True
    assert status_and_json("requests", "retry", str(uuid4()))[0] == 1


def test_certificates_are_listed_shown_and_exported(
    device: Device, request_id: str, tmp_path: Path
) -> None:
    run("requests", "approve", request_id, "--officer", "alice")
    run_worker()
    (item,) = run_json("certificates", "list", "--ca", "issuing", "--status", "issued")
    assert (item["request"], item["profile"], item["subject"]) == (
        request_id,
        "routers",
        "CN=r1.example",
    )
    assert run_json("requests", "list")[0]["serial"] == item["serial"]
    assert item["serial"] in run("certificates", "list")
    assert run_json("certificates", "list", "--kind", "service")[0]["request"] is None
    spelled = ":".join(f"0{item['serial']}"[-38:][i : i + 2] for i in range(0, 38, 2)).upper()
    for name in (item["id"], request_id, item["serial"], f"0x{item['serial']}", spelled):
        assert run_json("certificates", "show", name)["id"] == item["id"]
    delivered = device.poll().certificates[0]
    assert x509.load_pem_x509_certificate(
        run("certificates", "export", item["serial"]).encode()
    ) == (x509.load_der_x509_certificate(delivered))
    assert (
        base64.b64decode(
            run_json("certificates", "export", item["id"], "--format", "der")["content"]
        )
        == delivered
    )
    out = tmp_path / "chain.pem"
    run("certificates", "export", item["id"], "--format", "chain", "--out", str(out))
    leaf, issuer = x509.load_pem_x509_certificates(out.read_bytes())
    leaf.verify_directly_issued_by(issuer)
    assert AuditEntry.objects.filter(event="certificate:export").count() == 3
    with pytest.raises(CommandError, match="cannot be written"):
        run("certificates", "export", item["id"], "--out", str(out))


@pytest.mark.parametrize("name", ["abcdef", "00000000-0000-0000-0000-000000000000"])
def test_an_unknown_certificate_is_named(world: World, name: str) -> None:
    with pytest.raises(CommandError, match=f"certificate '{name}': not known"):
        run("certificates", "show", name)
