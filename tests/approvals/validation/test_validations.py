"""The gate that stops each request with an unconfirmed challenge, and the CSR stored there."""

import pytest
from django.db import DatabaseError, transaction

from approvals.decisions.decide import approve_request, reject_request, reopen_request
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.models.validations import Validation
from approvals.records import validation_gate
from approvals.records.stored_csrs import keep_csr, kept_csr
from approvals.records.validation_gate import backoff
from approvals.rules.errors import NotValidated
from approvals.rules.states import State
from tests.pages import create_requests
from tests.world import World, later, now, principal_of


@pytest.fixture
def profile(world: World) -> EnrollmentProfile:
    """A profile that was switched to a webhook."""
    EnrollmentProfile.objects.filter(pk=world.profile.pk).update(challenge="webhook")
    world.profile.refresh_from_db()
    return world.profile


def opened(profile: EnrollmentProfile) -> EnrollmentRequest:
    (request,) = create_requests(profile, ["p1.example"], challenge="webhook")
    validation_gate.open_validation(
        request, profile=profile, csr_der=b"csr", challenge="moonlight", now=now()
    )
    return EnrollmentRequest.objects.select_related("validation").get(pk=request.pk)


def test_a_request_without_a_row_about_its_challenge_is_not_approved(
    world: World, profile: EnrollmentProfile
) -> None:
    (request,) = create_requests(profile, ["p1.example"], challenge="webhook")
    assert validation_gate.state_of(request) == "missing"
    with pytest.raises(NotValidated, match="Nothing is known of the challenge"):
        approve_request(
            request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
        )
    assert not validation_gate.is_another_challenge(request, "moonlight")
    assert not validation_gate.is_moving(request)


def test_a_request_that_needs_no_confirmation_is_left_alone(world: World) -> None:
    (request,) = create_requests(world.profile, ["p1.example"])
    assert (validation_gate.state_of(request), validation_gate.closed_for_good(request)) == ("", "")
    assert not validation_gate.is_moving(request)
    assert not validation_gate.is_another_challenge(request, "moonlight")


def test_another_challenge_is_known_from_the_same_one_without_being_kept(
    profile: EnrollmentProfile,
) -> None:
    request = opened(profile)
    assert validation_gate.is_another_challenge(request, "sunlight")
    assert not validation_gate.is_another_challenge(request, "moonlight")
    assert not validation_gate.is_another_challenge(request, None)


def test_a_csr_that_is_on_record_already_is_stored_once(profile: EnrollmentProfile) -> None:
    (request,) = create_requests(profile, ["p1.example"], challenge="webhook")
    keep_csr(request, b"csr of another request", until=later(hours=1))
    validation_gate.open_validation(
        request, profile=profile, csr_der=b"csr", challenge="moonlight", now=now()
    )
    assert kept_csr(request.pk, now=now()) == b"csr of another request"


def test_a_confirmed_request_that_an_officer_refused_can_be_opened_again_unless_its_end_was_reported(  # noqa: E501
    world: World, profile: EnrollmentProfile
) -> None:
    request, principal = opened(profile), principal_of(world.alice)
    Validation.objects.update(state="allowed", answered_at=now())
    reject_request(request_id=request.pk, principal=principal, comment="not today", now=now())
    reopen_request(request_id=request.pk, principal=principal, comment="", now=now())
    request.refresh_from_db()
    assert request.state == State.PENDING
    reject_request(request_id=request.pk, principal=principal, comment="nor tomorrow", now=now())
    Validation.objects.update(report="sent")
    with pytest.raises(NotValidated, match="was told that this request is over"):
        reopen_request(request_id=request.pk, principal=principal, comment="", now=now())


def test_an_answer_is_never_taken_back(profile: EnrollmentProfile) -> None:
    opened(profile)
    Validation.objects.update(state="denied", answered_at=now())
    for state in ("allowed", "waiting"):
        with pytest.raises(DatabaseError), transaction.atomic():
            Validation.objects.update(state=state)


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(0, 1), (1, 1), (2, 2), (5, 16), (11, 600), (5000, 600)]
)
def test_the_pause_between_attempts_doubles_up_to_ten_minutes(attempts: int, seconds: int) -> None:
    assert backoff(attempts).total_seconds() == seconds
