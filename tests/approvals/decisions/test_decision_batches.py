"""A decision on many requests is one batch on record, and each document has its place in it."""

import json
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
from django.db import IntegrityError, OperationalError, transaction

from approvals.decisions.batch import decide_many
from approvals.decisions.review_digest import review_digest
from approvals.models.decisions import Decision, DecisionBatch, Verdict
from approvals.models.requests import EnrollmentRequest
from audit.merkle import merkle_root
from tests.world import Device, World, now, principal_of


@pytest.fixture
def waiting(world: World) -> list[EnrollmentRequest]:
    for number in (1, 2, 3):
        Device.named(f"r{number}.example", key=f"device-{number}").enroll()
    return list(EnrollmentRequest.objects.order_by("id"))


def test_each_document_names_its_place_in_the_batch(
    world: World, waiting: list[EnrollmentRequest]
) -> None:
    seen = [review_digest(request) for request in waiting]
    decide_many(
        items=[(waiting[0].pk, seen[0]), (waiting[1].pk, None), (waiting[2].pk, seen[2])],
        verdict=Verdict.APPROVE,
        principal=principal_of(world.alice),
        comment=" the roll-out ",
        now=now(),
    )
    batch = DecisionBatch.objects.get()
    assert batch.digests == seen
    assert batch.root == merkle_root([digest.encode() for digest in seen]).hex()
    assert (batch.verdict, batch.reason, batch.count) == (Verdict.APPROVE, "the roll-out", 3)
    assert (batch.done, batch.exceptions) == (3, [])
    assert batch.principal["id"] == str(world.alice.pk)
    for index, request in enumerate(waiting):
        document = json.loads(bytes(Decision.objects.get(request=request).document))
        assert document["batch"] == {"root": batch.root, "count": 3, "index": index}


def test_what_could_not_be_decided_is_an_exception_of_the_batch(
    world: World, waiting: list[EnrollmentRequest]
) -> None:
    unknown = uuid4()
    decide_many(
        items=[(waiting[0].pk, "00" * 32), (unknown, None), (waiting[2].pk, None)],
        verdict=Verdict.REJECT,
        principal=principal_of(world.alice),
        comment="wrong site",
        now=now(),
    )
    batch = DecisionBatch.objects.get()
    assert batch.digests[1] == ""
    assert batch.done == 1
    assert batch.exceptions is not None
    assert [item["request"] for item in batch.exceptions] == [str(waiting[0].pk), str(unknown)]
    assert "changed after you opened it" in batch.exceptions[0]["text"]


def test_a_batch_that_was_cut_short_stays_open(
    world: World, waiting: list[EnrollmentRequest]
) -> None:
    close = mock.Mock(side_effect=OperationalError)
    with mock.patch.object(DecisionBatch.objects, "filter", close):
        results = decide_many(
            items=[(request.pk, None) for request in waiting],
            verdict=Verdict.APPROVE,
            principal=principal_of(world.alice),
            comment="",
            now=now(),
        )
    assert [result.done for result in results] == [True, True, True]
    batch = DecisionBatch.objects.get()
    assert (batch.done, batch.exceptions) == (None, None)


def test_without_a_database_nothing_is_decided(
    world: World, waiting: list[EnrollmentRequest]
) -> None:
    with mock.patch.object(DecisionBatch.objects, "create", side_effect=OperationalError):
        results = decide_many(
            items=[(request.pk, None) for request in waiting],
            verdict=Verdict.APPROVE,
            principal=principal_of(world.alice),
            comment="",
            now=now(),
        )
    assert [result.done for result in results] == [False, False, False]
    assert not Decision.objects.exists()


def test_a_batch_is_never_changed_or_deleted(
    world: World, waiting: list[EnrollmentRequest]
) -> None:
    decide_many(
        items=[(waiting[0].pk, None)],
        verdict=Verdict.APPROVE,
        principal=principal_of(world.alice),
        comment="on the list",
        now=now(),
    )
    rows = DecisionBatch.objects.all()
    changes: list[dict[str, Any]] = [{"root": "00"}, {"done": 2}, {"exceptions": [1]}]
    for change in changes:
        with pytest.raises(IntegrityError), transaction.atomic():
            rows.update(**change)
    with pytest.raises(IntegrityError), transaction.atomic():
        rows.delete()
    rows.update(reason="")
