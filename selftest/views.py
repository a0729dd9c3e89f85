"""The pages of the self-test: past runs, one run in progress, the button."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.doors import principal_of, requires
from accounts.permissions import within
from accounts.roles import Verb
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.pages.filters import profiles_of
from approvals.pages.polling import live
from approvals.rules.states import OPEN_STATES
from selftest.chart import WIDTH, bars_of
from selftest.errors import SelfTestRefused
from selftest.models import SelfTestRun
from selftest.runs import ring_for_run, start_run

_SHOWN = 20


@never_cache
@require_safe
@requires(Verb.PROFILE_VIEW)
def runs(request: HttpRequest) -> HttpResponse:
    """The last runs, open requests of earlier runs, and the profiles that can be tested."""
    rows = _runs_of(request).order_by("-id")[:_SHOWN]
    context = {
        "runs": list(
            rows.annotate(sent=Sum("steps__sent_bytes"), received=Sum("steps__received_bytes"))
        ),
        "loops": profiles_of(request).filter(for_self_test=True).select_related("ca"),
        "others": profiles_of(request)
        .filter(within(request.user, Verb.PROFILE_MANAGE, "department_id"))
        .filter(for_self_test=False),
        "waiting": EnrollmentRequest.objects.filter(
            profile__for_self_test=True, state__in=sorted(OPEN_STATES)
        )
        .filter(within(request.user, Verb.REQUEST_VIEW, "profile__department_id"))
        .defer("csr")
        .order_by("-id")[:_SHOWN],
        "now": timezone.now(),
    }
    return render(request, "selftest/runs.html", context)


@never_cache
@require_safe
@requires(Verb.PROFILE_VIEW)
def run(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """One run: its steps with their times and bytes."""
    return render(request, "selftest/run.html", _run_context(request, run_id))


@require_safe
@requires(Verb.PROFILE_VIEW)
def run_live(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """The parts of a run's page that are refreshed."""
    context = _run_context(request, run_id)
    return live(request, "selftest/run_live.html", context, every=context["every"])


@require_POST
@requires(Verb.PROFILE_MANAGE, Verb.REQUEST_DECIDE)
def start(request: HttpRequest) -> HttpResponse:
    """Start a run in the name of the person who pressed the button."""
    profile = get_object_or_404(_startable(request), slug=request.POST.get("profile", ""))
    principal = principal_of(request)
    try:
        with transaction.atomic():
            run = start_run(profile=profile, principal=principal, now=timezone.now())
            ring_for_run(run)
    except SelfTestRefused as error:
        messages.error(request, str(error))
        return redirect("self_tests")
    return redirect("self_test", run_id=run.pk)


def _startable(request: HttpRequest) -> Any:
    """Self-test profiles for officers and administrators; ordinary ones for administrators only."""
    rows = EnrollmentProfile.objects.select_related("ca", "department")
    managed = rows.filter(within(request.user, Verb.PROFILE_MANAGE, "department_id"))
    return managed | rows.filter(
        within(request.user, Verb.PROFILE_VIEW, "department_id"), for_self_test=True
    )


def _runs_of(request: HttpRequest) -> Any:
    allowed = within(request.user, Verb.PROFILE_VIEW, "profile__department_id")
    return SelfTestRun.objects.filter(allowed).select_related("profile", "officer", "started_by")


def _run_context(request: HttpRequest, run_id: UUID) -> dict[str, Any]:
    row = get_object_or_404(_runs_of(request), pk=run_id)
    steps = list(row.steps.order_by("number"))
    return {
        "run": row,
        "steps": steps,
        "bars": list(zip(steps, bars_of(steps), strict=True)),
        "width": WIDTH,
        "is_lost": row.is_lost(timezone.now()),
        "every": 30 if row.is_over else 1,
    }
