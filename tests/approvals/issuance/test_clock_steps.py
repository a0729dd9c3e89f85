"""A stepped clock leaves moments ahead in the database: none of them stops anything."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from unittest import mock

import pytest
from django.core import mail
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.roles import Role
from approvals.challenges.lockouts import LOCKED_FOR, forget_old, lock_end, locks_of, note_failure
from approvals.decisions.decide import approve_request, reject_request
from approvals.issuance import issue
from approvals.issuance.issue import BatchResult
from approvals.issuance.sweep import sweep
from approvals.models.challenges import AlarmKind, FailedChallenges
from approvals.models.operations import Lease
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, OutboxMessage
from approvals.models.validations import Validation
from approvals.operations.alarms import deliver_alarms, raise_alarm
from approvals.operations.leases import acquire
from approvals.reading.queue import signing_health
from approvals.records import due as dueness
from approvals.records import validation_gate
from approvals.records.due import LEASE, backoff, due, free, is_due
from approvals.records.notifications import deliver_due, notify
from approvals.rules.errors import Cause
from approvals.rules.states import State
from audit.events import SYSTEM, Event
from audit.log import close_minutes, record_repeated
from audit.models import RepeatedEvent
from ca.certificates.crls import CRL_LEASE, crl_is_due, latest_crl
from ca.models.certificates import Certificate
from ca.models.crls import CrlIssue
from ca.signing.crl import issue_crl, issue_due_crls
from ca.signing.issuance import sign_prepared
from tests.flows.wire import bare
from tests.pages import create_requests
from tests.world import Device, World, create_person, now, principal_of, run_worker

#: How far the clock was ahead, before it was set back.
STEPS = [
    timedelta(minutes=20),
    timedelta(minutes=53),
    timedelta(hours=5),
    timedelta(days=2),
    timedelta(days=800),
]
_HYPOTHESIS = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
_SECONDS = st.integers(min_value=15 * 60, max_value=400 * 86_400).map(
    lambda seconds: timedelta(seconds=seconds)
)


@pytest.fixture
def approved(world: World) -> EnrollmentRequest:
    Device.named("r1.example").enroll()
    request = EnrollmentRequest.objects.get()
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    request.refresh_from_db()
    return request


@pytest.fixture(autouse=True)
def no_bells() -> Iterator[None]:
    with mock.patch("approvals.operations.doorbell._breaker.send", return_value=True):
        yield


@_HYPOTHESIS
@given(step=_SECONDS, length=st.integers(1, 30).map(lambda seconds: timedelta(seconds=seconds)))
def test_a_lease_further_ahead_than_its_length_is_void(
    world: World, step: timedelta, length: timedelta
) -> None:
    Lease.objects.update_or_create(
        name="x", defaults={"held_until": now() + step + length, "last_run_at": now() + step}
    )
    assert acquire("x", length=length) is not None
    assert Lease.objects.get(name="x").held_until <= now() + length
    assert acquire("x", length=length) is None


def test_of_two_processes_that_hold_a_lease_for_void_one_gets_it(world: World) -> None:
    Lease.objects.create(name="x", held_until=now() + timedelta(hours=3))
    read = Lease.objects.get_or_create

    def another_is_first(**arguments: object) -> tuple[Lease, bool]:
        row = read(**arguments)  # type: ignore[arg-type]  # as Django takes them
        Lease.objects.filter(name="x").update(held_until=now() + timedelta(seconds=9))
        return row

    with mock.patch.object(Lease.objects, "get_or_create", another_is_first):
        assert acquire("x", length=timedelta(seconds=10)) is None


@pytest.mark.parametrize("step", STEPS)
def test_the_sweep_goes_on_after_a_step_back(world: World, step: timedelta) -> None:
    ahead = now() + step
    with mock.patch("approvals.operations.leases.database_now", return_value=ahead):
        assert sweep().ran
    assert sweep().ran
    assert not Lease.objects.filter(last_run_at__gt=now()).exists()
    assert all(lease.held_until < now() + timedelta(minutes=10) for lease in Lease.objects.all())


@pytest.mark.parametrize("step", STEPS)
def test_what_was_approved_under_a_clock_ahead_is_signed_at_once(
    world: World, step: timedelta
) -> None:
    Device.named("r1.example").enroll()
    request = EnrollmentRequest.objects.get()
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now() + step
    )
    with mock.patch("approvals.issuance.sweep.ring_now") as ring:
        sweep()
    ring.assert_called_once_with([request.pk])
    assert run_worker().issued == [request.pk]


@pytest.mark.parametrize(("step", "attempts"), list(zip(STEPS, (1, 2, 5, 8, 9), strict=True)))
def test_a_lease_and_a_pause_from_a_clock_ahead_hold_up_nothing(
    approved: EnrollmentRequest, step: timedelta, attempts: int
) -> None:
    then = now() + step
    values = {
        "attempts": attempts,
        "lease_until": then + LEASE,
        "next_attempt_at": then + LEASE + backoff(attempts),
    }
    EnrollmentRequest.objects.update(**values)
    assert EnrollmentRequest.objects.filter(due(now=now()), free(now=now())).exists()
    result = run_worker()
    assert (result.issued or result.failed) == [
        approved.pk
    ]  # too many attempts: looked at, and given to an officer
    assert result.failed == ([approved.pk] if attempts >= 8 else [])


@_HYPOTHESIS
@given(
    attempts=st.integers(0, 12),
    lease=st.one_of(st.none(), st.integers(-5, 9000)),
    next_attempt=st.one_of(st.none(), st.integers(-5, 9000)),
    window=st.sampled_from([0, 60, 4000]),
)
def test_rows_and_objects_are_due_by_the_same_rule(
    approved: EnrollmentRequest,
    attempts: int,
    lease: int | None,
    next_attempt: int | None,
    window: int,
) -> None:
    moment = now()
    EnrollmentProfile.objects.update(undo_window=timedelta(seconds=window))

    def at(seconds: int | None) -> datetime | None:
        return None if seconds is None else moment + timedelta(seconds=seconds)

    EnrollmentRequest.objects.update(
        attempts=attempts, lease_until=at(lease), next_attempt_at=at(next_attempt)
    )
    row = EnrollmentRequest.objects.select_related("profile").get()
    assert (
        is_due(row, now=moment)
        == EnrollmentRequest.objects.filter(due(now=moment), free(now=moment)).exists()
    )


@pytest.mark.parametrize("seconds", [1, 20, 59, 60, 61])
def test_a_living_lease_is_left_alone(approved: EnrollmentRequest, seconds: int) -> None:
    EnrollmentRequest.objects.update(lease_until=now() + timedelta(seconds=seconds))
    assert run_worker().skipped == [approved.pk]


def test_a_decision_that_can_be_undone_waits_for_its_time_whatever_its_length(
    approved: EnrollmentRequest,
) -> None:
    EnrollmentProfile.objects.update(undo_window=timedelta(hours=2))
    EnrollmentRequest.objects.update(next_attempt_at=now() + timedelta(hours=2))
    assert run_worker().skipped == [approved.pk]
    EnrollmentRequest.objects.update(next_attempt_at=now() + timedelta(hours=3))
    assert run_worker().issued == [approved.pk]


@pytest.mark.parametrize("step", [*STEPS, -timedelta(hours=2)])
def test_a_worker_that_loses_its_lease_to_a_step_stores_nothing(
    approved: EnrollmentRequest, step: timedelta
) -> None:
    """The clock moves while a worker signs, another takes over, and one certificate exists."""
    rivals: list[BatchResult] = []
    calls: list[datetime] = []

    def sign(certificate: Certificate, *, now: datetime) -> bytes:
        calls.append(now)
        if len(calls) == 1:
            row = EnrollmentRequest.objects.get()
            assert row.lease_until is not None
            assert row.next_attempt_at is not None
            values = {
                "lease_until": row.lease_until + step,
                "next_attempt_at": row.next_attempt_at + step,
            }
            EnrollmentRequest.objects.update(**values)
            rivals.append(run_worker())
        return sign_prepared(certificate, now=now)

    with mock.patch.object(issue, "sign_prepared", sign):
        first = run_worker()
    assert rivals[0].issued == [approved.pk]
    assert first.issued == []
    request = EnrollmentRequest.objects.get()
    assert request.state == State.ISSUED
    assert request.certificate is not None


@pytest.mark.parametrize(("step", "attempts"), list(zip(STEPS, (0, 1, 4, 12, 30), strict=True)))
def test_a_validation_from_a_clock_ahead_is_due(
    world: World, step: timedelta, attempts: int
) -> None:
    (request,) = create_requests(world.profile, ["r1.example"])
    wait = validation_gate.backoff(attempts) if attempts else timedelta(0)
    Validation.objects.create(
        request=request,
        kind="webhook",
        challenge_hash="0" * 64,
        attempts=attempts,
        next_attempt_at=now() + step + wait,
        lease_until=now() + step + validation_gate.LEASE,
    )
    assert Validation.objects.filter(validation_gate.due(now())).exists()
    Validation.objects.update(
        next_attempt_at=now() + wait, lease_until=now() + validation_gate.LEASE
    )
    assert not Validation.objects.filter(validation_gate.due(now())).exists()


@pytest.mark.parametrize(("step", "attempts"), list(zip(STEPS, (0, 1, 2, 3, 4), strict=True)))
def test_mails_from_a_clock_ahead_are_sent(
    world: World, settings: object, step: timedelta, attempts: int
) -> None:
    create_person("anna", Role.ADMINISTRATOR)
    (request,) = create_requests(world.profile, ["r1.example"])
    OutboxMessage.objects.all().delete()
    raise_alarm(AlarmKind.LOCKED, world.profile, "Locked.", now=now() + step)
    notify("request-pending", request, now=now() + step)
    OutboxMessage.objects.update(attempts=attempts)
    with mock.patch("django.conf.settings.PORTAL_SENDS_MAIL", new=True):
        assert deliver_due(now=now()) == 1
        notify("request-pending", request, now=now() - timedelta(minutes=2))
        assert (
            deliver_due(now=now()) == 1
        )  # the notice of the hour that was not is none of the last minute
        assert deliver_alarms(now=now()) == 1
    assert {name for message in mail.outbox for name in message.to} >= {
        "alice@example.org",
        "anna@example.org",
    }


@pytest.mark.parametrize("step", STEPS)
def test_a_lock_from_a_clock_ahead_keeps_no_one_out(world: World, step: timedelta) -> None:
    then = now() + step
    FailedChallenges.objects.create(
        profile=world.profile,
        address="192.0.2.7",
        failures=4,
        since=then,
        locked_until=then + LOCKED_FOR,
    )
    assert lock_end(world.profile, "192.0.2.7", "x", now=now()) is None
    assert locks_of(world.profile, now=now()) == []
    note_failure(world.profile, "192.0.2.7", cause=Cause.CHALLENGE_WRONG, now=now())
    row = FailedChallenges.objects.get(address="192.0.2.7")
    assert (row.failures, row.since <= now()) == (
        1,
        True,
    )  # counted afresh, not on top of the other hour
    FailedChallenges.objects.update(since=then, locked_until=then + LOCKED_FOR)
    assert (
        forget_old(now=now()) == FailedChallenges.objects.count() + 2
        or not FailedChallenges.objects.exists()
    )


@pytest.mark.parametrize("step", STEPS)
def test_a_crl_of_the_future_is_replaced(world: World, step: timedelta) -> None:
    then = now() + step
    CrlIssue.objects.create(
        ca=world.ca,
        number=1,
        revocation_version=world.ca.revocation_version,
        this_update=then,
        next_update=then + timedelta(days=1),
        entries=0,
        created_at=then,
    )
    assert crl_is_due(world.ca, now=now())  # begun in the other hour by a worker that died
    issued = issue_due_crls(now=now())
    assert [issue.this_update <= now() for issue in issued] == [True]
    assert issue_crl(world.ca, now=then, even_if_not_due=True) is not None
    assert crl_is_due(world.ca, now=now())  # published, but valid from a time that is not yet
    (second,) = issue_due_crls(now=now())
    newest = latest_crl(world.ca)
    assert newest is not None
    assert newest.number == second.number > issued[0].number
    assert not crl_is_due(world.ca, now=now() + CRL_LEASE)


@pytest.mark.parametrize("step", STEPS)
def test_repeats_of_the_other_hour_are_written_down(world: World, step: timedelta) -> None:
    for _ in range(3):
        record_repeated(Event.CRL_PRUNE, actor=SYSTEM, now=now() + step, cause="x")
    assert close_minutes(now=now()) == 1
    assert not RepeatedEvent.objects.exists()


@pytest.mark.parametrize("step", STEPS)
def test_a_refusal_of_the_other_hour_reaches_the_device(world: World, step: timedelta) -> None:
    device = Device.named("r1.example")
    device.enroll()
    request = EnrollmentRequest.objects.get()
    reject_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="no", now=now() + step
    )
    assert bare(device.poll().fail_info_text) == "no"


@pytest.mark.parametrize("step", STEPS)
def test_times_ahead_of_the_clock_are_a_fault_and_no_health(
    approved: EnrollmentRequest, step: timedelta
) -> None:
    EnrollmentRequest.objects.update(next_attempt_at=now() + step)
    health = signing_health(now())
    assert health.stalled
    assert health.sentence == "A clock was set back: 1 waiting, with times ahead of the clock."


@pytest.mark.parametrize("step", STEPS)
def test_what_was_signed_in_the_other_hour_hides_nothing(world: World, step: timedelta) -> None:
    first = Device.named("r1.example")
    first.enroll()
    second = Device.named("r2.example", key="bob")
    second.enroll()
    for request in EnrollmentRequest.objects.all():
        approve_request(
            request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
        )
    done, left = EnrollmentRequest.objects.order_by("id")
    with mock.patch.object(issue, "database_now", return_value=now() + step):
        issue.issue_certificates([done.pk])
    EnrollmentRequest.objects.filter(pk=left.pk).update(
        next_attempt_at=now() - timedelta(minutes=7)
    )
    assert signing_health(now()).sentence == "Nothing signed for 7 min, 1 waiting."
    assert dueness.is_due(EnrollmentRequest.objects.get(pk=left.pk), now=now())
