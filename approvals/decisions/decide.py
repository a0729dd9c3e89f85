"""An officer approves or rejects. Pages, commands and the API are doors to these functions.

Each decision is one transaction: permission, the decision with the digest of the page, the state,
the audit entry. The bell of the worker rings after the commit. Two officers at the same time make
one decision: the conditional UPDATE lets one through.
"""

from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F

from accounts.people.changes import recent_changes
from accounts.permissions import can
from accounts.principals import Evidence, Principal
from accounts.roles import Verb
from approvals.challenges.onetime import is_made_by
from approvals.decisions.review_digest import review_digest
from approvals.models.decisions import Decision, Verdict
from approvals.models.requests import EnrollmentRequest, EnrollmentTransaction
from approvals.operations.doorbell import ring
from approvals.records.barred_keys import key_fault
from approvals.records.decision_content import Basis, BatchPlace
from approvals.records.decision_documents import (
    change_facts,
    decision_facts,
    facts_seen,
    refuse_changed_account,
    write_decision,
)
from approvals.records.transitions import advance, department_of
from approvals.records.validation_gate import require_reopenable, require_validation
from approvals.records.votes import votes_on
from approvals.rules.errors import (
    AlreadyDecided,
    AlreadyVoted,
    KeyRefused,
    NotPermitted,
    OwnChallenge,
    ReasonMissing,
    RequestChanged,
)
from approvals.rules.states import REFUSED_STATES, State, Step, StepNotAllowed
from audit.events import Actor, Event, Personal, Subject
from audit.log import record

MAX_COMMENT = 1000
OWN_CHALLENGE = (
    "You made the challenge that this request used: another officer approves it. You may reject it."
)


def approve_request(
    *,
    request_id: UUID,
    principal: Principal,
    comment: str,
    now: datetime,
    view_sha256: str | None = None,
) -> Decision:
    """Record an approval; with the last one needed, order the certificate and ring.

    `view_sha256` is the digest of the officer's page; a request that has changed since is not
    decided on (RequestChanged). Raises NotPermitted, AlreadyDecided, AlreadyVoted, NotValidated,
    KeyRefused, and OwnChallenge for the author of the one-time challenge that opened the request.
    """
    decision = record_approval(
        request_id=request_id,
        principal=principal,
        comment=comment,
        view_sha256=view_sha256,
        now=now,
    )
    if decision.effective_at <= now:  # else the sweep rings when it takes effect
        ring([request_id])
    return decision


def reject_request(
    *,
    request_id: UUID,
    principal: Principal,
    comment: str,
    now: datetime,
    view_sha256: str | None = None,
    batch: BatchPlace | None = None,
) -> Decision:
    """Record a rejection; its reason reaches the device.

    Raises ReasonMissing, and the errors of `approve_request`.
    """
    reason = comment.strip()[:MAX_COMMENT]
    if not reason:
        raise ReasonMissing(
            "Write a reason: the device and the technician in front of it are shown it."
        )
    with transaction.atomic():
        request = load_for_decision(request_id, principal, now=now)
        digest = _check_view(request, view_sha256)
        decision = _vote(
            request,
            Verdict.REJECT,
            principal=principal,
            comment=reason,
            basis=Basis(digest, facts_seen(request, key_fault(request), now=now), batch),
            now=now,
        )
        take_step(
            request,
            Step.REJECT,
            actor=principal.actor,
            now=now,
            data=decision_facts(decision),
            reason=reason,
            decided_at=now,
            effective_at=decision.effective_at,
            next_attempt_at=decision.effective_at if decision.effective_at > now else None,
        )
    return decision


def outcome_of(decision: Decision) -> str:
    """Return the result of a decision: "approved", "rejected", or "1 of 2 approvals"."""
    votes = votes_on([decision.request]).get(decision.request_id)
    return decision.get_verdict_display() if votes is None else str(votes)


def reopen_request(
    *,
    request_id: UUID,
    principal: Principal,
    comment: str,
    now: datetime,
    view_sha256: str | None = None,
) -> None:
    """Return a refused or failed request to the officers, in a new round of decisions.

    Raises NotValidated, and RequestChanged if the request differs from `view_sha256`.
    """
    with transaction.atomic():
        request = load_for_decision(request_id, principal, now=now)
        _require_seen(request, view_sha256)
        if State(request.state) in REFUSED_STATES:
            require_reopenable(request)
        changes = fresh_round(request, now=now)
        try:
            with transaction.atomic():
                marks = change_facts(
                    recent_changes(principal.user, now=now) if principal.user else []
                )
                facts = {"comment": Personal(comment[:MAX_COMMENT]), **marks}
                take_step(
                    request, Step.REOPEN, actor=principal.actor, now=now, data=facts, **changes
                )
        except IntegrityError:
            raise AlreadyDecided(
                "The same key has a newer open request: decide on that one."
            ) from None
        _return_transaction(request)


def fresh_round(request: EnrollmentRequest, *, now: datetime) -> dict[str, object]:
    """Begin a new round of decisions, and return the columns that begin with it."""
    request.round += 1
    return {
        "round": request.round,
        "reason": "",
        "decided_at": None,
        "effective_at": None,
        "finished_at": None,
        "attempts": 0,
        "last_fault": "",
        "quarantined_at": None,
        "next_attempt_at": None,
        "expires_at": now + request.profile.request_ttl,
    }


def _return_transaction(request: EnrollmentRequest) -> None:
    """Point the device's transaction to this request again if its later request was refused too."""
    EnrollmentTransaction.objects.filter(
        profile_id=request.profile_id,
        transaction_id=request.transaction_id,
        signer_spki_sha256=request.signer_spki_sha256,
        renews=request.renews_id,
        request__state__in=REFUSED_STATES,
    ).update(request=request)


