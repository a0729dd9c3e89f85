"""Decide on many requests at once: each on its own, with a result for each."""

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
    """What became of one row of a bulk decision."""

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
    """Decide on each of `items` (request, digest of what was seen) on its own; returns the result
    of each, in order.

    One that cannot be decided does not hold up the others. The bell rings once per batch. Where the
    database goes away, what was decided before stands, and the results say from which request on
    nothing is known.
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
    """Return the results of requests at which, and after which, the database went away: the first
    may be done.
    """
    first = "The database went away: look whether this one was done before it is tried again."
    texts = [first, *["The database went away: not tried."] * (len(rest) - 1)]
    return [
        DecisionResult(request_id, done=False, text=text)
        for request_id, text in zip(rest, texts, strict=True)
    ]
