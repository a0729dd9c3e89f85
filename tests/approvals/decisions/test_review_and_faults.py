"""An officer sees exactly the future certificate, if permitted; and every fault is seen."""

from datetime import timedelta
from hashlib import sha256
from unittest import mock

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse

from accounts.models.people import Department
from accounts.roles import Role
from approvals.decisions.decide import approve_request
from approvals.decisions.review_digest import review_of
from approvals.issuance import issue
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.rules.states import State
from ca.authorities.manage import pause_authority
from ca.content.csr_review import ProfileError
from ca.content.issuers import IssuerUnusable
from ca.models.keys import ServiceKey
from ca.models.profiles import CertificateProfileVersion
from ca.signing.authorities import open_key
from ca.signing.issuance import sign_prepared
from ca.signing.service_keys import certify_service_keys
from ca.x509.errors import AuthorityUnusable, NotYourAuthority
from scep.protocol.certificates import read_certificate
from tests.pages import signed_in
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


def approve_all(world: World) -> list[EnrollmentRequest]:
    """Approve the pending requests, oldest first."""
    requests = list(EnrollmentRequest.objects.filter(state=State.PENDING).order_by("id"))
    for request in requests:
        approve_request(
            request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
        )
    return requests


@pytest.mark.parametrize("step", ["prepare_certificate", "sign_prepared"])
def test_an_unforeseen_fault_reaches_an_officer_and_holds_up_no_other_request(
    world: World, step: str
) -> None:
    for number in (1, 2):
        Device.named(f"r{number}.example", key=f"device-{number}").enroll()
    bad, good = approve_all(world)
    real = getattr(issue, step)

    def stumble(subject: object, **named: object) -> object:
        if getattr(subject, "order_id", None) == bad.pk:
            raise ZeroDivisionError("a surprise")
        return real(subject, **named)

    with mock.patch.object(issue, step, stumble):
        result = run_worker()
    assert (result.issued, result.failed) == ([good.pk], [bad.pk])
    bad.refresh_from_db()
    assert bad.last_fault == "ZeroDivisionError: a surprise"
    assert bad.attempts == 1


def test_a_worker_without_its_passphrase_says_so_on_the_request(world: World) -> None:
    Device.named("r1.example").enroll()
    (request,) = approve_all(world)
    with mock.patch(
        "ca.signing.authorities.key_file.load",
        side_effect=ImproperlyConfigured("PORTAL_CA_PASSPHRASE: not set"),
    ):
        assert run_worker().failed == [request.pk]
        with pytest.raises(AuthorityUnusable, match="PORTAL_CA_PASSPHRASE"):
            open_key(world.ca, now=now())
    request.refresh_from_db()
    assert request.last_fault == "CA issuing: PORTAL_CA_PASSPHRASE: not set"


def test_a_request_that_failed_after_its_time_still_waits_for_an_officer(world: World) -> None:
    Device.named("r1.example").enroll()
    approve_all(world)
    EnrollmentRequest.objects.update(expires_at=now() - timedelta(days=1))
    with mock.patch("ca.signing.issuance.lint_tbs", return_value=(mock.Mock(text="too short"),)):
        run_worker()
    request = EnrollmentRequest.objects.get()
    assert request.state == State.FAILED
    assert request.expires_at > now() + timedelta(days=29)


def test_only_an_administrator_of_the_whole_organization_pauses_an_authority(world: World) -> None:
    lab = Department.objects.create(slug="lab", name="Lab")
    bob = create_person("bob", Role.ADMINISTRATOR, department=lab)
    with pytest.raises(NotYourAuthority, match="whole organization"):
        pause_authority(authority=world.ca, principal=principal_of(bob), now=now())
    charlie = create_person("charlie", Role.ADMINISTRATOR)
    pause_authority(authority=world.ca, principal=principal_of(charlie), now=now())
    assert world.ca.paused_at is not None


def test_the_past_of_another_department_is_not_shown(world: World) -> None:
    lab = Department.objects.create(slug="lab", name="Lab")
    create_profile(world.ca, "lab")
    EnrollmentProfile.objects.filter(slug="lab").update(department=lab)
    Device.named("r1.example").enroll()
    approve_all(world)
    run_worker()
    Device.named("r1.example", profile="lab").enroll()
    request = EnrollmentRequest.objects.get(profile__slug="lab")
    bob = create_person("bob", Role.OFFICER, department=lab)
    seen = review_of(request, bob)
    assert (
        seen.past.same_key_requests,
        seen.past.same_name_requests,
        seen.past.same_key_certificates,
    ) == (
        (),
        (),
        (),
    )
    everything = review_of(request, world.alice)
    assert len(everything.past.same_key_requests) == len(everything.past.same_key_certificates) == 1


