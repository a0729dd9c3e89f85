"""The officers' pages: the queue, one request, decisions. Views translate; `decisions` decides."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.doors import person, requires
from accounts.network import client_address
from accounts.permissions import can
from accounts.roles import Verb
from approvals import decisions
from approvals.errors import (
    AlreadyDecided,
    AlreadyVoted,
    ApprovalsError,
    NotPermitted,
    NotValidated,
    OwnChallenge,
    RequestChanged,
)
from approvals.forms import BulkForm, CommentForm, DecisionForm, QueueFilter
from approvals.live import live
from approvals.models import EnrollmentRequest, Verdict
from approvals.queue import Page, count, needs_attention, oldest, paginate, requests_of, seen_keys
from approvals.review import review_digest, review_of
from approvals.states import OPEN_STATES, State
from approvals.timeline import timeline_of
from approvals.validations import closed_for_good, missing_validation, state_of
from approvals.verdicts import Voice

READ: Final = ["GET", "HEAD"]
_RESULTS: Final = "decision-results"
#: Seconds between two looks at a page that refreshes itself.
_QUEUE_EVERY: Final = 3
_STATUS: Final[dict[type[ApprovalsError], int]] = {
    NotPermitted: 404,
    OwnChallenge: 403,
    AlreadyDecided: 409,
    AlreadyVoted: 409,
    RequestChanged: 409,
    NotValidated: 409,
}


@require_http_methods(READ)
@requires()
def home(request: HttpRequest) -> HttpResponse:
    """Where the work is, by role; a person without a role is told what to do."""
    user = person(request)
    for verb, name in (
        (Verb.REQUEST_DECIDE, "queue"),
        (Verb.AUDIT_VIEW, "history_requests"),
        (Verb.PROFILE_MANAGE, "profiles"),
    ):
        if can(user, verb):
            return redirect(name)
    return render(request, "no_role.html")


@never_cache
@require_http_methods(READ)
@requires(Verb.REQUEST_VIEW)
def queue(request: HttpRequest) -> HttpResponse:
    """What waits, with filters that live in the address."""
    filters = _filters(request, request.GET)
    page = paginate(filters.qs, request.GET, newest_first=filters.is_newest_first)
    context = {
        "filters": filters,
        "page": page,
        **_rows(request, page),
        **_truth(request),
        "top": filters.qs.order_by("-pk").values_list("pk", flat=True).first() or UUID(int=0),
        "results": request.session.pop(_RESULTS, None),
        "every": _QUEUE_EVERY,
    }
    return render(request, "approvals/queue.html", context)


@require_http_methods(READ)
@requires(Verb.REQUEST_VIEW)
def queue_changes(request: HttpRequest) -> HttpResponse:
    """What changed since the page was drawn: how many are new, and where the shown rows are now."""
    filters = _filters(request, request.GET)
    fresh = count(filters.qs.filter(pk__gt=_uuid(request.GET.get("top"))))
    shown = [_uuid(key) for key in request.GET.get("shown", "").split(",")[:100] if key]
    rows = requests_of(person(request)).filter(pk__in=shown)
    context = {"fresh": fresh, "rows": rows, "back": _without_cursor(request.GET), **_truth(request)}
    return live(request, "approvals/queue_changes.html", context, every=_QUEUE_EVERY)


@require_http_methods(["POST"])
@requires(Verb.REQUEST_DECIDE)
def decide(request: HttpRequest) -> HttpResponse:
    """One verdict on the ticked rows; the page then shows the result of each."""
    form = BulkForm(request.POST)
    back = f"{reverse('queue')}?{QueryDict(request.POST.get('back', '')).urlencode()}".rstrip("?")
    if not form.is_valid():
        for error in (text for errors in form.errors.values() for text in errors):
            messages.error(request, str(error))
        return HttpResponseRedirect(back)
    chosen = form.cleaned_data
    items, verdict = chosen["rows"], Verdict(chosen["verdict"])
    results = decisions.decide_many(
        items=items, verdict=verdict, voice=_voice(request), comment=chosen["comment"], now=timezone.now()
    )
    request.session[_RESULTS] = _shown_results(request, results)
    return HttpResponseRedirect(back)


@never_cache
@require_http_methods(READ)
@requires(Verb.REQUEST_VIEW)
def request_page(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Everything there is to judge a request by."""
    return _request_page(request, _visible_request(request, request_id), DecisionForm())


