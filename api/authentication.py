"""Authentication by a token in `Authorization: Bearer` only: no session, no cookie."""

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
        """Return the owner and the token.

        Raises BadToken or TooManyTries; every call needs a valid token.
        """
        header = request.META.get("HTTP_AUTHORIZATION", "")
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer" or len(header) > _MAX_HEADER:
            raise BadToken
        result = find_token(text.strip(), address=client_address(request), now=timezone.now())
        if result is TokenRefusal.TOO_MANY_TRIES:
            raise TooManyTries
        if isinstance(result, TokenRefusal):
            raise BadToken(result)
        return result.owner, result

    def authenticate_header(self, request: Request) -> str:
        """Name the scheme for a 401."""
        return 'Bearer realm="PKI portal"'


class TokenMay(BasePermission):
    """Whether the token may do the view's `verb` at all; the view asks again for one object."""

    message = (
        "this token has no scope for it, or its owner has lost the right: make a token with that "
        "scope"
    )

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Ask the token. A view without `verb` refuses all tokens."""
        verb = cast("Verb | None", getattr(view, "verb", None))
        return verb is not None and token_may(token_of(request), verb)


def token_of(request: Request) -> ApiToken:
    """Return the token of a request that was authenticated."""
    token = request.auth
    if not isinstance(token, ApiToken):
        raise BadToken
    return token
