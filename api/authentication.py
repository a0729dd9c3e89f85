"""Who calls: a token in `Authorization: Bearer`, and nothing else. No session, no cookie."""

from typing import cast

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.models.people import ApiToken, User
from accounts.network.addresses import client_address
from accounts.roles import Verb
from accounts.tokens import TokenRefusal, find_token, token_may
from api.problems import BadToken, TooManyTries

_MAX_HEADER = 512


class TokenAuthentication(BaseAuthentication):
    """Finds the token; `request.user` is its owner, `request.auth` the token."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken]:
        """Raise BadToken or TooManyTries where there is no token that opens anything: nobody calls
        without one.
        """
        header = request.META.get("HTTP_AUTHORIZATION", "")
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer" or len(header) > _MAX_HEADER:
            raise BadToken
        found = find_token(text.strip(), address=client_address(request), now=timezone.now())
        if found is TokenRefusal.TOO_MANY_TRIES:
            raise TooManyTries
        if isinstance(found, TokenRefusal):
            raise BadToken(found)
        return found.owner, found

    def authenticate_header(self, request: Request) -> str:
        """Name the scheme for a 401."""
        return 'Bearer realm="PKI portal"'


class TokenMay(BasePermission):
    """Whether the token may do the view's `verb` to anything at all; about one object the view asks
    again.
    """

    message = (
        "this token has no scope for it, or its owner has lost the right: make a token with that "
        "scope"
    )

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Ask the token; a view without `verb` is open to none."""
        verb = cast("Verb | None", getattr(view, "verb", None))
        return verb is not None and token_may(token_of(request), verb)


def token_of(request: Request) -> ApiToken:
    """Return the token of a request that was authenticated."""
    token = request.auth
    if not isinstance(token, ApiToken):
        raise BadToken
    return token