@require_http_methods(READ)
@requires(Verb.REQUEST_VIEW)
def request_live(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """The parts of a request's page that move: state, timeline, and the decision form once it is of no use."""
    wanted = _visible_request(request, request_id)
    context = _live_context(request, wanted)
    context["is_stale"] = request.GET.get("was") not in (None, context["stage"])
    return live(request, "approvals/request_live.html", context, every=_pace(wanted))


@require_http_methods(["POST"])
@requires(Verb.REQUEST_DECIDE)
def approve(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Approve as seen."""
    return _decide_one(request, request_id, decisions.approve_request, "Approved. The certificate is being signed.")


@require_http_methods(["POST"])
@requires(Verb.REQUEST_DECIDE)
def reject(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Reject with a reason."""
    return _decide_one(request, request_id, decisions.reject_request, "Rejected. The device is told the reason.")


@require_http_methods(["POST"])
@requires(Verb.REQUEST_DECIDE)
def reopen(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Put a refused or failed request before the officers again."""
    form = CommentForm(request.POST)
    comment = form.cleaned_data["comment"] if form.is_valid() else ""
    step = partial(decisions.reopen_request, comment=comment)
    return _step(request, request_id, step, "Open again: it waits for a decision.")


@require_http_methods(["POST"])
@requires(Verb.REQUEST_RETRY)
def retry(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Let the worker try again at once."""
    return _step(request, request_id, decisions.retry_request, "The worker tries again now.")


def _decide_one(request: HttpRequest, request_id: UUID, use_case: Callable[..., object], done: str) -> HttpResponse:
    wanted = _visible_request(request, request_id, Verb.REQUEST_DECIDE)
    form = DecisionForm(request.POST)
    if not form.is_valid():
        return _request_page(request, wanted, form, status=422)
    data = form.cleaned_data
    try:
        use_case(request_id=request_id, voice=_voice(request), now=timezone.now(), **data)
    except ApprovalsError as error:
        form.add_error(None, str(error))
        return _request_page(request, _visible_request(request, request_id), form, status=_STATUS.get(type(error), 422))
    messages.success(request, done)
    return redirect("request", request_id=request_id)


def _step(request: HttpRequest, request_id: UUID, use_case: Callable[..., object], done: str) -> HttpResponse:
    _visible_request(request, request_id, Verb.REQUEST_DECIDE)
    try:
        use_case(request_id=request_id, voice=_voice(request), now=timezone.now())
        messages.success(request, done)
    except ApprovalsError as error:
        messages.error(request, str(error))
    return redirect("request", request_id=request_id)


def _request_page(
    request: HttpRequest, wanted: EnrollmentRequest, form: DecisionForm, *, status: int = 200
) -> HttpResponse:
    context = _live_context(request, wanted) | {
        "review": review_of(wanted, person(request)),
        "form": form,
        "every": _pace(wanted),
    }
    user = person(request)
    waiting = requests_of(user, Verb.REQUEST_DECIDE).filter(state=State.PENDING)
    context["next"] = waiting.filter(pk__lt=wanted.pk).order_by("-pk").values_list("pk", flat=True).first()
    context["previous"] = waiting.filter(pk__gt=wanted.pk).order_by("pk").values_list("pk", flat=True).first()
    return render(request, "approvals/request.html", context, status=status)


def _live_context(request: HttpRequest, wanted: EnrollmentRequest) -> dict[str, Any]:
    challenge = getattr(wanted, "challenge_password", None)
    is_own = challenge is not None and challenge.created_by_id == person(request).pk
    return {
        "wanted": wanted,
        "challenge": challenge,
        "own_challenge": decisions.OWN_CHALLENGE if is_own else "",
        "decisions": wanted.decisions.select_related("officer").order_by("pk"),
        "moments": timeline_of(wanted),
        "polls": getattr(wanted, "polls", None),
        "stage": "-".join(filter(None, (wanted.state, state_of(wanted)))),
        "unvalidated": missing_validation(wanted),
        "unopenable": closed_for_good(wanted),
    }


def _visible_request(request: HttpRequest, request_id: UUID, verb: Verb = Verb.REQUEST_VIEW) -> EnrollmentRequest:
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


def _filters(request: HttpRequest, data: QueryDict) -> QueueFilter:
    return QueueFilter(data, requests_of(person(request)), request=request, now=timezone.now())


def _rows(request: HttpRequest, page: Page[EnrollmentRequest]) -> dict[str, Any]:
    for row in page.rows:
        row.pick = f"{row.pk}:{review_digest(row)}"  # type: ignore[attr-defined]  # for the template: value of the checkbox
    return {
        "seen_keys": seen_keys(page.rows),
        "shown": ",".join(row.pk.hex for row in page.rows),
        "back": _without_cursor(request.GET, keep_cursor=True),
    }


def _truth(request: HttpRequest) -> dict[str, Any]:
    mine = requests_of(person(request))
    waiting = mine.filter(state=State.PENDING)
    return {
        "waiting": count(waiting),
        "attention": count(mine.filter(needs_attention())),
        "oldest_at": oldest(waiting),
        "open_states": OPEN_STATES,
    }


def _shown_results(request: HttpRequest, results: list[decisions.DecisionResult]) -> list[dict[str, Any]]:
    subjects = dict(
        requests_of(person(request)).filter(pk__in=[r.request_id for r in results]).values_list("pk", "subject")
    )
    return [
        {"id": str(r.request_id), "done": r.done, "text": r.text, "subject": subjects.get(r.request_id, "")}
        for r in results
    ]


def _voice(request: HttpRequest) -> Voice:
    return decisions.session_voice(person(request), client_address(request))


def _pace(wanted: EnrollmentRequest) -> int:
    """Seconds until the page looks again: soon while a worker is at it, seldom once it is over."""
    if wanted.state in (State.APPROVED, State.ISSUING):
        return 1
    return 3 if wanted.state in OPEN_STATES else 15


def _without_cursor(data: QueryDict, *, keep_cursor: bool = False) -> str:
    kept = data.copy()
    for name in ("top", "shown", *(() if keep_cursor else ("after", "before"))):
        kept.pop(name, None)
    return kept.urlencode()


def _uuid(text: str | None) -> UUID:
    try:
        return UUID(text or "")
    except ValueError:
        raise Http404 from None
