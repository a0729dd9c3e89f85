"""Prebuilt statements write the same rows as Django's own."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction

from approvals.models.requests import EnrollmentRequest, RequestTerm
from approvals.rules.states import State
from database.statements import insert, update
from tests.world import Device, World

pytestmark = pytest.mark.django_db
MOMENT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


@pytest.fixture
def request_row(world: World) -> EnrollmentRequest:
    Device.named("r1.example").enroll()
    return EnrollmentRequest.objects.get()


def test_a_change_reads_back_as_it_was_given(request_row: EnrollmentRequest) -> None:
    changes = {
        "reason": "wrong site: Größe",
        "lease_until": MOMENT,
        "next_attempt_at": None,
        "attempts": 3,
    }
    assert update(EnrollmentRequest, where={"id": request_row.pk}, changes=changes) == 1
    request = EnrollmentRequest.objects.get()
    assert {name: getattr(request, name) for name in changes} == changes
    assert request.version == request_row.version


def test_the_condition_holds_for_all_of_its_columns(request_row: EnrollmentRequest) -> None:
    as_read = {"id": request_row.pk, "state": State.PENDING, "version": request_row.version}
    assert (
        update(
            EnrollmentRequest,
            where={**as_read, "version": 99},
            changes={"reason": "x"},
            count_up="version",
        )
        == 0
    )
    assert (
        update(EnrollmentRequest, where=as_read, changes={"reason": "y"}, count_up="version") == 1
    )
    assert (
        update(EnrollmentRequest, where=as_read, changes={"reason": "z"}, count_up="version") == 0
    )
    request = EnrollmentRequest.objects.get()
    assert (request.reason, request.version) == ("y", request_row.version + 1)


def test_only_the_rows_that_fit_change(world: World) -> None:
    for name, key in (("r1.example", "alice"), ("r2.example", "bob")):
        Device.named(name, key).enroll()
    first, second = EnrollmentRequest.objects.order_by("id")
    later = first.expires_at + timedelta(days=1)
    assert update(EnrollmentRequest, where={"id": first.pk}, changes={"expires_at": later}) == 1
    assert EnrollmentRequest.objects.get(pk=second.pk).expires_at == second.expires_at


def test_a_foreign_key_takes_a_row_or_its_key(request_row: EnrollmentRequest, world: World) -> None:
    for value in (world.profile, world.profile.pk):
        assert update(EnrollmentRequest, where={"profile": value}, changes={"ca": world.ca}) == 1
    assert (
        update(
            EnrollmentRequest, where={"profile": world.profile.pk + 1}, changes={"ca": world.ca.pk}
        )
        == 0
    )


def test_a_row_that_is_there_already_is_refused_as_by_save(request_row: EnrollmentRequest) -> None:
    insert(RequestTerm(request=request_row, term="once"))
    with pytest.raises(IntegrityError), transaction.atomic():
        insert(RequestTerm(request=request_row, term="once"))
    insert()  # nothing to do
    assert RequestTerm.objects.filter(term="once").count() == 1
