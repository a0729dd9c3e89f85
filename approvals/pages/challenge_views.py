"""The pages of one-time challenges: the list, one with its history, new ones, uploaded lists."""

from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.doors import principal_of, requires
from accounts.permissions import within
from accounts.roles import Verb
from approvals.challenges import lists, onetime
from approvals.models.devices import DeviceGroup
from approvals.models.profiles import EnrollmentProfile
from approvals.pages.challenge_forms import ChallengeFilter, ChallengeForm, ListForm, challenges_of
from approvals.reading.queue import count, paginate
from approvals.reading.timeline import moments_about
from approvals.rules.errors import ApprovalsError

_ASK: Final = ["GET", "HEAD", "POST"]
_NO_STORE: Final = {"Cache-Control": "no-store"}


@never_cache
@require_safe
@requires(Verb.CHALLENGE_VIEW)
def challenge_list(request: HttpRequest) -> HttpResponse:
    """All one-time challenges."""
    now = timezone.now()
    filters = ChallengeFilter(request.GET, challenges_of(request), request=request, now=now)
    page = paginate(filters.qs, request.GET)
    rows = [(row, row.state_at(now)) for row in page.rows]
    context = {"filters": filters, "page": page, "rows": rows, "found": count(filters.qs)}
    return render(request, "approvals/challenges/challenges.html", context)


@never_cache
@require_safe
@requires(Verb.CHALLENGE_VIEW)
def challenge(request: HttpRequest, challenge_id: UUID) -> HttpResponse:
    """One challenge: its author, its purpose, and everything that followed."""
    row = get_object_or_404(challenges_of(request), pk=challenge_id)
    context = {
        "challenge": row,
        "state": row.state_at(timezone.now()),
        "moments": moments_about("challenge", row.pk),
        "decisions": row.redeemed_by.decisions.select_related("officer", "written").order_by("pk")
        if row.redeemed_by
        else [],
    }
    return render(request, "approvals/challenges/challenge.html", context)


@require_POST
@requires(Verb.CHALLENGE_CREATE)
def withdraw(request: HttpRequest, challenge_id: UUID) -> HttpResponse:
    """Withdraw a challenge before it is used."""
    get_object_or_404(challenges_of(request, Verb.CHALLENGE_CREATE), pk=challenge_id)
    try:
        onetime.withdraw_challenge(
            challenge_id=challenge_id,
            principal=principal_of(request),
            now=timezone.now(),
        )
        messages.success(request, "Withdrawn: it opens nothing any more.")
    except ApprovalsError as error:
        messages.error(request, str(error))
    return redirect("challenge", challenge_id=challenge_id)


@never_cache
@require_http_methods(_ASK)
@requires(Verb.CHALLENGE_CREATE)
def create(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask for the binding of a challenge; then show it, once, on the page that answers."""
    profile = profile_for(request, slug, Verb.CHALLENGE_CREATE)
    groups = DeviceGroup.objects.filter(
        within(request.user, Verb.PROFILE_VIEW, "department_id")
    ).order_by("slug")
    form = ChallengeForm(request.POST if request.method == "POST" else None, groups=groups)
    context = {"profile": profile, "form": form}
    if request.method != "POST":
        return render(request, "approvals/challenges/new.html", context)
    if form.is_valid():
        try:
            created = onetime.create_challenges(
                form.order(profile),
                principal=principal_of(request),
                now=timezone.now(),
            )
            return shown_once(
                request, "approvals/challenges/once.html", context | {"made": created}
            )
        except ApprovalsError as error:
            form.add_error(None, str(error))
    return render(request, "approvals/challenges/new.html", context, status=422)


@never_cache
@require_http_methods(_ASK)
@requires(Verb.CHALLENGE_CREATE)
def create_list(request: HttpRequest, slug: str) -> HttpResponse:
    """Accept a CSV list; answer with the list of challenges as a download, available once."""
    profile = profile_for(request, slug, Verb.CHALLENGE_CREATE)
    form = ListForm(request.POST, request.FILES) if request.method == "POST" else ListForm()
    faults: tuple[str, ...] = ()
    if request.method == "POST" and form.is_valid():
        try:
            return _download(profile, _make_list(request, profile, form))
        except lists.ListInvalid as error:
            faults = error.faults
        except ApprovalsError as error:
            faults = (str(error),)
    context = {
        "profile": profile,
        "form": form,
        "faults": faults,
        "columns": lists.COLUMNS,
    }
    return render(
        request,
        "approvals/challenges/list_new.html",
        context,
        status=200 if request.method != "POST" else 422,
    )


def shown_once(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """Answer with a page that holds a secret: no browser and no proxy stores it."""
    answer = render(request, template, context)
    for name, value in _NO_STORE.items():
        answer[name] = value
    return answer


def profile_for(request: HttpRequest, slug: str, verb: Verb) -> EnrollmentProfile:
    """Return the profile of a page; 404 if the person may not do `verb` there."""
    permitted = EnrollmentProfile.objects.filter(within(request.user, verb, "department_id"))
    return get_object_or_404(permitted.select_related("ca", "department"), slug=slug)


def _make_list(request: HttpRequest, profile: EnrollmentProfile, form: ListForm) -> bytes:
    data = form.cleaned_data
    orders = lists.read_list(data["file"], profile=profile, lifetime=data["lifetime"])
    created = lists.make_list(orders, principal=principal_of(request), now=timezone.now())
    return lists.write_list(created)


def _download(profile: EnrollmentProfile, content: bytes) -> HttpResponse:
    name = f'attachment; filename="challenges-{profile.slug}.csv"'
    return HttpResponse(
        content,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": name, **_NO_STORE},
    )
