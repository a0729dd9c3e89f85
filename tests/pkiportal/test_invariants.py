"""The records fit together; every manipulation in the database is named."""

import json
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F, Model

from accounts.principals import PORTAL
from approvals.challenges.onetime import ChallengeOrder, create_challenges
from approvals.decisions.decide import approve_request
from approvals.decisions.revocations import revoke_certificate
from approvals.models.challenges import ChallengePassword
from approvals.models.decisions import Decision
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, EnrollmentTransaction
from approvals.rules.states import State
from audit.events import Event
from audit.models import AuditEntry, AuditPrivateValue
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import Certificate
from ca.models.crls import CrlIssue
from ca.signing.crl import issue_due_crls
from pkiportal.doctor.invariants import check_invariants
from tests.conftest import drop_triggers
from tests.world import Device, World, create_ca, create_profile, now, principal_of, run_worker

Tamper = Callable[[], object]


@pytest.fixture
def issued(world: World) -> World:
    """Two issued requests of a profile with one-time challenges, and tables without triggers."""
    profile = create_profile(world.ca, "guarded", challenge="one-time")
    made = create_challenges(ChallengeOrder(profile, count=2), principal=PORTAL, now=now())
    for number, (_, secret) in enumerate(made, start=1):
        device = Device.named(f"r{number}.example", f"device-{number}", "guarded")
        device.enroll(challenge=secret.reveal(), dns_names=[device.name])
    for request in EnrollmentRequest.objects.all():
        approve_request(
            request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
        )
    run_worker()
    revoke_certificate(
        certificate_id=certificates()[1].pk,
        principal=principal_of(world.alice),
        reason="superseded",
        comment="",
        now=now(),
    )
    issue_due_crls(now=now())
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    drop_triggers()
    return world


def first(model: type[Model]) -> Any:
    """The rows of the first of these, for changing."""
    rows: Any = model._default_manager.order_by("pk")
    return rows.filter(pk=rows.values_list("pk", flat=True)[0])


def certificates() -> Any:
    """The certificates that requests ordered."""
    return Certificate.objects.filter(kind="ordered").order_by("pk")


def one(rows: Any) -> Any:
    """The first of the rows, for changing."""
    return rows.model.objects.filter(pk=rows.values_list("pk", flat=True)[0])


def found() -> set[str]:
    """Names of the rules that are broken."""
    return {item.invariant for item in check_invariants(at_rest=True).violations}


