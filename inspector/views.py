"""The technicians' pages: pasted and stored messages, message traces, the recording switch."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.doors import person, principal_of, requires
from accounts.permissions import within
from accounts.roles import Verb
from approvals.models.profiles import EnrollmentProfile
from approvals.pages.filters import profiles_of
from approvals.reading.queue import paginate, requests_of
from approvals.records.refusal_numbers import number_in, refusals_with
from exchanges.models import Exchange
from exchanges.recordings import running, start_recording, stop_recording
from exchanges.storage import KEPT, NEWEST
from inspector.decoding import decode
from inspector.decryption import known_keys, open_stored, remarks
from inspector.forms import HOURS, ExchangeFilter, PasteForm, RecordingForm
from inspector.refused import shown
from inspector.requests import csr_section
from inspector.walk import HEIGHT, LANES, MIDDLES, walk_of
from scep.protocol.messages import MessageRules

#: Maximum number of refusals, and of messages, on the page of one number.
_MOST: Final = 50


@never_cache
@sensitive_post_parameters("text")
@require_http_methods(["GET", "HEAD", "POST"])
@requires(Verb.REQUEST_VIEW, Verb.AUDIT_VIEW)
def inspect(request: HttpRequest) -> HttpResponse:
    """Decode pasted text; nothing is stored or decrypted."""
    data = request.POST if request.method == "POST" else None
    form = PasteForm(data, profiles=profiles_of(request).select_related("certificate_profile"))
    context: dict[str, Any] = {"form": form}
    if form.is_bound and form.is_valid():
        context |= _pasted(request, form.cleaned_data["text"], form.cleaned_data["profile"])
    status = 422 if form.is_bound and not form.is_valid() else 200
    return render(request, "inspector/inspector.html", context, status=status)


@never_cache
@require_safe
@requires(Verb.REQUEST_VIEW, Verb.AUDIT_VIEW)
def exchanges(request: HttpRequest) -> HttpResponse:
    """Stored messages, newest first, and the running recordings."""
    filters = ExchangeFilter(
        request.GET, _exchanges_of(request).defer("message", "answer"), request=request
    )
    context = {
        "filters": filters,
        "page": paginate(filters.qs, request.GET),
        "managed": _managed(request).order_by("slug"),
        "recording": running(now=timezone.now()),
        "hours": HOURS,
        "days": KEPT.days,
        "newest": NEWEST,
    }
    return render(request, "inspector/exchanges.html", context)


@never_cache
@require_safe
@requires(Verb.REQUEST_VIEW, Verb.AUDIT_VIEW)
def exchange(request: HttpRequest, exchange_id: UUID) -> HttpResponse:
    """One stored message and its answer, decoded without any key."""
    stored = get_object_or_404(_exchanges_of(request), pk=exchange_id)
    return render(request, "inspector/exchange.html", _exchange_context(request, stored))


@never_cache
@require_safe
@requires(Verb.REQUEST_VIEW)
def refusal(request: HttpRequest, number: str) -> HttpResponse:
    """The refusals with this number, and their causes."""
    rows = list(refusals_with(number_in(number), person(request))[:_MOST])
    if not rows:
        raise Http404
    stored = (
        _exchanges_of(request)
        .filter(number=rows[0].number)
        .defer("message", "answer")
        .order_by("-id")
    )
    context = {"number": rows[0].number, "refusals": shown(rows), "messages_kept": stored[:_MOST]}
    return render(request, "inspector/refusal.html", context)


@never_cache
@require_POST
@requires(Verb.REQUEST_VIEW)
def open_exchange(request: HttpRequest, exchange_id: UUID) -> HttpResponse:
    """The same with the envelope opened, for people who may see the profile's requests.

    Opening is recorded in the log.
    """
    visible = Exchange.objects.filter(
        within(request.user, Verb.REQUEST_VIEW, "profile__department_id")
    )
    stored = get_object_or_404(visible.select_related(*_RELATED), pk=exchange_id)
    inside = open_stored(stored, principal=principal_of(request), now=timezone.now())
    return render(
        request, "inspector/exchange.html", _exchange_context(request, stored) | {"inside": inside}
    )


@never_cache
@require_safe
@requires(Verb.REQUEST_VIEW)
def walk(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """One transaction, step by step; `?step=N` selects a step."""
    rows = requests_of(person(request), with_self_tests=True)
    enrollment = get_object_or_404(
        rows.select_related("profile", "certificate", "renews"), pk=request_id
    )
    steps = walk_of(enrollment)
    text = request.GET.get("step", "1")
    number = min(max(int(text) if text.isdecimal() and len(text) < 5 else 1, 1), max(len(steps), 1))
    context = {
        "wanted": enrollment,
        "steps": steps,
        "at": steps[number - 1] if steps else None,
        "back": number - 1,
        "on": number + 1 if number < len(steps) else 0,
        "lanes": LANES,
        "middles": MIDDLES,
        "height": HEIGHT,
    }
    return render(request, "inspector/walk.html", context)


@require_POST
@requires(Verb.PROFILE_MANAGE)
def start(request: HttpRequest, slug: str) -> HttpResponse:
    """Record every message of a profile for some hours."""
    profile = get_object_or_404(_managed(request), slug=slug)
    form = RecordingForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Choose for how long to record.")
        return redirect("exchanges")
    hours, now = int(form.cleaned_data["hours"]), timezone.now()
    start_recording(
        profile=profile,
        principal=principal_of(request),
        span=timedelta(hours=hours),
        now=now,
    )
    messages.success(
        request, f"Every message of {profile.slug} is kept from now on, for {hours} h."
    )
    return redirect("exchanges")


@require_POST
@requires(Verb.PROFILE_MANAGE)
def stop(request: HttpRequest, slug: str) -> HttpResponse:
    """End a recording early."""
    profile = get_object_or_404(_managed(request), slug=slug)
    stop_recording(profile=profile, principal=principal_of(request), now=timezone.now())
    messages.success(request, f"Messages of {profile.slug} are not recorded any more.")
    return redirect("exchanges")


_RELATED: Final = (
    "profile__ca__parent__parent",
    "profile__department",
    "profile__certificate_profile",
)


def _pasted(request: HttpRequest, data: bytes, profile: EnrollmentProfile | None) -> dict[str, Any]:
    rules = MessageRules(legacy_algorithms=profile is not None and profile.legacy_algorithms)
    report = decode(data, known=known_keys(person(request)), rules=rules)
    if profile is None or not report.kind.startswith("certificate request"):
        return {"report": report, "more": []}
    csr, section = csr_section(data, rules)
    return {
        "report": report,
        "more": remarks(csr, profile, is_refused=section.tone == "bad") if csr else [],
    }


def _exchanges_of(request: HttpRequest) -> QuerySet[Exchange]:
    visible = within(request.user, Verb.REQUEST_VIEW, "profile__department_id")
    audited = within(request.user, Verb.AUDIT_VIEW, "profile__department_id")
    return (Exchange.objects.filter(visible) | Exchange.objects.filter(audited)).select_related(
        *_RELATED
    )


def _exchange_context(request: HttpRequest, stored: Exchange) -> dict[str, Any]:
    ra_keys = known_keys(person(request))
    answer = bytes(stored.answer)
    rules = MessageRules(legacy_algorithms=stored.profile.legacy_algorithms)
    return {
        "exchange": stored,
        "asked": decode(bytes(stored.message), known=ra_keys, rules=rules),
        "answer": decode(answer, known=ra_keys, rules=rules) if answer else None,
        "neighbors": _exchanges_of(request)
        .filter(profile=stored.profile, transaction_id=stored.transaction_id)
        .exclude(pk=stored.pk)
        .exclude(transaction_id="")
        .defer("message", "answer")
        .order_by("id")[:20],
    }


def _managed(request: HttpRequest) -> QuerySet[EnrollmentProfile]:
    return EnrollmentProfile.objects.filter(
        within(request.user, Verb.PROFILE_MANAGE, "department_id")
    )
