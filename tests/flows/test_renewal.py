"""Renewal (RFC 8894 §2.3, §2.5; attacks D-24, D-25, D-26): who may renew which certificate, when, and what it gets."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from django.db import DatabaseError, transaction
from django.urls import reverse

from accounts.roles import Role
from approvals.challenges import ChallengeOrder, create_challenges
from approvals.decisions import approve_request, reject_request, reopen_request
from approvals.models import (
    ChallengePassword,
    Decision,
    EnrollmentProfile,
    EnrollmentRequest,
    EnrollmentTransaction,
    Evidence,
)
from approvals.policy import RenewalPolicy
from approvals.profiles import save_profile
from approvals.review import review_digest, review_of
from approvals.states import State
from audit.events import SYSTEM
from audit.models import AuditEntry
from ca.authorities import AuthorityRequest, create_authority
from ca.models import Certificate
from pkiportal.invariants import check_invariants
from pkiportal.management.request_facts import request_document, request_text
from scep.client import Identity, PKIStatus, ReceivedCertRep, build_csr, build_pkcs_req
from scep.protocol.constants import FailInfo
from scep.ra_keys import ra_keys
from tests.flows.wire import causes, nothing_granted
from tests.pages import signed_in
from tests.pki import rsa_key
from tests.world import (
    Device,
    World,
    create_ca,
    create_person,
    create_profile,
    now,
    run_worker,
    voice_of,
    without_triggers,
)

ALWAYS = timedelta(0)
PENDING = (PKIStatus.PENDING, None, None)
NAME = "r1.example"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no worker to wait for here."""
    monkeypatch.setattr("scep.service.WAIT_SECONDS", 0)


