"""A decision that is not in effect yet can be taken back, from an approval as from a rejection."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django.db import IntegrityError, transaction

from accounts.roles import Role
from approvals.challenges.onetime import ChallengeOrder, create_challenges
from approvals.decisions import decide
from approvals.decisions.decide import approve_request, record_approval, reject_request
from approvals.decisions.undo import undo_decision
from approvals.enrollment.limits import open_requests
from approvals.issuance.sweep import ring_for_due, sweep
from approvals.models.decisions import Decision, Verdict
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.records.due import next_bell
from approvals.rules.errors import AlreadyDecided, NothingToUndo, NotPermitted
from approvals.rules.states import State
from audit.events import Event
from audit.models import AuditEntry
from pkiportal.doctor.invariants import check_invariants
from pkiportal.runtime import sweeper
from scep.protocol.constants import PKIStatus
from tests.world import (
    Device,
    World,
    create_person,
    create_profile,
    now,
    principal_of,
    run_worker,
)

WINDOW = timedelta(seconds=30)


@pytest.fixture
def device(world: World) -> Device:
    EnrollmentProfile.objects.update(undo_window=WINDOW)
    device = Device.named("r1.example")
    device.enroll()
    return device


def fresh() -> EnrollmentRequest:
    return EnrollmentRequest.objects.get()


def approve(world: World, at: datetime | None = None) -> Decision:
    return approve_request(
        request_id=fresh().pk, principal=principal_of(world.alice), comment="ok", now=at or now()
    )


def reject(world: World, at: datetime | None = None) -> Decision:
    return reject_request(
        request_id=fresh().pk,
        principal=principal_of(world.alice),
        comment="wrong site",
        now=at or now(),
    )


def undo(world: World, at: datetime | None = None) -> Decision:
    return undo_decision(
        request_id=fresh().pk,
        principal=principal_of(world.alice),
        comment="too fast",
        now=at or now(),
    )


@pytest.mark.parametrize("verdict", [approve, reject])
def test_a_decision_is_taken_back_and_the_request_waits_again(
    world: World, device: Device, verdict: Callable[[World], Decision]
) -> None:
    decision = verdict(world)
    document = json.loads(bytes(decision.document))
    assert fresh().effective_at == decision.effective_at == decision.decided_at + WINDOW
    assert datetime.fromisoformat(document["effective_at"]) == decision.effective_at

    taken_back = undo(world)

    request = fresh()
    assert (request.state, request.round, request.reason) == (State.PENDING, 2, "")
    assert (request.effective_at, request.next_attempt_at, request.finished_at) == (
        None,
        None,
        None,
    )
    assert json.loads(bytes(taken_back.document))["undo_of"] == {
        "decision": str(decision.pk),
        "document_sha256": decision.document_sha256,
    }
    assert (taken_back.verdict, taken_back.round, taken_back.comment) == (
        Verdict.UNDO,
        1,
        "too fast",
    )
    entry = AuditEntry.objects.get(event=Event.REQUEST_UNDO)
    assert entry.data["undo_of"] == str(decision.pk)
    assert entry.actor_id == str(world.alice.pk)
    assert device.poll().status is PKIStatus.PENDING
    approve(world)
    EnrollmentRequest.objects.update(next_attempt_at=now(), effective_at=now())
    run_worker()
    assert device.poll().status is PKIStatus.SUCCESS
    assert check_invariants(at_rest=True).violations == ()


@pytest.mark.parametrize("verdict", [approve, reject])
def test_it_is_too_late_once_the_decision_is_in_effect(
    world: World, device: Device, verdict: Callable[[World], Decision]
) -> None:
    decision = verdict(world)
    with pytest.raises(NothingToUndo, match="too late"):
        undo(world, at=decision.effective_at)
    assert fresh().state != State.PENDING
    undo(world, at=decision.effective_at - timedelta(microseconds=1))
    assert fresh().state == State.PENDING


def test_without_a_window_nothing_is_taken_back(world: World) -> None:
    Device.named("r1.example").enroll()
    moment = now()
    reject(world, at=moment)
    assert fresh().next_attempt_at is None
    with pytest.raises(NothingToUndo, match="too late"):
        undo(world, at=moment)


def test_a_decision_is_taken_back_once(world: World, device: Device) -> None:
    approve(world)
    undo(world)
    with pytest.raises(NothingToUndo, match="no decision to take back"):
        undo(world)
    assert Decision.objects.filter(verdict=Verdict.UNDO).count() == 1


def test_of_two_at_once_one_takes_it_back(world: World, device: Device) -> None:
    approve(world)
    load = decide.load_for_decision

    def load_and_lose(*arguments: object, **named: object) -> EnrollmentRequest:
        request = load(*arguments, **named)  # type: ignore[arg-type]
        EnrollmentRequest.objects.update(state=State.PENDING, version=request.version + 1)
        return request

    with (
        mock.patch("approvals.decisions.undo.load_for_decision", load_and_lose),
        pytest.raises(AlreadyDecided),
    ):
        undo(world)
    assert not Decision.objects.filter(verdict=Verdict.UNDO).exists()


def test_what_a_worker_has_begun_is_not_taken_back(world: World, device: Device) -> None:
    decision = approve(world)
    EnrollmentRequest.objects.update(next_attempt_at=now())
    run_worker()
    with pytest.raises(NothingToUndo, match="is issued"):
        undo(world, at=decision.decided_at)


def test_only_officers_of_the_request_take_a_decision_back(world: World, device: Device) -> None:
    approve(world)
    for person in (create_person("charlie", Role.ADMINISTRATOR), create_person("bob")):
        with pytest.raises(NotPermitted):
            undo_decision(
                request_id=fresh().pk, principal=principal_of(person), comment="", now=now()
            )
    assert fresh().state == State.APPROVED
    colleague = create_person("olga", Role.OFFICER)
    undo_decision(request_id=fresh().pk, principal=principal_of(colleague), comment="", now=now())
    assert fresh().state == State.PENDING


def test_the_officer_votes_again_in_the_new_round(world: World, device: Device) -> None:
    reject(world)
    undo(world)
    record_approval(
        request_id=fresh().pk, principal=principal_of(world.alice), comment="", now=now()
    )
    assert fresh().state == State.APPROVED


# ---------------------------------------------------------------- what counts as open


def test_a_rejected_request_keeps_its_key_until_then(world: World, device: Device) -> None:
    decision = reject(world)
    world.profile.refresh_from_db()
    open_requests.forget()
    assert open_requests.count(world.profile) == 1
    assert device.poll().status is PKIStatus.PENDING
    assert device.enroll().status is PKIStatus.PENDING
    assert device.enroll(transaction_id="another").status is PKIStatus.PENDING
    assert EnrollmentRequest.objects.count() == 1

    assert ring_for_due(now=decision.effective_at) == 0

    open_requests.forget()
    assert open_requests.count(world.profile) == 0
    assert fresh().next_attempt_at is None
    EnrollmentRequest.objects.update(effective_at=now())
    assert device.poll().status is PKIStatus.FAILURE


def test_the_database_keeps_the_key_too(world: World, device: Device) -> None:
    reject(world)
    copy: dict[str, Any] = dict(EnrollmentRequest.objects.values().get())
    copy.pop("id")
    with pytest.raises(IntegrityError), transaction.atomic():
        EnrollmentRequest.objects.create(**copy | {"state": State.PENDING})
    EnrollmentRequest.objects.update(next_attempt_at=None)
    EnrollmentRequest.objects.create(**copy | {"state": State.PENDING, "next_attempt_at": None})


def test_a_fresh_challenge_opens_no_second_request_in_the_window(world: World) -> None:
    profile = create_profile(world.ca, "phones", challenge="one-time")
    first, second = (
        secret.reveal()
        for _, secret in create_challenges(
            ChallengeOrder(profile, count=2), principal=principal_of(world.alice), now=now()
        )
    )
    EnrollmentProfile.objects.update(undo_window=WINDOW)
    device = Device.named("p1.example", profile="phones")
    device.enroll(challenge=first)
    reject(world)
    assert device.enroll(challenge=second).status is PKIStatus.PENDING
    assert EnrollmentRequest.objects.count() == 1
    undo(world)


# ---------------------------------------------------------------- the bell


def test_the_bell_is_set_for_the_time_of_effect(world: World, device: Device) -> None:
    with mock.patch("approvals.decisions.decide.ring") as ring:
        decision = approve(world)
    ring.assert_not_called()
    early = decision.effective_at - timedelta(seconds=2)
    assert next_bell(now=early, within=timedelta(seconds=5)) == decision.effective_at
    assert next_bell(now=early, within=timedelta(seconds=1)) is None
    with mock.patch("approvals.issuance.sweep.ring_now") as ring:
        assert ring_for_due(now=early) == 0
        assert ring_for_due(now=decision.effective_at) == 1
    ring.assert_called_once_with([fresh().pk])


def test_the_sweep_says_when_to_ring_and_the_sweeper_does(world: World, device: Device) -> None:
    EnrollmentProfile.objects.update(undo_window=timedelta(seconds=2))
    approve(world)
    result = sweep()
    assert result.next_bell is not None
    assert 0 < result.next_bell <= 2
    with (
        mock.patch("pkiportal.runtime.sweeper.sweep", return_value=result),
        mock.patch("pkiportal.runtime.sweeper.close_old_connections"),
        mock.patch("pkiportal.runtime.sweeper.time.sleep") as sleep,
        mock.patch("pkiportal.runtime.sweeper.ring_for_due") as ring,
    ):
        sweeper.sweep_once()
    sleep.assert_called_once_with(result.next_bell)
    ring.assert_called_once()


@pytest.mark.usefixtures("no_waiting")
def test_the_policy_decides_at_once_in_document_and_row(world: World) -> None:
    word = "nine-quiet-otters"
    create_profile(
        world.ca, "printers", approval="automatic", challenge="static", static_challenge=word
    )
    EnrollmentProfile.objects.update(undo_window=WINDOW)
    Device.named("p1.example", profile="printers").enroll(challenge=word)
    decision, request = Decision.objects.get(), fresh()
    assert decision.effective_at == request.effective_at == decision.decided_at
    assert (
        json.loads(bytes(decision.document))["effective_at"]
        == (json.loads(bytes(decision.document))["decided_at"])
    )
