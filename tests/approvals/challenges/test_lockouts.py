"""Guessing challenges (D-2): counted per address and profile, locked without a hint, unlocked."""

import threading
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from unittest import mock

import pytest
from django.core import mail
from django.db import IntegrityError, connection, transaction

from accounts.principals import PORTAL
from accounts.roles import Role
from approvals.challenges.lockouts import (
    LOCKED_FOR,
    WINDOW,
    forget_old,
    is_guessable,
    lock_end,
    note_failure,
    unlock,
)
from approvals.challenges.onetime import ChallengeOrder, create_challenges
from approvals.decisions.decide import reject_request
from approvals.enrollment.limits import open_requests
from approvals.models.challenges import Alarm, AlarmKind, ChallengeOrigin, FailedChallenges
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.operations.alarms import MAX_ATTEMPTS, deliver_alarms, raise_alarm
from approvals.rules.errors import Cause, NotPermitted
from approvals.rules.policy import RenewalPolicy
from audit.models import AuditEntry
from scep.protocol.constants import FailInfo, PKIStatus
from scep.protocol.requests import ReceivedCertRep
from tests.approvals.enrollment.renewing import ALWAYS, NAME, PENDING, certified, renew, told
from tests.ca.forge import challenge, request_der
from tests.flows.wire import Answer, bare, causes, message, post
from tests.pages import signed_in
from tests.world import (
    Device,
    World,
    create_person,
    create_profile,
    forget_caches,
    now,
    principal_of,
)

SECRET = "the secret of the printers"
GUESSER, OWNER = "198.51.100.7", "192.0.2.7"


@pytest.fixture
def printers(world: World) -> EnrollmentProfile:
    """A profile with a static challenge, of which a guesser could try many."""
    return create_profile(world.ca, "printers", challenge="static", static_challenge=SECRET)


def device(number: int = 1, address: str = GUESSER) -> Device:
    return Device.named(f"d{number}.example", f"device-{number}", "printers", REMOTE_ADDR=address)


def locked_at_three(profile: EnrollmentProfile, **changes: Any) -> None:
    EnrollmentProfile.objects.filter(pk=profile.pk).update(max_failed_per_address=3, **changes)
    profile.refresh_from_db()


def guess(times: int, address: str = GUESSER) -> None:
    for number in range(times):
        assert device(1, address).enroll(challenge=f"guess {number}").status is PKIStatus.FAILURE


def answers(world: World, challenges: Iterable[str], address: str = GUESSER) -> list[Answer]:
    """The answer to each challenge at one moment, without the random parts of a CertRep."""
    with mock.patch("django.utils.timezone.now", return_value=now()):
        sent = (message(world, request_der(None, challenge(text))) for text in challenges)
        got = [post(one, "printers", REMOTE_ADDR=address) for one in sent]
    return [
        replace(one, headers={}, body=b"", transaction_id="", recipient_nonce=b"")
        if one.status
        else one
        for one in got
    ]


def test_d2_fifty_wrong_then_the_right_one_reads_the_same_and_the_owner_elsewhere_gets_in(
    world: World, printers: EnrollmentProfile
) -> None:
    wrong = answers(world, [f"guess {number}" for number in range(50)])
    (right,) = answers(world, [SECRET])
    assert all(answer == wrong[0] for answer in wrong[:20])
    assert (wrong[0].http, wrong[0].fail_info, wrong[0].text) == (
        200,
        FailInfo.BAD_REQUEST,
        "request not permitted",
    )
    assert all(answer == wrong[20] for answer in wrong[20:])
    assert (right.http, right.body, right.status) == (503, wrong[20].body, None)
    assert right.headers.keys() == wrong[20].headers.keys()
    assert 0 < int(right.headers["Retry-After"]) <= int(wrong[20].headers["Retry-After"]) <= 900
    assert not EnrollmentRequest.objects.exists()
    assert causes()[-1] == "challenge not checked after too many failures"
    assert device(2, OWNER).enroll(challenge=SECRET).status is PKIStatus.PENDING
    lock = AuditEntry.objects.get(event="challenge:lock")
    assert (lock.data["failures"], lock.data["last_cause"]) == (20, "challenge wrong")
    assert lock.private_values.get(path="data.address").value == GUESSER
    assert Alarm.objects.get().text.startswith(f"20 challenges failed in 10 minutes from {GUESSER}")


