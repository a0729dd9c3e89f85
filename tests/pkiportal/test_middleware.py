"""The middleware before a page sees a request."""

import ipaddress
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import LazySettings
from django.http import Http404, HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import path
from django.utils import timezone

from pkiportal.health import healthz
from pkiportal.web import middleware

SEEN: list[HttpRequest] = []


def scep(request: HttpRequest, slug: str) -> HttpResponse:
    """A stand-in for the SCEP view."""
    if slug == "unknown":
        raise Http404
    SEEN.append(request)
    return HttpResponse(request.body, content_type="application/x-pki-message")


def page(request: HttpRequest) -> HttpResponse:
    """A stand-in for a page."""
    return HttpResponse("page")


def broken(request: HttpRequest) -> HttpResponse:
    """Our own fault."""
    raise RuntimeError("canary")


urlpatterns = [
    path("scep/broken/", broken),
    path("scep/<slug:slug>/", scep),
    path("ca/demo.crl", page),
    path("ca/demo", page),
    path("page/", page),
    path("healthz", healthz),
]


@pytest.fixture(autouse=True)
def here(settings: LazySettings) -> None:
    SEEN.clear()
    settings.ROOT_URLCONF = __name__


def test_scep_sees_no_session_and_no_host_check() -> None:
    answer = Client(enforce_csrf_checks=True).post(
        "/scep/demo/",
        b"message",
        content_type="application/x-pki-message",
        headers={"host": "evil.example"},
    )
    assert (answer.status_code, answer.content) == (200, b"message")
    assert answer.headers["Content-Length"] == "7"
    assert not answer.cookies
    assert not hasattr(SEEN[0], "session")
    assert not hasattr(SEEN[0], "user")


def test_scep_is_never_redirected() -> None:
    assert Client().get("/scep/demo").status_code == 404


def test_an_unknown_profile_is_a_plain_404() -> None:
    answer = Client().get("/scep/unknown/")
    assert (answer.status_code, answer.content) == (404, b"404: nothing here\n")


def test_our_own_fault_is_a_500_without_detail() -> None:
    answer = Client(raise_request_exception=False).get("/scep/broken/")
    assert answer.status_code == 500
    assert b"canary" not in answer.content


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        ({"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}, 411),
        ({"CONTENT_LENGTH": ""}, 411),
        ({"CONTENT_LENGTH": "-1"}, 411),
        ({"CONTENT_LENGTH": "65537"}, 413),
        ({"HTTP_CONTENT_ENCODING": "gzip"}, 415),
        ({"QUERY_STRING": "x" * 262_145}, 414),
    ],
)
def test_a_body_that_cannot_be_a_message_is_refused_unread(
    extra: dict[str, str], status: int
) -> None:
    environment: dict[str, Any] = extra
    assert Client().generic("POST", "/scep/demo/", b"message", **environment).status_code == status
    assert not SEEN


@pytest.mark.parametrize(
    ("address", "is_open"),
    [
        ("/scep/demo/", True),
        ("/ca/demo.crl", True),
        ("/healthz", True),
        ("/ca/demo", False),
        ("/page/", False),
    ],
)
def test_only_machine_doors_are_open_over_plain_http(address: str, *, is_open: bool) -> None:
    answer = Client(REMOTE_ADDR="192.0.2.7").get(address, headers={"host": "localhost"})
    assert answer.status_code == (200 if is_open else 403)


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000"])
def test_a_browser_on_the_machine_itself_is_let_in(db: None, host: str) -> None:
    assert Client().get("/page/", headers={"host": host}).status_code == 200


def test_a_proxy_on_the_machine_that_is_not_configured_is_not_the_machine(
    settings: LazySettings,
) -> None:
    settings.ALLOWED_HOSTS = ["pki.example"]
    answer = Client().get("/page/", headers={"host": "pki.example", "x-forwarded-proto": "https"})
    assert answer.status_code == 403
    assert b"PORTAL_TRUSTED_PROXIES" in answer.content


def test_a_named_proxy_is_believed(db: None, settings: LazySettings) -> None:
    settings.ALLOWED_HOSTS = ["pki.example"]
    settings.PORTAL_TRUSTED_PROXIES = (ipaddress.ip_network("192.0.2.0/24"),)
    client = Client(REMOTE_ADDR="192.0.2.7")
    assert (
        client.get(
            "/page/", headers={"host": "pki.example", "x-forwarded-proto": "https"}
        ).status_code
        == 200
    )
    assert (
        client.get(
            "/page/", headers={"host": "pki.example", "x-forwarded-proto": "http"}
        ).status_code
        == 403
    )
    assert client.get("/page/", headers={"host": "pki.example"}).status_code == 403


def test_pages_have_a_strict_policy(db: None) -> None:
    headers = Client().get("/page/").headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_an_unknown_host_is_refused_on_pages() -> None:
    assert Client().get("/page/", headers={"host": "evil.example"}).status_code == 400


Ages = Callable[..., bool]


@pytest.fixture
def ends(db: None, rf: RequestFactory) -> Ages:
    """Whether a session of that age, in seconds, is ended by a request."""
    from django.contrib.auth import SESSION_KEY
    from django.contrib.auth.models import AnonymousUser
    from django.contrib.sessions.backends.db import SessionStore

    def ask(*, since: int, seen: int) -> bool:
        now = int(timezone.now().timestamp())
        request = rf.get("/page/")
        request.user = AnonymousUser()
        request.session = SessionStore()
        request.session.update(
            {SESSION_KEY: "alice", "signed_in_at": now - since, "seen_at": now - seen}
        )
        middleware.session_age(page)(request)
        return SESSION_KEY not in request.session

    return ask


def test_a_session_ends_eight_hours_after_the_sign_in_or_an_hour_without_a_person(
    ends: Ages,
) -> None:
    assert not ends(since=8 * 3600 - 10, seen=3500)
    assert ends(since=8 * 3600 + 10, seen=0)
    assert ends(since=3700, seen=3610)


def test_a_page_that_refreshes_itself_does_not_keep_a_session_alive(
    db: None, rf: RequestFactory
) -> None:
    from django.contrib.auth import SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    now = int(timezone.now().timestamp())
    request = rf.get("/page/", headers={"HX-Request": "true"})
    request.session = SessionStore()
    request.session.update({SESSION_KEY: "alice", "signed_in_at": now - 400, "seen_at": now - 400})
    middleware.session_age(page)(request)
    assert request.session["seen_at"] == now - 400
    del request.META["HTTP_HX_REQUEST"]
    middleware.session_age(page)(request)
    assert request.session["seen_at"] >= now


def test_a_new_session_learns_its_age(db: None, rf: RequestFactory) -> None:
    from django.contrib.auth import SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    request = rf.get("/page/")
    request.session = SessionStore()
    request.session[SESSION_KEY] = "alice"
    middleware.session_age(page)(request)
    assert request.session["signed_in_at"] == request.session["seen_at"]
