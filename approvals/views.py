"""The officers' pages: the queue, one request, decisions. Views translate; `decisions` decides."""

from collections.abc import Callable, Mapping, Sequence
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
from accounts.drafts import Draft, keep_draft, take_draft
from accounts.network import client_address
from accounts.permissions import can
from accounts.roles import Verb
from approvals import decisions
from approvals.attention import needs_attention
from approvals.barred_keys import key_fault, key_faults
from approvals.errors import (
    AlreadyDecided,
    AlreadyVoted,
    ApprovalsError,
    KeyRefused,
    NotPermitted,
    NotValidated,
    OwnChallenge,
    RequestChanged,
)
from approvals.forms import MAX_ROWS, BulkForm, DecisionForm, QueueFilter, ReopenForm
from approvals.live import live
from approvals.models import Decision, EnrollmentRequest, Verdict
from approvals.name_conflicts import conflicts_of
from approvals.queue import Page, count, oldest, paginate, requests_of, seen_keys
from approvals.review import review_digest, review_of
from approvals.states import OPEN_STATES, State
from approvals.timeline import timeline_of
from approvals.validations import closed_for_good, missing_validation, state_of
from approvals.verdicts import Voice
from approvals.votes import votes_on
from ca.text import display_name

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
    KeyRefused: 409,
}


