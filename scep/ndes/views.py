"""`/certsrv/mscep_admin/`: the page on which NDES shows one-time challenges to MDMs."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts.network.addresses import client_address
from approvals.challenge_orders.ndes import (
    NdesAnswer,
    NdesCredentials,
    NdesRefusal,
    fetch_challenge,
)
from approvals.models.ndes import NdesAccount, NdesEncoding
from scep.ndes.page import (
    BasicCredentials,
    cache_full_page,
    challenge_page,
    no_permission_page,
    parse_basic,
)

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_ASK = 'Basic realm="NDES of the PKI portal", charset="UTF-8"'
_TRY_AGAIN_SECONDS = "60"


def mscep_admin(request: HttpRequest) -> HttpResponse:
    """Answer each GET or POST of an account with a fresh challenge.

    HEAD is refused: its challenge would be lost.
    """
    if request.method not in ("GET", "POST"):
        return _plain(405, "use GET", Allow="GET, POST")
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return _plain(
            403, "open this page by its address: a link of another site makes no challenge"
        )
    credentials = parse_basic(request.headers.get("Authorization", ""))
    if credentials is None:
        return _unauthorized()
    return _told(fetch_challenge(_credentials(request, credentials), now=timezone.now()))


def _credentials(request: HttpRequest, basic: BasicCredentials) -> NdesCredentials:
    return NdesCredentials(basic.name, basic.password, client_address(request))


def _told(answer: NdesAnswer) -> HttpResponse:
    account = answer.account
    if answer.refusal is NdesRefusal.TOO_MANY_TRIES:
        return _plain(
            429,
            "too many wrong names or passwords, wait a minute",
            **{"Retry-After": _TRY_AGAIN_SECONDS},
        )
    if account is None:
        return _unauthorized()
    if answer.secret is not None:
        page = challenge_page(
            answer.secret.reveal(),
            ca_certificate=account.profile.ca.certificate_der,
            lifetime=account.lifetime,
            encoding=account.encoding,
        )
    elif answer.refusal is NdesRefusal.FULL:
        page = cache_full_page(lifetime=account.lifetime, encoding=account.encoding)
    else:
        page = no_permission_page(encoding=account.encoding)
    return HttpResponse(page, content_type=_content_type(account), headers=_HEADERS)


def _content_type(account: NdesAccount) -> str:
    """Return `text/html` alone for UTF-16, as IIS does: some readers break on a charset."""
    return "text/html; charset=utf-8" if account.encoding == NdesEncoding.UTF_8 else "text/html"


def _unauthorized() -> HttpResponse:
    return _plain(
        401,
        "name and password of an NDES account are needed: an administrator makes one under "
        "Profiles, NDES accounts",
        **{"WWW-Authenticate": _ASK},
    )


def _plain(status: int, text: str, **headers: str) -> HttpResponse:
    return HttpResponse(
        f"{status}: {text}\n",
        status=status,
        content_type="text/plain; charset=utf-8",
        headers=_HEADERS | headers,
    )