def test_a_lock_ends_by_itself_and_slow_failures_never_lock(printers: EnrollmentProfile) -> None:
    locked_at_three(printers)
    start = now()
    for number in range(3):
        note_failure(
            printers, GUESSER, cause=Cause.CHALLENGE_WRONG, now=start + timedelta(seconds=number)
        )
    assert lock_end(printers, GUESSER, SECRET, now=start + LOCKED_FOR)
    assert not lock_end(printers, GUESSER, SECRET, now=start + LOCKED_FOR + timedelta(seconds=3))
    for number in range(10):
        note_failure(printers, OWNER, cause=Cause.CHALLENGE_WRONG, now=start + number * WINDOW)
    assert not FailedChallenges.objects.filter(address=OWNER, locked_until__isnull=False).exists()


def test_the_whole_profile_locks_where_guesses_come_from_many_addresses(
    printers: EnrollmentProfile,
) -> None:
    EnrollmentProfile.objects.filter(pk=printers.pk).update(max_failed_challenges=4)
    for number in range(4):
        guess(1, f"198.51.100.{number}")
    assert device(2, OWNER).is_told_to_wait(challenge=SECRET)
    assert device(3, OWNER).is_told_to_wait(challenge="a wrong one")
    assert Alarm.objects.get().text.startswith(
        "4 challenges failed in 10 minutes from all addresses together"
    )
    page = signed_in(create_person("bob", Role.AUDITOR)).get("/profiles/").content.decode()
    assert "Challenges are not checked from anywhere" in page


def test_no_other_ipv6_address_of_the_same_host_escapes_a_lock(printers: EnrollmentProfile) -> None:
    locked_at_three(printers)
    for number in range(1, 4):
        guess(1, f"2001:db8::{number}")
    assert device(2, "2001:db8::ffff:1").is_told_to_wait(challenge=SECRET)
    assert "from 2001:db8::/64;" in Alarm.objects.get().text
    assert device(2, "2001:db8:0:1::1").enroll(challenge=SECRET).status is PKIStatus.PENDING
    assert device(3, "::ffff:192.0.2.7").enroll(challenge=SECRET).status is PKIStatus.PENDING


def test_a_lock_of_one_profile_is_none_of_another(
    world: World, printers: EnrollmentProfile
) -> None:
    locked_at_three(printers)
    create_profile(world.ca, "cameras", challenge="static", static_challenge=SECRET)
    guess(3)
    other = Device.named("d2.example", "device-2", "cameras", REMOTE_ADDR=GUESSER)
    assert other.enroll(challenge=SECRET).status is PKIStatus.PENDING


def test_polls_known_transactions_and_profiles_without_challenge_meet_no_lock(
    world: World, printers: EnrollmentProfile
) -> None:
    locked_at_three(printers)
    waiting = device(2)
    assert waiting.enroll(challenge=SECRET).status is PKIStatus.PENDING
    guess(3)
    assert lock_end(printers, GUESSER, SECRET, now=now())
    assert waiting.poll().status is PKIStatus.PENDING
    assert waiting.enroll(challenge=SECRET).status is PKIStatus.PENDING
    assert waiting.enroll(challenge="wrong now").status is PKIStatus.PENDING
    router = Device.named("r1.example", "device-3", "routers", REMOTE_ADDR=GUESSER)
    assert router.enroll(challenge="needless").status is PKIStatus.PENDING