@require_http_methods(READ)
@requires()
def home(request: HttpRequest) -> HttpResponse:
    """Where the work is, by role; a person without a role is told what to do."""
    user = person(request)
    for verb, name in (
        (Verb.REQUEST_DECIDE, "queue"),
        (Verb.PROFILE_MANAGE, "profiles"),
        (Verb.AUDIT_VIEW, "history_requests"),
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
    draft = take_draft(request)
    context = {
        "filters": filters,
        "page": page,
        "draft": draft and draft.fields,
        **_rows(request, page, draft.values("rows") if draft else []),
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
    rows = list(requests_of(person(request)).filter(pk__in=shown))
    _count_votes(request, rows)
    context = {"fresh": fresh, "rows": rows, "back": _without_cursor(request.GET), **_truth(request)}
    return live(request, "approvals/queue_changes.html", context, every=_QUEUE_EVERY)


def _draft_of_queue(request: HttpRequest) -> Draft:
    """What was ticked and typed in the queue, and its address with the filters."""
    sent = request.POST
    page = f"{reverse('queue')}?{QueryDict(sent.get('back', '')).urlencode()}".rstrip("?")
    words = {name: sent.get(name, "")[: decisions.MAX_COMMENT] for name in ("comment", "reason")}
    return Draft(page, {"rows": [row[:120] for row in sent.getlist("rows")[:MAX_ROWS]], **words})


@require_http_methods(["POST"])
@requires(Verb.REQUEST_DECIDE, draft=_draft_of_queue)
def decide(request: HttpRequest) -> HttpResponse:
    """One verdict on the ticked rows; the page then shows the result of each. A refused form keeps ticks and words."""
    form = BulkForm(request.POST)
    draft = _draft_of_queue(request)
    if not form.is_valid():
        for error in (text for errors in form.errors.values() for text in errors):
            messages.error(request, str(error))
        keep_draft(request, draft)
        return HttpResponseRedirect(draft.page)
    chosen = form.cleaned_data
    items, verdict = chosen["rows"], Verdict(chosen["verdict"])
    results = decisions.decide_many(
        items=items, verdict=verdict, voice=_voice(request), comment=form.words(), now=timezone.now()
    )
    request.session[_RESULTS] = _shown_results(request, results)
    return HttpResponseRedirect(draft.page)


@never_cache
@require_http_methods(READ)
@requires(Verb.REQUEST_VIEW)
def request_page(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Everything there is to judge a request by."""
    draft = take_draft(request)
    words = {draft.text("verb"): draft.text("words")} if draft else {}
    return _request_page(request, _visible_request(request, request_id), words=words)


@require_http_methods(READ)
@requires(Verb.REQUEST_VIEW)
def request_live(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """The parts of a request's page that move: state, timeline, and the decision form once it is of no use."""
    wanted = _visible_request(request, request_id)
    context = _live_context(request, wanted)
    context["is_stale"] = request.GET.get("was") not in (None, context["stage"])
    return live(request, "approvals/request_live.html", context, every=_pace(wanted))


def _draft_of_request(request: HttpRequest, request_id: UUID) -> Draft:
    """What was typed on the page of a request, and for which verb."""
    words = request.POST.get("comment", "")[: decisions.MAX_COMMENT]
    return Draft(reverse("request", args=[request_id]), {"verb": request.path.rpartition("/")[2], "words": words})


@require_http_methods(["POST"])
@requires(Verb.REQUEST_DECIDE, draft=_draft_of_request)
def approve(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Approve as seen."""
    return _decide_one(request, request_id, decisions.approve_request)


@require_http_methods(["POST"])
@requires(Verb.REQUEST_DECIDE, draft=_draft_of_request)
def reject(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Reject with a reason."""
    return _decide_one(request, request_id, decisions.reject_request)


@require_http_methods(["POST"])
@requires(Verb.REQUEST_DECIDE, draft=_draft_of_request)
def reopen(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Put a refused or failed request before the officers again."""
    form = ReopenForm(request.POST)
    chosen = form.cleaned_data if form.is_valid() else {"comment": "", "view_sha256": ""}
    step = partial(decisions.reopen_request, **chosen)
    return _step(request, request_id, step, "Open again: it waits for a decision.")


@require_http_methods(["POST"])
@requires(Verb.REQUEST_RETRY)
def retry(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Let the worker try again at once."""
    return _step(request, request_id, decisions.retry_request, "The worker tries again now.")


def _decide_one(request: HttpRequest, request_id: UUID, use_case: Callable[..., Decision]) -> HttpResponse:
    wanted = _visible_request(request, request_id, Verb.REQUEST_DECIDE)
    form = DecisionForm(request.POST)
    typed = _draft_of_request(request, request_id)
    words = {typed.text("verb"): typed.text("words")}
    if not form.is_valid():
        return _request_page(request, wanted, form, words=words, status=422)
    data = form.cleaned_data
    try:
        decision = use_case(request_id=request_id, voice=_voice(request), now=timezone.now(), **data)
    except ApprovalsError as error:
        form.add_error(None, str(error))
        wanted = _visible_request(request, request_id)
        return _request_page(request, wanted, form, words=words, status=_STATUS.get(type(error), 422))
    messages.success(request, _what_was_done(decision))
    return redirect("request", request_id=request_id)


def _what_was_done(decision: Decision) -> str:
    votes = votes_on([decision.request]).get(decision.request_id)
    if votes is not None:
        missing = votes.needed - votes.count
        return f"{votes}. {missing} more {'is' if missing == 1 else 'are'} needed before the certificate is signed."
    if decision.verdict == Verdict.APPROVE:
        return "Approved. The certificate is being signed."
    return "Rejected. The device is told the reason."


def _step(request: HttpRequest, request_id: UUID, use_case: Callable[..., object], done: str) -> HttpResponse:
    _visible_request(request, request_id, Verb.REQUEST_DECIDE)
    try:
        use_case(request_id=request_id, voice=_voice(request), now=timezone.now())
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
    context["next"] = waiting.filter(pk__lt=wanted.pk).order_by("-pk").values_list("pk", flat=True).first()
    context["previous"] = waiting.filter(pk__gt=wanted.pk).order_by("pk").values_list("pk", flat=True).first()
    return render(request, "approvals/request.html", context, status=status)


def _live_context(request: HttpRequest, wanted: EnrollmentRequest) -> dict[str, Any]:
    challenge = getattr(wanted, "challenge_password", None)
    wanted.key_fault = key_fault(wanted) if wanted.state in OPEN_STATES else ""  # type: ignore[attr-defined]  # for the template
    wanted.conflicts = conflicts_of([wanted], now=timezone.now()).get(wanted.pk, ())  # type: ignore[attr-defined]  # as above
    is_own = challenge is not None and challenge.created_by_id == person(request).pk
    return {
        "wanted": wanted,
        "challenge": challenge,
        "own_challenge": decisions.OWN_CHALLENGE if is_own else "",
        "decisions": wanted.decisions.select_related("officer").order_by("pk"),
        "moments": timeline_of(wanted),
        "polls": getattr(wanted, "polls", None),
        "votes": votes_on([wanted], person(request)).get(wanted.pk),
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


def _rows(request: HttpRequest, page: Page[EnrollmentRequest], ticked: Sequence[str]) -> dict[str, Any]:
    """The rows with what their ticks say; `ticked` were ticked before, and stay so unless they have changed."""
    faults, conflicts = key_faults(page.rows), conflicts_of(page.rows, now=timezone.now())
    for row in page.rows:
        row.key_fault = faults[row.pk]  # type: ignore[attr-defined]  # for the template
        row.conflicts = conflicts.get(row.pk, ())  # type: ignore[attr-defined]  # as above
        row.pick = f"{row.pk}:{review_digest(row)}"  # type: ignore[attr-defined]  # for the template: value of the checkbox
    _count_votes(request, page.rows)
    return {
        "ticked": ticked,
        "lost_ticks": len(set(ticked) - {row.pick for row in page.rows}),  # type: ignore[attr-defined]  # set above
        "seen_keys": seen_keys(page.rows),
        "shown": ",".join(row.pk.hex for row in page.rows),
        "back": _without_cursor(request.GET, keep_cursor=True),
    }


def _count_votes(request: HttpRequest, rows: Sequence[EnrollmentRequest]) -> None:
    votes = votes_on(rows, person(request))
    for row in rows:
        row.votes = votes.get(row.pk)  # type: ignore[attr-defined]  # for the template


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
    rows = requests_of(person(request)).filter(pk__in=[r.request_id for r in results])
    texts = rows.values_list("pk", "subject", "names")
    names = {key: display_name(subject, names=alternatives) for key, subject, alternatives in texts}
    return [
        {"id": str(r.request_id), "done": r.done, "text": r.text, "name": names.get(r.request_id, str(r.request_id))}
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
