"""Decides on many requests at once: each on its own, with its own result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import DatabaseError, InterfaceError, OperationalError

from accounts.principals import Principal
from approvals.decisions.decide import MAX_COMMENT, outcome_of, record_approval, reject_request
from approvals.decisions.review_digest import review_digest
from approvals.models.decisions import Decision, DecisionBatch, Verdict
from approvals.models.requests import EnrollmentRequest
from approvals.operations.doorbell import ring
from approvals.records.decision_content import BatchPlace, principal_facts
from approvals.rules.errors import ApprovalsError
from audit.merkle import merkle_root

Item = tuple[UUID, str | None]
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """The result of one row of a bulk decision."""

    request_id: UUID
    done: bool
    text: str


def decide_many(
    *,
    items: Sequence[Item],
    verdict: Verdict,
    principal: Principal,
    comment: str,
    now: datetime,
) -> list[DecisionResult]:
    """Decide on each of `items` (request, digest of the page) on its own; returns all results.

    Results are in order. A request that cannot be decided does not affect the others. The bell
    rings once per batch. If the database goes away, earlier decisions stand, and the results tell
    from which request on the result is unknown.

    The batch is on record before the first decision, and each document names it. Its `done` and
    `exceptions` are written after the last one; they remain null where the database or the process
    went away before.
    """
    if not items:
        return []
    try:
        batch = _open_batch(items, verdict, principal, comment, now=now)
    except (OperationalError, InterfaceError):
        return cut_short([request_id for request_id, _ in items])
    results = _decide_each(items, batch, principal, comment, now=now)
    _close_batch(batch, results)
    if verdict == Verdict.APPROVE:  # where a window is set, the sweep rings when it is over
        ring([result.request_id for result in results if result.done])
    return results


def _decide_each(
    items: Sequence[Item],
    batch: DecisionBatch,
    principal: Principal,
    comment: str,
    *,
    now: datetime,
) -> list[DecisionResult]:
    decide: Callable[..., Decision] = (
        record_approval if batch.verdict == Verdict.APPROVE else reject_request
    )
    results: list[DecisionResult] = []
    for position, (request_id, view_sha256) in enumerate(items):
        digest = batch.digests[position]  # of the view as it is, where the caller names none
        try:
            decision = decide(
                request_id=request_id,
                principal=principal,
                comment=comment,
                view_sha256=view_sha256 if view_sha256 is not None else digest or None,
                now=now,
                batch=BatchPlace(batch.root, batch.count, position),
            )
            results.append(DecisionResult(request_id, done=True, text=outcome_of(decision)))
        except ApprovalsError as error:
            results.append(DecisionResult(request_id, done=False, text=str(error)))
        except (OperationalError, InterfaceError):
            return results + cut_short([request_id for request_id, _ in items[position:]])
    return results


def _open_batch(
    items: Sequence[Item],
    verdict: Verdict,
    principal: Principal,
    comment: str,
    *,
    now: datetime,
) -> DecisionBatch:
    """Record the batch: the digest of each view, as it was seen or, where none was named, as it is
    now.
    """
    current = _digests_of([request_id for request_id, view_sha256 in items if view_sha256 is None])
    digests = [
        current.get(request_id, "") if view_sha256 is None else view_sha256
        for request_id, view_sha256 in items
    ]
    return DecisionBatch.objects.create(
        principal=principal_facts(principal),
        verdict=verdict,
        reason=comment.strip()[:MAX_COMMENT],
        digests=digests,
        root=merkle_root([digest.encode() for digest in digests]).hex(),
        count=len(items),
        decided_at=now,
    )


def _digests_of(requests: Sequence[UUID]) -> dict[UUID, str]:
    related = ("profile__department", "profile_version", "ca", "validation")
    rows = EnrollmentRequest.objects.select_related(*related)
    return {
        request.pk: review_digest(request)
        for start in range(0, len(requests), _CHUNK)
        for request in rows.filter(pk__in=requests[start : start + _CHUNK])
    }


def _close_batch(batch: DecisionBatch, results: Sequence[DecisionResult]) -> None:
    """Write down how many were decided and what was not; left null where the database is away.

    Where nothing was decided, no decision leads to the reason: it is erased at once.
    """
    exceptions = [
        {"request": str(result.request_id), "text": result.text}
        for result in results
        if not result.done
    ]
    done = len(results) - len(exceptions)
    reason = batch.reason if done else ""
    try:
        DecisionBatch.objects.filter(pk=batch.pk).update(
            done=done, exceptions=exceptions, reason=reason
        )
    except (DatabaseError, InterfaceError):
        return


def cut_short(rest: Sequence[UUID]) -> list[DecisionResult]:
    """Return the results from the request at which the database went away.

    The first of them may be done.
    """
    first = "Database error: open this request and look whether it is done before you try again."
    texts = [first, *["Database error: not tried. Try again later."] * (len(rest) - 1)]
    return [
        DecisionResult(request_id, done=False, text=text)
        for request_id, text in zip(rest, texts, strict=True)
    ]
