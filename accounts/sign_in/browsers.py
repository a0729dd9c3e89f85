"""Known browsers: those in which a person has signed in before.

Wrong passwords from elsewhere never lock out a known browser. Its cookie names the person and is
bound to their password: a new password makes it worthless. The cookie grants no access by itself.
Several people who share a browser have an entry each.
"""

import hmac
import secrets
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.core import signing
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.models.people import User

_SALT: Final = "accounts.browsers"
_LIFETIME: Final = 365 * 24 * 3600
_RENEWED_AFTER: Final = 30 * 24 * 3600
_PEOPLE: Final = 5  # per browser; the person who signed in longest ago is dropped first
_MAX_LENGTH: Final = 2048


@dataclass(frozen=True, slots=True)
class _Entry:
    """The entry of one person.

    `browser` is a random number, `since` Unix time, `password` a keyed digest of the stored hash.
    """

    person: str
    browser: str
    since: int
    password: str

    def is_of(self, user: User) -> bool:
        """Whether the entry was made for this person and their current password."""
        return self.person == user.pk.hex and hmac.compare_digest(self.password, _digest(user))


def known_browser(request: HttpRequest, name: str) -> str | None:
    """Return the identifier of this browser if the person has signed in with it before, else None.

    The user name is compared with the people in the cookie and never looked up: the answer does not
    depend on whether the name exists.
    """
    entries = {entry.person: entry for entry in _entries(request)}
    for user in User.objects.filter(pk__in=list(entries)) if entries else ():
        entry = entries[user.pk.hex]
        if folded_name(user.username) == folded_name(name) and entry.is_of(user):
            return entry.browser
    return None


def folded_name(name: str) -> str:
    """Return one text for all spellings that a database takes for the same user name."""
    return unicodedata.normalize("NFKC", name).strip().upper().casefold()


def remember_browser(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Set the cookie of a known browser after a sign-in and after a new password."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if (
            SESSION_KEY in request.session
            and isinstance(request.user, User)
            and request.user.is_authenticated
        ):
            _remember(request, response, request.user)
        return response

    return answer


def _remember(request: HttpRequest, response: HttpResponseBase, user: User) -> None:
    entries, now = _entries(request), int(timezone.now().timestamp())
    own = next((entry for entry in entries if entry.is_of(user)), None)
    if own is not None and now - own.since < _RENEWED_AFTER:
        return
    browser = own.browser if own is not None else secrets.token_hex(8)
    others = [entry for entry in entries if entry.person != user.pk.hex]
    newest = [_Entry(user.pk.hex, browser, now, _digest(user)), *others][:_PEOPLE]
    response.set_cookie(
        settings.PORTAL_BROWSER_COOKIE_NAME,
        signing.dumps(
            [[entry.person, entry.browser, entry.since, entry.password] for entry in newest],
            salt=_SALT,
        ),
        max_age=_LIFETIME,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _entries(request: HttpRequest) -> list[_Entry]:
    text = request.COOKIES.get(settings.PORTAL_BROWSER_COOKIE_NAME, "")
    if not text or len(text) > _MAX_LENGTH:
        return []
    try:
        return [_Entry(*entry) for entry in signing.loads(text, salt=_SALT, max_age=_LIFETIME)]
    except signing.BadSignature:
        return []


def _digest(user: User) -> str:
    return salted_hmac(_SALT, user.password, algorithm="sha256").hexdigest()[:32]
