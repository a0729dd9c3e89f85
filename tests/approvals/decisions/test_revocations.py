"""Revoke, hold, release: permissions, allowed steps, and reports of them (D-48)."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from accounts.models.people import Department
from accounts.principals import POLICY, PORTAL, Principal, asserted_principal
from accounts.roles import Role
from approvals.decisions.decide import approve_request
from approvals.decisions.revocations import release_hold, revoke_certificate
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.operations import doorbell
from approvals.reading.timeline import timeline_of
from approvals.rules.errors import ApprovalsError, NotPermitted
from audit.events import NO_DEPARTMENT
from audit.models import AuditEntry, AuditPrivateValue
from ca.certificates.revocation import Witness, revoke
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import Certificate, RevocationReason
from ca.x509.errors import AlreadyRevoked, CaError, NotOnHold, NotRevocable, RevocationReasonUnknown
from scep.protocol.constants import FailInfo, PKIStatus
from tests.world import Device, World, create_person, later, now, principal_of, run_worker


@pytest.fixture
def device(world: World) -> Device:
    """A device that has its certificate."""
    device = Device.named("r1.example")
    device.enroll(dns_names=["r1.example"])
    request = EnrollmentRequest.objects.get()
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    run_worker()
    return device


@pytest.fixture
def certificate(device: Device) -> Certificate:
    return Certificate.objects.get(kind="ordered")


def take_back(
    world: World, certificate: Certificate, reason: str = "superseded", **more: Any
) -> Certificate:
    arguments: dict[str, Any] = {
        "principal": principal_of(world.alice),
        "comment": "lost in Brno",
        "now": now(),
        **more,
    }
    return revoke_certificate(certificate_id=certificate.pk, reason=reason, **arguments)


def give_back(world: World, certificate: Certificate, *, at: datetime | None = None) -> Certificate:
    principal = principal_of(world.alice)
    return release_hold(
        certificate_id=certificate.pk, principal=principal, comment="found", now=at or now()
    )


def asserted(world: World) -> Principal:
    """Alice, as a command names her."""
    return asserted_principal("root", world.alice)


def test_every_step_of_the_table_and_no_other(
    world: World, device: Device, certificate: Certificate
) -> None:
    def state() -> tuple[str, str, bool]:
        certificate.refresh_from_db()
        return certificate.status, certificate.revocation_reason, certificate.revoked_at is not None

    with pytest.raises(NotOnHold):
        give_back(world, certificate)
    take_back(world, certificate, "certificateHold")
    assert state() == ("ON_HOLD", "certificateHold", True)
    with pytest.raises(AlreadyRevoked, match="on hold already"):
        take_back(world, certificate, "certificateHold")
    give_back(world, certificate)
    assert state() == ("ISSUED", "", False)
    take_back(world, certificate, "certificateHold", now=now() - timedelta(hours=2))
    since = Certificate.objects.get(pk=certificate.pk).revoked_at
    take_back(world, certificate, "keyCompromise", invalidity_date=now() - timedelta(days=9))
    assert state() == ("REVOKED", "keyCompromise", True)
    assert certificate.revoked_at == since
    for again in ("keyCompromise", "superseded", "certificateHold"):
        with pytest.raises(AlreadyRevoked, match="Revoked already"):
            take_back(world, certificate, again)
    with pytest.raises(AlreadyRevoked):
        give_back(world, certificate)


@pytest.mark.parametrize(
    "reason", [value for value in RevocationReason.values if value != "certificateHold"]
)
def test_each_reason_revokes_for_good(world: World, certificate: Certificate, reason: str) -> None:
    assert take_back(world, certificate, reason).status == "REVOKED"


@pytest.mark.parametrize(
    "reason", ["", "cACompromise", "removeFromCRL", "aACompromise", "KEYCOMPROMISE"]
)
def test_other_reasons_are_not_for_devices(
    world: World, certificate: Certificate, reason: str
) -> None:
    with pytest.raises(RevocationReasonUnknown, match="allowed are keyCompromise"):
        take_back(world, certificate, reason)


def test_a_device_is_told_that_its_certificate_is_gone_and_gets_it_back_after_release(
    world: World, device: Device, certificate: Certificate
) -> None:
    assert device.poll().status is PKIStatus.SUCCESS
    take_back(world, certificate, "certificateHold")
    assert (device.poll().status, device.poll().fail_info) == (
        PKIStatus.FAILURE,
        FailInfo.BAD_CERT_ID,
    )
    give_back(world, certificate)
    assert device.poll().certificates == (certificate.certificate_der,)
    take_back(world, certificate)
    assert device.poll().fail_info is FailInfo.BAD_CERT_ID
    assert device.enroll(dns_names=["r1.example"]).fail_info is FailInfo.BAD_CERT_ID


def test_what_expired_is_not_revoked_nor_released(world: World, certificate: Certificate) -> None:
    with pytest.raises(NotRevocable, match="expired"):
        take_back(world, certificate, now=later(days=400))
    take_back(world, certificate, "certificateHold")
    with pytest.raises(NotRevocable, match="expired"):
        give_back(world, certificate, at=later(days=400))


def test_what_is_not_signed_or_given_up_is_not_revoked(world: World) -> None:
    Device.named("r1.example").enroll()
    request = EnrollmentRequest.objects.get()
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("approvals.issuance.issue._sign", lambda *_, **__: False)
        run_worker()
    certificate = Certificate.objects.get(order_id=request.pk)
    for status, words in (("PREPARED", "being signed"), ("ABANDONED", "abandoned")):
        Certificate.objects.filter(pk=certificate.pk).update(status=status)
        with pytest.raises(NotRevocable, match=words):
            take_back(world, certificate)


def test_the_certificates_of_the_portal_itself_are_not_revoked_here(world: World) -> None:
    service = Certificate.objects.get(kind="service")
    with pytest.raises(NotRevocable, match="portal itself"):
        take_back(world, service)


def test_the_ca_refuses_service_certificates_by_itself(world: World) -> None:
    with pytest.raises(NotRevocable, match="portal itself"), transaction.atomic():
        revoke(
            Certificate.objects.get(kind="service"),
            reason="superseded",
            witness=Witness(PORTAL, NO_DEPARTMENT, {}),
            now=now(),
        )


def test_officers_of_the_department_revoke_and_no_other_person(
    world: World, certificate: Certificate
) -> None:
    here = Department.objects.create(slug="here", name="Here")
    elsewhere = Department.objects.create(slug="elsewhere", name="Elsewhere")
    EnrollmentProfile.objects.update(department=here)
    strangers = [
        create_person("emil", Role.OFFICER, department=elsewhere),
        create_person("bob", Role.AUDITOR),
        create_person("charlie", Role.ADMINISTRATOR),
    ]
    principals = [*map(principal_of, strangers), POLICY]
    for principal in principals:
        with pytest.raises(NotPermitted, match="not yours"):
            take_back(world, certificate, principal=principal)
    with pytest.raises(NotPermitted, match="not yours"):
        revoke_certificate(
            certificate_id=uuid4(),
            principal=principal_of(world.alice),
            reason="superseded",
            comment="",
            now=now(),
        )
    olga = create_person("olga", Role.OFFICER, department=here)
    take_back(world, certificate, principal=principal_of(olga))
    assert AuditEntry.objects.get(event="certificate:revoke").department == "here"


@pytest.mark.parametrize("is_allowed", [False, True])
@pytest.mark.parametrize(
    "reason",
    ["keyCompromise", "superseded", "unspecified", "privilegeWithdrawn", "certificateHold"],
)
def test_every_profile_takes_a_revocation_by_command(
    world: World, certificate: Certificate, reason: str, is_allowed: bool
) -> None:
    """A leaked key does not wait for a browser; the log says that the officer was not signed in."""
    EnrollmentProfile.objects.update(allow_asserted_decisions=is_allowed)
    take_back(world, certificate, reason, principal=asserted(world))
    certificate.refresh_from_db()
    assert certificate.status == ("ON_HOLD" if reason == "certificateHold" else "REVOKED")
    entry = AuditEntry.objects.get(event__in=["certificate:revoke", "certificate:hold"])
    assert (entry.actor_kind, entry.data["evidence"]) == ("command", "asserted")


def test_a_profile_may_refuse_a_release_by_command(world: World, certificate: Certificate) -> None:
    take_back(world, certificate, "certificateHold")
    EnrollmentProfile.objects.update(allow_asserted_decisions=False)
    with pytest.raises(NotPermitted, match="signed-in officers only"):
        release_hold(
            certificate_id=certificate.pk, principal=asserted(world), comment="", now=now()
        )
    EnrollmentProfile.objects.update(allow_asserted_decisions=True)
    release_hold(certificate_id=certificate.pk, principal=asserted(world), comment="", now=now())
    entry = AuditEntry.objects.get(event="certificate:release")
    assert (entry.actor_kind, entry.data["evidence"]) == ("command", "asserted")


def test_the_log_tells_who_what_and_why_and_a_refusal_changes_nothing(
    world: World, certificate: Certificate
) -> None:
    take_back(world, certificate, "certificateHold")
    give_back(world, certificate)
    take_back(world, certificate, "privilegeWithdrawn")
    with pytest.raises((ApprovalsError, CaError)):
        take_back(world, certificate)
    entries = AuditEntry.objects.filter(
        subject_id=str(certificate.pk), event__regex="hold|release|revoke"
    ).order_by("id")
    assert [
        (entry.event, entry.data["from"], entry.data["to"], entry.data["reason"])
        for entry in entries
    ] == [
        ("certificate:hold", "ISSUED", "ON_HOLD", "certificateHold"),
        ("certificate:release", "ON_HOLD", "ISSUED", ""),
        ("certificate:revoke", "ISSUED", "REVOKED", "privilegeWithdrawn"),
    ]
    comments = AuditPrivateValue.objects.filter(entry__in=entries, path="data.comment")
    assert {value.value for value in comments} == {"lost in Brno", "found"}
    order = EnrollmentRequest.objects.get()
    whats = [moment.what for moment in timeline_of(order)]
    assert whats[-3:] == ["Put on hold", "Released from hold", "Revoked"]
    assert CertificateAuthority.objects.get().revocation_version == 3


def test_the_slower_of_two_officers_changes_nothing(world: World, certificate: Certificate) -> None:
    stale = Certificate.objects.get(pk=certificate.pk)
    take_back(world, certificate)
    with pytest.raises(AlreadyRevoked, match="Another officer was faster"), transaction.atomic():
        revoke(stale, reason="keyCompromise", witness=Witness(PORTAL, NO_DEPARTMENT, {}), now=now())
    certificate.refresh_from_db()
    assert certificate.revocation_reason == "superseded"
    assert CertificateAuthority.objects.get().revocation_version == 1


def test_the_bell_of_the_signing_worker_rings_after_the_commit(
    world: World,
    certificate: Certificate,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    rung: list[tuple[str, str, object]] = []
    monkeypatch.setattr(
        "approvals.operations.doorbell.current_app.send_task",
        lambda task, **how: rung.append((task, how["queue"], how["kwargs"])),
    )
    monkeypatch.setattr(doorbell, "_breaker", doorbell.Breaker())
    with django_capture_on_commit_callbacks(execute=True):
        take_back(world, certificate, "certificateHold")
        assert rung == []
    assert rung == [("ca.issue_crls", "signing", {})]
    with django_capture_on_commit_callbacks(execute=True):
        give_back(world, certificate)
    assert len(rung) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"status": "REVOKED"},
        {"revoked_at": now()},
        {"revocation_reason": "superseded"},
        {"status": "ON_HOLD", "revoked_at": now(), "revocation_reason": "superseded"},
        {"status": "REVOKED", "revoked_at": now(), "revocation_reason": "certificateHold"},
        {"status": "REVOKED", "revoked_at": now(), "revocation_reason": "cACompromise"},
        {"status": "ABANDONED"},
    ],
)
def test_the_database_knows_the_table_as_well(
    certificate: Certificate, change: dict[str, Any]
) -> None:
    with pytest.raises((IntegrityError, DatabaseError)), transaction.atomic():
        Certificate.objects.filter(pk=certificate.pk).update(**change)
