"""The page of one request, and what an officer does there: approve, reject, reopen, retry."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.doors import person, principal_of, requires
from accounts.roles import Verb
from accounts.sign_in.drafts import Draft, take_draft
from approvals.decisions import decide
from approvals.decisions import retry as again
from approvals.decisions.review_digest import review_of
from approvals.models.decisions import Decision, Verdict
from approvals.models.requests import EnrollmentRequest
from approvals.pages.decision_forms import DecisionForm, ReopenForm
from approvals.pages.polling import live
from approvals.reading.queue import requests_of
from approvals.reading.timeline import timeline_of
from approvals.records.barred_keys import key_fault
from approvals.records.name_conflicts import conflicts_of
from approvals.records.validation_gate import closed_for_good, missing_validation, state_of
from approvals.records.votes import votes_on
from approvals.rules.errors import (
    AlreadyDecided,
    AlreadyVoted,
    ApprovalsError,
    KeyRefused,
    NotPermitted,
    NotValidated,
    OwnChallenge,
    RequestChanged,
)
from approvals.rules.states import OPEN_STATES, State

_STATUS: Final[dict[type[ApprovalsError], int]] = {
    NotPermitted: 404,
    OwnChallenge: 403,
    AlreadyDecided: 409,
    AlreadyVoted: 409,
    RequestChanged: 409,
    NotValidated: 409,
    KeyRefused: 409,
}


@never_cache
@require_safe
@requires(Verb.REQUEST_VIEW)
def request_page(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Everything there is to judge a request by."""
    draft = take_draft(request)
    words = {draft.text("verb"): draft.text("words")} if draft else {}
    return _request_page(request, _visible_request(request, request_id), words=words)


