"""SCEP transactions (profile, transactionID, signing key): repeats, retries, refusals."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from accounts.principals import PORTAL
from approvals.challenges.onetime import ChallengeOrder, create_challenges
from approvals.decisions.decide import approve_request, reject_request, reopen_request
from approvals.issuance.sweep import sweep
from approvals.models.challenges import ChallengePassword
from approvals.models.profiles import EnrollmentProfile, OnDuplicate
from approvals.models.requests import EnrollmentRequest, EnrollmentTransaction
from approvals.rules.errors import AlreadyDecided
from approvals.rules.states import State
from audit.models import AuditEntry
from ca.content.csr_review import ProfileSpec
from ca.models.certificates import Certificate
from scep.client import Identity, build_csr, build_pkcs_req
from scep.protocol.certificates import read_certificate
from scep.protocol.constants import FailInfo, PKIStatus
from scep.protocol.requests import ReceivedCertRep
from tests.flows.wire import bare, causes, granted, message, nothing_granted, post, refused
from tests.scep.forge import ALICE_ID, csr
from tests.world import Device, World, create_ca, create_profile, now, principal_of, run_worker

UNKNOWN = (PKIStatus.FAILURE, FailInfo.BAD_CERT_ID, "no such transaction")
GONE = (
    PKIStatus.FAILURE,
    FailInfo.BAD_CERT_ID,
    "the certificate of this request is revoked or expired",
)
OTHER_CONTENT = (
    "this transaction is open for another request: use a new transactionID or wait for its end"
)


def told(answer: ReceivedCertRep) -> tuple[PKIStatus, FailInfo | None, str | None]:
    """Return the text that a technician reads at the device."""
    return answer.status, answer.fail_info, bare(answer.fail_info_text)


def newest() -> EnrollmentRequest:
    return EnrollmentRequest.objects.order_by("-id")[0]


def approve(world: World) -> EnrollmentRequest:
    """Alice approves the newest request, and the worker signs."""
    approve_request(
        request_id=newest().pk, principal=principal_of(world.alice), comment="", now=now()
    )
    assert run_worker().issued == [newest().pk]
    return newest()


def reject(world: World, reason: str = "wrong site") -> EnrollmentRequest:
    reject_request(
        request_id=newest().pk, principal=principal_of(world.alice), comment=reason, now=now()
    )
    return newest()


def challenge(profile: EnrollmentProfile, **order: Any) -> str:
    """A fresh one-time challenge."""
    made = create_challenges(ChallengeOrder(profile, **order), principal=PORTAL, now=now())
    return made[0][1].reveal()


def travel(**difference: float) -> time_machine.travel:
    return time_machine.travel(now() + timedelta(**difference), tick=True)


# ------------------------------------------------------------------------------------------ repeats


def test_the_same_bytes_again_are_a_poll_as_micromdm_does_it(world: World) -> None:
    device = Device.named("r1.example")
    sent = build_pkcs_req(
        build_csr(device.key, device.name),
        device.identity,
        device.scep.get_ca_cert().encryption_der,
    )
    for _ in range(3):
        assert device.scep.send(sent, device.identity).status is PKIStatus.PENDING
    request = EnrollmentRequest.objects.get()
    assert (request.version, EnrollmentTransaction.objects.count()) == (1, 1)
    approve(world)
    certificates = device.scep.send(sent, device.identity).certificates
    assert certificates == (Certificate.objects.get(order_id=request.pk).certificate_der,)


def test_the_same_content_with_another_nonce_is_a_poll_as_certmonger_does_it(world: World) -> None:
    device = Device.named("r1.example")
    first = device.enroll(dns_names=["r1.example"])
    csr_again = build_csr(device.key, device.name, dns_names=["r1.example"])
    again = device.scep.enroll(
        csr_again, Identity.self_signed(device.key, "another name", now=now())
    )
    assert (first.status, again.status) == (PKIStatus.PENDING, PKIStatus.PENDING)
    submitted = EnrollmentRequest.objects.get().submitted_at
    approve(world)
    assert device.enroll(dns_names=["r1.example"]).status is PKIStatus.SUCCESS
    assert EnrollmentRequest.objects.get().submitted_at == submitted


def test_a_new_self_signed_certificate_over_the_same_key_is_the_same_device_as_sscep_resumes(
    world: World,
) -> None:
    device = Device.named("r1.example")
    device.enroll()
    approve(world)
    other = Identity.self_signed(
        device.key, "another name", now=now() - timedelta(days=400), days=1
    )
    answer = device.scep.poll(other)
    assert (answer.status, len(answer.certificates)) == (PKIStatus.SUCCESS, 1)


def test_of_a_self_signed_certificate_nothing_but_the_key_is_looked_at(world: World) -> None:
    device = Device.named("r1.example")
    for name, begun in (("another name", -400), ("a third name", 400)):
        signer = Identity.self_signed(device.key, name, now=now() + timedelta(days=begun), days=1)
        answer = device.scep.enroll(
            build_csr(device.key, device.name), signer, transaction_id=f"since {begun}"
        )
        assert answer.status is PKIStatus.PENDING
    assert newest().subject == "CN=r1.example"


@pytest.mark.usefixtures("within_a_minute")
def test_a_poll_after_success_gets_the_same_certificate_again_and_each_pickup_is_on_record(
    world: World,
) -> None:
    device = Device.named("r1.example")
    device.enroll()
    approve(world)
    with nothing_granted():
        first, again = device.poll(), device.poll()
    assert first.certificates == again.certificates != ()
    assert AuditEntry.objects.filter(event="certificate:deliver").count() == 1


# ---------------------------------------------------------------- a new transactionID, the same key


def test_a_new_transaction_of_the_same_key_meets_the_open_request(world: World) -> None:
    device = Device.named("r1.example")
    device.enroll()
    assert device.enroll(transaction_id="second").status is PKIStatus.PENDING
    assert EnrollmentRequest.objects.count() == 1
    approve(world)
    assert device.poll("second").certificates == device.poll().certificates != ()


def test_a_new_transaction_for_other_names_does_not_replace_the_open_request(world: World) -> None:
    device = Device.named("r1.example")
    device.enroll()
    with nothing_granted():
        answer = device.enroll(transaction_id="second", dns_names=["dc1.example"])
    assert told(answer) == (
        PKIStatus.FAILURE,
        FailInfo.BAD_REQUEST,
        "this key has an open request for other names",
    )
    assert told(device.poll("second")) == UNKNOWN


@pytest.mark.parametrize("policy", OnDuplicate.values)
def test_a_new_transaction_of_a_key_with_a_valid_certificate_gets_what_the_profile_says(
    world: World, policy: str
) -> None:
    EnrollmentProfile.objects.update(on_duplicate=policy)
    device = Device.named("r1.example")
    device.enroll()
    issued = approve(world)
    answer = device.enroll(transaction_id="second")
    match policy:
        case OnDuplicate.REDELIVER:
            assert answer.certificates == (
                Certificate.objects.get(order_id=issued.pk).certificate_der,
            )
            assert EnrollmentRequest.objects.count() == 1
        case OnDuplicate.PENDING:
            assert answer.status is PKIStatus.PENDING
            assert newest().pk != issued.pk
        case _:
            assert told(answer)[1:] == (
                FailInfo.BAD_REQUEST,
                "this key has a valid certificate already",
            )
            assert causes() == ["key has a certificate already"]


# ---------------------------------------------------------- the same transaction, different content


def test_other_content_in_an_open_transaction_is_refused_and_changes_nothing_the_officer_saw(
    world: World,
) -> None:
    device = Device.named("r1.example")
    device.enroll()
    with nothing_granted():
        answer = device.enroll(dns_names=["dc1.example"])
    assert told(answer) == (PKIStatus.FAILURE, FailInfo.BAD_REQUEST, OTHER_CONTENT)
    assert causes() == ["transaction open for another request"]
    assert device.poll().status is PKIStatus.PENDING


def test_other_content_after_the_certificate_is_a_new_request(world: World) -> None:
    device = Device.named("r1.example")
    device.enroll()
    first = approve(world)
    assert device.enroll(dns_names=["r1.example"]).status is PKIStatus.PENDING
    assert (EnrollmentRequest.objects.count(), newest().state) == (2, State.PENDING)
    assert newest().pk != first.pk
    assert device.poll().status is PKIStatus.PENDING


def test_other_content_while_the_key_waits_elsewhere_is_refused_not_a_fault(world: World) -> None:
    device = Device.named("r1.example")
    device.enroll()
    approve(world)
    device.enroll(transaction_id="second", dns_names=["r1.example"])
    with nothing_granted():
        answer = device.enroll(dns_names=["r9.example"])
    assert told(answer)[1:] == (
        FailInfo.BAD_REQUEST,
        "this key has an open request for other names",
    )


# ---------------------------------------------------------------------------------- after a refusal


def test_a_refused_transaction_stays_refused_until_its_time_has_passed(world: World) -> None:
    device = Device.named("r1.example")
    device.enroll()
    reject(world)
    expected = (PKIStatus.FAILURE, FailInfo.BAD_REQUEST, "wrong site")
    for _ in range(2):
        assert (told(device.enroll()), told(device.poll())) == (expected, expected)
    with travel(hours=23, minutes=59):
        assert told(device.enroll()) == expected
    with travel(hours=24, minutes=1):
        assert device.enroll().status is PKIStatus.PENDING
    assert EnrollmentRequest.objects.count() == 2
    assert device.poll().status is PKIStatus.PENDING


def test_a_refused_transaction_asks_again_at_once_with_a_fresh_one_time_challenge(
    world: World,
) -> None:
    profile = create_profile(world.ca, "phones", challenge="one-time")
    device = Device.named("r1.example", profile="phones")
    used = challenge(profile)
    assert device.enroll(challenge=used).status is PKIStatus.PENDING
    reject(world)
    for stale in (used, "guess", None):
        assert told(device.enroll(challenge=stale)) == (
            PKIStatus.FAILURE,
            FailInfo.BAD_REQUEST,
            "wrong site",
        )
    assert device.enroll(challenge=challenge(profile)).status is PKIStatus.PENDING
    assert [request.state for request in EnrollmentRequest.objects.order_by("id")] == [
        State.REJECTED,
        State.PENDING,
    ]
    assert not ChallengePassword.objects.filter(redeemed_at__isnull=True).exists()


def test_a_refused_transaction_that_asks_again_while_its_key_waits_elsewhere_joins_that_request(
    world: World,
) -> None:
    device = Device.named("r1.example")
    device.enroll()
    reject(world)
    with travel(hours=23):
        assert device.enroll(transaction_id="second").status is PKIStatus.PENDING
    with travel(hours=25):
        assert device.enroll().status is PKIStatus.PENDING
    assert EnrollmentRequest.objects.count() == 2
    approve(world)
    assert device.poll().certificates == device.poll("second").certificates != ()


def test_an_expired_request_says_so_and_a_reopened_one_waits_again(world: World) -> None:
    device = Device.named("r1.example")
    device.enroll()
    EnrollmentRequest.objects.update(expires_at=now() - timedelta(seconds=1))
    assert sweep().expired == 1
    text = "the request expired before anyone decided: ask again"
    assert told(device.poll()) == (PKIStatus.FAILURE, FailInfo.BAD_REQUEST, text)
    reopen_request(
        request_id=newest().pk, principal=principal_of(world.alice), comment="", now=now()
    )
    assert device.poll().status is PKIStatus.PENDING
    assert device.enroll().status is PKIStatus.PENDING
    approve(world)
    assert device.poll().status is PKIStatus.SUCCESS


def test_a_reopened_request_is_what_its_device_is_told_of_though_it_was_refused_once_more_since(
    world: World,
) -> None:
    device = Device.named("r1.example")
    with travel(hours=-25):
        device.enroll()
        first = reject(world)
    device.enroll()
    reject(world, "still the wrong site")
    assert told(device.poll())[2] == "still the wrong site"
    reopen_request(request_id=first.pk, principal=principal_of(world.alice), comment="", now=now())
    assert device.poll().status is PKIStatus.PENDING
    approve_request(request_id=first.pk, principal=principal_of(world.alice), comment="", now=now())
    assert run_worker().issued == [first.pk]
    assert device.poll().status is PKIStatus.SUCCESS


def test_a_refused_request_is_not_reopened_once_its_device_has_a_newer_one_open(
    world: World,
) -> None:
    device = Device.named("r1.example")
    device.enroll()
    first = reject(world)
    with travel(hours=25):
        device.enroll()
    with pytest.raises(AlreadyDecided):
        reopen_request(
            request_id=first.pk, principal=principal_of(world.alice), comment="", now=now()
        )
    assert device.poll().status is PKIStatus.PENDING


# ------------------------------------------------------------- D-27, D-28: the same ID, another key


def test_d27_devices_with_the_same_transaction_id_do_not_meet(world: World) -> None:
    one = Device.named("r1.example", "device-1")
    two = Device.named("r2.example", "device-2")
    for device in (one, two):
        assert device.enroll(transaction_id="constant").status is PKIStatus.PENDING
    first, second = EnrollmentRequest.objects.order_by("id")
    approve_request(request_id=first.pk, principal=principal_of(world.alice), comment="", now=now())
    reject_request(
        request_id=second.pk, principal=principal_of(world.alice), comment="no", now=now()
    )
    run_worker()
    assert one.poll("constant").certificates == (
        Certificate.objects.get(order_id=first.pk).certificate_der,
    )
    assert told(two.poll("constant")) == (PKIStatus.FAILURE, FailInfo.BAD_REQUEST, "no")


@pytest.mark.parametrize("is_first", [True, False])
def test_d27_who_guesses_a_transaction_id_takes_nothing_from_its_owner(
    world: World, is_first: bool
) -> None:
    victim, mallory = Device.named("r1.example"), Device.named("r1.example", "bob")
    name = victim.identity.transaction_id
    order = [mallory, victim] if is_first else [victim, mallory]
    for device in order:
        assert device.enroll(transaction_id=name).status is PKIStatus.PENDING
    request = EnrollmentRequest.objects.get(signer_spki_sha256=_signer(victim))
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    run_worker()
    assert victim.poll().status is PKIStatus.SUCCESS
    assert mallory.poll(name).status is PKIStatus.PENDING


def _signer(device: Device) -> str:
    return read_certificate(device.identity.certificate_der).spki_sha256.hex()


@pytest.mark.usefixtures("within_a_minute")
def test_d28_a_poll_signed_by_another_key_is_told_what_a_poll_for_nothing_is_told(
    world: World,
) -> None:
    for prepare in (lambda: None, partial(approve, world)):
        post(message(world, csr()))
        prepare()
        hijack = message(world, message_type="20", key="bob")
        for_nothing = message(world, message_type="20", key="bob", transaction_id="nothing")
        taken = refused(hijack, *UNKNOWN[1:])
        nothing = refused(for_nothing, *UNKNOWN[1:], transaction_id="nothing")
        assert (len(taken.body) - len(ALICE_ID)) == (len(nothing.body) - len("nothing"))
    entries = AuditEntry.objects.filter(event="message:refuse", subject_kind="request")
    assert [entry.subject_id for entry in entries] == [str(EnrollmentRequest.objects.get().pk)]
    assert "poll signed by another key" in causes()
    assert "unknown transaction" in causes()


def test_d31_a_transaction_of_one_profile_is_unknown_at_another(world: World) -> None:
    create_profile(world.ca, "switches")
    device = Device.named("r1.example")
    device.enroll()
    assert told(Device.named("r1.example", profile="switches").poll()) == UNKNOWN


# ------------------------------------------------------------ D-30: certificates not valid any more


def _expire(certificate: Certificate) -> datetime:
    return certificate.not_after + timedelta(seconds=1)


def test_d30_an_old_message_gets_no_certificate_any_more_once_it_has_expired(world: World) -> None:
    sent = message(world, csr())
    post(sent)
    certificate = Certificate.objects.get(order_id=approve(world).pk)
    assert post(sent).status is PKIStatus.SUCCESS
    poll = message(world, message_type="20")
    with time_machine.travel(_expire(certificate)), nothing_granted():
        for again in (sent, poll):
            answer = post(again)
            assert (answer.status, answer.fail_info, answer.text) == GONE


def test_d30_an_old_message_gets_no_certificate_any_more_once_it_is_revoked(world: World) -> None:
    sent = message(world, csr())
    post(sent)
    approve(world)
    Certificate.objects.filter(kind="ordered").update(
        status="REVOKED", revoked_at=now(), revocation_reason="superseded"
    )
    with nothing_granted():
        for again in (sent, message(world, message_type="20")):
            answer = post(again)
            assert (answer.status, answer.fail_info, answer.text) == GONE


def test_d30_after_expiry_a_fresh_one_time_challenge_opens_a_new_request_a_used_one_does_not(
    world: World,
) -> None:
    profile = create_profile(
        world.ca, "phones", challenge="one-time", spec=ProfileSpec(validity_days=1)
    )
    device = Device.named("r1.example", profile="phones")
    used = challenge(profile)
    device.enroll(challenge=used)
    approve(world)
    with travel(days=2):
        assert told(device.enroll(challenge=used)) == GONE
        assert device.enroll(challenge=challenge(profile)).status is PKIStatus.PENDING
    assert EnrollmentRequest.objects.count() == 2


def test_after_expiry_a_new_transaction_of_the_same_key_is_a_new_request(world: World) -> None:
    device = Device.named("r1.example")
    device.enroll()
    certificate = Certificate.objects.get(order_id=approve(world).pk)
    with time_machine.travel(_expire(certificate)):
        assert device.enroll(transaction_id="second").status is PKIStatus.PENDING


# ---------------------------------------------------------------------- D-24: a portal certificate


def certified(world: World, device: Device) -> Identity:
    """The device after it has its certificate."""
    device.enroll()
    approve(world)
    return Identity(device.poll().certificates[0], device.key)


@pytest.mark.parametrize("renewal", [False, True])
def test_d24_a_message_signed_by_a_certificate_of_the_portal_is_a_renewal_and_never_a_repeat(
    world: World, renewal: bool
) -> None:
    device = Device.named("r1.example")
    renewing = certified(world, device)
    with nothing_granted():
        for key in (device.key, _other_key()):
            answer = device.scep.enroll(build_csr(key, device.name), renewing, renewal=renewal)
            assert told(answer) == (
                PKIStatus.FAILURE,
                FailInfo.BAD_REQUEST,
                "renewal is not enabled",
            )
    assert causes()[0] in ("renewal is not enabled", "RenewalReq")


def _other_key() -> RSAPrivateKey:
    return Device.named("r9.example", "bob").key


def test_d24_neither_an_expired_nor_a_revoked_certificate_of_the_portal_enrolls(
    world: World,
) -> None:
    device = Device.named("r1.example")
    renewing = certified(world, device)
    Certificate.objects.filter(kind="ordered").update(
        status="REVOKED", revoked_at=now(), revocation_reason="superseded"
    )
    with travel(days=400), nothing_granted():
        answer = device.scep.enroll(
            build_csr(device.key, device.name), renewing, transaction_id="second"
        )
        assert told(answer)[1:] == (FailInfo.BAD_REQUEST, "renewal is not enabled")


def test_d24_a_certificate_of_the_portal_polls_for_the_request_of_its_key(world: World) -> None:
    device = Device.named("r1.example")
    renewing = certified(world, device)
    assert device.scep.poll(renewing).certificates == (renewing.certificate_der,)


def test_d24_a_lookalike_or_a_foreign_certificate_is_worth_only_what_a_self_made_one_is(
    world: World,
) -> None:
    """Such a certificate proves only the key, so the request waits for an officer like others."""
    device = Device.named("r1.example")
    renewing = certified(world, device)
    other = create_ca("other", ra_key="bob")
    create_profile(other, "elsewhere")
    stranger = Device.named("r1.example", profile="elsewhere")
    before = granted()[0]
    assert (
        stranger.scep.enroll(build_csr(device.key, device.name), renewing).fail_info
        is FailInfo.BAD_REQUEST
    )
    lookalike = Device.named("r1.example", "bob")
    assert lookalike.enroll(transaction_id=renewing.transaction_id).status is PKIStatus.PENDING
    assert granted()[0] == before