def test_a_device_without_a_challenge_is_no_guesser(printers: EnrollmentProfile) -> None:
    locked_at_three(printers)
    for _ in range(5):
        device().enroll()
    assert set(causes()) == {"challenge missing"}
    assert device(2).enroll(challenge=SECRET).status is PKIStatus.PENDING
    assert not FailedChallenges.objects.exists()


def test_networks_named_in_the_profile_are_never_locked(printers: EnrollmentProfile) -> None:
    locked_at_three(printers, lock_exempt_networks=["198.51.100.0/24"], max_failed_challenges=1)
    guess(5)
    assert device(2).enroll(challenge=SECRET).status is PKIStatus.PENDING
    guess(1, OWNER)
    assert device(3, OWNER).is_told_to_wait(challenge=SECRET)
    assert device(3).enroll(challenge=SECRET).status is PKIStatus.PENDING


def test_limits_of_zero_never_lock(printers: EnrollmentProfile) -> None:
    EnrollmentProfile.objects.filter(pk=printers.pk).update(
        max_failed_per_address=0, max_failed_challenges=0
    )
    guess(25)
    assert device(2).enroll(challenge=SECRET).status is PKIStatus.PENDING


def test_a_lock_keeps_a_one_time_challenge_unused(world: World) -> None:
    phones = create_profile(world.ca, "phones", challenge="one-time")
    locked_at_three(phones)
    ((row, secret),) = create_challenges(ChallengeOrder(phones), principal=PORTAL, now=now())
    phone = Device.named("d1.example", "device-1", "phones")
    for number in range(3):
        phone.enroll(challenge=f"guess {number}")
    assert phone.is_told_to_wait(challenge=secret.reveal())
    row.refresh_from_db()
    assert row.redeemed_at is None
    assert unlock(phones, principal=PORTAL, now=now()) == 1
    assert phone.enroll(challenge=secret.reveal()).status is PKIStatus.PENDING


@pytest.mark.usefixtures("within_a_minute")
def test_guesses_in_a_transaction_that_was_refused_count_and_its_repeats_do_not(
    world: World,
) -> None:
    phones = create_profile(world.ca, "phones", challenge="one-time")
    locked_at_three(phones)
    made = create_challenges(ChallengeOrder(phones, count=2), principal=PORTAL, now=now())
    (_, used), (row, unused) = made
    phone = Device.named("d1.example", "device-1", "phones")
    assert phone.enroll(challenge=used.reveal()).status is PKIStatus.PENDING
    request = EnrollmentRequest.objects.get()
    reject_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="lost device", now=now()
    )
    for _ in range(5):
        assert bare(phone.enroll(challenge=used.reveal()).fail_info_text) == "lost device"
        assert bare(phone.enroll().fail_info_text) == "lost device"
    assert not FailedChallenges.objects.exists()
    for number in range(3):
        assert bare(phone.enroll(challenge=f"guess {number}").fail_info_text) == "lost device"
    assert AuditEntry.objects.get(event="challenge:lock").data["last_cause"] == "challenge wrong"
    assert AuditEntry.objects.get(event="message:refuse").subject_id == str(request.pk)
    assert bare(phone.enroll(challenge=unused.reveal()).fail_info_text) == "lost device"
    row.refresh_from_db()
    assert row.redeemed_at is None
    unlock(phones, principal=PORTAL, now=now())
    assert phone.enroll(challenge=unused.reveal()).status is PKIStatus.PENDING


def test_a_lock_is_on_record_whatever_process_asks(printers: EnrollmentProfile) -> None:
    """No cache and no broker is asked: who restarts the portal opens no door."""
    locked_at_three(printers)
    guess(3)
    forget_caches()
    assert device(2).is_told_to_wait(challenge=SECRET)


