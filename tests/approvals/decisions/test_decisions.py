"""Officers decide: once, on the page they saw, with a reason, within their rights."""

import json
from datetime import timedelta
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction

from accounts.models.people import Department
from accounts.principals import POLICY, Evidence, asserted_principal
from accounts.roles import Role
from approvals.decisions import decide
from approvals.decisions.batch import decide_many
from approvals.decisions.decide import (
    approve_request,
    reject_request,
    reopen_request,
)
from approvals.decisions.retry import retry_request
from approvals.decisions.review_digest import review_digest, review_of
from approvals.models.decisions import Decision, Verdict
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.records.decision_documents import write_decision
from approvals.rules.errors import (
    AlreadyDecided,
    AlreadyVoted,
    NothingToRetry,
    NotPermitted,
    ReasonMissing,
    RequestChanged,
)
from approvals.rules.states import State
from audit.models import AuditEntry
from tests.world import Device, World, create_person, now, principal_of, run_worker


@pytest.fixture
def pending(world: World) -> EnrollmentRequest:
    """A request that waits for Alice."""
    Device.named("r1.example").enroll(dns_names=["r1.example"])
    return fresh()


def fresh() -> EnrollmentRequest:
    """Return the only request as the database has it."""
    return EnrollmentRequest.objects.select_related("profile", "ca", "profile_version").get()


def test_an_approval_records_who_decided_on_what(world: World, pending: EnrollmentRequest) -> None:
    digest = review_digest(fresh())
    decision = approve_request(
        request_id=pending.pk,
        principal=principal_of(world.alice),
        comment=" on the list ",
        now=now(),
        view_sha256=digest,
    )
    request = fresh()
    assert (request.state, request.version) == (State.APPROVED, 2)
    assert (decision.officer, decision.verdict, decision.comment) == (
        world.alice,
        Verdict.APPROVE,
        "on the list",
    )
    assert f'"view_sha256":"{digest}"'.encode() in bytes(decision.document)
    entry = AuditEntry.objects.get(event="request:approve")
    assert entry.data["document_sha256"] == decision.document_sha256
    assert (entry.subject_seq, entry.actor_id) == (2, str(world.alice.pk))
    assert entry.data["comment"] == json.loads(bytes(decision.document))["comment"]


def test_a_rejection_needs_a_reason(world: World, pending: EnrollmentRequest) -> None:
    with pytest.raises(ReasonMissing, match="Write a reason"):
        reject_request(
            request_id=pending.pk, principal=principal_of(world.alice), comment="  ", now=now()
        )
    assert fresh().state == State.PENDING


def test_the_second_officer_is_told_who_was_faster(
    world: World, pending: EnrollmentRequest
) -> None:
    bob = create_person("bob", Role.OFFICER)
    digest = review_digest(fresh())
    approve_request(
        request_id=pending.pk,
        principal=principal_of(world.alice),
        comment="",
        now=now(),
        view_sha256=digest,
    )
    with pytest.raises(
        AlreadyDecided, match=r"Already approved by Alice at .* UTC\. Nothing was done twice\."
    ):
        reject_request(
            request_id=pending.pk,
            principal=principal_of(bob),
            comment="no",
            now=now(),
            view_sha256=digest,
        )
    with pytest.raises(AlreadyDecided, match="Already approved by Alice"):
        approve_request(request_id=pending.pk, principal=principal_of(bob), comment="", now=now())
    assert Decision.objects.count() == 1


def test_a_request_that_changed_after_it_was_opened_is_not_decided_on(
    world: World, pending: EnrollmentRequest
) -> None:
    with pytest.raises(RequestChanged, match="look at it again"):
        approve_request(
            request_id=pending.pk,
            principal=principal_of(world.alice),
            comment="",
            now=now(),
            view_sha256="0" * 64,
        )
    assert fresh().state == State.PENDING


@pytest.mark.parametrize(
    "roles", [(), (Role.AUDITOR,), (Role.ADMINISTRATOR,), (Role.ADMINISTRATOR, Role.AUDITOR)]
)
def test_only_officers_decide(
    world: World, pending: EnrollmentRequest, roles: tuple[Role, ...]
) -> None:
    charlie = create_person("charlie", *roles)
    with pytest.raises(NotPermitted):
        approve_request(
            request_id=pending.pk, principal=principal_of(charlie), comment="", now=now()
        )
    with pytest.raises(NotPermitted):
        reject_request(
            request_id=pending.pk, principal=principal_of(charlie), comment="no", now=now()
        )
    assert fresh().state == State.PENDING


