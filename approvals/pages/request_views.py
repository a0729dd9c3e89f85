"""The page of one request, and the actions of an officer: approve, reject, reopen, retry."""

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
    """All facts for judging a request."""
    draft = take_draft(request)
    words = {draft.text("verb"): draft.text("words")} if draft else {}
    return _request_page(request, _visible_request(request, request_id), words=words)


@require_safe
@requires(Verb.REQUEST_VIEW)
def request_live(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """The changing parts of a request's page: state, timeline, and an outdated decision form."""
    enrollment = _visible_request(request, request_id)
    context = _live_context(request, enrollment)
    context["is_stale"] = request.GET.get("was") not in (None, context["stage"])
    return live(request, "approvals/requests/live.html", context, every=_pace(enrollment))


def _draft_of_request(request: HttpRequest, request_id: UUID) -> Draft:
    """Return the text typed on the page of a request, and its verb."""
    words = request.POST.get("comment", "")[: decide.MAX_COMMENT]
    return Draft(
        reverse("request", args=[request_id]),
        {"verb": request.path.rpartition("/")[2], "words": words},
    )


@require_POST
@requires(Verb.REQUEST_DECIDE, draft=_draft_of_request)
def approve(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Approve the request if it is still as the page showed it (its digest); else show it again."""
    return _decide_one(request, request_id, decide.approve_request)


@require_POST
@requires(Verb.REQUEST_DECIDE, draft=_draft_of_request)
def reject(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Reject the request with a reason, which its device receives."""
    return _decide_one(request, request_id, decide.reject_request)


@require_POST
@requires(Verb.REQUEST_DECIDE, draft=_draft_of_request)
def reopen(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Return a refused or failed request to the officers."""
    form = ReopenForm(request.POST)
    values = form.cleaned_data if form.is_valid() else {"comment": "", "view_sha256": ""}
    step = partial(decide.reopen_request, **values)
    return _step(request, request_id, step, "Open again: it waits for a decision.")


@require_POST
@requires(Verb.REQUEST_RETRY)
def retry(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Let the worker try again at once."""
    return _step(request, request_id, again.retry_request, "The worker tries again now.")


def _decide_one(
    request: HttpRequest, request_id: UUID, use_case: Callable[..., Decision]
) -> HttpResponse:
    enrollment = _visible_request(request, request_id, Verb.REQUEST_DECIDE)
    form = DecisionForm(request.POST)
    typed = _draft_of_request(request, request_id)
    words = {typed.text("verb"): typed.text("words")}
    if not form.is_valid():
        return _request_page(request, enrollment, form, words=words, status=422)
    data = form.cleaned_data
    try:
        decision = use_case(
            request_id=request_id, principal=principal_of(request), now=timezone.now(), **data
        )
    except ApprovalsError as error:
        form.add_error(None, str(error))
        enrollment = _visible_request(request, request_id)
        return _request_page(
            request, enrollment, form, words=words, status=_STATUS.get(type(error), 422)
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
    enrollment: EnrollmentRequest,
    form: DecisionForm | None = None,
    *,
    words: Mapping[str, str],
    status: int = 200,
) -> HttpResponse:
    """Return the page; `words` are typed texts, by verb."""
    context = _live_context(request, enrollment) | {
        "review": review_of(enrollment, person(request)),
        "form": form or DecisionForm(),
        "words": words,
        "every": _pace(enrollment),
    }
    user = person(request)
    waiting = requests_of(user, Verb.REQUEST_DECIDE).filter(state=State.PENDING)
    context["next"] = (
        waiting.filter(pk__lt=enrollment.pk).order_by("-pk").values_list("pk", flat=True).first()
    )
    context["previous"] = (
        waiting.filter(pk__gt=enrollment.pk).order_by("pk").values_list("pk", flat=True).first()
    )
    return render(request, "approvals/requests/request.html", context, status=status)


def _live_context(request: HttpRequest, enrollment: EnrollmentRequest) -> dict[str, Any]:
    challenge = getattr(enrollment, "challenge_password", None)
    enrollment.key_fault = key_fault(enrollment) if enrollment.state in OPEN_STATES else ""  # type: ignore[attr-defined]  # for the template
    enrollment.conflicts = conflicts_of([enrollment], now=timezone.now()).get(enrollment.pk, ())  # type: ignore[attr-defined]  # as above
    is_own = challenge is not None and challenge.created_by_id == person(request).pk
    return {
        "wanted": enrollment,
        "challenge": challenge,
        "own_challenge": decide.OWN_CHALLENGE if is_own else "",
        "decisions": enrollment.decisions.select_related("officer", "written").order_by("pk"),
        "moments": timeline_of(enrollment),
        "polls": getattr(enrollment, "polls", None),
        "votes": votes_on([enrollment], person(request)).get(enrollment.pk),
        "stage": "-".join(filter(None, (enrollment.state, state_of(enrollment)))),
        "unvalidated": missing_validation(enrollment),
        "unopenable": closed_for_good(enrollment),
    }


def _visible_request(
    request: HttpRequest, request_id: UUID, verb: Verb = Verb.REQUEST_VIEW
) -> EnrollmentRequest:
    rows = requests_of(person(request), verb, with_self_tests=True).defer(None)
    related = (
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
    return get_object_or_404(rows.select_related(*related), pk=request_id)


def _pace(enrollment: EnrollmentRequest) -> int:
    """Return the seconds until the page refreshes: few while a worker is at it, many at the end."""
    if enrollment.state in (State.APPROVED, State.ISSUING):
        return 1
    return 3 if enrollment.state in OPEN_STATES else 15