def record_approval(
    *,
    request_id: UUID,
    principal: Principal,
    comment: str,
    now: datetime,
    view_sha256: str | None = None,
    batch: BatchPlace | None = None,
) -> Decision:
    """As `approve_request`, without ringing."""
    with transaction.atomic():
        request = load_for_decision(request_id, principal, now=now)
        if principal.user is not None and is_made_by(principal.user, request):
            raise OwnChallenge(OWN_CHALLENGE)
        digest = _check_view(request, view_sha256)
        fault = key_fault(request)
        if State(request.state) is State.PENDING:
            require_validation(request)
            if fault:
                raise KeyRefused(
                    f"No certificate may be issued: {fault}. Reject it; the device needs a new key."
                )
        text = comment.strip()[:MAX_COMMENT]
        basis = Basis(digest, facts_seen(request, fault, now=now), batch)
        decision = _vote(
            request, Verdict.APPROVE, principal=principal, comment=text, basis=basis, now=now
        )
        if request.profile.required_approvals > 1:
            votes = request.decisions.filter(round=request.round, verdict=Verdict.APPROVE).count()
            if votes < request.profile.required_approvals:
                _record_vote(request, decision, actor=principal.actor, votes=votes, now=now)
                return decision
        take_step(
            request,
            Step.APPROVE,
            actor=principal.actor,
            now=now,
            data=decision_facts(decision),
            decided_at=now,
            effective_at=decision.effective_at,
            next_attempt_at=decision.effective_at,
        )
    return decision


def _record_vote(
    request: EnrollmentRequest, decision: Decision, *, actor: Actor, votes: int, now: datetime
) -> None:
    """Record an approval that is not the last; the version moves so that others see a change."""
    rows = EnrollmentRequest.objects.filter(
        pk=request.pk, version=request.version, state=State.PENDING
    )
    if not rows.update(version=F("version") + 1):
        raise AlreadyDecided(
            "Another officer was faster: this request has changed. Nothing was done twice."
        )
    record(
        Event.REQUEST_APPROVE,
        actor=actor,
        now=now,
        subject=Subject.of("request", request.pk, request.version + 1),
        data={
            "votes": votes,
            "needed": request.profile.required_approvals,
            **decision_facts(decision),
        },
        department=department_of(request.profile),
    )


def load_for_decision(
    request_id: UUID, principal: Principal, *, now: datetime, verb: Verb = Verb.REQUEST_DECIDE
) -> EnrollmentRequest:
    """Lock the request's row and return it.

    Raises NotPermitted where the principal may not do `verb` to it, or the profile wants other
    evidence.
    """
    rows = EnrollmentRequest.objects.select_for_update(of=("self",), no_key=True).select_related(
        "profile__department", "profile_version", "ca", "validation"
    )
    request = next(
        iter(rows.filter(pk=request_id)), None
    )  # `first` sorts, which costs a third more
    if request is None or principal.user is None or not can(principal.user, verb, request):
        raise NotPermitted("There is no such request, or it is not yours to decide on.")
    if principal.evidence == Evidence.ASSERTED and not request.profile.allow_asserted_decisions:
        raise NotPermitted(
            f"Profile {request.profile.slug} takes decisions from signed-in officers only."
        )
    if verb is Verb.REQUEST_DECIDE:
        refuse_changed_account(request.profile, principal, now=now)
    return request


def _check_view(request: EnrollmentRequest, view_sha256: str | None) -> str:
    digest = review_digest(request)
    if view_sha256 is not None and view_sha256 != digest:
        if State(request.state) not in (State.PENDING, State.FAILED):
            raise AlreadyDecided(f"{_who_decided(request)}. Nothing was done twice.")
        raise RequestChanged(
            "The request changed after you opened it: look at it again, then decide."
        )
    return digest


def _require_seen(request: EnrollmentRequest, view_sha256: str | None) -> None:
    if view_sha256 is not None and view_sha256 != review_digest(request):
        raise RequestChanged(
            "The request changed after you opened it: look at it again, then open it again."
        )


def _vote(
    request: EnrollmentRequest,
    verdict: Verdict,
    *,
    principal: Principal,
    comment: str,
    basis: Basis,
    now: datetime,
) -> Decision:
    if State(request.state) is not State.PENDING and not (
        State(request.state) is State.FAILED and verdict == Verdict.REJECT
    ):
        raise AlreadyDecided(f"{_who_decided(request)}. Nothing was done twice.")
    write = partial(
        write_decision,
        request,
        verdict,
        principal=principal,
        comment=comment,
        basis=basis,
        now=now,
    )
    try:
        with transaction.atomic():
            return write()
    except IntegrityError:
        raise AlreadyVoted("You have voted on this request in this round already.") from None


def take_step(request: EnrollmentRequest, step: Step, **arguments: object) -> None:
    try:
        advance(request, step, **arguments)  # type: ignore[arg-type]  # passed through as named
    except StepNotAllowed as error:
        raise AlreadyDecided(
            f"This is not possible any more: the request is {error.state.lower()}."
        ) from error


def _who_decided(request: EnrollmentRequest) -> str:
    decision = (
        request.decisions.filter(round=request.round)
        .select_related("officer")
        .order_by("-decided_at")
        .first()
    )
    if decision is None:
        return f"This request is {request.state.lower()} already"
    who = decision.officer or "the policy"
    return (
        f"Already {decision.get_verdict_display()} by {who} at {decision.decided_at:%H:%M:%S} UTC"
    )
