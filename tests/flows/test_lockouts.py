"""Guessing challenges (D-2): counted per address and profile, locked, answered without a hint, unlocked."""

import threading
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.core import mail
from django.db import IntegrityError, connection, transaction

from accounts.roles import Role
from approvals.alarms import MAX_ATTEMPTS, deliver_alarms, raise_alarm
from approvals.challenges import ChallengeOrder, create_challenges
from approvals.decisions import reject_request
from approvals.errors import Cause, NotPermitted
from approvals.lockouts import LOCKED_FOR, WINDOW, forget_old, is_locked, note_failure, unlock
from approvals.models import Alarm, AlarmKind, EnrollmentProfile, EnrollmentRequest, FailedChallenges
from audit.events import SYSTEM
from audit.models import AuditEntry
from scep.client import PKIStatus, ReceivedCertRep
from tests.flows.wire import causes
from tests.pages import signed_in
from tests.world import Device, World, create_person, create_profile, forget_caches, now, voice_of

SECRET = "the secret of the printers"
GUESSER, OWNER = "198.51.100.7", "192.0.2.7"


@pytest.fixture
def printers(world: World) -> EnrollmentProfile:
    """A profile with a static challenge, of which a guesser could try many."""
    return create_profile(world.ca, "printers", challenge="static", static_challenge=SECRET)


def device(number: int = 1, address: str = GUESSER) -> Device:
    return Device.named(f"d{number}.example", f"device-{number}", "printers", REMOTE_ADDR=address)


def told(answer: ReceivedCertRep) -> tuple[object, ...]:
    return answer.status, answer.fail_info, answer.fail_info_text


def locked_at_three(profile: EnrollmentProfile, **wanted: Any) -> None:
    EnrollmentProfile.objects.filter(pk=profile.pk).update(max_failed_per_address=3, **wanted)
    profile.refresh_from_db()


def guess(times: int, address: str = GUESSER) -> None:
    for number in range(times):
        assert device(1, address).enroll(challenge=f"guess {number}").status is PKIStatus.FAILURE


def test_d2_fifty_wrong_then_the_right_one_reads_the_same_and_the_owner_elsewhere_gets_in(
    printers: EnrollmentProfile,
) -> None:
    guesser = device()
    answers = {told(guesser.enroll(challenge=f"guess {number}")) for number in range(50)}
    answers.add(told(guesser.enroll(challenge=SECRET)))
    assert len(answers) == 1
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
        note_failure(printers, GUESSER, cause=Cause.CHALLENGE_WRONG, now=start + timedelta(seconds=number))
    assert is_locked(printers, GUESSER, now=start + LOCKED_FOR)
    assert not is_locked(printers, GUESSER, now=start + LOCKED_FOR + timedelta(seconds=3))
    for number in range(10):
        note_failure(printers, OWNER, cause=Cause.CHALLENGE_WRONG, now=start + number * WINDOW)
    assert not FailedChallenges.objects.filter(address=OWNER, locked_until__isnull=False).exists()


def test_the_whole_profile_locks_where_guesses_come_from_many_addresses(printers: EnrollmentProfile) -> None:
    EnrollmentProfile.objects.filter(pk=printers.pk).update(max_failed_challenges=4)
    for number in range(4):
        guess(1, f"198.51.100.{number}")
    assert device(2, OWNER).enroll(challenge=SECRET).status is PKIStatus.FAILURE
    assert Alarm.objects.get().text.startswith("4 challenges failed in 10 minutes from many addresses")
    page = signed_in(create_person("bob", Role.AUDITOR)).get("/profiles/").content.decode()
    assert "Challenges are not checked from anywhere" in page


def test_no_other_ipv6_address_of_the_same_host_escapes_a_lock(printers: EnrollmentProfile) -> None:
    locked_at_three(printers)
    for number in range(1, 4):
        guess(1, f"2001:db8::{number}")
    assert device(2, "2001:db8::ffff:1").enroll(challenge=SECRET).status is PKIStatus.FAILURE
    assert "from 2001:db8::/64;" in Alarm.objects.get().text
    assert device(2, "2001:db8:0:1::1").enroll(challenge=SECRET).status is PKIStatus.PENDING
    assert device(3, "::ffff:192.0.2.7").enroll(challenge=SECRET).status is PKIStatus.PENDING


def test_a_lock_of_one_profile_is_none_of_another(world: World, printers: EnrollmentProfile) -> None:
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
    assert is_locked(printers, GUESSER, now=now())
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
    assert device(3, OWNER).enroll(challenge=SECRET).status is PKIStatus.FAILURE
    assert device(3).enroll(challenge=SECRET).status is PKIStatus.PENDING


