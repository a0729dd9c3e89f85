"""The page behind the one-time set-up link."""

from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from accounts.forms import FirstAdministratorForm
from accounts.network import client_address
from accounts.setup import FirstAdministrator, SetupLinkInvalid, check_setup_link, use_setup_link

_BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def set_up(request: HttpRequest, token: str) -> HttpResponse:
    """Create the first administrator and sign them in."""
    form = FirstAdministratorForm(request.POST if request.method == "POST" else None)
    try:
        check_setup_link(token, now=timezone.now())
        if not form.is_valid():
            return render(request, "account/setup.html", {"form": form}, status=422 if form.is_bound else 200)
        user = use_setup_link(token, _person(form, request), now=timezone.now())
    except SetupLinkInvalid as refusal:
        return render(request, "account/setup.html", {"refusal": refusal.public_text}, status=410)
    login(request, user, backend=_BACKEND)
    return redirect("/")


def _person(form: FirstAdministratorForm, request: HttpRequest) -> FirstAdministrator:
    data = form.cleaned_data
    return FirstAdministrator(
        username=data["username"],
        password=data["password"],
        also_officer=data["also_officer"],
        address=client_address(request),
    )
