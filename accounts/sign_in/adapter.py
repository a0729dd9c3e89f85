"""How allauth behaves here."""

import re
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from django.http import HttpRequest
from django.utils import timezone

from accounts.models.people import User
from accounts.network.addresses import client_address
from accounts.sign_in.sign_in_limits import begin_sign_in
from accounts.sign_in.sign_ins import note_refused

#: A path of this origin, with query and fragment: browsers read `//`, `\\` and control characters
#: as the way to a host.
_PATH: Final = re.compile(r"(?:/(?!/)[^/?#\\\x00-\x20\x7f]*)+(?:[?#][^\\\x00-\x20\x7f]*)?")
_MAX_TARGET: Final = 2048
_PORTS: Final = {"http": 80, "https": 443}


def is_same_origin(url: str, request: HttpRequest) -> bool:
    """Whether a browser that is sent to `url` stays at the scheme, host and port of the request
    (RFC 6454).
    """
    if not 0 < len(url) <= _MAX_TARGET:
        return False
    if url.startswith("/"):
        return _PATH.fullmatch(url) is not None
    try:
        target, own = urlsplit(url), urlsplit(f"{request.scheme}://{request.get_host()}")
        if "@" in target.netloc or _origin(target) != _origin(own):
            return False
    except ValueError:  # a port or an IPv6 address that is none
        return False
    rest = url[len(target.scheme) + len("://") + len(target.netloc) :]
    return url.lower().startswith(f"{target.scheme}://") and (
        not rest or _PATH.fullmatch(rest) is not None
    )


def _origin(parts: SplitResult) -> tuple[str, str, int | None]:
    port = _PORTS.get(parts.scheme) if parts.port is None else parts.port
    return parts.scheme, parts.hostname or "", port


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth has no types
    """Sign-up is closed: people are created by administrators.

    Sign-ins are counted (`accounts.sign_in.sign_in_limits`).

    The remaining rate limits of allauth count the client, not the proxy.
    """

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Nobody signs up."""
        return False

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """Look at name and password, unless too many were wrong: then neither is looked at."""
        name = str(credentials.get("username", ""))
        attempt = begin_sign_in(request, name, now=timezone.now())
        if attempt is None:
            note_refused(request, name)
            raise self.validation_error("too_many_login_attempts")
        user: User | None = super().authenticate(request, **credentials)
        if user is not None:
            attempt.give_back()
        return user

    def get_client_ip(self, request: HttpRequest) -> str:
        """The address that rate limits count."""
        return client_address(request)

    def is_safe_url(self, url: str | None) -> bool:
        """Where a browser may be sent after signing in or out: this origin only. allauth takes
        every ALLOWED_HOSTS.
        """
        return is_same_origin(url or "", context.request)
