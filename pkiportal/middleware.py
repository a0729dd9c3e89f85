"""What happens to a request before a page sees it. The doors for machines take the short way (docs/adr/0001)."""

import re
from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.contrib.auth import SESSION_KEY, logout
from django.http import Http404, HttpRequest, HttpResponse
from django.http.request import split_domain_port
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.urls import Resolver404, resolve
from django.utils import timezone

from accounts.network import is_from_this_machine, is_from_trusted_proxy

GetResponse = Callable[[HttpRequest], HttpResponseBase]

#: The addresses of `scep.urls`, and nothing else: `/certsrv/mscep_admin/` takes a password.
_SCEP: Final = re.compile(r"/scep(?:/|$)|/[Cc]ert[Ss]rv/mscep/|/cgi-bin/pkiclient\.exe")
#: Doors for machines that send a password: the short way as well, but not over plain HTTP.
_ENCRYPTED: Final = re.compile(r"/[Cc]ert[Ss]rv/mscep_admin|/api/")
_HEALTH: Final = frozenset({"/healthz", "/readyz"})
_PUBLISHED: Final = (".cer", ".crt", ".pem", ".crl", ".p7c")
#: A whole SCEP message as base64 in a query, each character escaped at worst, beside other parameters.
_QUERY_MAX: Final = 4 * settings.PORTAL_SCEP_MAX_BYTES
_LENGTH_DIGITS: Final = 12
#: Seconds between two notes of "seen": not every request writes to the database.
_SEEN_EVERY: Final = 300


def trusted_proxy(get_response: GetResponse) -> GetResponse:
    """Believe `X-Forwarded-Proto` if, and only if, the connection comes from a named proxy."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        if settings.PORTAL_TRUSTED_PROXIES and is_from_trusted_proxy(request):
            scheme = request.META.get("HTTP_X_FORWARDED_PROTO", "").strip().lower()
            if scheme in {"http", "https"}:
                request.META["wsgi.url_scheme"] = scheme
        return get_response(request)

    return answer


def open_doors(get_response: GetResponse) -> GetResponse:
    """Answer SCEP, NDES, REST, health and publication paths without session, cookies, CSRF, host check or redirect."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        if _SCEP.match(path):
            return _with_length(_refuse_body(request) or _call_view(request))
        if _ENCRYPTED.match(path):
            return _with_length(_refuse_unencrypted(request) or _refuse_large(request) or _call_view(request))
        if path in _HEALTH or is_publication(path):
            return _with_length(_call_view(request))
        return get_response(request)

    return answer


def is_publication(path: str) -> bool:
    """Whether the path is a certificate or CRL that relying parties fetch without signing in."""
    return path.startswith("/ca/") and path.endswith(_PUBLISHED)


def refuse_plain_http(get_response: GetResponse) -> GetResponse:
    """Keep pages, and with them passwords and cookies, off unencrypted connections."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        return _refuse_unencrypted(request) or get_response(request)

    return answer


def session_age(get_response: GetResponse) -> GetResponse:
    """End a session a fixed time after the sign-in, or after a while without a person.

    A page that refreshes itself (an htmx GET) is not a person.
    """

    def answer(request: HttpRequest) -> HttpResponseBase:
        session = request.session
        if SESSION_KEY in session:
            now = int(timezone.now().timestamp())
            since, seen = session.get("signed_in_at", now), session.get("seen_at", now)
            if now - since > settings.SESSION_COOKIE_AGE or now - seen > settings.PORTAL_SESSION_IDLE:
                logout(request)
            elif "signed_in_at" not in session:
                session["signed_in_at"] = session["seen_at"] = now
            elif now - seen > _SEEN_EVERY and not _is_refresh(request):
                session["seen_at"] = now
        return get_response(request)

    return answer


def _call_view(request: HttpRequest) -> HttpResponseBase:
    try:
        match = resolve(request.path_info)
        request.resolver_match = match
        response: HttpResponseBase = match.func(request, *match.args, **match.kwargs)
        if isinstance(response, SimpleTemplateResponse):  # REST framework's answers are written late
            response = response.render()
    except (Resolver404, Http404):
        return _plain(404, "nothing here")
    return response


def _refuse_unencrypted(request: HttpRequest) -> HttpResponse | None:
    if request.is_secure() or _is_on_this_machine(request):
        return None
    return _plain(
        403,
        "these pages need an encrypted connection. Start the portal with --tls-cert and --tls-key, or put a "
        "proxy with TLS before it and name the proxy in PORTAL_TRUSTED_PROXIES, or open http://localhost on the "
        "machine itself. SCEP stays reachable without encryption.",
    )


def _refuse_large(request: HttpRequest) -> HttpResponse | None:
    """A refusal for a body that no reader of these doors sends; nothing is read."""
    length = request.META.get("CONTENT_LENGTH", "") or "0"
    if request.META.get("HTTP_TRANSFER_ENCODING") or not length.isdecimal():
        return _plain(411, "send the body with a Content-Length")
    if len(length) > _LENGTH_DIGITS or int(length) > settings.PORTAL_SCEP_MAX_BYTES:
        return _plain(413, f"a body has at most {settings.PORTAL_SCEP_MAX_BYTES} bytes")
    return None


def _refuse_body(request: HttpRequest) -> HttpResponse | None:
    """A refusal for a body of unknown length (WSGI gives none of it), an encoded or a large one; nothing is read."""
    length = request.META.get("CONTENT_LENGTH", "")
    is_counted = length.isdecimal() if request.method == "POST" else not length or length.isdecimal()
    if request.META.get("HTTP_TRANSFER_ENCODING") or not is_counted:
        return _plain(411, "send the message with a Content-Length")
    if request.META.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
        return _plain(415, "send the message without Content-Encoding")
    if len(length) > _LENGTH_DIGITS or int(length or 0) > settings.PORTAL_SCEP_MAX_BYTES:
        return _plain(413, f"a message has at most {settings.PORTAL_SCEP_MAX_BYTES} bytes")
    if len(request.META.get("QUERY_STRING", "")) > _QUERY_MAX:
        return _plain(414, "send the message by POST")
    return None


def _with_length(response: HttpResponseBase) -> HttpResponseBase:
    """Name the length: old clients do not understand a chunked answer."""
    if isinstance(response, HttpResponse) and response.status_code != 304:
        response.headers.setdefault("Content-Length", str(len(response.content)))
    return response


def _plain(status: int, text: str) -> HttpResponse:
    return HttpResponse(f"{status}: {text}\n", status=status, content_type="text/plain; charset=utf-8")


def _is_on_this_machine(request: HttpRequest) -> bool:
    """Whether browser and portal share a machine: a loopback address, and a name that only works on the machine."""
    host, _ = split_domain_port(request.get_host())
    return is_from_this_machine(request) and host in settings.PORTAL_PLAIN_HTTP_HOSTS


def _is_refresh(request: HttpRequest) -> bool:
    return request.method == "GET" and "HTTP_HX_REQUEST" in request.META