@pytest.fixture(autouse=True)
def consistent(world: World, request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test did, the invariants hold after it."""
    yield
    if "forges_records" not in request.fixturenames:
        assert check_invariants(at_rest=False).violations == ()


@pytest.fixture
def forges_records() -> None:
    """For tests that write what the portal would not."""


def told(answer: ReceivedCertRep) -> tuple[PKIStatus, FailInfo | None, str | None]:
    return answer.status, answer.fail_info, answer.fail_info_text


def no(text: str) -> tuple[PKIStatus, FailInfo | None, str | None]:
    return PKIStatus.FAILURE, FailInfo.BAD_REQUEST, text


def allow(world: World, **renewal: Any) -> None:
    """Let the profile `routers` renew; by default by policy and at any time."""
    wanted: dict[str, Any] = {"mode": "automatic", "window": ALWAYS}
    policy = RenewalPolicy(**wanted | renewal)
    EnrollmentProfile.objects.filter(pk=world.profile.pk).update(
        renewal_mode=policy.mode,
        renewal_window=policy.window,
        renewal_grace=policy.grace,
        renewal_key_reuse=policy.key_reuse,
        renewal_changed_names=policy.changed_names,
    )


def newest() -> EnrollmentRequest:
    return EnrollmentRequest.objects.order_by("-id")[0]


def approve(world: World) -> None:
    """Alice approves the newest request, and the worker signs."""
    approve_request(request_id=newest().pk, voice=voice_of(world.alice), comment="", now=now())
    assert run_worker().issued == [newest().pk]


def certified(world: World, device: Device, **csr: Any) -> Identity:
    """Enroll; returns the device with the certificate it got."""
    assert device.enroll(**csr).status is PKIStatus.PENDING
    approve(world)
    return Identity(device.poll().certificates[0], device.key)


def renew(
    old: Identity, key: str = "bob", *, name: str = NAME, profile: str = "routers", **more: Any
) -> ReceivedCertRep:
    """Ask with a new key, signed with the old certificate; RenewalReq unless `renewal` is False."""
    asked = {"renewal": True, "transaction_id": "", **more}
    sent = {key: asked.pop(key) for key in ("renewal", "transaction_id")}
    csr = build_csr(rsa_key(key), name, **asked)
    return Device.named(name, key, profile=profile).scep.enroll(csr, old, **sent)


def of(identity: Identity) -> Certificate:
    return Certificate.objects.get(der=identity.certificate_der)


def travel(to: datetime) -> time_machine.travel:
    return time_machine.travel(to, tick=True)


# --------------------------------------------------------------------------------------------------- the straight road


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


def test_a_waiting_exchange_gets_its_certificate_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(world)
    old = certified(world, Device.named(NAME))
    monkeypatch.setattr("scep.service.WAIT_SECONDS", 1)
    monkeypatch.setattr("scep.service.time.sleep", lambda seconds: run_worker())
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


def test_a_renewal_with_the_same_transaction_key_and_csr_is_no_repeat_of_the_enrollment_as_certmonger_does_it(
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
    assert len(set(certificates)) == EnrollmentRequest.objects.count() == EnrollmentTransaction.objects.count() == 3
    assert device.poll().certificates == (certificates[-1],), "a poll is about the newest request of key and ID"
    assert device.scep.enroll(csr, device.identity).certificates == (certificates[0],)


def test_the_same_bytes_again_and_the_same_content_under_another_id_are_the_same_renewal(world: World) -> None:
    allow(world, mode="officer")
    device = Device.named(NAME)
    old = certified(world, device)
    sent = build_pkcs_req(build_csr(rsa_key("bob"), NAME), old, device.scep.get_ca_cert().encryption_der, renewal=True)
    for _ in range(3):
        assert device.scep.send(sent, old).status is PKIStatus.PENDING
    assert renew(old, transaction_id="another").status is PKIStatus.PENDING
    assert EnrollmentRequest.objects.count() == 2
    approve(world)
    got = {device.scep.send(sent, old).certificates, renew(old, transaction_id="another").certificates}
    got.add(device.scep.poll(old).certificates)
    assert len(got) == 1
    assert renew(old, transaction_id="third").certificates in got, "a valid certificate is met again"
    assert EnrollmentRequest.objects.count() == 2


@pytest.mark.parametrize(("duplicate", "text"), [("fail", "this key has a valid certificate already"), ("pending", "")])
def test_what_a_new_transaction_of_a_finished_renewal_gets_is_what_the_profile_says(
    world: World, duplicate: str, text: str
) -> None:
    allow(world)
    EnrollmentProfile.objects.update(on_duplicate=duplicate)
    old = certified(world, Device.named(NAME))
    renew(old)
    run_worker()
    with nothing_granted():
        said = told(renew(old, transaction_id="another"))
    assert said == no(text or "this key has a certificate already: renew with a new key")


def test_a_renewal_of_a_key_that_enrolls_at_the_same_time_is_refused(world: World) -> None:
    allow(world)
    old = certified(world, Device.named(NAME))
    Device.named(NAME, "bob").enroll()
    with nothing_granted():
        said = told(renew(old))
    assert said == no("this key has an open request that does not renew this certificate")
    assert told(renew(old, name="r2.example")) == no("this key has an open request for other names")


def test_who_enrolls_with_the_key_of_an_open_renewal_meets_it(world: World) -> None:
    allow(world, mode="officer")
    old = certified(world, Device.named(NAME))
    renew(old)
    fresh = Device.named(NAME, "bob")
    assert fresh.enroll(transaction_id="self-signed").status is PKIStatus.PENDING
    assert EnrollmentRequest.objects.count() == 2
    approve(world)
    assert fresh.poll("self-signed").certificates == Device.named(NAME).scep.poll(old).certificates != ()


def test_renewal_is_offered_where_it_is_allowed(world: World) -> None:
    device = Device.named(NAME)
    assert "Renewal" not in device.scep.get_ca_caps()
    allow(world, mode="officer")
    assert "Renewal" in device.scep.get_ca_caps()


# ------------------------------------------------------------------------------------------------------- an officer


def test_in_officer_mode_the_officer_sees_what_is_renewed_and_the_device_polls_with_its_old_key(world: World) -> None:
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
    assert device.scep.poll(old).certificates == (Certificate.objects.get(order_id=request.pk).certificate_der,)


def test_the_digest_of_what_an_officer_sees_knows_the_renewed_certificate(world: World, forges_records: None) -> None:
    allow(world, mode="officer")
    renew(certified(world, Device.named(NAME)))
    request = newest()
    seen = review_digest(request)
    request.renews = None
    assert review_digest(request) != seen == review_of(newest()).sha256


def test_a_refused_renewal_says_why_and_can_be_opened_again(world: World) -> None:
    allow(world, mode="officer")
    device = Device.named(NAME)
    old = certified(world, device)
    renew(old)
    reject_request(request_id=newest().pk, voice=voice_of(world.alice), comment="being replaced", now=now())
    assert told(renew(old)) == told(device.scep.poll(old)) == no("being replaced")
    reopen_request(request_id=newest().pk, voice=voice_of(world.alice), comment="", now=now())
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


# ------------------------------------------------------------------------------------------- D-24: which certificate


def revoked(old: Identity, world: World) -> Identity:
    Certificate.objects.filter(pk=of(old).pk).update(status="REVOKED")
    return old


def on_hold(old: Identity, world: World) -> Identity:
    Certificate.objects.filter(pk=of(old).pk).update(status="ON_HOLD")
    return old


def not_yet_valid(old: Identity, world: World) -> Identity:
    Certificate.objects.filter(pk=of(old).pk).update(not_before=now() + timedelta(days=1))
    return old


def looking_alike(old: Identity, world: World) -> Identity:
    """Issuer and serial number of the certificate, over another key, by another CA of the same name."""
    real = x509.load_der_x509_certificate(old.certificate_der)
    forged = x509.CertificateBuilder(
        issuer_name=real.issuer,
        subject_name=real.subject,
        public_key=rsa_key("bob").public_key(),
        serial_number=real.serial_number,
        not_valid_before=real.not_valid_before_utc,
        not_valid_after=real.not_valid_after_utc,
    ).sign(rsa_key("alice"), hashes.SHA256())
    return Identity(forged.public_bytes(Encoding.DER), rsa_key("bob"))


def of_the_ra(old: Identity, world: World) -> Identity:
    return Identity(ra_keys.of(world.ca)[0].certificate_der, rsa_key("ra"))


def of_another_profile(old: Identity, world: World) -> Identity:
    create_profile(world.ca, "switches")
    device = Device.named(NAME, "device-3", profile="switches")
    return certified(world, device)


def of_another_ca(old: Identity, world: World) -> Identity:
    create_profile(create_ca("other", ra_key="bob"), "elsewhere")
    return certified(world, Device.named(NAME, "device-4", profile="elsewhere"))


OTHER_PROFILE = "the certificate to renew was issued through another enrollment profile: use its address"
REFUSED = [
    (revoked, "the certificate to renew is revoked: enroll with a new key", "renewed certificate is revoked"),
    (on_hold, "the certificate to renew is on hold", "renewed certificate is on hold"),
    (not_yet_valid, "the certificate to renew is valid from ", "renewed certificate is not valid yet"),
    (of_another_profile, OTHER_PROFILE, "renewed certificate is of another profile"),
    (of_another_ca, OTHER_PROFILE, "renewed certificate is of another profile"),
    (
        looking_alike,
        "the certificate that signs the message is not one of ours",
        "signer certificate only looks like one of ours",
    ),
    (of_the_ra, "the certificate that signs the message is not a device's", "signer certificate is not a device's"),
]


@pytest.mark.parametrize("renewal", [True, False])
@pytest.mark.parametrize(("make", "text", "cause"), REFUSED, ids=lambda value: getattr(value, "__name__", ""))
def test_d24_such_a_certificate_renews_nothing(
    world: World, make: Any, text: str, cause: str, renewal: bool, forges_records: None
) -> None:
    allow(world, mode="officer")
    signer = make(certified(world, Device.named(NAME)), world)
    for key in ("bob", "device-5"):  # the key of the look-alike, and a new one
        with nothing_granted():
            status, fail_info, said = told(renew(signer, key, renewal=renewal))
        assert (status, fail_info) == (PKIStatus.FAILURE, FailInfo.BAD_REQUEST)
        assert (said or "").startswith(text)
    assert cause in causes()


@pytest.mark.parametrize("renewal", [True, False])
def test_d24_an_expired_certificate_renews_within_the_grace_only(world: World, renewal: bool) -> None:
    allow(world, grace=timedelta(days=7))
    old = certified(world, Device.named(NAME))
    end = of(old).not_after
    with travel(end + timedelta(days=7, seconds=30)), nothing_granted():
        said = told(renew(old, renewal=renewal))
        assert said == no(f"the certificate to renew expired at {end:%Y-%m-%dT%H:%MZ}: enroll with a new key")
    assert "renewed certificate is expired" in causes()
    with travel(end + timedelta(days=6)):
        assert told(renew(old, renewal=renewal)) == PENDING


@pytest.mark.parametrize("renewal", [True, False])
def test_d24_certificates_of_authorities_sign_for_nobody(world: World, renewal: bool) -> None:
    root = create_ca("rsa-root", key_type="rsa:2048", ra_key="bob")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keys.file.generate", lambda spec: rsa_key("device-8"))
        wanted = AuthorityRequest(name="below", subject="CN=Below", key_type="rsa:2048", parent=root)
        below = create_authority(wanted, actor=SYSTEM, now=now())
    for slug, ca in (("of-root", root), ("of-other", world.ca)):
        create_profile(ca, slug, renewal=RenewalPolicy(mode="officer", window=ALWAYS))
    signers = [
        ("of-root", Identity(root.certificate_der, rsa_key("ca"))),
        ("of-root", Identity(below.certificate_der, rsa_key("device-8"))),
        ("of-other", Identity(below.certificate_der, rsa_key("device-8"))),
    ]
    for slug, signer in signers:
        for key in ("ca", "device-8", "device-5"):
            with nothing_granted():
                assert renew(signer, key, profile=slug, renewal=renewal).fail_info is FailInfo.BAD_REQUEST
    assert set(causes()) == {"signer certificate is not a device's"}


def test_d24_a_renewal_by_its_own_word_needs_a_certificate_of_ours(world: World) -> None:
    allow(world)
    device = Device.named(NAME)
    foreign = x509.CertificateBuilder(
        issuer_name=x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "Another CA")]),
        subject_name=x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, NAME)]),
        public_key=device.key.public_key(),
        serial_number=7,
        not_valid_before=now() - timedelta(days=1),
        not_valid_after=now() + timedelta(days=1),
    ).sign(rsa_key("bob"), hashes.SHA256())
    signers = [device.identity, Identity(foreign.public_bytes(Encoding.DER), device.key)]
    text = "a renewal is signed with the certificate to renew, issued by this portal"
    for signer in signers:
        with nothing_granted():
            assert told(renew(signer, "alice")) == no(text)
    assert told(renew(signers[1], "alice", renewal=False)) == PENDING, "a PKCSReq is an enrollment like any other"


def test_d24_a_profile_that_was_given_another_ca_renews_no_certificate_of_the_first(world: World) -> None:
    allow(world)
    old = certified(world, Device.named(NAME))
    EnrollmentProfile.objects.update(ca=create_ca("next", ra_key="bob"))
    with nothing_granted():
        said = told(renew(old, "device-1"))
    assert said == no("the certificate to renew was issued by another CA than this profile's: enroll with a new key")


def test_without_a_renewal_policy_nothing_renews(world: World) -> None:
    old = certified(world, Device.named(NAME))
    for renewal in (True, False):
        with nothing_granted():
            assert told(renew(old, renewal=renewal)) == no("renewal is not enabled")


# ------------------------------------------------------------------------------------------------ when, and which key


def test_a_renewal_comes_within_the_window(world: World) -> None:
    allow(world, window=timedelta(days=30))
    old = certified(world, Device.named(NAME))
    opens_at = of(old).not_after - timedelta(days=30)
    with nothing_granted():
        assert told(renew(old)) == no(f"too early to renew: from {opens_at:%Y-%m-%dT%H:%MZ} on")
    assert causes() == ["renewal too early"]
    entry = AuditEntry.objects.get(event="message:refuse")
    assert (entry.subject_kind, entry.subject_id) == ("certificate", str(of(old).pk))
    with travel(opens_at + timedelta(minutes=1)):
        assert told(renew(old)) == PENDING


@pytest.mark.parametrize("renewal", [True, False])
def test_a_renewal_needs_a_new_key_unless_the_profile_lets_it_keep_its_own(world: World, renewal: bool) -> None:
    allow(world)
    device = Device.named(NAME)
    old = certified(world, device)
    with nothing_granted():
        said = told(renew(old, "alice", renewal=renewal))
    assert said == no("this key has a certificate already: renew with a new key")
    allow(world, key_reuse=True)
    assert told(renew(old, "alice", renewal=renewal)) == PENDING


def test_networks_and_the_rules_of_the_certificate_profile_hold_for_renewals_too(world: World) -> None:
    allow(world, changed_names="officer")
    old = certified(world, Device.named(NAME))
    with nothing_granted():
        status, _, text = told(renew(old, dns_names=["*.example"]))
        assert (status, text) == (
            PKIStatus.FAILURE,
            "subjectAltName dns '*.example': the profile allows no such wildcard",
        )
        EnrollmentProfile.objects.update(networks=["192.0.2.0/24"])
        assert told(renew(old)) == no("request not permitted")


# --------------------------------------------------------------------------------------------------------- D-25: names


def test_d25_a_renewal_keeps_subject_and_alternative_names(world: World) -> None:
    allow(world)
    old = certified(world, Device.named(NAME), dns_names=["r1.example", "r1.example.net"])
    begins = "a renewal keeps the names of the certificate: "
    for more, text in (
        ({"dns_names": ["r1.example"]}, "dns:r1.example.net left out"),
        ({"dns_names": ["r1.example", "r1.example.net", "dc1.example"]}, "dns:dc1.example added"),
        (
            {"dns_names": ["r1.example", "r1.example.net"], "name": "dc1.example"},
            "subject CN=dc1.example",
        ),
    ):
        with nothing_granted():
            assert told(renew(old, **more)) == no(begins + text)
    assert causes() == ["renewal changes names"]
    assert told(renew(old, dns_names=["R1.example.net", "r1.example"])) == PENDING, "order and case are no difference"


def test_d25_where_an_officer_decides_on_other_names_no_policy_does(world: World) -> None:
    allow(world, changed_names="officer")
    old = certified(world, Device.named(NAME))
    assert told(renew(old, dns_names=["dc1.example"])) == PENDING
    request = newest()
    assert request.state == State.PENDING
    assert {"differs from the renewed certificate: dns:dc1.example added"} == {
        item["text"] for item in request.findings if item["code"] == "renewal-changed"
    }
    approve(world)


# ------------------------------------------------------------------------------------- D-26: the same certificate twice


def test_d26_a_second_renewal_of_the_same_certificate_meets_an_officer(world: World) -> None:
    allow(world)
    old = certified(world, Device.named(NAME))
    renew(old)
    run_worker()
    for transaction_id in ("", "another"):
        key = "device-6" if transaction_id else "device-7"
        assert told(renew(old, key, transaction_id=transaction_id)) == PENDING
        request = newest()
        assert (request.state, request.findings[-1]["code"]) == (State.PENDING, "renewed-already")


# ------------------------------------------------------------------------------------------ between order and signature


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda: Certificate.objects.filter(kind="ordered").update(status="REVOKED"), "renewed certificate is revoked"),
        (lambda: EnrollmentProfile.objects.update(renewal_mode="officer"), "the profile asks an officer now"),
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


# ----------------------------------------------------------------------------------------------------------- challenges


def one_time(profile: EnrollmentProfile, **order: Any) -> str:
    return create_challenges(ChallengeOrder(profile, **order), actor=SYSTEM, user=None, now=now())[0][1].reveal()


def test_a_challenge_in_a_renewal_is_not_needed_but_has_to_be_right(world: World) -> None:
    phones = create_profile(
        world.ca, "phones", challenge="one-time", renewal=RenewalPolicy(mode="officer", window=ALWAYS)
    )
    used = one_time(phones)
    device = Device.named(NAME, profile="phones")
    old = certified(world, device, challenge=used)
    for wrong in ("guess", one_time(phones, subject="r9.example")):
        with nothing_granted():
            said = told(renew(old, "device-1", profile="phones", challenge_password=wrong))
        assert said == no("request not permitted")
    assert told(renew(old, "device-1", profile="phones", challenge_password=used)) == PENDING
    assert newest().challenge == "none"
    assert told(renew(old, "device-2", profile="phones", transaction_id="second")) == PENDING
    fresh = one_time(phones)
    assert told(renew(old, "device-3", profile="phones", transaction_id="third", challenge_password=fresh)) == PENDING
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
        assert told(renew(old, profile="printers", challenge_password="wrong")) == no("request not permitted")
    assert told(renew(old, profile="printers", challenge_password=secret)) == PENDING
    assert (newest().challenge, newest().state) == ("static", State.APPROVED)


# ------------------------------------------------------------------------------------------------------------- settings


def test_the_log_says_what_a_profile_allows(world: World) -> None:
    allow(world, grace=timedelta(days=1))
    profile = EnrollmentProfile.objects.get(pk=world.profile.pk)
    save_profile(profile, actor=SYSTEM, now=now(), is_new=False)
    data = AuditEntry.objects.filter(event="profile:change").latest("id").data
    said = {key: value for key, value in data.items() if key.startswith("renewal")}
    assert said == {
        "renewal": "automatic",
        "renewal_window_s": 0,
        "renewal_grace_s": 86400,
        "renewal_key_reuse": False,
        "renewal_changed_names": "refuse",
    }
