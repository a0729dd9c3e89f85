"""The page of a static challenge: author, age and uses; rotate, reveal, end an overlap."""

import base64
import secrets
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.doors import principal_of, requires
from accounts.permissions import within
from accounts.roles import Verb
from approvals.challenges.onetime import CHALLENGE_BYTES
from approvals.challenges.static import end_overlap, is_old, reveal_static, set_static
from approvals.models.challenges import StaticChallenge, StaticUse
from approvals.models.profiles import EnrollmentProfile
from approvals.pages.challenge_forms import RotationForm
from approvals.pages.challenge_views import profile_for, shown_once
from approvals.reading.queue import count, paginate
from approvals.reading.timeline import moments_about
from approvals.rules.errors import ApprovalsError


@never_cache
@require_safe
@requires(Verb.CHALLENGE_VIEW)
def static_page(request: HttpRequest, slug: str) -> HttpResponse:
    """All static challenges of the profile, past and present."""
    return _page(request, profile_for(request, slug, Verb.CHALLENGE_VIEW), RotationForm())


@never_cache
@require_safe
@requires(Verb.CHALLENGE_VIEW)
def static_challenge(request: HttpRequest, static_id: UUID) -> HttpResponse:
    """One static challenge, and every request it opened."""
    row = _static_row(request, static_id, Verb.CHALLENGE_VIEW)
    uses = StaticUse.objects.filter(challenge=row).select_related("request__certificate")
    context = {
        "challenge": row,
        "profile": row.profile,
        "is_taken": row.is_taken_at(timezone.now()),
        "is_old": is_old(row, now=timezone.now()),
        "uses": count(uses),
        "page": paginate(uses, request.GET),
        "moments": moments_about("challenge", row.pk),
    }
    return render(request, "approvals/challenges/static_challenge.html", context)


@never_cache
@require_POST
@requires(Verb.PROFILE_MANAGE)
def rotate(request: HttpRequest, slug: str) -> HttpResponse:
    """Set a typed or generated static challenge; a generated one is shown on the answer, once."""
    profile, form = profile_for(request, slug, Verb.PROFILE_MANAGE), RotationForm(request.POST)
    if not form.is_valid():
        return _page(request, profile, form, status=422)
    typed = form.cleaned_data["text"]
    text = typed or base64.b32encode(secrets.token_bytes(CHALLENGE_BYTES)).decode().lower()
    try:
        set_static(
            profile,
            text,
            principal=principal_of(request),
            now=timezone.now(),
            overlap=form.overlap_span(),
        )
    except ApprovalsError as error:
        form.add_error(None, str(error))
        return _page(request, profile, form, status=422)
    messages.success(request, "Set: it is taken from now on.")
    return redirect("static_page", slug=slug) if typed else _once(request, profile, text)


@never_cache
@require_POST
@requires(Verb.CHALLENGE_REVEAL)
def reveal(request: HttpRequest, static_id: UUID) -> HttpResponse:
    """Show the clear text on the page that answers, and record who saw it."""
    row = _static_row(request, static_id, Verb.CHALLENGE_REVEAL)
    try:
        secret = reveal_static(
            challenge_id=static_id, principal=principal_of(request), now=timezone.now()
        )
    except ApprovalsError as error:
        messages.error(request, str(error))
        return redirect("static_page", slug=row.profile.slug)
    return _once(request, row.profile, secret.reveal())


@require_POST
@requires(Verb.PROFILE_MANAGE)
def end(request: HttpRequest, static_id: UUID) -> HttpResponse:
    """End the overlap of an old static challenge early."""
    row = _static_row(request, static_id, Verb.PROFILE_MANAGE)
    try:
        end_overlap(challenge_id=static_id, principal=principal_of(request), now=timezone.now())
        messages.success(request, "Ended: only the current static challenge is taken.")
    except ApprovalsError as error:
        messages.error(request, str(error))
    return redirect("static_page", slug=row.profile.slug)


def _page(
    request: HttpRequest, profile: EnrollmentProfile, form: RotationForm, *, status: int = 200
) -> HttpResponse:
    now = timezone.now()
    rows = paginate(
        StaticChallenge.objects.filter(profile=profile).select_related("created_by"),
        request.GET,
        size=20,
    )
    context = {
        "profile": profile,
        "form": form,
        "page": rows,
        "rows": [(row, row.is_taken_at(now), count(row.uses.all())) for row in rows.rows],
    }
    return render(request, "approvals/challenges/static.html", context, status=status)


def _once(request: HttpRequest, profile: EnrollmentProfile, text: str) -> HttpResponse:
    return shown_once(
        request, "approvals/challenges/static_once.html", {"profile": profile, "text": text}
    )


def _static_row(request: HttpRequest, static_id: UUID, verb: Verb) -> StaticChallenge:
    permitted = StaticChallenge.objects.filter(within(request.user, verb, "profile__department_id"))
    return get_object_or_404(
        permitted.select_related("profile__department", "created_by"), pk=static_id
    )
