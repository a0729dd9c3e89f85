"""Decides on many requests at once: each on its own, with its own result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import InterfaceError, OperationalError

from accounts.principals import Principal
from approvals.decisions.decide import outcome_of, record_approval, reject_request
from approvals.models.decisions import Decision, Verdict
from approvals.operations.doorbell import ring
from approvals.rules.errors import (
    ApprovalsError,
)


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """The result of one row of a bulk decision."""

    request_id: UUID
    done: bool
    text: str


def decide_many(
    *,
    items: Sequence[tuple[UUID, str | None]],
    verdict: Verdict,
    principal: Principal,
    comment: str,
    now: datetime,
) -> list[DecisionResult]:
    """Decide on each of `items` (request, digest of the page) on its own; returns all results.

    Results are in order. A request that cannot be decided does not affect the others. The bell
    rings once per batch. If the database goes away, earlier decisions stand, and the results tell
    from which request on the result is unknown.
    """
    decide: Callable[..., Decision] = (
        record_approval if verdict == Verdict.APPROVE else reject_request
    )
    results: list[DecisionResult] = []
    for position, (request_id, view_sha256) in enumerate(items):
        try:
            decision = decide(
                request_id=request_id,
                principal=principal,
                comment=comment,
                view_sha256=view_sha256,
                now=now,
            )
            results.append(DecisionResult(request_id, done=True, text=outcome_of(decision)))
        except ApprovalsError as error:
            results.append(DecisionResult(request_id, done=False, text=str(error)))
        except (OperationalError, InterfaceError):
            results += cut_short([request_id for request_id, _ in items[position:]])
            break
    if verdict == Verdict.APPROVE:
        ring([result.request_id for result in results if result.done])
    return results


def cut_short(rest: Sequence[UUID]) -> list[DecisionResult]:
    """Return the results from the request at which the database went away.

    The first of them may be done.
    """
    first = "The database went away: look whether this one was done before it is tried again."
    texts = [first, *["The database went away: not tried."] * (len(rest) - 1)]
    return [
        DecisionResult(request_id, done=False, text=text)
        for request_id, text in zip(rest, texts, strict=True)
    ]