@pytest.mark.usefixtures("transactional_db")
def test_many_guesses_at_once_are_all_counted_and_lock_once(printers: EnrollmentProfile) -> None:
    EnrollmentProfile.objects.filter(pk=printers.pk).update(max_failed_per_address=6)
    guessers = [device(number) for number in range(1, 7)]
    for one in guessers:
        one.scep.get_ca_cert()
    gate = threading.Barrier(6)

    def run(call: partial[ReceivedCertRep]) -> None:
        try:
            gate.wait()
            call()
        finally:
            connection.close()

    threads = [
        threading.Thread(target=run, args=(partial(one.enroll, challenge="guess"),))
        for one in guessers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert AuditEntry.objects.filter(event="challenge:lock").count() == 1
    assert Alarm.objects.count() == 1
    assert FailedChallenges.objects.get(address="").failures == 6


@pytest.mark.usefixtures("transactional_db")
def test_first_failures_at_once_undo_no_other_transaction(printers: EnrollmentProfile) -> None:
    """As when several workers write down the denials of a webhook."""
    gate, undone = threading.Barrier(4), []

    def fail() -> None:
        try:
            gate.wait()
            with transaction.atomic():
                note_failure(printers, GUESSER, cause=Cause.CHALLENGE_WRONG, now=now())
        except IntegrityError as error:
            undone.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=fail) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert undone == []
    assert set(FailedChallenges.objects.values_list("failures", flat=True)) == {4}


# -------------------------------------------- challenges that cannot be guessed, and those that can


def fail_everywhere(profile: EnrollmentProfile, presented: Iterable[str]) -> None:
    """One failed challenge from each of as many networks."""
    for number, text in enumerate(presented):
        network = f"203.0.113.{number}" if number % 2 else f"2001:db8:{number}::7"
        name = f"d{number % 8 + 1}.example"
        phone = Device.named(name, f"device-{number % 8 + 1}", profile.slug, REMOTE_ADDR=network)
        assert phone.enroll(challenge=text).status is PKIStatus.FAILURE


def made(profile: EnrollmentProfile, origin: ChallengeOrigin = ChallengeOrigin.COMMAND) -> str:
    ((_, secret),) = create_challenges(
        ChallengeOrder(profile, origin=origin), principal=PORTAL, now=now()
    )
    return secret.reveal()


@pytest.mark.parametrize(
    "form",
    [
        "x",
        "a" * 32,
        "0123456789abcdef",  # NDES writes capitals
        "0123456789ABCDEF0",
        "0123456789ABCDE",
        "0123456789ABCDEG",
        " 0123456789ABCDEF",
        "0123456789ABCDEF\n",
    ],
)
def test_wrong_challenges_that_cannot_be_ndes_lock_no_profile_and_raise_one_alarm(
    world: World, form: str
) -> None:
    phones = create_profile(world.ca, "phones", challenge="one-time")
    EnrollmentProfile.objects.filter(pk=phones.pk).update(max_failed_challenges=4)
    right = made(phones)
    fail_everywhere(phones, [form] * 9)
    alarm = Alarm.objects.get()
    assert (alarm.kind, alarm.text[:50]) == (
        "failing",
        "4 challenges failed in 10 minutes from many addres",
    )
    entry = AuditEntry.objects.get(event="challenge:alarm")
    assert (entry.data["failures"], entry.data["last_cause"]) == (4, "challenge wrong")
    assert not AuditEntry.objects.filter(event="challenge:lock").exists()
    assert (
        Device.named("p.example", profile="phones").enroll(challenge=right).status
        is PKIStatus.PENDING
    )


@pytest.mark.parametrize(
    "form", ["0000000000000000", "0123456789ABCDEF", "FFFFFFFFFFFFFFFF", "1" * 16, "DEADBEEF" * 2]
)
def test_guesses_at_ndes_challenges_lock_those_alone(world: World, form: str) -> None:
    phones = create_profile(world.ca, "phones", challenge="one-time")
    EnrollmentProfile.objects.filter(pk=phones.pk).update(max_failed_challenges=4)
    of_ndes, long = made(phones, ChallengeOrigin.NDES), made(phones)
    fail_everywhere(phones, [form] * 4)
    assert Alarm.objects.get().kind == "locked"
    for right_or_wrong in (of_ndes, form):
        phone = Device.named("p.example", profile="phones")
        assert phone.is_told_to_wait(challenge=right_or_wrong)
    assert (
        Device.named("q.example", "bob", "phones").enroll(challenge=long).status
        is PKIStatus.PENDING
    )


