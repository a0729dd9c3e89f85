"""Middleware: the steps before a page sees a request.

Doors for machines take the short way (docs/adr/0001).
"""

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

from accounts.network.addresses import forwarded_scheme, is_from_this_machine
from pkiportal.web.access import bind_request_id
from pkiportal.web.bodies import LengthUnknown, TooLarge, body_length

GetResponse = Callable[[HttpRequest], HttpResponseBase]

#: Exactly the addresses of `scep.urls`: `/certsrv/mscep_admin/` takes a password.
_SCEP: Final = re.compile(r"/scep(?:/|$)|/[Cc]ert[Ss]rv/+mscep/|/cgi-bin/+pkiclient\.exe")
#: Doors for machines that send a password: the short way too, but not over plain HTTP.
_ENCRYPTED: Final = re.compile(r"/[Cc]ert[Ss]rv/mscep_admin|/api/")
_HEALTH: Final = frozenset({"/healthz", "/readyz"})
_PUBLISHED: Final = (".cer", ".crt", ".pem", ".crl", ".p7c")
#: A whole SCEP message as base64 in a query, every character escaped, and other parameters.
_QUERY_MAX: Final = 4 * settings.PORTAL_SCEP_MAX_BYTES
#: Seconds between two writes of `seen_at`, so that most requests write nothing.
_SEEN_EVERY: Final = 300


def name_request(get_response: GetResponse) -> GetResponse:
    """Add the id of the request to each of its log lines."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        bind_request_id(request.META)
        return get_response(request)

    return answer


def bound_body(get_response: GetResponse) -> GetResponse:
    """Refuse a body that is too large for its path, before a byte of it is read.

    The web server refuses it earlier (`pkiportal.web.front`); this is for a portal behind another
    server.
    """

    def answer(request: HttpRequest) -> HttpResponseBase:
        return _refuse_body(request) or get_response(request)

    return answer


def trusted_proxy(get_response: GetResponse) -> GetResponse:
    """Trust the reported scheme if, and only if, the connection comes from a trusted proxy."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        scheme = forwarded_scheme(request) if settings.PORTAL_TRUSTED_PROXIES else ""
        if scheme:
            request.META["wsgi.url_scheme"] = scheme
        return get_response(request)

    return answer


def open_doors(get_response: GetResponse) -> GetResponse:
    """Answer SCEP, NDES, REST, health and publication paths without session, cookies or CSRF.

    They have no host check and no redirect either.
    """

    def answer(request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        once = f"/{path.lstrip('/')}"
        if _SCEP.match(once):
            request.path = request.path_info = (
                once  # a device appends /cgi-bin/… to an address that ends with a slash
            )
            return _with_length(_refuse_message(request) or _call_view(request))
        if _ENCRYPTED.match(path):
            return _with_length(_refuse_unencrypted(request) or _call_view(request))
        if path in _HEALTH or is_publication(path):
            return _with_length(_call_view(request))
        return get_response(request)

    return answer


def is_publication(path: str) -> bool:
    """Whether the path is a certificate or CRL that relying parties fetch without signing in."""
    return path.startswith("/ca/") and path.endswith(_PUBLISHED)


def refuse_plain_http(get_response: GetResponse) -> GetResponse:
    """Refuse pages, and with them passwords and cookies, on unencrypted connections."""

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
            since, last_seen = session.get("signed_in_at", now), session.get("seen_at", now)
            if (
                now - since > settings.SESSION_COOKIE_AGE
                or now - last_seen > settings.PORTAL_SESSION_IDLE
            ):
                logout(request)
            elif "signed_in_at" not in session:
                session["signed_in_at"] = session["seen_at"] = now
            elif (
                since > now or last_seen > now
            ):  # the clock was set back: the old times must not lengthen the session
                session["signed_in_at"], session["seen_at"] = min(since, now), min(last_seen, now)
            elif now - last_seen > _SEEN_EVERY and not _is_refresh(request):
                session["seen_at"] = now
        return get_response(request)

    return answer


def _call_view(request: HttpRequest) -> HttpResponseBase:
    try:
        match = resolve(request.path_info)
        request.resolver_match = match
        response: HttpResponseBase = match.func(request, *match.args, **match.kwargs)
        if isinstance(response, SimpleTemplateResponse):  # REST framework renders its answers late
            response = response.render()
    except (Resolver404, Http404):
        return _plain(404, "nothing here")
    return response


def _refuse_unencrypted(request: HttpRequest) -> HttpResponse | None:
    if request.is_secure() or _is_on_this_machine(request):
        return None
    return _plain(
        403,
        "these pages need an encrypted connection. Start the portal with --tls-cert and --tls-key, "
        "or put a "
        "proxy with TLS before it and name the proxy in PORTAL_TRUSTED_PROXIES, or open "
        "http://localhost on the "
        "machine itself, from elsewhere through ssh -L PORT:localhost:PORT MACHINE. SCEP stays "
        "reachable without "
        "encryption.",
    )


def _refuse_body(request: HttpRequest) -> HttpResponse | None:
    """Refuse a body of unknown length (WSGI gives none of it) or a large one; reads nothing."""
    length = request.META.get("CONTENT_LENGTH", "")
    try:
        body_length(
            request.path_info,
            length=length,
            is_chunked=bool(request.META.get("HTTP_TRANSFER_ENCODING")),
        )
    except LengthUnknown as error:
        return _plain(411, str(error))
    except TooLarge as error:
        return _plain(413, str(error))
    return None


def _refuse_message(request: HttpRequest) -> HttpResponse | None:
    """Refuse a message without a length, an encoded one, or a query too long for any message."""
    if request.method == "POST" and not request.META.get("CONTENT_LENGTH"):
        return _plain(411, "send the message with a Content-Length")
    if request.META.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
        return _plain(415, "send the message without Content-Encoding")
    if len(request.META.get("QUERY_STRING", "")) > _QUERY_MAX:
        return _plain(414, "send the message by POST")
    return None


def _with_length(response: HttpResponseBase) -> HttpResponseBase:
    """Set the length: old clients do not understand a chunked answer."""
    if isinstance(response, HttpResponse) and response.status_code != 304:
        response.headers.setdefault("Content-Length", str(len(response.content)))
    return response


def _plain(status: int, text: str) -> HttpResponse:
    return HttpResponse(
        f"{status}: {text}\n", status=status, content_type="text/plain; charset=utf-8"
    )


def _is_on_this_machine(request: HttpRequest) -> bool:
    """Whether browser and portal share a machine: a loopback address and a local name."""
    host, _ = split_domain_port(request.get_host())
    return is_from_this_machine(request) and host in settings.PORTAL_PLAIN_HTTP_HOSTS


def _is_refresh(request: HttpRequest) -> bool:
    return request.method == "GET" and "HTTP_HX_REQUEST" in request.META
