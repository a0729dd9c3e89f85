"""The queue: waiting requests, changes, one verdict on many requests."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.doors import person, principal_of, requires
from accounts.permissions import can
from accounts.roles import Verb
from accounts.sign_in.drafts import Draft, keep_draft, take_draft
from approvals.decisions.batch import DecisionResult, decide_many
from approvals.decisions.decide import MAX_COMMENT
from approvals.decisions.review_digest import review_digest
from approvals.models.decisions import Verdict
from approvals.models.requests import EnrollmentRequest
from approvals.operations.attention import needs_attention
from approvals.pages.decision_forms import MAX_ROWS, BulkForm
from approvals.pages.filters import QueueFilter
from approvals.pages.polling import live
from approvals.reading.queue import Page, count, oldest, paginate, requests_of, seen_keys
from approvals.records.barred_keys import key_faults
from approvals.records.name_conflicts import conflicts_of
from approvals.records.votes import votes_on
from approvals.rules.states import OPEN_STATES, State
from ca.x509.text import display_name

_RESULTS: Final = "decision-results"
#: Seconds between two refreshes of a page.
_QUEUE_EVERY: Final = 3


@require_safe
@requires()
def home(request: HttpRequest) -> HttpResponse:
    """The start page by role; a person without a role is told to ask an administrator."""
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
@require_safe
@requires(Verb.REQUEST_VIEW)
def queue(request: HttpRequest) -> HttpResponse:
    """Waiting requests, with filters kept in the address."""
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
    return render(request, "approvals/queue/queue.html", context)


@require_safe
@requires(Verb.REQUEST_VIEW)
def queue_changes(request: HttpRequest) -> HttpResponse:
    """Changes since the page was drawn: the number of new requests, and the states of rows."""
    filters = _filters(request, request.GET)
    fresh = count(filters.qs.filter(pk__gt=_uuid(request.GET.get("top"))))
    row_ids = [_uuid(key) for key in request.GET.get("shown", "").split(",")[:100] if key]
    rows = list(requests_of(person(request)).filter(pk__in=row_ids))
    _count_votes(request, rows)
    context = {
        "fresh": fresh,
        "rows": rows,
        "back": _without_cursor(request.GET),
        **_truth(request),
    }
    return live(request, "approvals/queue/changes.html", context, every=_QUEUE_EVERY)


def _draft_of_queue(request: HttpRequest) -> Draft:
    """Return ticks and texts typed in the queue, and its address with the filters."""
    sent = request.POST
    page = f"{reverse('queue')}?{QueryDict(sent.get('back', '')).urlencode()}".rstrip("?")
    words = {name: sent.get(name, "")[:MAX_COMMENT] for name in ("comment", "reason")}
    return Draft(page, {"rows": [row[:120] for row in sent.getlist("rows")[:MAX_ROWS]], **words})


@require_POST
@requires(Verb.REQUEST_DECIDE, draft=_draft_of_queue)
def decide(request: HttpRequest) -> HttpResponse:
    """Apply one verdict to the ticked rows; the page then shows the result of each.

    A refused form keeps ticks and texts.
    """
    form = BulkForm(request.POST)
    draft = _draft_of_queue(request)
    if not form.is_valid():
        for error in (text for errors in form.errors.values() for text in errors):
            messages.error(request, str(error))
        keep_draft(request, draft)
        return HttpResponseRedirect(draft.page)
    values = form.cleaned_data
    items, verdict = values["rows"], Verdict(values["verdict"])
    results = decide_many(
        items=items,
        verdict=verdict,
        principal=principal_of(request),
        comment=form.words(),
        now=timezone.now(),
    )
    request.session[_RESULTS] = _shown_results(request, results)
    return HttpResponseRedirect(draft.page)


def _filters(request: HttpRequest, data: QueryDict) -> QueueFilter:
    return QueueFilter(data, requests_of(person(request)), request=request, now=timezone.now())


def _rows(
    request: HttpRequest, page: Page[EnrollmentRequest], ticked: Sequence[str]
) -> dict[str, Any]:
    """The rows with the values of their ticks; `ticked` rows stay ticked unless they changed."""
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
    visible = requests_of(person(request))
    waiting = visible.filter(state=State.PENDING)
    return {
        "waiting": count(waiting),
        "attention": count(visible.filter(needs_attention())),
        "oldest_at": oldest(waiting),
        "open_states": OPEN_STATES,
    }


def _shown_results(request: HttpRequest, results: list[DecisionResult]) -> list[dict[str, Any]]:
    rows = requests_of(person(request)).filter(pk__in=[r.request_id for r in results])
    texts = rows.values_list("pk", "subject", "names")
    names = {key: display_name(subject, names=alternatives) for key, subject, alternatives in texts}
    return [
        {
            "id": str(r.request_id),
            "done": r.done,
            "text": r.text,
            "name": names.get(r.request_id, str(r.request_id)),
        }
        for r in results
    ]


def _without_cursor(data: QueryDict, *, keep_cursor: bool = False) -> str:
    parameters = data.copy()
    for name in ("top", "shown", *(() if keep_cursor else ("after", "before"))):
        parameters.pop(name, None)
    return parameters.urlencode()


def _uuid(text: str | None) -> UUID:
    try:
        return UUID(text or "")
    except ValueError:
        raise Http404 from None