def test_what_stays_quiet_is_raised_again_after_a_quarter_of_an_hour(world: World) -> None:
    phones = create_profile(world.ca, "phones", challenge="one-time")
    EnrollmentProfile.objects.filter(pk=phones.pk).update(max_failed_challenges=2)
    phones.refresh_from_db()
    start = now()
    for number in range(7):
        moment = start + number * timedelta(minutes=5)
        for address in ("192.0.2.1", "192.0.2.2"):
            note_failure(
                phones, address, cause=Cause.CHALLENGE_WRONG, now=moment, presented="x" * 32
            )
    assert Alarm.objects.count() == 3
    assert not lock_end(phones, "192.0.2.3", "0123456789ABCDEF", now=start)


@pytest.mark.parametrize("presented", ["", "x", "x" * 22, "x" * 40, "0123456789ABCDEF"])
def test_static_and_webhook_challenges_count_as_guessable_and_intunes_do_not(
    world: World, presented: str
) -> None:
    kinds = {
        kind: is_guessable(EnrollmentProfile(challenge=kind), presented)
        for kind in ("static", "webhook", "intune")
    }
    assert kinds == {"static": True, "webhook": True, "intune": False}


def captured(world: World, change: str) -> bytes:
    """A message of an attacker with Alice's message, or with her address only."""
    csr = request_der(None, challenge(SECRET))
    at = len(csr) // 2
    forms: dict[str, dict[str, Any]] = {
        "signed by another key": {"csr": csr, "key": "bob"},
        "signed by an EC key": {"csr": csr, "key": "carol"},
        "as a renewal": {"csr": csr, "key": "bob", "message_type": "17"},
        "a byte changed": {"csr": csr[:at] + bytes([csr[at] ^ 1]) + csr[at + 1 :], "key": "bob"},
        "cut off": {"csr": csr[:-40], "key": "bob"},
        "another content": {"csr": b"\x30\x03\x02\x01\x05", "key": "bob"},
        "for GetCRL": {"csr": csr, "key": "bob", "message_type": "22"},
        "for GetCert": {"csr": csr, "key": "bob", "message_type": "21"},
        "a poll": {"csr": csr, "message_type": "20"},
    }
    return message(world, **forms[change])


@pytest.mark.parametrize(
    "change",
    [
        "signed by another key",
        "signed by an EC key",
        "as a renewal",
        "a byte changed",
        "cut off",
        "another content",
        "for GetCRL",
        "for GetCert",
        "a poll",
    ],
)
def test_d52_only_who_has_the_requested_key_is_told_to_wait(
    world: World, printers: EnrollmentProfile, change: str
) -> None:
    """A 503 tells that the inner CSR is whole: captured envelopes must not get it (ADR 29)."""
    sent, moment = captured(world, change), now()

    def answer() -> Answer:
        with mock.patch(
            "django.utils.timezone.now", return_value=moment
        ):  # another minute has another number
            one = post(sent, "printers")
        return replace(one, headers={}, body=b"" if one.status else one.body, recipient_nonce=b"")

    before = answer()
    EnrollmentProfile.objects.filter(pk=printers.pk).update(
        max_failed_challenges=1, max_open_requests=0
    )
    guess(1)
    open_requests.forget()
    assert post(message(world, request_der(None, challenge(SECRET))), "printers").http == 503
    assert answer() == before
    assert before.http == 200


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("presented", [SECRET, "a wrong one", "0123456789ABCDEF", "x" * 64, None])
def test_a_renewal_never_waits_for_a_lock(world: World, presented: str | None) -> None:
    renewal = RenewalPolicy(mode="automatic", window=ALWAYS)
    create_profile(
        world.ca, "printers", challenge="static", static_challenge=SECRET, renewal=renewal
    )
    old = certified(world, Device.named(NAME, profile="printers"), challenge=SECRET)
    EnrollmentProfile.objects.filter(slug="printers").update(max_failed_challenges=3)
    guess(3)
    assert device(2, OWNER).is_told_to_wait(challenge=SECRET)
    extra = {} if presented is None else {"challenge_password": presented}
    assert told(renew(old, profile="printers", **extra)) == PENDING


