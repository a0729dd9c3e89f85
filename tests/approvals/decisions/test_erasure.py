"""Erasing the comment on a decision: the text goes everywhere, and everything still verifies."""

from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest

from accounts.principals import Principal, PrincipalKind
from approvals.decisions.batch import decide_many
from approvals.decisions.decide import approve_request, reject_request, reopen_request
from approvals.decisions.erasure import ERASED_REASON, erase_comment
from approvals.decisions.undo import undo_decision
from approvals.enrollment.answers import answer_of
from approvals.models.decisions import Decision, DecisionBatch, DecisionComment, Verdict
from approvals.models.requests import EnrollmentRequest
from approvals.reading.timeline import timeline_of
from approvals.records.decision_documents import verify_comment, verify_decision
from approvals.rules.errors import CauseMissing, NothingToErase, NotPermitted, Refusal
from audit.models import AuditEntry, AuditPrivateValue
from database.ids import uuid7
from exchanges.models import Exchange
from exchanges.storage import drop_rejections
from pkiportal.doctor.invariants import check_invariants
from tests.pkiportal.commands import run, run_json
from tests.world import Device, World, now, principal_of

OPERATOR = Principal(PrincipalKind.COMMAND, name="root")
WORDS = "Ms Example asked for it"


@pytest.fixture
def device(world: World) -> Device:
    device = Device.named("r1.example")
    device.enroll()
    return device


@pytest.fixture
def waiting(device: Device) -> EnrollmentRequest:
    return EnrollmentRequest.objects.get()


def reject(world: World, request: EnrollmentRequest, words: str = WORDS) -> Decision:
    return reject_request(
        request_id=request.pk, principal=principal_of(world.alice), comment=words, now=now()
    )


def decide_all(world: World, requests: list[EnrollmentRequest], words: str) -> None:
    decide_many(
        items=[(request.pk, None) for request in requests],
        verdict=Verdict.REJECT,
        principal=principal_of(world.alice),
        comment=words,
        now=now(),
    )


def erase(decision: Decision) -> list[str]:
    erased = erase_comment(
        decision_id=decision.pk,
        why="her letter of May",
        principal=OPERATOR,
        drop_answers=drop_rejections,
        now=now(),
    )
    return sorted(item.request.subject for item in erased)


def database_text() -> str:
    """All rows that could hold the words of an officer."""
    models = (
        AuditEntry,
        AuditPrivateValue,
        Decision,
        DecisionBatch,
        DecisionComment,
        EnrollmentRequest,
        Exchange,
    )
    return str([list(model.objects.values()) for model in models])


def test_a_device_reads_a_plain_text_in_place_of_the_reason(
    world: World, device: Device, waiting: EnrollmentRequest
) -> None:
    decision = reject(world, waiting)
    assert WORDS in (device.poll().fail_info_text or "")
    assert Exchange.objects.filter(text__contains=WORDS).exists()

    shown = run_json("requests", "show", str(waiting.pk))["decisions"][0]
    assert shown["id"] == str(decision.pk)
    erased = run_json("requests", "erase", shown["id"], "--because", "her letter of May")
    assert erased == {
        "decisions": [str(decision.pk)],
        "requests": [str(waiting.pk)],
        "messages": 1,
    }

    assert WORDS not in database_text()
    assert (device.poll().fail_info_text or "").startswith(ERASED_REASON)
    assert ERASED_REASON in run("requests", "show", str(waiting.pk))
    assert "(comment erased)" in run("requests", "show", str(waiting.pk))
    assert check_invariants().violations == ()


def test_other_refusals_of_the_device_stay(
    world: World, device: Device, waiting: EnrollmentRequest
) -> None:
    decision = reject(world, waiting)
    device.poll()
    told = Exchange.objects.get()
    own, cause = told.transaction_id, told.cause
    for told.transaction_id, told.cause in ((own, "challenge-wrong"), ("another", cause)):
        told.pk = uuid7()
        told.save(force_insert=True)
    assert Exchange.objects.count() == 3
    erase(decision)
    assert sorted(Exchange.objects.values_list("transaction_id", flat=True)) == sorted(
        ["another", waiting.transaction_id]
    )
    assert AuditEntry.objects.get(event="comment:erase").data["answers"] == 1


def test_an_answer_that_was_stored_late_goes_with_the_next_erasure(
    world: World, device: Device, waiting: EnrollmentRequest
) -> None:
    decision = reject(world, waiting)
    device.poll()
    (late,) = Exchange.objects.all()
    erase(decision)
    late.received_at = decision.decided_at - timedelta(seconds=1)  # it began before the decision
    late.save(force_insert=True)
    assert WORDS in database_text()
    assert erase(decision) == ["CN=r1.example"]
    assert WORDS not in database_text()