def test_limits_of_zero_never_lock(printers: EnrollmentProfile) -> None:
    EnrollmentProfile.objects.filter(pk=printers.pk).update(max_failed_per_address=0, max_failed_challenges=0)
    guess(25)
    assert device(2).enroll(challenge=SECRET).status is PKIStatus.PENDING


def test_a_lock_keeps_a_one_time_challenge_unused(world: World) -> None:
    phones = create_profile(world.ca, "phones", challenge="one-time")
    locked_at_three(phones)
    ((row, secret),) = create_challenges(ChallengeOrder(phones), actor=SYSTEM, user=None, now=now())
    phone = Device.named("d1.example", "device-1", "phones")
    for number in range(3):
        phone.enroll(challenge=f"guess {number}")
    assert phone.enroll(challenge=secret.reveal()).status is PKIStatus.FAILURE
    row.refresh_from_db()
    assert row.redeemed_at is None
    assert unlock(phones, actor=SYSTEM, user=None, now=now()) == 1
    assert phone.enroll(challenge=secret.reveal()).status is PKIStatus.PENDING


def test_guesses_in_a_transaction_that_was_refused_count_and_its_repeats_do_not(world: World) -> None:
    phones = create_profile(world.ca, "phones", challenge="one-time")
    locked_at_three(phones)
    made = create_challenges(ChallengeOrder(phones, count=2), actor=SYSTEM, user=None, now=now())
    (_, used), (row, unused) = made
    phone = Device.named("d1.example", "device-1", "phones")
    assert phone.enroll(challenge=used.reveal()).status is PKIStatus.PENDING
    request = EnrollmentRequest.objects.get()
    reject_request(request_id=request.pk, voice=voice_of(world.alice), comment="lost device", now=now())
    for _ in range(5):
        assert phone.enroll(challenge=used.reveal()).fail_info_text == "lost device"
        assert phone.enroll().fail_info_text == "lost device"
    assert not FailedChallenges.objects.exists()
    for number in range(3):
        assert phone.enroll(challenge=f"guess {number}").fail_info_text == "lost device"
    assert AuditEntry.objects.get(event="challenge:lock").data["last_cause"] == "challenge wrong"
    assert AuditEntry.objects.get(event="message:refuse").subject_id == str(request.pk)
    assert phone.enroll(challenge=unused.reveal()).fail_info_text == "lost device"
    row.refresh_from_db()
    assert row.redeemed_at is None
    unlock(phones, actor=SYSTEM, user=None, now=now())
    assert phone.enroll(challenge=unused.reveal()).status is PKIStatus.PENDING


def test_a_lock_is_on_record_whatever_process_asks(printers: EnrollmentProfile) -> None:
    """No cache and no broker is asked: who restarts the portal opens no door."""
    locked_at_three(printers)
    guess(3)
    forget_caches()
    assert device(2).enroll(challenge=SECRET).status is PKIStatus.FAILURE


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

    threads = [threading.Thread(target=run, args=(partial(one.enroll, challenge="guess"),)) for one in guessers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert AuditEntry.objects.filter(event="challenge:lock").count() == 1
    assert Alarm.objects.count() == 1
    assert FailedChallenges.objects.get(address="").failures == 6


@pytest.mark.usefixtures("transactional_db")
def test_first_failures_at_once_undo_nobodys_transaction(printers: EnrollmentProfile) -> None:
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


# ------------------------------------------------------------------------------------------------- people are told


def test_officers_and_administrators_get_a_mail_and_unlock(
    world: World, printers: EnrollmentProfile, settings: Any
) -> None:
    settings.PORTAL_SENDS_MAIL = True
    locked_at_three(printers)
    create_person("bob", Role.AUDITOR)
    create_person("charlie", Role.ADMINISTRATOR)
    guess(3)
    assert deliver_alarms(now=now()) == 1
    assert sorted(message.to[0] for message in mail.outbox) == ["alice@example.org", "charlie@example.org"]
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
        unlock(printers, actor=SYSTEM, user=bob, now=now())
    assert is_locked(printers, GUESSER, now=now())


def test_a_mail_that_cannot_be_sent_is_tried_again_and_one_to_nobody_is_not(
    world: World, printers: EnrollmentProfile, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_alarm(AlarmKind.LOCKED, printers, "one", now=now())
    assert deliver_alarms(now=now()) == 1
    assert Alarm.objects.get().outcome == "not sent: no EMAIL_URL is set"
    settings.PORTAL_SENDS_MAIL = True
    raise_alarm(AlarmKind.LOCKED, printers, "two", now=now())
    monkeypatch.setattr("approvals.alarms.send_mail", raising)
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
    assert Alarm.objects.latest("id").outcome == "not sent: nobody with a mail address"


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
    assert is_locked(printers, GUESSER, now=now())