def test_the_digest_of_the_request_is_shown_only_where_the_technician_has_the_same(
    world: World,
) -> None:
    create_profile(
        world.ca, "printers", challenge="static", static_challenge="a secret of the printers"
    )
    Device.named("r1.example").enroll()
    Device.named("p1.example", key="bob", profile="printers").enroll(
        challenge="a secret of the printers"
    )
    shown = {
        request.profile.slug: review_of(request).fingerprints.csr
        for request in EnrollmentRequest.objects.all()
    }
    assert shown == {
        "routers": EnrollmentRequest.objects.get(profile__slug="routers").csr_sha256,
        "printers": "",
    }


def test_an_officer_is_shown_the_fingerprints_that_the_technician_can_read_out(
    world: World,
) -> None:
    device = Device.named("r1.example")
    device.enroll()
    request = EnrollmentRequest.objects.get()
    page = signed_in(world.alice).get(reverse("request", args=[request.pk])).content.decode()
    signer = device.identity.certificate_der
    for what, digest in {
        "public key": read_certificate(signer).spki_sha256,
        "signer certificate": sha256(signer).digest(),
        "request": sha256(request.csr_der).digest(),
    }.items():
        assert f'data-copy="{digest.hex()}" aria-label="Copy the fingerprint of the {what}"' in page


def test_what_would_be_issued_names_addresses_and_the_end_of_the_authority(world: World) -> None:
    Device.named("r1.example").enroll()
    would = review_of(EnrollmentRequest.objects.get()).would_issue
    assert would.not_after_at_most == world.ca.not_after
    assert would.addresses == ()


def test_rules_that_changed_in_the_database_sign_nothing(world: World) -> None:
    Device.named("r1.example").enroll()
    (request,) = approve_all(world)
    version = CertificateProfileVersion.objects.get(pk=request.profile_version_id)
    version.spec["validity_days"] = 9000
    with pytest.raises(ProfileError, match="changed after it was made"):
        version.resolve()


def test_a_request_moved_to_a_profile_with_fewer_votes_is_not_signed(world: World) -> None:
    easy = create_profile(world.ca, "easy")
    Device.named("r1.example").enroll()
    (request,) = approve_all(world)
    with without_triggers():
        EnrollmentRequest.objects.update(profile=easy)
    assert run_worker().failed == [request.pk]
    request.refresh_from_db()
    assert "it was made on another profile" in request.last_fault


def test_a_subject_too_long_to_be_kept_is_refused_by_name(world: World) -> None:
    from ca.content.csr_review import ProfileSpec, check_csr
    from ca.x509.csr import decode_csr
    from ca.x509.names import build_name
    from tests.ca.forge import request_der

    subject = build_name([("CN", "r1.example"), *[("OU", "x" * 64)] * 20])
    review = check_csr(decode_csr(request_der(subject)), ProfileSpec())
    assert "subject-long" in {finding.code for finding in review.findings}
    assert review.refused


def test_an_authority_that_expired_does_not_keep_others_from_their_service_keys(
    world: World,
) -> None:
    ServiceKey.objects.update(certificate=None)
    with mock.patch("ca.signing.service_keys._certify", side_effect=IssuerUnusable("expired")):
        assert certify_service_keys(now=now()) == 0


def test_a_service_key_certified_by_two_workers_is_recorded_once(world: World) -> None:
    from audit.models import AuditEntry
    from ca.signing import service_keys

    before = AuditEntry.objects.filter(event="service-key:certify").count()
    ServiceKey.objects.update(certificate=None)
    sign = sign_prepared

    def overtaken(certificate: object, *, now: object) -> bytes:
        ServiceKey.objects.update(certificate=certificate)
        return sign(certificate, now=now)  # type: ignore[arg-type]  # passed through

    with mock.patch.object(service_keys, "sign_prepared", overtaken):
        certify_service_keys(now=now())
    assert AuditEntry.objects.filter(event="service-key:certify").count() == before
