"""Pages behind one-time links: setting up the first administrator, setting one's password."""

from django.contrib import messages
from django.contrib.auth import login, logout
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from accounts.forms import FirstAdministratorForm, NewPasswordForm
from accounts.network.addresses import client_address
from accounts.people.password_links import PasswordLinkInvalid, check_link, redeem_link
from accounts.people.setup import (
    FirstAdministrator,
    SetupLinkInvalid,
    check_setup_link,
    use_setup_link,
)

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
            return render(
                request, "account/setup.html", {"form": form}, status=422 if form.is_bound else 200
            )
        user = use_setup_link(token, _person(form, request), now=timezone.now())
    except SetupLinkInvalid as refusal:
        return render(request, "account/setup.html", {"refusal": refusal.public_text}, status=410)
    login(request, user, backend=_BACKEND)
    return redirect("/")


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def password_link(request: HttpRequest, token: str) -> HttpResponse:
    """Let the owner of a link set their password.

    A GET, such as a mail scanner's, does not use it up.
    """
    form = NewPasswordForm(request.POST if request.method == "POST" else None)
    now = timezone.now()
    try:
        link = check_link(token, now=now)
        if form.is_valid() and _set_password(form, token, request):
            logout(request)  # the session of this browser may belong to another person
            messages.success(request, "The password is set. Sign in with it.")
            return redirect("account_login")
    except PasswordLinkInvalid as refusal:
        return render(
            request, "account/password_link.html", {"refusal": refusal.public_text}, status=410
        )
    context = {"form": form, "link": link}
    return render(
        request, "account/password_link.html", context, status=422 if form.is_bound else 200
    )


def _set_password(form: NewPasswordForm, token: str, request: HttpRequest) -> bool:
    """Redeem the link; a password that breaks the rules is reported at its field."""
    try:
        redeem_link(
            token,
            form.cleaned_data["password"],
            address=client_address(request),
            now=timezone.now(),
        )
    except ValidationError as error:
        form.add_error("password", error)
        return False
    return True


def _person(form: FirstAdministratorForm, request: HttpRequest) -> FirstAdministrator:
    data = form.cleaned_data
    return FirstAdministrator(
        username=data["username"],
        password=data["password"],
        also_officer=data["also_officer"],
        address=client_address(request),
    )
