"""Access to pages: the one decorator of all views, and the person behind a request."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, cast
from urllib.parse import urlencode, urlsplit, urlunsplit

from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url

from accounts.models.people import User
from accounts.network.addresses import client_address
from accounts.permissions import can
from accounts.principals import Principal, person_principal
from accounts.roles import Verb
from accounts.sign_in.drafts import Draft, sign_in_page

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def requires(
    *verbs: Verb, draft: Callable[..., Draft] | None = None
) -> Callable[[View[P]], View[P]]:
    """Redirect anonymous visitors to the sign-in page; answer 403 to people without any of `verbs`.

    Without verbs it is enough to be signed in. The view itself checks permission for one object, by
    `can` or `within`. With `draft`, a form that arrives after the session ended leads through the
    sign-in page back to its own page, with its fields filled in.
    """

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def answer(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return (
                    sign_in_page(request, draft(request, **kwargs)) if draft else _sign_in(request)
                )
            if verbs and not any(can(request.user, verb) for verb in verbs):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return cast("View[P]", answer)

    return decorate


def person(request: HttpRequest) -> User:
    """Return the signed-in user.

    Raises PermissionDenied for an anonymous visitor; `requires` redirects those before.
    """
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def _sign_in(request: HttpRequest) -> HttpResponse:
    if "HX-Request" in request.headers:  # a page that refreshes itself after the session has ended
        return HttpResponse(status=401, headers={"HX-Redirect": _sign_in_and_back(request)})
    return redirect_to_login(request.get_full_path() if request.method == "GET" else "/")


def _sign_in_and_back(request: HttpRequest) -> str:
    """Return the address of the sign-in page that leads back to the refreshing page."""
    page = urlsplit(request.headers.get("HX-Current-URL", ""))
    sign_in = resolve_url("account_login")
    if page.netloc != request.get_host() or not page.path.startswith("/"):
        return sign_in
    back = urlunsplit(("", "", page.path, page.query, ""))
    return f"{sign_in}?{urlencode({REDIRECT_FIELD_NAME: back})}"


def principal_of(request: HttpRequest) -> Principal:
    """Return the signed-in person with the address they act from."""
    return person_principal(person(request), address=client_address(request))
