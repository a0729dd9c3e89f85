"""Decision documents: the form of version 2, what is read of version 1, comments that can be
erased.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse

from accounts.models.people import User
from accounts.principals import asserted_principal
from accounts.roles import Role
from approvals.decisions.decide import approve_request, reject_request
from approvals.models.decisions import Decision, DecisionComment, Verdict
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.reading.timeline import timeline_of
from approvals.records.decision_content import (
    DocumentUnreadable,
    decided_facts,
    is_comment_erased,
    is_comment_of,
)
from approvals.records.decision_documents import DecisionInvalid, verify_comment, verify_decision
from audit.canonical import canonical_json
from audit.models import AuditEntry, AuditPrivateValue
from ca.models.authorities import CertificateAuthority
from ca.models.profiles import CertificateProfileVersion
from pkiportal.doctor.invariants import check_invariants
from tests.pages import signed_in
from tests.pkiportal.commands import run, run_json
from tests.world import (
    Device,
    World,
    create_person,
    create_profile,
    now,
    principal_of,
    run_worker,
    without_triggers,
)

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "decisions"

#: Every key of version 2, in every document.
KEYS = {
    *("v", "type", "decision", "request", "round", "view_sha256", "csr_sha256", "spki_sha256"),
    *("subject", "names", "ca", "profile", "required_approvals", "renews", "account_changes"),
    *("decided_at", "effective_at", "principal", "comment", "certificate_profile"),
    *("enrollment_profile", "batch", "facts", "displayed", "compared", "corrections"),
    *("rule_set", "undo_of"),
}


@pytest.fixture
def pending(world: World) -> EnrollmentRequest:
    Device.named("r1.example").enroll()
    return EnrollmentRequest.objects.get()


def approved(world: World, pending: EnrollmentRequest, comment: str = "on the list") -> Decision:
    return approve_request(
        request_id=pending.pk, principal=principal_of(world.alice), comment=comment, now=now()
    )


def document_of(decision: Decision) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(bytes(decision.document))
    return content


# ------------------------------------------------------------------------------- version 2


def test_every_key_stands_in_every_document(world: World, pending: EnrollmentRequest) -> None:
    document = document_of(approved(world, pending, comment=""))
    assert set(document) == KEYS
    assert (document["v"], document["comment"], document["batch"]) == (2, None, None)


def test_the_document_names_the_principal(world: World, pending: EnrollmentRequest) -> None:
    decision = approve_request(
        request_id=pending.pk,
        principal=asserted_principal("operator", world.alice),
        comment="",
        now=now(),
    )
    assert document_of(decision)["principal"] == {
        "kind": "command",
        "id": str(world.alice.pk),
        "name": "operator",
        "evidence": "asserted",
        "on_behalf_of": "alice",
        "delegation": None,
    }


def test_the_facts_are_those_that_the_officer_was_shown(
    world: World, pending: EnrollmentRequest
) -> None:
    Device.named("r1.example", key="device-2").enroll()
    other = EnrollmentRequest.objects.exclude(pk=pending.pk).get()
    decision = approve_request(
        request_id=other.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    facts = {fact["code"]: fact for fact in document_of(decision)["facts"]}
    assert facts["name-waiting"] == {
        "code": "name-waiting",
        "text": "its name: another request waits for it, with another key",
        "severity": "officer",
        "evidence": [str(pending.pk)],
    }
    assert {item["code"] for item in other.findings} <= set(facts)


@pytest.mark.usefixtures("no_waiting")
def test_the_policy_decides_on_the_findings(world: World) -> None:
    word = "nine-quiet-otters"
    create_profile(
        world.ca, "printers", approval="automatic", challenge="static", static_challenge=word
    )
    Device.named("p1.example", profile="printers").enroll(challenge=word)
    document = document_of(Decision.objects.get())
    assert document["principal"]["kind"] == "policy"
    assert set(document) == KEYS


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("principal", {"id": "another", "evidence": "session"}),
        ("certificate_profile", {"version": 1, "digest": "00"}),
        ("certificate_profile", None),
        ("renews", "00"),
        ("v", 3),
    ],
)
def test_a_document_about_something_else_is_refused(
    world: World, pending: EnrollmentRequest, key: str, value: object
) -> None:
    decision = approved(world, pending)
    request = EnrollmentRequest.objects.get()
    verify_decision(decision, request)
    decision.document = canonical_json(document_of(decision) | {key: value})
    decision.document_sha256 = sha256(decision.document).hexdigest()
    with pytest.raises(DecisionInvalid):
        verify_decision(decision, request)


# ------------------------------------------------------------------------------- version 1


def version_1() -> tuple[Decision, EnrollmentRequest]:
    """A decision as version 0.1.0 recorded it, and the request that it approves."""
    vector = json.loads((VECTORS / "approve-v1.json").read_text())
    document = vector["document"].encode()
    content = json.loads(document)
    request = EnrollmentRequest(
        pk=UUID(content["request"]),
        ca=CertificateAuthority(name=content["ca"]),
        profile=EnrollmentProfile(slug=content["profile"]),
        profile_version=CertificateProfileVersion(spec_sha256=content["profile_sha256"]),
        csr=bytes.fromhex(vector["csr"]),
        csr_sha256=content["csr_sha256"],
        csr_spki_sha256=content["spki_sha256"],
        subject=content["subject"],
        names=content["names"],
        round=content["round"],
    )
    decision = Decision(
        pk=UUID(vector["id"]),
        request=request,
        verdict=Verdict.APPROVE,
        officer=User(pk=UUID(content["officer"])),
        document=document,
        document_sha256=vector["document_sha256"],
    )
    return decision, request


def test_a_document_of_version_1_verifies() -> None:
    decision, request = version_1()
    verify_decision(decision, request)
    assert decided_facts(bytes(decision.document))["evidence"] == "session"


@pytest.mark.parametrize("field", ["subject", "csr_spki_sha256", "round"])
def test_a_document_of_version_1_holds_for_its_request_only(field: str) -> None:
    decision, request = version_1()
    setattr(request, field, 7 if field == "round" else "other")
    with pytest.raises(DecisionInvalid, match="it was made on another"):
        verify_decision(decision, request)


def test_the_comment_of_version_1_has_no_salt() -> None:
    decision, _ = version_1()
    document = bytes(decision.document)
    assert is_comment_of(DecisionComment(salt=b"", text="known router"), document)
    assert not is_comment_of(DecisionComment(salt=b"", text="another"), document)
    assert not is_comment_of(DecisionComment(salt=b"s" * 16, text="known router"), document)


@pytest.mark.parametrize("document", [b'{"v":3}', b"[]", b'{"v":2}'])
def test_a_document_of_another_form_is_not_read(document: bytes) -> None:
    with pytest.raises(DocumentUnreadable):
        decided_facts(document)


# ------------------------------------------------------------------------------- comments


def test_a_comment_is_erased_everywhere_by_deleting_its_row(
    world: World, pending: EnrollmentRequest
) -> None:
    decision = approved(world, pending, comment="Ms Example asked for it")
    run_worker()
    auditor = signed_in(create_person("bob", Role.AUDITOR))
    pages = [
        (signed_in(world.alice), f"/requests/{pending.pk}/"),
        (auditor, reverse("history_audit")),
    ]
    for client, page in pages:
        assert "Ms Example" in client.get(page).content.decode()
    assert run_json("requests", "show", str(pending.pk))["decisions"][0]["comment"] == (
        "Ms Example asked for it"
    )

    DecisionComment.objects.filter(decision=decision).delete()

    for client, page in pages:
        answer = client.get(page).content.decode()
        assert "Ms Example" not in answer
        assert "Comment erased" in answer
    assert "Ms Example" not in run("requests", "show", str(pending.pk))
    assert "(comment erased)" in run("requests", "show", str(pending.pk))
    shown = run_json("requests", "show", str(pending.pk))["decisions"][0]
    assert (shown["comment"], shown["comment_erased"]) == ("", True)
    assert [moment.is_comment_erased for moment in timeline_of(EnrollmentRequest.objects.get())][1]
    assert "Ms Example" not in str(list(AuditEntry.objects.values()))
    assert "Ms Example" not in str(list(AuditPrivateValue.objects.values()))
    assert check_invariants().violations == ()


def test_no_comment_is_not_an_erased_one(world: World, pending: EnrollmentRequest) -> None:
    decision = approved(world, pending, comment="")
    assert not DecisionComment.objects.exists()
    assert not is_comment_erased(decision)
    assert not any(
        moment.is_comment_erased for moment in timeline_of(EnrollmentRequest.objects.get())
    )


def test_the_digest_of_a_comment_cannot_be_guessed(
    world: World, pending: EnrollmentRequest
) -> None:
    decision = approved(world, pending, comment="yes")
    row = DecisionComment.objects.get()
    assert len(bytes(row.salt)) == 16
    assert is_comment_of(row, bytes(decision.document))
    assert sha256(b"yes").hexdigest() not in bytes(decision.document).decode()


def test_a_comment_is_written_and_erased_but_never_changed(
    world: World, pending: EnrollmentRequest
) -> None:
    decision = reject_request(
        request_id=pending.pk, principal=principal_of(world.alice), comment="no", now=now()
    )
    with pytest.raises(IntegrityError), transaction.atomic():
        DecisionComment.objects.update(text="another")
    with without_triggers():
        DecisionComment.objects.update(text="another")
    with pytest.raises(DecisionInvalid, match="another comment"):
        verify_comment(Decision.objects.get())
    assert [found.invariant for found in check_invariants().violations] == ["I2"]
    DecisionComment.objects.get(decision=decision).delete()
    verify_comment(Decision.objects.get())
