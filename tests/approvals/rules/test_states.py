"""The table of transitions, in Python and in both databases."""

import itertools

import pytest
from django.db import IntegrityError, connection, transaction

from approvals.models.requests import EnrollmentRequest
from approvals.rules.states import (
    OPEN_STATES,
    REFUSED_STATES,
    TRANSITIONS,
    State,
    Step,
    StepNotAllowed,
    next_state,
)
from tests.world import Device, World

PAIRS = list(itertools.product(State, Step))


@pytest.mark.parametrize(("state", "step"), PAIRS)
def test_a_step_leads_where_the_table_says_or_nowhere(state: State, step: Step) -> None:
    if (state, step) in TRANSITIONS:
        assert next_state(state, step) is TRANSITIONS[state, step]
    else:
        with pytest.raises(
            StepNotAllowed, match=f"{step} is not possible: the request is {state}"
        ) as caught:
            next_state(state, step)
        assert (caught.value.state, caught.value.step) == (state, step)


def test_the_table_is_the_one_of_the_design() -> None:
    assert {(old.value, step.value, new.value) for (old, step), new in TRANSITIONS.items()} == {
        ("PENDING", "approve", "APPROVED"),
        ("PENDING", "reject", "REJECTED"),
        ("PENDING", "expire", "EXPIRED"),
        ("APPROVED", "start", "ISSUING"),
        ("APPROVED", "undo", "PENDING"),
        ("APPROVED", "fail", "FAILED"),
        ("ISSUING", "complete", "ISSUED"),
        ("ISSUING", "fail", "FAILED"),
        ("ISSUING", "fail", "FAILED"),
        ("REJECTED", "reopen", "PENDING"),
        ("EXPIRED", "reopen", "PENDING"),
        ("REJECTED", "undo", "PENDING"),
        ("FAILED", "reopen", "PENDING"),
        ("FAILED", "reject", "REJECTED"),
        ("FAILED", "expire", "EXPIRED"),
    }
    assert {State.PENDING, State.APPROVED, State.ISSUING, State.FAILED} == OPEN_STATES
    assert {State.REJECTED, State.EXPIRED} == REFUSED_STATES
    assert not any(old is State.ISSUED for old, _ in TRANSITIONS)


def test_the_database_takes_no_step_that_is_not_in_the_table(world: World) -> None:
    Device.named("r1.example").enroll()
    allowed = {(old, new) for (old, _), new in TRANSITIONS.items()}
    assert ("PENDING", "ISSUING") not in allowed
    with pytest.raises(IntegrityError), transaction.atomic():
        EnrollmentRequest.objects.update(state=State.ISSUING)
    with pytest.raises(IntegrityError), transaction.atomic():
        EnrollmentRequest.objects.update(state="ELSEWHERE")
    EnrollmentRequest.objects.update(state=State.REJECTED)
    with pytest.raises(IntegrityError), transaction.atomic():
        EnrollmentRequest.objects.update(state=State.APPROVED)


@pytest.mark.parametrize(
    ("column", "value"),
    [("csr", b"another"), ("subject", "CN=another"), ("csr_sha256", "0" * 64), ("ca_id", None)],
)
def test_the_database_keeps_what_was_asked(world: World, column: str, value: object) -> None:
    Device.named("r1.example").enroll()
    with pytest.raises(IntegrityError), transaction.atomic():
        EnrollmentRequest.objects.update(**{column: value})


def test_the_database_deletes_no_request(world: World) -> None:
    Device.named("r1.example").enroll()
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM approvals_enrollmentrequest")
