"""The page of enrollment profiles: their addresses, rules and states."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.doors import principal_of, requires
from accounts.permissions import within
from accounts.roles import Verb
from approvals.challenges.lockouts import locks_of, unlock
from approvals.models.challenges import Alarm
from approvals.models.profiles import EnrollmentProfile
from approvals.pages.filters import profiles_of
from approvals.profiles.manage import order_service_probe, pause_profile, resume_profile
from approvals.rules.errors import ProfileInvalid
from approvals.validation.services import asked_by


@require_safe
@requires(Verb.PROFILE_VIEW)
def profiles(request: HttpRequest) -> HttpResponse:
    """All visible profiles, with the address for their devices."""
    related = (
        "ca",
        "certificate_profile__current",
        "department",
        "validation_service",
        "eligibility",
    )
    rows = profiles_of(request).select_related(*related)
    for row in rows:
        row.asked = asked_by(row)  # type: ignore[attr-defined]  # for the template
    return render(
        request,
        "approvals/profiles/profiles.html",
        {"profiles": rows, "public_url": settings.PORTAL_PUBLIC_URL},
    )


@require_POST
@requires(Verb.PROFILE_MANAGE)
def pause(request: HttpRequest, slug: str) -> HttpResponse:
    """Stop signing for a profile; its devices keep getting PENDING."""
    profile = _profile(request, slug)
    pause_profile(profile=profile, principal=principal_of(request), now=timezone.now())
    messages.success(request, f"{profile.slug} is paused: devices keep getting PENDING.")
    return redirect("profiles")


@require_POST
@requires(Verb.PROFILE_MANAGE)
def resume(request: HttpRequest, slug: str) -> HttpResponse:
    """Sign again."""
    profile = _profile(request, slug)
    resume_profile(profile=profile, principal=principal_of(request), now=timezone.now())
    messages.success(request, f"{profile.slug} works again: what waited is signed now.")
    return redirect("profiles")


@require_POST
@requires(Verb.PROFILE_MANAGE)
def probe(request: HttpRequest, slug: str) -> HttpResponse:
    """Let the worker test a profile's validation service; the page shows the result."""
    try:
        order_service_probe(
            profile=_profile(request, slug), principal=principal_of(request), now=timezone.now()
        )
        messages.success(
            request, f"The service of {slug} is being tested: load the page again in a few seconds."
        )
    except ProfileInvalid as error:
        messages.error(request, str(error))
    return redirect("profiles")


@never_cache
@require_safe
@requires(Verb.PROFILE_VIEW)
def locks(request: HttpRequest, slug: str) -> HttpResponse:
    """The networks whose challenges are not checked at a profile, and until when."""
    profile = get_object_or_404(profiles_of(request), slug=slug)
    now = timezone.now()
    alarms = Alarm.objects.filter(profile=profile).order_by("-pk")[:20]
    context = {"profile": profile, "locks": locks_of(profile, now=now), "alarms": alarms}
    return render(request, "approvals/profiles/locks.html", context)


@require_POST
@requires(Verb.CHALLENGE_CREATE)
def unlock_challenges(request: HttpRequest, slug: str) -> HttpResponse:
    """Check challenges again at once."""
    managed = EnrollmentProfile.objects.filter(
        within(request.user, Verb.CHALLENGE_CREATE, "department_id")
    )
    profile = get_object_or_404(managed, slug=slug)
    number = unlock(profile, principal=principal_of(request), now=timezone.now())
    messages.success(request, f"Unlocked: {number}. Challenges are checked again.")
    return redirect("profile_locks", slug=slug)


def _profile(request: HttpRequest, slug: str) -> EnrollmentProfile:
    managed = EnrollmentProfile.objects.filter(
        within(request.user, Verb.PROFILE_MANAGE, "department_id")
    )
    return get_object_or_404(managed, slug=slug)
