"""The pages *Set up devices*: the text to paste into a device, and a fresh challenge for it."""

from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_POST, require_safe

from accounts.doors import principal_of, requires
from accounts.permissions import within
from accounts.roles import Verb
from approvals.device_setup.client_matrix import published_run
from approvals.device_setup.configuration_keys import is_ready
from approvals.device_setup.configurations.apple import CONTENT_TYPE
from approvals.device_setup.configurations.clients import APPLE, CLIENTS, Client
from approvals.device_setup.configurations.facts import ConfigurationFacts, NotExpressible
from approvals.device_setup.setup import (
    AddressRefused,
    ConfigurationTarget,
    address_fault,
    configuration_facts,
    create_configuration_challenge,
    signed_mobileconfig,
)
from approvals.models.profiles import EnrollmentProfile
from approvals.pages.setup_forms import ChallengeForm, NamesForm
from approvals.rules.errors import ApprovalsError
from database.encryption import Secret


@require_safe
@requires(Verb.PROFILE_VIEW)
def device_setup(request: HttpRequest, slug: str, client: str = "") -> HttpResponse:
    """The facts of a profile and the list of clients, or the steps for one client."""
    profile = _profile(request, slug, Verb.PROFILE_VIEW)
    form = NamesForm(request.GET, profile=profile)
    form.is_valid()
    return _page(request, profile, form, _client(client) if client else None)


@require_safe
@requires(Verb.PROFILE_VIEW)
def working_clients(request: HttpRequest) -> HttpResponse:
    """Which clients did what in the published run; the same for everybody."""
    return render(request, "approvals/device_setup/working_clients.html", {"run": published_run()})


@require_POST
@requires(Verb.CHALLENGE_CREATE)
def device_setup_challenge(request: HttpRequest, slug: str, client: str) -> HttpResponse:
    """The steps with a new challenge, shown only in this answer."""
    profile, client_entry = _profile(request, slug, Verb.CHALLENGE_CREATE), _client(client)
    form = ChallengeForm(request.POST, profile=profile)
    try:
        secret = _create(request, profile, client_entry, form) if form.is_valid() else None
    except AddressRefused:  # the page says so
        secret = None
    except ApprovalsError as error:
        form.add_error(None, str(error))
        secret = None
    return _page(request, profile, form, client_entry, secret=secret, status=200 if secret else 422)


@require_safe
@requires(Verb.PROFILE_VIEW)
def mobileconfig(request: HttpRequest, slug: str) -> HttpResponse:
    """Apple's configuration profile without a challenge."""
    profile = _profile(request, slug, Verb.PROFILE_VIEW)
    form = NamesForm(request.GET, profile=profile)
    if not form.is_valid() or address_fault(profile):
        return _page(request, profile, form, CLIENTS[APPLE], status=422)
    return _file(profile, configuration_facts(profile, form.names))


@require_POST
@requires(Verb.CHALLENGE_CREATE)
def mobileconfig_challenge(request: HttpRequest, slug: str) -> HttpResponse:
    """Apple's configuration profile with a new challenge."""
    profile = _profile(request, slug, Verb.CHALLENGE_CREATE)
    form = ChallengeForm(request.POST, profile=profile)
    try:
        if form.is_valid():
            secret = _create(request, profile, CLIENTS[APPLE], form)
            return _file(profile, configuration_facts(profile, form.names, secret))
    except AddressRefused:  # the page says so
        pass
    except ApprovalsError as error:
        form.add_error(None, str(error))
    return _page(request, profile, form, CLIENTS[APPLE], status=422)


def _create(
    request: HttpRequest, profile: EnrollmentProfile, client: Client, form: ChallengeForm
) -> Secret:
    recipient = ConfigurationTarget(profile, client, form.names, form.cleaned_data["lifetime"])
    return create_configuration_challenge(
        recipient, principal=principal_of(request), now=timezone.now()
    )


def _page(
    request: HttpRequest,
    profile: EnrollmentProfile,
    form: NamesForm,
    client: Client | None,
    *,
    secret: Secret | None = None,
    status: int = 200,
) -> HttpResponse:
    facts = configuration_facts(profile, form.names, secret)
    context: dict[str, Any] = {
        "profile": profile,
        "facts": facts,
        "form": form,
        "client": client,
        "clients": CLIENTS.values(),
        "has_challenge": secret is not None,
        "address_fault": address_fault(profile, client),
        "query": urlencode({name: value for name, value in form.typed.items() if value}),
    }
    if client is None:
        return render(request, "approvals/device_setup/setup.html", context)
    address = reverse("device_setup_client", args=[profile.slug, client.slug])
    context["page_url"] = f"{settings.PORTAL_PUBLIC_URL}{address}"
    try:
        configuration = client.render(facts)
    except NotExpressible as error:
        form.add_error(None, str(error))
        status = 422
    else:
        context["configuration"] = None if context["address_fault"] else configuration
    if context["address_fault"]:
        status = 422
    context |= {
        "challenge_form": form
        if isinstance(form, ChallengeForm)
        else ChallengeForm(profile=profile),
        "is_signed": is_ready(profile.ca, now=timezone.now()),
    }
    return _kept_nowhere(
        render(request, "approvals/device_setup/client.html", context, status=status)
    )


def _file(profile: EnrollmentProfile, facts: ConfigurationFacts) -> HttpResponse:
    content, _ = signed_mobileconfig(profile, facts, now=timezone.now())
    name = f'attachment; filename="{facts.label}.mobileconfig"'
    return _kept_nowhere(
        HttpResponse(content, content_type=CONTENT_TYPE, headers={"Content-Disposition": name})
    )


def _kept_nowhere(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store"
    return response


def _profile(request: HttpRequest, slug: str, verb: Verb) -> EnrollmentProfile:
    permitted = EnrollmentProfile.objects.filter(within(request.user, verb, "department_id"))
    rows = permitted.filter(certificate_profile__current__isnull=False)
    return get_object_or_404(
        rows.select_related("ca__parent__parent", "certificate_profile", "department"), slug=slug
    )


def _client(slug: str) -> Client:
    if slug not in CLIENTS:
        raise Http404
    return CLIENTS[slug]
