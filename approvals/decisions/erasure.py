"""Erases the comment on a decision and each copy of it; the documents verify as before (ADR 44).

Copies stand in the reason of a rejected request, in the batch of the decision and in its other
decisions, and in the private values of entries that version 0.1.0 wrote. What the database keeps of
answers to the device is with `exchanges.storage`.
"""

import json
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


@dataclass(frozen=True, slots=True)
class Erased:
    """One decision whose comment was erased, and its request."""

    decision: Decision
    request: EnrollmentRequest


def erase_comment(
    *, decision_id: UUID, why: str, principal: Principal, now: datetime
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
        erased = [item for item in map(_erase, decisions) if item is not None]
        if not erased and not was_in_batch:
            raise NothingToErase(f"decision {decision_id}: it has no comment, or it is erased")
        erased = erased or [_of(decision)]
        for item in erased:
            _record(item, why=why.strip()[:MAX_WHY], principal=principal, now=now)
    return erased


def _erase(decision: Decision) -> Erased | None:
    """Erase the text of one decision and its copies; None where none was left."""
    item = _of(decision)
    count = DecisionComment.objects.filter(decision=decision).delete()[0]
    if _is_reason(item):
        rows = EnrollmentRequest.objects.filter(pk=item.request.pk).exclude(reason=ERASED_REASON)
        count += rows.update(reason=ERASED_REASON)
    count += AuditPrivateValue.objects.filter(
        entry__subject_kind="request",
        entry__subject_id=str(item.request.pk),
        entry__data__decision=str(decision.pk),
        path="data.comment",
    ).delete()[0]
    return item if count else None


def _of(decision: Decision) -> Erased:
    """Return a decision with its request, which stays locked until the transaction ends."""
    rows = EnrollmentRequest.objects.select_for_update(of=("self",), no_key=True)
    return Erased(decision, rows.select_related("profile__department").get(pk=decision.request_id))


def _is_reason(item: Erased) -> bool:
    """Whether the comment is what the request stands rejected for: no undo, no later round."""
    return (
        item.decision.verdict == Verdict.REJECT
        and item.decision.officer_id is not None
        and State(item.request.state) is State.REJECTED
        and item.request.round == item.decision.round
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
        data={"decision": str(item.decision.pk), "because": Personal(why)},
        department=department_of(item.request.profile),
    )