# ---------------------------------------------------------------------------------- people are told


def test_officers_and_administrators_get_a_mail_and_unlock(
    world: World, printers: EnrollmentProfile, settings: Any
) -> None:
    settings.PORTAL_SENDS_MAIL = True
    locked_at_three(printers)
    create_person("bob", Role.AUDITOR)
    create_person("charlie", Role.ADMINISTRATOR)
    guess(3)
    assert deliver_alarms(now=now()) == 1
    assert sorted(message.to[0] for message in mail.outbox) == [
        "alice@example.org",
        "charlie@example.org",
    ]
    assert "printers: challenges are not checked any more" in mail.outbox[0].subject
    assert deliver_alarms(now=now()) == 0
    alice = signed_in(world.alice)
    page = alice.get("/profiles/printers/locks/").content.decode()
    assert GUESSER in page
    assert "Unlock all" in page
    assert "Unlocked: 1." in alice.post("/profiles/printers/unlock", follow=True).content.decode()
    assert device(2).enroll(challenge=SECRET).status is PKIStatus.PENDING
    assert AuditEntry.objects.get(event="challenge:unlock").actor_id == str(world.alice.pk)
    alice.post("/profiles/printers/unlock")
    assert AuditEntry.objects.filter(event="challenge:unlock").count() == 1


def test_an_auditor_sees_locks_and_does_not_unlock(printers: EnrollmentProfile) -> None:
    bob = create_person("bob", Role.AUDITOR)
    locked_at_three(printers)
    guess(3)
    assert "Unlock all" not in signed_in(bob).get("/profiles/printers/locks/").content.decode()
    with pytest.raises(NotPermitted, match="may not unlock"):
        unlock(printers, principal=principal_of(bob), now=now())
    assert lock_end(printers, GUESSER, SECRET, now=now())


def test_a_mail_that_cannot_be_sent_is_tried_again_unless_it_has_no_recipient(
    world: World, printers: EnrollmentProfile, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_alarm(AlarmKind.LOCKED, printers, "one", now=now())
    assert deliver_alarms(now=now()) == 1
    assert Alarm.objects.get().outcome == "not sent: no EMAIL_URL is set"
    settings.PORTAL_SENDS_MAIL = True
    raise_alarm(AlarmKind.LOCKED, printers, "two", now=now())
    monkeypatch.setattr("approvals.operations.alarms.send_mail", raising)
    moment = now()
    for attempt in range(1, MAX_ATTEMPTS + 1):
        deliver_alarms(now=moment)
        assert Alarm.objects.latest("id").attempts == attempt
        moment += timedelta(hours=2)
    assert deliver_alarms(now=moment) == 0
    world.alice.is_active = False
    world.alice.save()
    for text in ("three", "four"):
        raise_alarm(AlarmKind.LOCKED, printers, text, now=now())
    deliver_alarms(now=now())
    assert Alarm.objects.latest("id").outcome == "not sent: no recipient has a mail address"


def raising(*_: object, **__: object) -> None:
    raise OSError("the mail server is away")


def test_old_counts_are_forgotten_locks_are_not(printers: EnrollmentProfile) -> None:
    locked_at_three(printers)
    guess(2)
    assert forget_old(now=now()) == 0
    assert forget_old(now=now() + timedelta(days=2)) == 2
    guess(3)
    FailedChallenges.objects.update(since=now() - timedelta(days=2))
    assert forget_old(now=now()) == 1
    assert lock_end(printers, GUESSER, SECRET, now=now())
