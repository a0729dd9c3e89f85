"""Errors as `application/problem+json` (RFC 9457): one sentence that says what to do next.

Faults of the portal itself are told without detail.
"""

from collections.abc import Mapping
from typing import Any, Final

import structlog
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

from accounts.tokens import TokenRefusal
from approvals.challenge_orders.rest_orders import KeyUsedOtherwise
from approvals.rules.errors import ApprovalsError, ChallengeInvalid, NotPermitted
from database.availability import is_unavailable

CONTENT_TYPE: Final = "application/problem+json"
_RETRY: Final = {"Retry-After": "30"}
#: HTTP status of the errors of use cases. An error that is not listed is 422.
_STATUS: Final[Mapping[type[ApprovalsError], int]] = {
    NotPermitted: 403,
    KeyUsedOtherwise: 422,
    ChallengeInvalid: 422,
}
#: The title of each HTTP status that a problem document has; `type` is `about:blank` in all.
TITLES: Final[Mapping[int, str]] = {
    400: "The request cannot be read",
    401: "A valid token is needed",
    403: "Not permitted",
    404: "Nothing here",
    405: "Not this method",
    415: "Send JSON",
    422: "The order cannot be made like this",
    429: "Too many wrong tokens",
    500: "A fault of the portal",
    503: "Not ready",
}
#: Texts about refused tokens. A token that is unknown or used from elsewhere gets no text that
#: helps to guess.
_TOLD: Final[Mapping[TokenRefusal, str]] = {
    TokenRefusal.UNKNOWN: "this token is not known here: its owner finds it on the page API tokens",
    TokenRefusal.NETWORK: "this token is not known here: its owner finds it on the page API tokens",
    TokenRefusal.REVOKED: "this token was revoked: make another one on the page API tokens",
    TokenRefusal.EXPIRED: "this token has expired: make another one on the page API tokens",
    TokenRefusal.OWNER: (
        "the owner of this token cannot sign in any more: make a token for another owner"
    ),
}

_log = structlog.get_logger(__name__)


class BadToken(exceptions.AuthenticationFailed):
    """No token, or a refused one."""

    def __init__(self, refusal: TokenRefusal | None = None) -> None:
        super().__init__(
            _TOLD[refusal]
            if refusal
            else "send a token of this portal as `Authorization: Bearer …`"
        )


class TooManyTries(exceptions.APIException):
    """Too many unknown tokens from one network, or with one prefix."""

    status_code = 429
    default_detail = "too many unknown tokens: mend the client, and wait a minute"


def answer_for(error: Exception, context: Mapping[str, Any]) -> Response:
    """Return the problem document for an exception of a view.

    Unexpected exceptions are logged, and answered without detail.
    """
    if isinstance(error, exceptions.APIException):
        return _of_framework(error)
    if isinstance(error, Http404):
        return problem(404, "there is no such object, or this token may not see it")
    if isinstance(error, ApprovalsError):
        return problem(_STATUS.get(type(error), 422), str(error))
    _log.error("api.fault", fault=type(error).__name__, exc_info=error)
    if is_unavailable(error):
        return problem(
            503, "the portal is not ready: try again with the same Idempotency-Key", headers=_RETRY
        )
    return problem(
        500, "a fault of the portal: try again with the same Idempotency-Key", headers=_RETRY
    )


def problem(
    status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: object
) -> Response:
    """Return a problem document; `detail` is a sentence for the operator of the client."""
    return Response(
        document(status, detail) | more,
        status=status,
        content_type=CONTENT_TYPE,
        headers=headers,
    )


def document(status: int, detail: str) -> dict[str, object]:
    """Return the members of a problem document."""
    return {
        "type": "about:blank",
        "title": TITLES.get(status, "Refused"),
        "status": status,
        "detail": detail,
    }


def _of_framework(error: exceptions.APIException) -> Response:
    if isinstance(error, exceptions.ValidationError):
        return problem(422, "see errors, by field", errors=error.detail)
    headers = {}
    if isinstance(error, (exceptions.AuthenticationFailed, exceptions.NotAuthenticated)):
        headers["WWW-Authenticate"] = error.auth_header  # type: ignore[union-attr]  # APIView sets it, from the authenticator
        return problem(401, str(error.detail), headers=headers)
    if isinstance(error, TooManyTries):
        headers["Retry-After"] = "60"
    return problem(error.status_code, str(error.detail), headers=headers)
