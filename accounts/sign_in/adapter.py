"""The portal's adapter of allauth."""

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

#: A path of this origin, with query and fragment. Browsers read `//`, `\\` and control characters
#: as the start of a host.
_PATH: Final = re.compile(r"(?:/(?!/)[^/?#\\\x00-\x20\x7f]*)+(?:[?#][^\\\x00-\x20\x7f]*)?")
_MAX_TARGET: Final = 2048
_PORTS: Final = {"http": 80, "https": 443}


def is_same_origin(url: str, request: HttpRequest) -> bool:
    """Whether `url` keeps a browser at the scheme, host and port of the request (RFC 6454)."""
    if not 0 < len(url) <= _MAX_TARGET:
        return False
    if url.startswith("/"):
        return _PATH.fullmatch(url) is not None
    try:
        target, own = urlsplit(url), urlsplit(f"{request.scheme}://{request.get_host()}")
        if "@" in target.netloc or _origin(target) != _origin(own):
            return False
    except ValueError:  # an invalid port or IPv6 address
        return False
    rest = url[len(target.scheme) + len("://") + len(target.netloc) :]
    return url.lower().startswith(f"{target.scheme}://") and (
        not rest or _PATH.fullmatch(rest) is not None
    )


def _origin(parts: SplitResult) -> tuple[str, str, int | None]:
    port = _PORTS.get(parts.scheme) if parts.port is None else parts.port
    return parts.scheme, parts.hostname or "", port


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth has no types
    """Sign-up is closed: administrators create people.

    Sign-ins are counted (`accounts.sign_in.sign_in_limits`). allauth's other rate limits count the
    client, not the proxy.
    """

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Sign-up is closed."""
        return False

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """Check name and password; after too many failures, refuse without checking."""
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
        """Return the address that rate limits count."""
        return client_address(request)

    def is_safe_url(self, url: str | None) -> bool:
        """Allow redirects after signing in or out to this origin only.

        allauth itself accepts every host in ALLOWED_HOSTS.
        """
        return is_same_origin(url or "", context.request)