def test_what_the_portal_wrote_holds_together(issued: World, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    digests = [
        *certificates().values_list("tbs_sha256", flat=True),
        CrlIssue.objects.get().tbs_sha256,
    ]
    journal.write_text("".join(f"{digest}\n" for digest in digests))
    findings = check_invariants(at_rest=True, journal=journal)
    assert findings.violations == ()
    assert (
        findings.checked["requests"]
        == findings.checked["issued"]
        == findings.checked["challenges"]
        == 2
    )
    assert (findings.checked["certificates"], findings.checked["journal"]) == (3, 3)


def swap_certificates() -> None:
    """Give the first certificate the bytes of the second."""
    first_der, second = certificates()[0], certificates()[1]
    certificates().filter(pk=second.pk).update(der_sha256="0" * 64)
    certificates().filter(pk=first_der.pk).update(der=second.der, der_sha256=second.der_sha256)


def forge_entry() -> None:
    """Rewrite the canonical form of an entry and its digest, but not its columns."""
    entry = AuditEntry.objects.earliest("id")
    document = json.loads(bytes(entry.canonical)) | {"event": "request:reject"}
    canonical = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
    digest = sha256(b"\x00" + canonical).digest()
    AuditEntry.objects.filter(pk=entry.pk).update(canonical=canonical, leaf_hash=digest)


def delete_entry() -> None:
    """Delete an entry that others of its process followed."""
    entry = AuditEntry.objects.filter(event=Event.REQUEST_APPROVE).earliest("id")
    entry.private_values.all().delete()
    entry.delete()


def skip_a_step() -> None:
    """Let the log tell of a step that does not follow on the one before."""
    entry = AuditEntry.objects.filter(event=Event.REQUEST_APPROVE).earliest("id")
    AuditEntry.objects.filter(pk=entry.pk).update(
        data=entry.data | {"from": "ISSUING", "to": "ISSUED"}
    )


def forge_document() -> None:
    """Change the document of a decision."""
    decision = Decision.objects.earliest("pk")
    Decision.objects.filter(pk=decision.pk).update(document=bytes(decision.document) + b" ")


def forget_redemptions() -> None:
    """Erase from the log that challenges were used."""
    AuditPrivateValue.objects.filter(entry__event=Event.CHALLENGE_REDEEM).delete()
    AuditEntry.objects.filter(event=Event.CHALLENGE_REDEEM).delete()


def of_certificates() -> Any:
    """The log entries of the making of certificates."""
    return AuditEntry.objects.filter(subject_kind="certificate", event=Event.CERTIFICATE_ISSUE)


def unused_profile() -> EnrollmentProfile:
    """A profile that has no requests."""
    return EnrollmentProfile.objects.get(slug="routers")


def state_of_first(state: State) -> None:
    """Put a request into a state that its certificate does not know of."""
    first(EnrollmentRequest).update(state=state, certificate=None)


_REVOKED = {"status": "REVOKED", "revoked_at": now(), "revocation_reason": "superseded"}
_GOOD = {"status": "ISSUED", "revoked_at": None, "revocation_reason": ""}


@pytest.mark.parametrize(
    ("rules", "tamper"),
    [
        ({"I1", "I6"}, lambda: state_of_first(State.PENDING)),
        ({"I1", "I6"}, lambda: state_of_first(State.ISSUING)),
        ({"I1", "I6"}, lambda: state_of_first(State.APPROVED)),
        (
            {"I1", "I10"},
            lambda: one(certificates()).update(status="ABANDONED", der=None, issued_at=None),
        ),
        ({"I10"}, lambda: CertificateAuthority.objects.update(revocation_version=2)),
        ({"I10"}, lambda: CrlIssue.objects.update(der=None, sha256=None)),
        ({"I10"}, lambda: CrlIssue.objects.update(sha256="0" * 64)),
        ({"I10"}, lambda: CrlIssue.objects.update(number=1)),
        ({"I10"}, lambda: CrlIssue.objects.update(der=b"no CRL")),
        ({"I10"}, lambda: one(certificates()).update(**_REVOKED)),
        ({"I10"}, lambda: certificates().filter(status="REVOKED").update(**_GOOD)),
        ({"I2"}, lambda: first(Decision).update(round=7)),
        ({"I2"}, forge_document),
        (
            {"I2"},
            lambda: one(certificates()).update(order_id="01890000-0000-7000-8000-000000000000"),
        ),
        ({"I2", "I7"}, lambda: of_certificates().update(subject_id="gone")),
        ({"I5"}, swap_certificates),
        ({"I5"}, lambda: one(certificates()).update(der=b"no certificate")),
        ({"I5"}, lambda: one(certificates()).update(tbs=b"other bytes")),
        ({"I5"}, lambda: one(certificates()).update(serial_hex="1")),
        ({"I5", "I8"}, lambda: one(certificates()).update(spki_sha256="0" * 64)),
        ({"I6", "I7"}, skip_a_step),
        (
            {"I6", "I7"},
            lambda: AuditEntry.objects.filter(event="request:submit").update(event="request:retry"),
        ),
        ({"I6"}, lambda: EnrollmentRequest.objects.update(version=1)),
        ({"I7"}, forge_entry),
        ({"I7"}, lambda: first(AuditEntry).update(leaf_hash=b"0" * 32)),
        ({"I8"}, lambda: first(EnrollmentTransaction).update(signer_spki_sha256="0" * 64)),
        ({"I9"}, lambda: first(ChallengePassword).update(redeemed_by=None, redeemed_at=None)),
        ({"I9"}, lambda: first(ChallengePassword).update(profile=unused_profile())),
        ({"I9"}, forget_redemptions),
        ({"I11"}, delete_entry),
        ({"I7"}, lambda: first(AuditEntry).update(writer_seq=10**6)),
    ],
)
def test_a_change_behind_our_back_is_named(issued: World, rules: set[str], tamper: Tamper) -> None:
    tamper()
    assert rules <= found()


def test_a_signature_without_a_record_is_named(issued: World, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    journal.write_text(f"{'ab' * 32} signed twice\n\n")
    (violation,) = check_invariants(journal=journal).violations
    assert (violation.invariant, violation.subject) == ("I4", f"signature over {'ab' * 32}")


def test_a_certificate_of_another_authority_is_named(issued: World) -> None:
    one(certificates()).update(ca=create_ca("stranger", ra_key="bob"))
    assert "I5" in found()


def test_only_at_rest_nothing_may_be_on_its_way(world: World) -> None:
    Device.named("r1.example").enroll()
    request = EnrollmentRequest.objects.get()
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    assert check_invariants().violations == ()
    (violation,) = check_invariants(at_rest=True).violations
    assert (violation.invariant, violation.text) == ("I1", "still APPROVED after 0 attempts: ")
    EnrollmentRequest.objects.update(
        quarantined_at=now(), expires_at=F("expires_at") + timedelta(days=1)
    )
    assert check_invariants(at_rest=True).violations == ()


@pytest.mark.usefixtures("transactional_db")
def test_the_command_says_what_is_wrong_and_ends_with_status_1(
    issued: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    call_command("check_invariants", "--at-rest")
    assert "Everything is as it must be." in capsys.readouterr().out
    first(AuditEntry).update(leaf_hash=b"0" * 32)
    with pytest.raises(SystemExit, match="1"):
        call_command("check_invariants", "--json")
    document = json.loads(capsys.readouterr().out)
    assert [item["invariant"] for item in document["violations"]] == ["I7"]
    with pytest.raises(SystemExit, match="1"):
        call_command("check_invariants")
    assert "1 violations" in capsys.readouterr().out
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("check_invariants", "--journal", str(tmp_path / "none"))
