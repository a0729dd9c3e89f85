"""The page of enrollment profiles: where a device asks, under which rules, and whether it is answered."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts.doors import person, requires
from accounts.permissions import within
from accounts.roles import Verb
from approvals.forms import profiles_of
from approvals.models import EnrollmentProfile
from approvals.profiles import pause_profile, resume_profile


@require_http_methods(["GET", "HEAD"])
@requires(Verb.PROFILE_VIEW)
def profiles(request: HttpRequest) -> HttpResponse:
    """Every profile one may see, with the address for its devices."""
    rows = profiles_of(request).select_related("ca", "certificate_profile__current", "department")
    return render(request, "approvals/profiles.html", {"profiles": rows, "public_url": settings.PORTAL_PUBLIC_URL})


@require_http_methods(["POST"])
@requires(Verb.PROFILE_MANAGE)
def pause(request: HttpRequest, slug: str) -> HttpResponse:
    """Stop signing for a profile; its devices keep getting PENDING."""
    profile = _profile(request, slug)
    pause_profile(profile=profile, user=person(request), now=timezone.now())
    messages.success(request, f"{profile.slug} is paused: devices keep getting PENDING.")
    return redirect("profiles")


@require_http_methods(["POST"])
@requires(Verb.PROFILE_MANAGE)
def resume(request: HttpRequest, slug: str) -> HttpResponse:
    """Sign again."""
    profile = _profile(request, slug)
    resume_profile(profile=profile, user=person(request), now=timezone.now())
    messages.success(request, f"{profile.slug} works again: what waited is signed now.")
    return redirect("profiles")


def _profile(request: HttpRequest, slug: str) -> EnrollmentProfile:
    mine = EnrollmentProfile.objects.filter(within(request.user, Verb.PROFILE_MANAGE, "department_id"))
    return get_object_or_404(mine, slug=slug)