def test_an_officer_of_another_department_finds_no_such_request(
    world: World, pending: EnrollmentRequest
) -> None:
    north, south = (Department.objects.create(slug=name, name=name) for name in ("north", "south"))
    EnrollmentProfile.objects.update(department=north)
    southerner = create_person("bob", Role.OFFICER, department=south)
    with pytest.raises(NotPermitted, match="There is no such request"):
        approve_request(
            request_id=pending.pk, principal=principal_of(southerner), comment="", now=now()
        )
    northerner = create_person("charlie", Role.OFFICER, department=north)
    approve_request(
        request_id=pending.pk, principal=principal_of(northerner), comment="", now=now()
    )
    assert fresh().state == State.APPROVED


def test_a_request_that_does_not_exist_looks_like_one_of_others(world: World) -> None:
    with pytest.raises(NotPermitted, match="There is no such request"):
        approve_request(
            request_id=uuid4(), principal=principal_of(world.alice), comment="", now=now()
        )


def test_the_policy_has_no_voice_in_these_functions(
    world: World, pending: EnrollmentRequest
) -> None:
    with pytest.raises(NotPermitted):
        approve_request(request_id=pending.pk, principal=POLICY, comment="", now=now())


def test_a_quorum_needs_different_officers(world: World, pending: EnrollmentRequest) -> None:
    EnrollmentProfile.objects.update(required_approvals=2)
    approve_request(
        request_id=pending.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    assert (fresh().state, fresh().version) == (State.PENDING, 2)
    with pytest.raises(AlreadyVoted, match="You have voted"):
        approve_request(
            request_id=pending.pk, principal=principal_of(world.alice), comment="", now=now()
        )
    bob = create_person("bob", Role.OFFICER)
    approve_request(request_id=pending.pk, principal=principal_of(bob), comment="", now=now())
    assert fresh().state == State.APPROVED
    assert run_worker().issued == [pending.pk]


def test_a_decision_by_command_is_marked_and_may_be_refused(
    world: World, pending: EnrollmentRequest
) -> None:
    principal = asserted_principal("operator", world.alice)
    EnrollmentProfile.objects.update(allow_asserted_decisions=False)
    with pytest.raises(NotPermitted, match="signed-in officers only"):
        approve_request(request_id=pending.pk, principal=principal, comment="", now=now())
    EnrollmentProfile.objects.update(allow_asserted_decisions=True)
    decision = approve_request(request_id=pending.pk, principal=principal, comment="", now=now())
    assert (decision.evidence, decision.asserted_by) == (Evidence.ASSERTED, "operator")
    entry = AuditEntry.objects.get(event="request:approve")
    private = dict(entry.private_values.values_list("path", "value"))
    assert entry.actor_kind == "command"
    assert (private["actor.name"], private["actor.on_behalf_of"]) == ("operator", "alice")


def test_many_are_decided_each_on_its_own(world: World) -> None:
    for number in (1, 2, 3):
        Device.named(f"r{number}.example", key=f"device-{number}").enroll()
    ids = list(EnrollmentRequest.objects.order_by("id").values_list("pk", flat=True))
    reject_request(request_id=ids[1], principal=principal_of(world.alice), comment="no", now=now())
    results = decide_many(
        items=[(ids[0], None), (ids[1], None), (ids[2], "0" * 64), (uuid4(), None)],
        verdict=Verdict.APPROVE,
        principal=principal_of(world.alice),
        comment="",
        now=now(),
    )
    assert [result.done for result in results] == [True, False, False, False]
    assert results[0].text == "approved"
    assert "Already rejected by Alice" in results[1].text
    rejected = decide_many(
        items=[(ids[2], None)],
        verdict=Verdict.REJECT,
        principal=principal_of(world.alice),
        comment="no",
        now=now(),
    )
    assert rejected[0].done
    states = dict(EnrollmentRequest.objects.values_list("pk", "state"))
    assert [states[request_id] for request_id in ids] == [
        State.APPROVED,
        State.REJECTED,
        State.REJECTED,
    ]


def test_a_rejected_request_can_be_reopened_in_a_new_round(
    world: World, pending: EnrollmentRequest
) -> None:
    reject_request(
        request_id=pending.pk, principal=principal_of(world.alice), comment="wrong site", now=now()
    )
    reopen_request(
        request_id=pending.pk,
        principal=principal_of(world.alice),
        comment="site corrected",
        now=now(),
    )
    request = fresh()
    assert (request.state, request.round, request.reason, request.decided_at) == (
        State.PENDING,
        2,
        "",
        None,
    )
    approve_request(
        request_id=pending.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    assert run_worker().issued == [pending.pk]


def test_an_issued_request_is_not_reopened(world: World, pending: EnrollmentRequest) -> None:
    approve_request(
        request_id=pending.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    run_worker()
    with pytest.raises(AlreadyDecided, match="the request is issued"):
        reopen_request(
            request_id=pending.pk, principal=principal_of(world.alice), comment="", now=now()
        )


def test_a_request_is_not_reopened_while_a_newer_one_of_the_same_key_is_open(
    world: World, pending: EnrollmentRequest
) -> None:
    reject_request(
        request_id=pending.pk, principal=principal_of(world.alice), comment="no", now=now()
    )
    EnrollmentProfile.objects.update(refused_ttl=timedelta(0))
    Device.named("r1.example").enroll(transaction_id="a new one")
    with pytest.raises(AlreadyDecided, match="newer open request"):
        reopen_request(
            request_id=pending.pk, principal=principal_of(world.alice), comment="", now=now()
        )


def test_only_what_needs_attention_is_retried(world: World, pending: EnrollmentRequest) -> None:
    with pytest.raises(NothingToRetry):
        retry_request(request_id=pending.pk, principal=principal_of(world.alice), now=now())
    approve_request(
        request_id=pending.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    with pytest.raises(NothingToRetry):
        retry_request(request_id=pending.pk, principal=principal_of(world.alice), now=now())
    EnrollmentRequest.objects.update(last_fault="no key", quarantined_at=now(), attempts=8)
    retry_request(request_id=pending.pk, principal=principal_of(world.alice), now=now())
    request = fresh()
    assert (request.quarantined_at, request.attempts) == (None, 0)
    assert run_worker().issued == [pending.pk]
    assert AuditEntry.objects.filter(event="request:retry").count() == 1


def test_a_decision_never_changes(world: World, pending: EnrollmentRequest) -> None:
    approve_request(
        request_id=pending.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    with pytest.raises(IntegrityError), transaction.atomic():
        Decision.objects.update(asserted_by="another")
    with pytest.raises(IntegrityError), transaction.atomic():
        Decision.objects.all()._raw_delete("default")


def test_the_review_shows_the_past_of_key_and_name(
    world: World, pending: EnrollmentRequest
) -> None:
    approve_request(
        request_id=pending.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    run_worker()
    Device.named("r1.example", key="bob").enroll(dns_names=["r1.example"])
    second = EnrollmentRequest.objects.order_by("-id")[0]
    review = review_of(second)
    assert [request.pk for request in review.past.same_name_requests] == [pending.pk]
    assert [certificate.order_id for certificate in review.past.same_name_certificates] == [
        pending.pk
    ]
    assert review.past.same_key_requests == ()
    assert review.past.same_key_certificates == ()
    assert review.would_issue.subject == "CN=r1.example"
    assert review.would_issue.names == ("dns:r1.example",)
    assert review.requested_extensions == ("subjectAltName",)
    assert review.fingerprints.public_key == second.csr_spki_sha256


def test_a_vote_on_a_row_that_moved_meanwhile_is_told_so(
    world: World, pending: EnrollmentRequest
) -> None:
    EnrollmentProfile.objects.update(required_approvals=2)
    write = write_decision

    def move(request: EnrollmentRequest, *arguments: Any, **named: Any) -> Decision:
        EnrollmentRequest.objects.update(version=9)
        return write(request, *arguments, **named)

    with (
        mock.patch.object(decide, "write_decision", move),
        pytest.raises(AlreadyDecided, match="was faster"),
    ):
        approve_request(
            request_id=pending.pk, principal=principal_of(world.alice), comment="", now=now()
        )
    assert not Decision.objects.exists()


def test_a_request_that_expired_while_it_was_open_says_so(
    world: World, pending: EnrollmentRequest
) -> None:
    EnrollmentRequest.objects.update(state=State.EXPIRED)
    with pytest.raises(AlreadyDecided, match="This request is expired already"):
        approve_request(
            request_id=pending.pk, principal=principal_of(world.alice), comment="", now=now()
        )
