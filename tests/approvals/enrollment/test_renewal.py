"""Renewal (RFC 8894 §2.3, §2.5): by policy or by an officer; challenges on the way."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.urls import reverse

from accounts.principals import PORTAL, Evidence
from accounts.roles import Role
from approvals.challenges.onetime import ChallengeOrder, create_challenges
from approvals.challenges.static import set_static
from approvals.decisions.decide import reject_request, reopen_request
from approvals.decisions.review_digest import review_digest, review_of
from approvals.models.challenges import ChallengePassword, FailedChallenges
from approvals.models.decisions import Decision
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, EnrollmentTransaction
from approvals.profiles.manage import save_profile
from approvals.rules.policy import RenewalPolicy
from approvals.rules.states import State
from audit.models import AuditEntry
from ca.models.certificates import Certificate
from pkiportal.management.request_facts import request_document, request_text
from scep.client import Identity, build_csr, build_pkcs_req
from scep.protocol.constants import PKIStatus
from tests.approvals.enrollment.renewing import (
    ALWAYS,
    NAME,
    PENDING,
    allow,
    approve,
    certified,
    newest,
    no,
    of,
    renew,
    told,
)
from tests.flows.wire import nothing_granted
from tests.pages import signed_in
from tests.pki import rsa_key
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

pytestmark = pytest.mark.usefixtures("no_waiting", "consistent")

# -------------------------------------------------------------------------------- the straight road


@pytest.mark.parametrize("renewal", [True, False])
def test_a_device_renews_by_policy_with_a_new_key(world: World, renewal: bool) -> None:
    allow(world)
    device = Device.named(NAME)
    old = certified(world, device)
    assert told(renew(old, renewal=renewal)) == PENDING
    request = newest()
    assert (request.state, request.renews, request.challenge) == (State.APPROVED, of(old), "none")
    assert Decision.objects.get(request=request).evidence == Evidence.POLICY
    assert run_worker().issued == [request.pk]
    got = renew(old, renewal=renewal)
    assert got.status is PKIStatus.SUCCESS
    issued = Certificate.objects.get(order_id=request.pk)
    assert got.certificates == (issued.certificate_der,)
    assert issued.spki_sha256 == request.csr_spki_sha256 != of(old).spki_sha256
    assert of(old).status == "ISSUED"
    assert EnrollmentRequest.objects.count() == 2


def test_a_waiting_exchange_gets_its_certificate_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(world)
    old = certified(world, Device.named(NAME))
    monkeypatch.setattr("scep.operations.enrollment.WAIT_SECONDS", 1)
    monkeypatch.setattr("scep.operations.enrollment.time.sleep", lambda seconds: run_worker())
    assert renew(old).status is PKIStatus.SUCCESS


def test_each_certificate_renews_in_turn(world: World) -> None:
    allow(world)
    identity = certified(world, Device.named(NAME))
    for key in ("bob", "device-1", "device-2"):
        renew(identity, key, transaction_id="constant")
        run_worker()
        answer = renew(identity, key, transaction_id="constant")
        identity = Identity(answer.certificates[0], rsa_key(key))
    chain = EnrollmentRequest.objects.order_by("id").values_list("renews_id", "certificate_id")
    assert [renews for renews, _ in chain] == [None, *(certificate for _, certificate in chain[:3])]


def test_a_renewal_with_the_same_transaction_key_and_csr_is_no_repeat_of_the_enrollment_as_certmonger_does_it(  # noqa: E501
    world: World,
) -> None:
    allow(world, key_reuse=True)
    device = Device.named(NAME)
    csr = build_csr(device.key, NAME)
    device.scep.enroll(csr, device.identity)
    approve(world)
    certificates = [device.scep.enroll(csr, device.identity).certificates[0]]
    for _ in range(2):
        identity = Identity(certificates[-1], device.key)
        name = device.identity.transaction_id
        assert device.scep.enroll(csr, identity, transaction_id=name).status is PKIStatus.PENDING
        assert run_worker().issued == [newest().pk]
        for _ in range(2):
            answer = device.scep.enroll(csr, identity, transaction_id=name)
            assert answer.certificates == (newest().certificate.certificate_der,)  # type: ignore[union-attr]  # issued
        certificates.append(answer.certificates[0])
    assert (
        len(set(certificates))
        == EnrollmentRequest.objects.count()
        == EnrollmentTransaction.objects.count()
        == 3
    )
    assert device.poll().certificates == (certificates[-1],), (
        "a poll is about the newest request of key and ID"
    )
    assert device.scep.enroll(csr, device.identity).certificates == (certificates[0],)


def test_the_same_bytes_again_and_the_same_content_under_another_id_are_the_same_renewal(
    world: World,
) -> None:
    allow(world, mode="officer")
    device = Device.named(NAME)
    old = certified(world, device)
    sent = build_pkcs_req(
        build_csr(rsa_key("bob"), NAME), old, device.scep.get_ca_cert().encryption_der, renewal=True
    )
    for _ in range(3):
        assert device.scep.send(sent, old).status is PKIStatus.PENDING
    assert renew(old, transaction_id="another").status is PKIStatus.PENDING
    assert EnrollmentRequest.objects.count() == 2
    approve(world)
    got = {
        device.scep.send(sent, old).certificates,
        renew(old, transaction_id="another").certificates,
    }
    got.add(device.scep.poll(old).certificates)
    assert len(got) == 1
    assert renew(old, transaction_id="third").certificates in got, (
        "a valid certificate is met again"
    )
    assert EnrollmentRequest.objects.count() == 2


@pytest.mark.parametrize(
    ("duplicate", "text"), [("fail", "this key has a valid certificate already"), ("pending", "")]
)
def test_what_a_new_transaction_of_a_finished_renewal_gets_is_what_the_profile_says(
    world: World, duplicate: str, text: str
) -> None:
    allow(world)
    EnrollmentProfile.objects.update(on_duplicate=duplicate)
    old = certified(world, Device.named(NAME))
    renew(old)
    run_worker()
    with nothing_granted():
        answer = told(renew(old, transaction_id="another"))
    assert answer == no(text or "this key has a certificate already: renew with a new key")


def test_a_renewal_of_a_key_that_enrolls_at_the_same_time_is_refused(world: World) -> None:
    allow(world)
    old = certified(world, Device.named(NAME))
    Device.named(NAME, "bob").enroll()
    with nothing_granted():
        answer = told(renew(old))
    assert answer == no("this key has an open request that does not renew this certificate")
    assert told(renew(old, name="r2.example")) == no("this key has an open request for other names")


def test_who_enrolls_with_the_key_of_an_open_renewal_meets_it(world: World) -> None:
    allow(world, mode="officer")
    old = certified(world, Device.named(NAME))
    renew(old)
    fresh = Device.named(NAME, "bob")
    assert fresh.enroll(transaction_id="self-signed").status is PKIStatus.PENDING
    assert EnrollmentRequest.objects.count() == 2
    approve(world)
    assert (
        fresh.poll("self-signed").certificates
        == Device.named(NAME).scep.poll(old).certificates
        != ()
    )


def test_renewal_is_offered_where_it_is_allowed(world: World) -> None:
    device = Device.named(NAME)
    assert "Renewal" not in device.scep.get_ca_caps()
    allow(world, mode="officer")
    assert "Renewal" in device.scep.get_ca_caps()


# --------------------------------------------------------------------------------------- an officer


def test_in_officer_mode_the_officer_sees_what_is_renewed_and_the_device_polls_with_its_old_key(
    world: World,
) -> None:
    allow(world, mode="officer")
    device = Device.named(NAME)
    old = certified(world, device)
    assert told(renew(old)) == PENDING
    request = newest()
    assert request.state == State.PENDING
    assert [(item["code"], item["severity"]) for item in request.findings] == [("renewal", "info")]
    serial = of(old).serial_hex
    document = request_document(request)
    assert document["renews"] == serial
    assert f"renews certificate {serial}" in request_text(document).replace("  ", "")
    page = signed_in(world.alice).get(reverse("request", args=[request.pk])).content.decode()
    assert reverse("certificate", args=[of(old).pk]) in page
    assert "not needed: signed with the certificate to renew" in page
    assert device.scep.poll(old).status is PKIStatus.PENDING
    approve(world)
    decided = bytes(Decision.objects.get(request=request).document).decode()
    assert of(old).der_sha256 in decided  # type: ignore[operator]  # issued, so it has one
    assert device.scep.poll(old).certificates == (
        Certificate.objects.get(order_id=request.pk).certificate_der,
    )


def test_the_digest_of_what_an_officer_sees_knows_the_renewed_certificate(
    world: World, forges_records: None
) -> None:
    allow(world, mode="officer")
    renew(certified(world, Device.named(NAME)))
    request = newest()
    digest = review_digest(request)
    request.renews = None
    assert review_digest(request) != digest == review_of(newest()).sha256


def test_a_refused_renewal_says_why_and_can_be_opened_again(world: World) -> None:
    allow(world, mode="officer")
    device = Device.named(NAME)
    old = certified(world, device)
    renew(old)
    reject_request(
        request_id=newest().pk,
        principal=principal_of(world.alice),
        comment="being replaced",
        now=now(),
    )
    assert told(renew(old)) == told(device.scep.poll(old)) == no("being replaced")
    reopen_request(
        request_id=newest().pk, principal=principal_of(world.alice), comment="", now=now()
    )
    assert told(renew(old)) == PENDING
    approve(world)
    assert device.scep.poll(old).status is PKIStatus.SUCCESS


def test_pages_lead_from_a_certificate_to_the_ones_before_and_after_it(world: World) -> None:
    allow(world)
    old = certified(world, Device.named(NAME))
    renew(old)
    auditor = signed_in(create_person("bob", Role.AUDITOR))
    first = reverse("certificate", args=[of(old).pk])
    assert reverse("request", args=[newest().pk]) in auditor.get(first).content.decode()
    run_worker()
    second = reverse("certificate", args=[newest().certificate_id])
    assert f'href="{second}" rel="next"' in auditor.get(first).content.decode()
    assert f'href="{first}" rel="prev"' in auditor.get(second).content.decode()


# ---------------------------------------------------------------------- between order and signature


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            lambda: Certificate.objects.filter(kind="ordered").update(
                status="REVOKED", revoked_at=now(), revocation_reason="superseded"
            ),
            "renewed certificate is revoked",
        ),
        (
            lambda: EnrollmentProfile.objects.update(renewal_mode="officer"),
            "the profile asks an officer now",
        ),
    ],
)
def test_what_the_policy_ordered_is_not_signed_once_it_could_not_order_it_any_more(
    world: World, change: Any, fault: str
) -> None:
    allow(world)
    old = certified(world, Device.named(NAME))
    renew(old)
    change()
    assert run_worker().failed == [newest().pk]
    assert newest().state == State.FAILED
    assert fault in newest().last_fault
    assert told(renew(old)) == PENDING, "an officer decides"


@pytest.mark.parametrize("change", [{"renews": None}, {"signer_certificate": b"another"}])
def test_a_policy_decision_counts_for_its_renewal_only(
    world: World, change: dict[str, object], forges_records: None
) -> None:
    allow(world)
    old = certified(world, Device.named(NAME))
    renew(old)
    EnrollmentProfile.objects.update(approval="automatic", challenge="static")
    with without_triggers():
        EnrollmentRequest.objects.filter(pk=newest().pk).update(**change)
        assert run_worker().issued == []
    assert newest().state == State.FAILED


def test_the_renewed_certificate_of_a_request_does_not_change(world: World) -> None:
    allow(world, mode="officer")
    renew(certified(world, Device.named(NAME)))
    with pytest.raises(DatabaseError), transaction.atomic():
        EnrollmentRequest.objects.filter(pk=newest().pk).update(renews=None)


# --------------------------------------------------------------------------------------- challenges


def one_time(profile: EnrollmentProfile, **order: Any) -> str:
    return create_challenges(ChallengeOrder(profile, **order), principal=PORTAL, now=now())[0][
        1
    ].reveal()


def test_a_challenge_in_a_renewal_is_not_needed_but_has_to_be_right(world: World) -> None:
    phones = create_profile(
        world.ca,
        "phones",
        challenge="one-time",
        renewal=RenewalPolicy(mode="officer", window=ALWAYS),
    )
    used = one_time(phones)
    device = Device.named(NAME, profile="phones")
    old = certified(world, device, challenge=used)
    for wrong in ("guess", one_time(phones, subject="r9.example")):
        with nothing_granted():
            answer = told(renew(old, "device-1", profile="phones", challenge_password=wrong))
        assert answer == no("request not permitted")
    assert told(renew(old, "device-1", profile="phones", challenge_password=used)) == PENDING
    assert newest().challenge == "none"
    assert told(renew(old, "device-2", profile="phones", transaction_id="second")) == PENDING
    fresh = one_time(phones)
    assert (
        told(
            renew(
                old, "device-3", profile="phones", transaction_id="third", challenge_password=fresh
            )
        )
        == PENDING
    )
    assert newest().challenge == "one-time"
    assert ChallengePassword.objects.get(redeemed_by=newest()).redeemed_at is not None


def test_a_static_challenge_in_a_renewal_has_to_be_right(world: World) -> None:
    secret = "eight-loud-otters"
    create_profile(
        world.ca,
        "printers",
        challenge="static",
        static_challenge=secret,
        renewal=RenewalPolicy(mode="automatic", window=ALWAYS),
    )
    old = certified(world, Device.named(NAME, profile="printers"), challenge=secret)
    with nothing_granted():
        assert told(renew(old, profile="printers", challenge_password="wrong")) == no(
            "request not permitted"
        )
    assert told(renew(old, profile="printers", challenge_password=secret)) == PENDING
    assert (newest().challenge, newest().state) == ("static", State.APPROVED)


def test_a_renewal_with_the_static_challenge_of_before_the_rotation_is_passed_over(
    world: World,
) -> None:
    printers = create_profile(
        world.ca,
        "printers",
        challenge="static",
        static_challenge="eight-loud-otters",
        renewal=RenewalPolicy(mode="automatic", window=ALWAYS),
    )
    old = certified(world, Device.named(NAME, profile="printers"), challenge="eight-loud-otters")
    set_static(printers, "nine-quiet-otters", principal=PORTAL, now=now())
    assert told(renew(old, profile="printers", challenge_password="eight-loud-otters")) == PENDING
    assert (newest().challenge, newest().state) == ("none", State.APPROVED)
    assert not FailedChallenges.objects.exists()


# ----------------------------------------------------------------------------------------- settings


def test_the_log_says_what_a_profile_allows(world: World) -> None:
    allow(world, grace=timedelta(days=1))
    profile = EnrollmentProfile.objects.get(pk=world.profile.pk)
    save_profile(profile, principal=PORTAL, now=now(), is_new=False)
    data = AuditEntry.objects.filter(event="profile:change").latest("id").data
    settings = {key: value for key, value in data.items() if key.startswith("renewal")}
    assert settings == {
        "renewal": "automatic",
        "renewal_window_s": 0,
        "renewal_grace_s": 86400,
        "renewal_key_reuse": False,
        "renewal_changed_names": "refuse",
    }
