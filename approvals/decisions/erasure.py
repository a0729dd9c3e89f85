"""Erases the comment on a decision and each copy of it; the documents verify as before (ADR 44).

Copies stand in the reason of a rejected request, in the batch of the decision and in its other
decisions, in the private values of entries that version 0.1.0 wrote, and in stored answers to the
device, which the caller deletes: `exchanges` is above this package.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction

from accounts.principals import Principal, PrincipalKind
from approvals.models.decisions import Decision, DecisionBatch, DecisionComment, Verdict
from approvals.models.requests import EnrollmentRequest
from approvals.records.transitions import department_of
from approvals.rules.errors import CauseMissing, NothingToErase, NotPermitted
from approvals.rules.states import State
from audit.events import Event, Personal, Subject
from audit.log import record
from audit.models import AuditPrivateValue

#: What the device, the pages and the validation service are told in place of an erased reason.
ERASED_REASON: Final = "rejected by an officer; the reason was erased"
MAX_WHY: Final = 1000
_CHUNK: Final = 500

#: Deletes the stored answers that told the devices of these rejected requests why; returns how many
#: of each request.
DropAnswers = Callable[[Sequence[EnrollmentRequest]], "Counter[UUID]"]


@dataclass(frozen=True, slots=True)
class Erased:
    """One decision whose comment was erased, its request, and how many stored answers went."""

    decision: Decision
    request: EnrollmentRequest
    answers: int


def erase_comment(
    *, decision_id: UUID, why: str, principal: Principal, drop_answers: DropAnswers, now: datetime
) -> list[Erased]:
    """Erase a comment; one on a batch is erased in all decisions of the batch.

    Only the operator erases, by command. Locks the requests. Each decision gets an audit entry with
    `why`, and without the text. Raises NotPermitted, CauseMissing, and NothingToErase for an
    unknown decision and where no text is left.
    """
    if principal.kind is not PrincipalKind.COMMAND:
        raise NotPermitted("Comments are erased by the operator: ./portal requests erase")
    if not why.strip():
        raise CauseMissing("Say why the comment is erased: the log keeps it in place of the text.")
    with transaction.atomic():
        decision = Decision.objects.filter(pk=decision_id).first()
        if decision is None:
            raise NothingToErase(f"decision {decision_id}: not known")
        batches = _batches_of(decision)
        decisions = _decisions_in(batches) if batches else [decision]
        emptied = DecisionBatch.objects.filter(pk__in=[batch.pk for batch in batches])
        was_in_batch = emptied.exclude(reason="").update(reason="")
        erased = [
            item
            for start in range(0, len(decisions), _CHUNK)
            for item in _erase(decisions[start : start + _CHUNK], drop_answers)
        ]
        if not erased and not was_in_batch:
            raise NothingToErase(f"decision {decision_id}: it has no comment, or it is erased")
        erased = erased or [Erased(decision, _lock([decision])[decision.request_id], answers=0)]
        for item in erased:
            _record(item, why=why.strip()[:MAX_WHY], principal=principal, now=now)
    return erased


def _erase(decisions: Sequence[Decision], drop_answers: DropAnswers) -> list[Erased]:
    """Erase the texts of some decisions and their copies; returns those that had any."""
    requests = _lock(decisions)
    comments = DecisionComment.objects.filter(decision__in=decisions)
    copies = AuditPrivateValue.objects.filter(
        entry__subject_kind="request",
        entry__subject_id__in=[str(key) for key in requests],
        entry__data__decision__in=[str(decision.pk) for decision in decisions],
        path="data.comment",
    )
    had = set(comments.values_list("decision_id", flat=True))
    had |= {UUID(key) for key in copies.values_list("entry__data__decision", flat=True)}
    rejected = {
        decision.request_id: requests[decision.request_id]
        for decision in decisions
        if _is_reason(decision, requests[decision.request_id])
    }
    told = {key for key, request in rejected.items() if request.reason != ERASED_REASON}
    answers = drop_answers(list(rejected.values()))
    comments.delete()
    copies.delete()
    EnrollmentRequest.objects.filter(pk__in=told).update(reason=ERASED_REASON)
    return [
        Erased(decision, requests[key], answers[key] if key in rejected else 0)
        for decision in decisions
        if (key := decision.request_id) in told
        or decision.pk in had
        or (key in rejected and answers[key])
    ]


def _lock(decisions: Sequence[Decision]) -> dict[UUID, EnrollmentRequest]:
    """Return the requests of decisions by key, locked until the transaction ends."""
    rows = EnrollmentRequest.objects.select_for_update(of=("self",), no_key=True)
    keys = [decision.request_id for decision in decisions]
    return {
        request.pk: request
        for request in rows.select_related("profile__department")
        .filter(pk__in=keys)
        .order_by("pk")  # as the signing worker takes them
    }


def _is_reason(decision: Decision, request: EnrollmentRequest) -> bool:
    """Whether the comment is what the request stands rejected for: no undo, no later round."""
    return (
        decision.verdict == Verdict.REJECT
        and decision.officer_id is not None
        and State(request.state) is State.REJECTED
        and request.round == decision.round
    )


def _batches_of(decision: Decision) -> list[DecisionBatch]:
    root = _root_of(decision)
    rows = DecisionBatch.objects.filter(root=root, decided_at=decision.decided_at)
    return list(rows) if root else []


def _decisions_in(batches: list[DecisionBatch]) -> list[Decision]:
    """Return the decisions of some batches, in the order of their requests."""
    roots = {batch.root for batch in batches}
    rows = Decision.objects.filter(decided_at=batches[0].decided_at).order_by("request_id")
    return [decision for decision in rows if _root_of(decision) in roots]


def _root_of(decision: Decision) -> str:
    place = json.loads(bytes(decision.document)).get("batch")
    return str(place["root"]) if place else ""


def _record(item: Erased, *, why: str, principal: Principal, now: datetime) -> None:
    record(
        Event.COMMENT_ERASE,
        actor=principal.actor,
        now=now,
        subject=Subject.of("request", item.request.pk),
        data={
            "decision": str(item.decision.pk),
            "because": Personal(why),
            "answers": item.answers,
        },
        department=department_of(item.request.profile),
    )