@require_safe
@requires(Verb.REQUEST_VIEW)
def request_live(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """The parts of a request's page that move: state, timeline, and the decision form once it is of
    no use.
    """
    wanted = _visible_request(request, request_id)
    context = _live_context(request, wanted)
    context["is_stale"] = request.GET.get("was") not in (None, context["stage"])
    return live(request, "approvals/requests/live.html", context, every=_pace(wanted))


def _draft_of_request(request: HttpRequest, request_id: UUID) -> Draft:
    """What was typed on the page of a request, and for which verb."""
    words = request.POST.get("comment", "")[: decide.MAX_COMMENT]
    return Draft(
        reverse("request", args=[request_id]),
        {"verb": request.path.rpartition("/")[2], "words": words},
    )


@require_POST
@requires(Verb.REQUEST_DECIDE, draft=_draft_of_request)
def approve(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Approve as seen."""
    return _decide_one(request, request_id, decide.approve_request)


@require_POST
@requires(Verb.REQUEST_DECIDE, draft=_draft_of_request)
def reject(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Reject with a reason."""
    return _decide_one(request, request_id, decide.reject_request)


@require_POST
@requires(Verb.REQUEST_DECIDE, draft=_draft_of_request)
def reopen(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Put a refused or failed request before the officers again."""
    form = ReopenForm(request.POST)
    chosen = form.cleaned_data if form.is_valid() else {"comment": "", "view_sha256": ""}
    step = partial(decide.reopen_request, **chosen)
    return _step(request, request_id, step, "Open again: it waits for a decision.")


@require_POST
@requires(Verb.REQUEST_RETRY)
def retry(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Let the worker try again at once."""
    return _step(request, request_id, again.retry_request, "The worker tries again now.")


def _decide_one(
    request: HttpRequest, request_id: UUID, use_case: Callable[..., Decision]
) -> HttpResponse:
    wanted = _visible_request(request, request_id, Verb.REQUEST_DECIDE)
    form = DecisionForm(request.POST)
    typed = _draft_of_request(request, request_id)
    words = {typed.text("verb"): typed.text("words")}
    if not form.is_valid():
        return _request_page(request, wanted, form, words=words, status=422)
    data = form.cleaned_data
    try:
        decision = use_case(
            request_id=request_id, principal=principal_of(request), now=timezone.now(), **data
        )
    except ApprovalsError as error:
        form.add_error(None, str(error))
        wanted = _visible_request(request, request_id)
        return _request_page(
            request, wanted, form, words=words, status=_STATUS.get(type(error), 422)
        )
    messages.success(request, _what_was_done(decision))
    return redirect("request", request_id=request_id)


def _what_was_done(decision: Decision) -> str:
    votes = votes_on([decision.request]).get(decision.request_id)
    if votes is not None:
        missing = votes.needed - votes.count
        return (
            f"{votes}. {missing} more {'is' if missing == 1 else 'are'} needed before the "
            "certificate is signed."
        )
    if decision.verdict == Verdict.APPROVE:
        return "Approved. The certificate is being signed."
    return "Rejected. The device is told the reason."


def _step(
    request: HttpRequest, request_id: UUID, use_case: Callable[..., object], done: str
) -> HttpResponse:
    _visible_request(request, request_id, Verb.REQUEST_DECIDE)
    try:
        use_case(request_id=request_id, principal=principal_of(request), now=timezone.now())
        messages.success(request, done)
    except ApprovalsError as error:
        messages.error(request, str(error))
    return redirect("request", request_id=request_id)


def _request_page(
    request: HttpRequest,
    wanted: EnrollmentRequest,
    form: DecisionForm | None = None,
    *,
    words: Mapping[str, str],
    status: int = 200,
) -> HttpResponse:
    """The page; `words` are texts that were typed already, by verb."""
    context = _live_context(request, wanted) | {
        "review": review_of(wanted, person(request)),
        "form": form or DecisionForm(),
        "words": words,
        "every": _pace(wanted),
    }
    user = person(request)
    waiting = requests_of(user, Verb.REQUEST_DECIDE).filter(state=State.PENDING)
    context["next"] = (
        waiting.filter(pk__lt=wanted.pk).order_by("-pk").values_list("pk", flat=True).first()
    )
    context["previous"] = (
        waiting.filter(pk__gt=wanted.pk).order_by("pk").values_list("pk", flat=True).first()
    )
    return render(request, "approvals/requests/request.html", context, status=status)


def _live_context(request: HttpRequest, wanted: EnrollmentRequest) -> dict[str, Any]:
    challenge = getattr(wanted, "challenge_password", None)
    wanted.key_fault = key_fault(wanted) if wanted.state in OPEN_STATES else ""  # type: ignore[attr-defined]  # for the template
    wanted.conflicts = conflicts_of([wanted], now=timezone.now()).get(wanted.pk, ())  # type: ignore[attr-defined]  # as above
    is_own = challenge is not None and challenge.created_by_id == person(request).pk
    return {
        "wanted": wanted,
        "challenge": challenge,
        "own_challenge": decide.OWN_CHALLENGE if is_own else "",
        "decisions": wanted.decisions.select_related("officer").order_by("pk"),
        "moments": timeline_of(wanted),
        "polls": getattr(wanted, "polls", None),
        "votes": votes_on([wanted], person(request)).get(wanted.pk),
        "stage": "-".join(filter(None, (wanted.state, state_of(wanted)))),
        "unvalidated": missing_validation(wanted),
        "unopenable": closed_for_good(wanted),
    }


def _visible_request(
    request: HttpRequest, request_id: UUID, verb: Verb = Verb.REQUEST_VIEW
) -> EnrollmentRequest:
    rows = requests_of(person(request), verb, with_self_tests=True).defer(None)
    beside = (
        "profile__department",
        "profile__ca",
        "profile_version__profile",
        "ca",
        "certificate",
        "renews",
        "polls",
        "challenge_password",
        "validation",
    )
    return get_object_or_404(rows.select_related(*beside), pk=request_id)


def _pace(wanted: EnrollmentRequest) -> int:
    """Seconds until the page looks again: soon while a worker is at it, seldom once it is over."""
    if wanted.state in (State.APPROVED, State.ISSUING):
        return 1
    return 3 if wanted.state in OPEN_STATES else 15
