"""An officer takes a decision back before it takes effect: of a colleague, or their own."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from accounts.principals import Principal
from approvals.decisions.decide import MAX_COMMENT, fresh_round, load_for_decision, take_step
from approvals.decisions.review_digest import review_digest
from approvals.models.decisions import Decision, Verdict
from approvals.models.requests import EnrollmentRequest
from approvals.records.barred_keys import key_fault
from approvals.records.decision_content import Basis
from approvals.records.decision_documents import decision_facts, facts_seen, write_decision
from approvals.rules.errors import NothingToUndo
from approvals.rules.states import State, Step

_DECIDED = (State.APPROVED, State.REJECTED)


def undo_decision(
    *, request_id: UUID, principal: Principal, comment: str, now: datetime
) -> Decision:
    """Take back the decision on a request, which waits in a new round of decisions from then on.

    Possible until `effective_at` of the request, from an approval as from a rejection; the step is
    a conditional UPDATE, so a worker that began meanwhile keeps the request. The undo is a decision
    of its own, whose document names the one it takes back. Raises NotPermitted, NothingToUndo, and
    AlreadyDecided where the request has moved.
    """
    with transaction.atomic():
        request = load_for_decision(request_id, principal, now=now)
        decision = _standing_decision(request, now=now)
        basis = Basis(
            review_digest(request),
            facts_seen(request, key_fault(request), now=now),
            undo_of=decision,
        )
        undo = write_decision(
            request,
            Verdict.UNDO,
            principal=principal,
            comment=comment.strip()[:MAX_COMMENT],
            basis=basis,
            now=now,
        )
        data = {**decision_facts(undo), "undo_of": str(decision.pk)}
        changes = fresh_round(request, now=now)
        take_step(request, Step.UNDO, actor=principal.actor, now=now, data=data, **changes)
    return undo


def _standing_decision(request: EnrollmentRequest, *, now: datetime) -> Decision:
    """The last decision of the round, if the request is decided and that is not in effect yet."""
    if State(request.state) not in _DECIDED or request.effective_at is None:
        raise NothingToUndo(
            f"The request is {request.state.lower()}: there is no decision to take back."
        )
    if now >= request.effective_at:
        raise NothingToUndo(
            f"The decision took effect at {request.effective_at:%H:%M:%S} UTC: it is too late to "
            "take it back."
        )
    decision = request.decisions.filter(round=request.round).order_by("-decided_at", "-id").first()
    if decision is None:
        raise NothingToUndo("No decision stands that could be taken back.")
    return decision
