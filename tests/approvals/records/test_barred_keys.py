"""Keys that must not be certified: revoked as compromised, blocked, or on a revoked certificate."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
from cryptography import x509
from django.db import transaction
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.models.people import Department
from accounts.principals import PORTAL, Principal, PrincipalKind
from accounts.roles import Role
from approvals.challenges.onetime import ChallengeOrder, create_challenges
from approvals.decisions.decide import approve_request, reject_request, reopen_request
from approvals.decisions.revocations import revoke_certificate, revoke_compromised, successors_of
from approvals.issuance.issue import BatchResult
from approvals.models.challenges import ChallengePassword
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.rules.errors import KeyRefused
from approvals.rules.policy import RenewalPolicy
from approvals.rules.states import State
from audit.models import AuditEntry
from ca.certificates.key_blocks import block_key, unblock_key
from ca.content.key_records import COMPROMISE_REASONS, KeyRecord
from ca.models.certificates import Certificate, RevocationReason
from ca.models.crls import CrlIssue
from ca.models.keys import BlockedKey
from ca.signing.crl import issue_due_crls
from ca.signing.issuance import abandon_prepared, sign_prepared
from ca.x509.csr import decode_csr
from ca.x509.errors import AuthorityUnusable, KeyBlockRefused, RecordMismatch
from ca.x509.findings import Finding
from scep.client import Identity, build_csr
from scep.protocol.constants import PKIStatus
from scep.protocol.requests import ReceivedCertRep
from tests.approvals.enrollment.renewing import (
    ALWAYS,
    NAME,
    allow,
    approve,
    certified,
    newest,
    of,
    renew,
    told,
)
from tests.flows.wire import bare, nothing_granted
from tests.pages import signed_in
from tests.pki import rsa_key
from tests.pkiportal.commands import run, run_json
from tests.world import (
    Device,
    World,
    create_ca,
    create_person,
    create_profile,
    now,
    principal_of,
    run_worker,
)

pytestmark = pytest.mark.usefixtures("no_waiting", "consistent")
SECRET = "a secret of all phones"
TEXT = "this key must not be certified: enroll with a new key"
KEYS = ("alice", "bob", "device-1", "device-2", "device-3")
OTHER_REASONS = [
    reason for reason in RevocationReason.values if reason not in COMPROMISE_REASONS
]  # certificateHold among them


def phones(world: World, **more: Any) -> EnrollmentProfile:
    """A profile that approves devices with its static challenge, and renews by policy."""
    changes: dict[str, Any] = {
        "approval": "automatic",
        "challenge": "static",
        "static_challenge": SECRET,
    }
    renewal = RenewalPolicy(mode="automatic", window=ALWAYS, key_reuse=True)
    return create_profile(world.ca, "phones", renewal=renewal, **changes | more)


def revoke(world: World, certificate: Certificate, reason: str = "keyCompromise") -> None:
    revoke_certificate(
        certificate_id=certificate.pk,
        principal=principal_of(world.alice),
        reason=reason,
        comment="",
        now=now(),
    )


def compromise(world: World, key: str) -> Identity:
    """A device of this key that had a certificate, revoked since for key compromise."""
    identity = certified(world, Device.named("lost.example", key))
    revoke(world, of(identity))
    return identity


def issued(name: str, key: str, transaction_id: str = "") -> ReceivedCertRep:
    """Enroll at `phones`, with a worker that is at it."""
    device = Device.named(name, key, profile="phones")
    device.enroll(challenge=SECRET, transaction_id=transaction_id)
    run_worker()
    return device.poll(transaction_id)


# ---------------------------------------------------------------------------------------- the doors


def a_new_transaction(world: World, key: str) -> ReceivedCertRep:
    return Device.named("p.example", key, profile="phones").enroll(
        challenge=SECRET, transaction_id="another"
    )


def the_same_transaction(world: World, key: str) -> ReceivedCertRep:
    return Device.named("lost.example", key).enroll()


def a_profile_with_officers(world: World, key: str) -> ReceivedCertRep:
    return Device.named("r.example", key).enroll(transaction_id="another")


def another_authority(world: World, key: str) -> ReceivedCertRep:
    create_profile(create_ca("other", ra_key="device-8"), "elsewhere")
    return Device.named("r.example", key, profile="elsewhere").enroll()


def a_one_time_challenge(world: World, key: str) -> ReceivedCertRep:
    profile = create_profile(world.ca, "switches", challenge="one-time", approval="automatic")
    ((_, made),) = create_challenges(ChallengeOrder(profile), principal=PORTAL, now=now())
    answer = Device.named("s.example", key, profile="switches").enroll(challenge=made.reveal())
    assert not ChallengePassword.objects.filter(redeemed_at__isnull=False).exists()
    return answer


def the_new_key_of_a_renewal(world: World, key: str) -> ReceivedCertRep:
    allow(world, key_reuse=True)
    old = certified(world, Device.named(NAME, "device-7"))
    return renew(old, key)


DOORS = [
    a_new_transaction,
    the_same_transaction,
    a_profile_with_officers,
    another_authority,
    a_one_time_challenge,
    the_new_key_of_a_renewal,
]


@pytest.mark.parametrize("key", KEYS[:2])
@pytest.mark.parametrize("door", DOORS)
def test_d61_a_key_revoked_for_key_compromise_is_refused_at_every_door(
    world: World, door: Callable[[World, str], ReceivedCertRep], key: str
) -> None:
    phones(world)
    compromise(world, key)
    before = EnrollmentRequest.objects.filter(csr_spki_sha256=spki(key)).count()
    answer = door(world, key)
    assert (answer.status, bare(answer.fail_info_text)) == (PKIStatus.FAILURE, TEXT)
    assert refused_for() == ["key revoked for key compromise"]
    assert EnrollmentRequest.objects.filter(csr_spki_sha256=spki(key)).count() == before


def refused_for() -> list[str]:
    """The causes of refusals on record."""
    data = AuditEntry.objects.filter(event="message:refuse").values_list("data", flat=True)
    return [entry["cause"].partition(": ")[2] for entry in data]


@pytest.mark.parametrize("key", KEYS)
def test_d61_a_compromised_key_signs_no_renewal_of_its_other_certificate(
    world: World, key: str
) -> None:
    phones(world)
    answer = issued("p1.example", key)
    assert answer.status is PKIStatus.SUCCESS
    other = Identity(answer.certificates[0], Device.named("p1.example", key).key)
    compromise(world, key)
    with nothing_granted():
        assert told(renew(other, "device-7", name="p1.example", profile="phones"))[2] == TEXT


# ----------------------------------------------------------------------- when it is decided, signed


@pytest.mark.parametrize("key", KEYS)
def test_d61_what_waits_is_not_approved_once_its_key_is_compromised_and_says_so(
    world: World, key: str
) -> None:
    create_profile(world.ca, "switches")
    Device.named("s.example", key, profile="switches").enroll()
    waiting = newest()
    compromise(world, key)
    with pytest.raises(KeyRefused, match="revoked for key compromise"):
        approve_request(
            request_id=waiting.pk, principal=principal_of(world.alice), comment="", now=now()
        )
    browser = signed_in(world.alice)
    assert "key must not be certified" in browser.get(reverse("queue")).content.decode()
    page = browser.get(reverse("request", args=[waiting.pk])).content.decode()
    assert "No certificate may be issued" in page
    assert (page.count("data-approve"), page.count("data-reject")) == (0, 1)
    digest = page.partition('name="view_sha256" value="')[2][:64]
    answer = browser.post(reverse("request_approve", args=[waiting.pk]), {"view_sha256": digest})
    assert answer.status_code == 409
    reject_request(
        request_id=waiting.pk, principal=principal_of(world.alice), comment="stolen", now=now()
    )


@pytest.mark.parametrize("key", KEYS)
def test_d61_what_was_approved_is_not_signed_once_its_key_is_compromised(
    world: World, key: str
) -> None:
    phones(world)
    Device.named("p.example", key, profile="phones").enroll(challenge=SECRET)
    by_policy = newest()
    create_profile(world.ca, "switches")
    Device.named("s.example", key, profile="switches").enroll(transaction_id="s")
    by_officer = newest()
    approve_request(
        request_id=by_officer.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    EnrollmentProfile.objects.exclude(pk=world.profile.pk).update(paused_at=now())
    Device.named("lost.example", key).enroll(transaction_id="lost")
    approve(world)
    revoke(world, Certificate.objects.get(order_id=newest().pk))
    EnrollmentProfile.objects.update(paused_at=None)
    assert set(run_worker().failed) == {by_policy.pk, by_officer.pk}
    for request in (by_policy, by_officer):
        request.refresh_from_db()
        assert request.state == State.FAILED
        assert "revoked for key compromise" in request.last_fault


@pytest.mark.parametrize("key", KEYS)
def test_d61_a_renewal_that_was_approved_is_not_signed_once_the_old_key_is_compromised(
    world: World, key: str
) -> None:
    allow(world, mode="officer")
    old = certified(world, Device.named(NAME, key))
    renew(old, "device-7")
    renewal = newest()
    approve_request(
        request_id=renewal.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    revoke(world, of(old))
    assert run_worker().failed == [renewal.pk]
    renewal.refresh_from_db()
    assert "revoked for key compromise" in renewal.last_fault
    assert not Certificate.objects.filter(order_id=renewal.pk).exists(), "not even prepared"


@dataclass(frozen=True, slots=True)
class Renewing:
    """An approved renewal, its signer certificate, and another certificate over its new key."""

    world: World
    request: EnrollmentRequest
    old: Certificate
    other: Certificate


def revoke_old(it: Renewing) -> None:
    revoke(it.world, it.old)


def revoke_other(it: Renewing) -> None:
    revoke(it.world, it.other)


def block_old(it: Renewing) -> None:
    block_key(it.old.spki_sha256, reason="seen for sale", principal=PORTAL, now=now())


def block_new(it: Renewing) -> None:
    block_key(it.request.csr_spki_sha256, reason="seen for sale", principal=PORTAL, now=now())


def while_signing(bar: Callable[[Renewing], None], it: Renewing) -> BatchResult:
    """The worker has made its signatures, and has not recorded them yet."""
    bars = [bar]

    def sign(certificate: Certificate, *, now: datetime) -> bytes:
        der = sign_prepared(certificate, now=now)
        while bars:
            bars.pop()(it)
        return der

    with mock.patch("approvals.issuance.issue.sign_prepared", sign):
        return run_worker()


def while_the_ca_key_is_away(bar: Callable[[Renewing], None], it: Renewing) -> BatchResult:
    """The bytes are on record, and signing is impossible for a while."""
    with mock.patch(
        "approvals.issuance.issue.sign_prepared", side_effect=AuthorityUnusable("away")
    ):
        assert it.request.pk in run_worker().failed
    bar(it)
    EnrollmentRequest.objects.filter(state=State.ISSUING).update(next_attempt_at=now())
    return run_worker()


@pytest.mark.parametrize("moment", [while_signing, while_the_ca_key_is_away])
@pytest.mark.parametrize("bar", [revoke_old, revoke_other, block_old, block_new])
def test_d61_what_is_being_signed_is_given_up_once_its_key_is_barred(
    world: World,
    bar: Callable[[Renewing], None],
    moment: Callable[[Callable[[Renewing], None], Renewing], BatchResult],
) -> None:
    create_profile(world.ca, "switches")
    other = certified(world, Device.named("lost.example", "device-1", profile="switches"))
    allow(world, mode="officer", key_reuse=True)
    old = certified(world, Device.named(NAME, "alice"))
    assert renew(old, "device-1").status is PKIStatus.PENDING
    renewal = newest()
    Device.named("healthy.example", "bob").enroll()
    healthy = newest()
    for request in (renewal, healthy):
        approve_request(
            request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
        )
    issue_due_crls(now=now())

    result = moment(bar, Renewing(world, renewal, of(old), of(other)))

    assert (result.issued, result.failed) == ([healthy.pk], [renewal.pk])
    renewal.refresh_from_db()
    assert (renewal.state, renewal.certificate, renewal.lease_until) == (State.FAILED, None, None)
    assert any(
        words in renewal.last_fault for words in ("revoked for key compromise", "on the block list")
    )
    given_up = Certificate.objects.get(order_id=renewal.pk)
    assert (given_up.status, given_up.der) == ("ABANDONED", None)
    assert AuditEntry.objects.get(event="certificate:abandon").data["reason"] == renewal.last_fault
    assert [issue.ca for issue in issue_due_crls(now=now())] == [world.ca]
    listed = x509.load_der_x509_crl(CrlIssue.objects.latest("number").crl_der)
    assert listed.get_revoked_certificate_by_serial_number(int(given_up.serial_hex, 16)) is not None
    assert renew(old, "device-1").status is not PKIStatus.SUCCESS
    reopen_request(
        request_id=renewal.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    with pytest.raises(KeyRefused):
        approve_request(
            request_id=renewal.pk, principal=principal_of(world.alice), comment="", now=now()
        )


@pytest.mark.parametrize("status", ["ISSUED", "ON_HOLD", "REVOKED"])
def test_a_certificate_that_is_issued_is_not_given_up(world: World, status: str) -> None:
    certificate = of(certified(world, Device.named(NAME, "alice")))
    if status != "ISSUED":
        revoke(world, certificate, "certificateHold" if status == "ON_HOLD" else "superseded")
    with pytest.raises(RecordMismatch, match="is not being signed any more"), transaction.atomic():
        abandon_prepared(certificate, reason="a key", now=now())
    certificate.refresh_from_db()
    assert certificate.status == status
    assert not AuditEntry.objects.filter(event="certificate:abandon").exists()


@pytest.mark.parametrize("reason", OTHER_REASONS)
def test_d62_a_key_of_a_certificate_revoked_for_another_reason_meets_an_officer(
    world: World, reason: str
) -> None:
    phones(world)
    revoke(world, of(certified(world, Device.named("lost.example", "bob"))), reason)
    device = Device.named("p.example", "bob", profile="phones")
    assert device.enroll(challenge=SECRET, transaction_id="p").status is PKIStatus.PENDING
    request = newest()
    assert (request.state, request.findings[0]["severity"]) == (State.PENDING, "officer")
    assert request.findings[0]["code"] == "key-revoked"
    assert reason in request.findings[0]["text"]
    browser = signed_in(world.alice)
    assert "key of a revoked certificate" in browser.get(reverse("queue")).content.decode()
    approve(world)
    assert device.poll("p").status is PKIStatus.SUCCESS, "an officer may"


@pytest.mark.parametrize("reason", OTHER_REASONS)
def test_d62_what_the_policy_approved_is_not_signed_once_its_key_is_on_a_revoked_certificate(
    world: World, reason: str
) -> None:
    phones(world)
    old = of(certified(world, Device.named("lost.example", "bob")))
    Device.named("p.example", "bob", profile="phones").enroll(challenge=SECRET, transaction_id="p")
    revoke(world, old, reason)
    assert run_worker().failed == [newest().pk]
    assert (
        "an officer has to look at it: public key: of revoked certificates" in newest().last_fault
    )


# --------------------------------------------------------------------------------- pure, any record

RECORDS = st.lists(
    st.tuples(
        st.text("0123456789abcdef", min_size=1, max_size=40),
        st.sampled_from([*RevocationReason.values, "cACompromise", "aACompromise"]),
    ),
    max_size=6,
)


@settings(deadline=None)
@given(RECORDS, st.booleans())
def test_a_compromise_refuses_any_other_revocation_asks_and_nothing_is_silent(
    revoked: list[tuple[str, str]], is_blocked: bool
) -> None:
    record = KeyRecord(is_blocked, tuple(revoked))
    severities = {finding.severity for finding in record.findings()}
    is_compromised = any(reason in COMPROMISE_REASONS for _, reason in revoked)
    assert ("refuse" in severities) == (is_compromised or is_blocked) == bool(record.fault)
    assert ("officer" in severities) == any(
        reason not in COMPROMISE_REASONS for _, reason in revoked
    )
    assert all(isinstance(finding, Finding) for finding in record.findings())


# --------------------------------------------------------------------------------------- block list


def spki(key: str) -> str:
    """The digest of a recorded key, as a device would show it."""
    return decode_csr(build_csr(rsa_key(key), "x")).spki_sha256.hex()


@pytest.mark.usefixtures("within_a_minute")
@pytest.mark.parametrize("key", KEYS)
def test_d61_a_blocked_key_is_refused_shows_on_what_waits_and_comes_off_again(
    world: World, key: str
) -> None:
    Device.named("r.example", key).enroll()
    waiting = newest()
    digest = run_json(
        "keys", "block", spki(key).upper(), "--reason", "found in a public repository"
    )["sha256"]
    assert digest == spki(key)
    with nothing_granted():
        assert told(Device.named("r.example", key).enroll())[2] == TEXT
        assert told(Device.named("x.example", key).enroll(transaction_id="x"))[2] == TEXT
    assert refused_for() == ["key on the block list"]
    with pytest.raises(KeyRefused, match="on the block list"):
        approve_request(
            request_id=waiting.pk, principal=principal_of(world.alice), comment="", now=now()
        )
    page = signed_in(world.alice).get(reverse("request", args=[waiting.pk])).content.decode()
    assert "on the block list" in page
    assert (page.count("data-approve"), page.count("data-reject")) == (0, 1)
    assert [row["sha256"] for row in run_json("keys", "list")] == [digest]
    assert "not blocked any longer" in run("keys", "unblock", digest, "--comment", "a false alarm")
    approve(world)
    events = AuditEntry.objects.filter(event__in=["key:block", "key:unblock"]).order_by("id")
    assert [(entry.event, entry.actor_kind, entry.subject_id) for entry in events] == [
        ("key:block", "command", digest),
        ("key:unblock", "command", digest),
    ]


def test_administrators_of_the_whole_organization_block_keys_and_others_do_not(
    world: World,
) -> None:
    brno = Department.objects.create(slug="brno", name="Brno")
    admin = signed_in(create_person("anna", Role.ADMINISTRATOR))
    bob = signed_in(create_person("bob", Role.ADMINISTRATOR, department=brno))
    officer = signed_in(world.alice)
    charlie = signed_in(create_person("charlie"))
    form = {"spki_sha256": spki("bob"), "reason": "lost"}
    for browser, status in ((bob, 403), (officer, 403), (charlie, 403)):
        assert browser.post(reverse("keys"), form).status_code == status
    assert not BlockedKey.objects.exists()
    assert "Block a key" not in officer.get(reverse("keys")).content.decode()
    assert admin.post(reverse("keys"), form | {"spki_sha256": "12"}).status_code == 422
    assert admin.post(reverse("keys"), form | {"reason": ""}).status_code == 422
    assert admin.post(reverse("keys"), form).status_code == 302
    assert admin.post(reverse("keys"), form).status_code == 422, "once is enough"
    assert "lost" in officer.get(reverse("keys")).content.decode()
    entry = AuditEntry.objects.get(event="key:block")
    assert (entry.actor_kind, entry.subject_id) == ("user", spki("bob"))
    for browser in (bob, officer, charlie):
        browser.post(reverse("key_unblock"), {"spki_sha256": spki("bob")})
    assert BlockedKey.objects.exists()
    admin.post(reverse("key_unblock"), {"spki_sha256": spki("bob")})
    assert not BlockedKey.objects.exists()
    assert (
        "not on the block list"
        in admin.post(
            reverse("key_unblock"), {"spki_sha256": spki("bob")}, follow=True
        ).content.decode()
    )


@pytest.mark.parametrize(
    ("digest", "reason", "text"),
    [
        ("", "lost", "64 hex digits"),
        ("00" * 31, "lost", "64 hex digits"),
        ("xy" * 32, "lost", "64 hex digits"),
        ("00" * 32, "  ", "reason of 0 characters"),
        ("00" * 32, "x" * 301, "reason of 301 characters"),
    ],
)
def test_what_is_no_key_or_no_reason_is_not_blocked(
    db: None, digest: str, reason: str, text: str
) -> None:
    with pytest.raises(KeyBlockRefused, match=text):
        block_key(
            digest,
            reason=reason,
            principal=Principal(PrincipalKind.COMMAND, name="root"),
            now=now(),
        )
    assert not BlockedKey.objects.exists()


def test_a_person_without_the_right_takes_nothing_off_the_list(world: World) -> None:
    block_key(
        "ab" * 32, reason="lost", principal=Principal(PrincipalKind.COMMAND, name="root"), now=now()
    )
    for person in (world.alice, create_person("charlie")):
        with pytest.raises(KeyBlockRefused, match="Only administrators"):
            unblock_key("ab" * 32, comment="", principal=principal_of(person), now=now())


# --------------------------------------------------------------------------------------- successors

#: Which certificate each certificate of a lineage was renewed from; the first is the enrollment.
#: The position of the one that is revoked, and which of the others follow from it.
LINEAGES = [
    ((), 0, set()),
    ((0,), 0, {1}),
    ((0, 1), 0, {1, 2}),
    ((0, 1), 1, {2}),
    ((0, 0), 0, {1, 2}),
    ((0, 1, 1, 0), 1, {2, 3}),
    ((0, 1, 2, 3), 2, {3, 4}),
]


def lineage(world: World, shape: tuple[int, ...]) -> list[Certificate]:
    """Certificates renewed from each other as `shape` says, each with a key of its own."""
    allow(world)
    identities = [certified(world, Device.named(NAME))]
    for number, before in enumerate(shape):
        key = f"device-{number + 1}"
        renew(identities[before], key, transaction_id=str(uuid4()))
        if newest().state == State.PENDING:
            approve(world)
        else:
            run_worker()
        certificate = newest().certificate
        assert certificate is not None
        identities.append(Identity(certificate.certificate_der, Device.named(NAME, key).key))
    return [of(identity) for identity in identities]


@pytest.mark.parametrize(("shape", "position", "follow"), LINEAGES)
def test_d63_revoking_for_key_compromise_offers_and_takes_every_successor(
    world: World, shape: tuple[int, ...], position: int, follow: set[int]
) -> None:
    certificates = lineage(world, shape)
    serials = {certificates[number].serial_hex for number in follow}
    one = certificates[position]
    assert {item.serial_hex for item in successors_of(one, now=now())} == serials
    browser = signed_in(world.alice)
    page = browser.get(reverse("certificate_revoke", args=[one.pk])).content.decode()
    assert all(serial[:10] in page for serial in serials)
    assert ("Revoke " in page.partition('id="successors"')[2]) == bool(serials)
    browser.post(
        reverse("certificate_revoke", args=[one.pk]),
        {"reason": "keyCompromise", "comment": "", "successors": "on"},
    )
    revoked = Certificate.objects.filter(status="REVOKED", revocation_reason="keyCompromise")
    assert {item.serial_hex for item in revoked} == serials | {one.serial_hex}
    entries = AuditEntry.objects.filter(event="certificate:revoke")
    assert {entry.data["serial"] for entry in entries} == serials | {one.serial_hex}
    assert {entry.data.get("successor_of") for entry in entries} == {None} | (
        {one.serial_hex} if serials else set()
    )


def test_without_the_tick_successors_stay_valid_and_are_named(world: World) -> None:
    first, second = lineage(world, (0,))
    browser = signed_in(world.alice)
    url = reverse("certificate_revoke", args=[first.pk])
    answer = browser.post(url, {"reason": "superseded", "successors": "on"})
    assert answer.status_code == 422
    page = browser.post(url, {"reason": "keyCompromise"}, follow=True).content.decode()
    assert "Still valid" in page
    assert second.serial_hex in page
    second.refresh_from_db()
    assert second.status == "ISSUED"


def test_the_command_names_successors_and_revokes_them_where_it_is_told_to(world: World) -> None:
    first, second, third = lineage(world, (0, 1))
    common = ("--officer", "alice", "--reason", "keyCompromise")
    text = run_json("certificates", "revoke", str(third.pk), *common)
    assert (text["successors_revoked"], text["successors_valid"]) == ([], [])
    text = run_json("certificates", "revoke", str(first.pk), *common)
    assert (text["successors_revoked"], text["successors_valid"]) == ([], [second.serial_hex])
    assert "revoked" in run("certificates", "revoke", str(second.pk), *common, "--with-successors")


def test_a_successor_of_another_department_stays_and_is_named(world: World) -> None:
    first, second = lineage(world, (0,))
    brno = Department.objects.create(slug="brno", name="Brno")
    with mock.patch(
        "approvals.decisions.revocations.can",
        side_effect=lambda user, verb, obj=None: not is_second(obj, second),
    ):
        done = revoke_compromised(
            certificate_id=first.pk, principal=principal_of(world.alice), comment="", now=now()
        )
    assert (brno.slug, done.successors, [item.pk for item in done.left]) == (
        "brno",
        (),
        [second.pk],
    )


def is_second(obj: object, certificate: Certificate) -> bool:
    return isinstance(obj, EnrollmentRequest) and obj.pk == certificate.order_id


def test_another_certificate_over_the_same_key_follows_too_and_an_expired_one_does_not(
    world: World,
) -> None:
    phones(world)
    answer = issued("p1.example", "bob")
    other = Certificate.objects.get(der=answer.certificates[0])
    one = of(certified(world, Device.named("lost.example", "bob")))
    assert [item.pk for item in successors_of(one, now=now())] == [other.pk]
    assert successors_of(one, now=other.not_after + timedelta(seconds=1)) == []