def test_no_refusal_goes_with_the_comment_on_an_approval(
    world: World, device: Device, waiting: EnrollmentRequest
) -> None:
    reject(world, waiting, "an old router")
    device.poll()
    reopen_request(
        request_id=waiting.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    decision = approve_request(
        request_id=waiting.pk, principal=principal_of(world.alice), comment=WORDS, now=now()
    )
    erase(decision)
    assert Exchange.objects.count() == 1


def test_a_batch_that_decided_nothing_keeps_no_reason(
    world: World, waiting: EnrollmentRequest
) -> None:
    reject(world, waiting, "an old router")
    decide_all(world, [waiting], WORDS)
    batch = DecisionBatch.objects.get()
    assert (batch.done, batch.reason) == (0, "")
    assert WORDS not in database_text()


def test_an_erased_decision_verifies(world: World, waiting: EnrollmentRequest) -> None:
    decision = approve_request(
        request_id=waiting.pk, principal=principal_of(world.alice), comment=WORDS, now=now()
    )
    assert erase(decision) == ["CN=r1.example"]
    kept = Decision.objects.get()
    verify_decision(kept, EnrollmentRequest.objects.get())
    verify_comment(kept)
    assert WORDS not in database_text()
    assert check_invariants().violations == ()


def test_the_log_says_who_erased_which_comment_and_why(
    world: World, waiting: EnrollmentRequest
) -> None:
    decision = reject(world, waiting)
    erase(decision)
    moment = timeline_of(EnrollmentRequest.objects.get())[-1]
    assert (moment.event, moment.who) == ("comment:erase", "root")
    assert ("because", "her letter of May") in moment.details
    entry = AuditEntry.objects.get(event="comment:erase")
    assert entry.data["decision"] == str(decision.pk)
    assert "letter" not in str(entry.data)


def test_a_comment_on_many_requests_is_one_comment(world: World) -> None:
    for number in (1, 2, 3):
        Device.named(f"r{number}.example", key=f"device-{number}").enroll()
    requests = list(EnrollmentRequest.objects.order_by("id"))
    decide_all(world, requests[2:], "no site")
    decide_all(world, requests[:2], WORDS)
    assert erase(Decision.objects.get(request=requests[0])) == ["CN=r1.example", "CN=r2.example"]
    assert WORDS not in database_text()
    assert AuditEntry.objects.filter(event="comment:erase").count() == 2
    assert DecisionComment.objects.get().text == "no site"
    assert EnrollmentRequest.objects.get(pk=requests[2].pk).reason == "no site"
    assert check_invariants().violations == ()


def test_copies_go_where_the_row_itself_was_deleted_by_hand(
    world: World, waiting: EnrollmentRequest
) -> None:
    decision = reject(world, waiting)
    DecisionComment.objects.all().delete()
    assert erase(decision) == ["CN=r1.example"]
    assert WORDS not in database_text()


def test_an_entry_of_version_1_gives_its_copy_too(world: World, waiting: EnrollmentRequest) -> None:
    decision = reject(world, waiting)
    entry = AuditEntry.objects.get(event="request:reject")
    AuditPrivateValue.objects.create(entry=entry, path="data.comment", salt=b"s" * 16, value=WORDS)
    erase(decision)
    assert WORDS not in database_text()


def test_a_later_reason_of_the_request_stays(world: World, waiting: EnrollmentRequest) -> None:
    decision = reject(world, waiting)
    reopen_request(
        request_id=waiting.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    reject(world, waiting, "an old router")
    erase(decision)
    request = EnrollmentRequest.objects.get()
    assert request.reason == "an old router"
    answer = answer_of(request, now=now())
    assert isinstance(answer, Refusal)
    assert answer.text == "an old router"


def test_the_comment_of_an_undo_is_erased_like_any_other(
    world: World, waiting: EnrollmentRequest
) -> None:
    type(world.profile).objects.update(undo_window=timedelta(minutes=1))
    reject(world, waiting, "an old router")
    undo = undo_decision(
        request_id=waiting.pk, principal=principal_of(world.alice), comment=WORDS, now=now()
    )
    erase(undo)
    assert WORDS not in database_text()
    assert DecisionComment.objects.get().text == "an old router"


def test_only_what_is_there_is_erased_and_only_by_the_operator(
    world: World, waiting: EnrollmentRequest
) -> None:
    decision = reject(world, waiting)
    partly = partial(erase_comment, drop_answers=drop_rejections, now=now())
    with pytest.raises(NotPermitted, match="requests erase"):
        partly(decision_id=decision.pk, why="x", principal=principal_of(world.alice))
    with pytest.raises(CauseMissing, match="Say why"):
        partly(decision_id=decision.pk, why=" ", principal=OPERATOR)
    with pytest.raises(NothingToErase, match="not known"):
        partly(decision_id=uuid4(), why="x", principal=OPERATOR)
    assert WORDS in database_text()
    erase(decision)
    with pytest.raises(NothingToErase, match="or it is erased"):
        erase(decision)
    assert AuditEntry.objects.filter(event="comment:erase").count() == 1
