"""The id of a request in logs, and the access log."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from django.conf import LazySettings
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from pkiportal.web import access
from pkiportal.web.front import Done

PROXY = ipaddress.ip_network("192.0.2.0/24")
OWN = re.compile(r"[0-9a-f]{16}")


@pytest.fixture(autouse=True)
def unbound() -> Iterator[None]:
    yield
    structlog.contextvars.clear_contextvars()


def meta(named: str, peer: str = "192.0.2.7") -> dict[str, Any]:
    return {"REMOTE_ADDR": peer, "HTTP_X_REQUEST_ID": named}


@pytest.mark.parametrize(
    "named",
    [
        "a",
        "0b3f6c1e-1111-4222-8333-444455556666",
        "Root=1-67891233-abc",
        "x" * 128,
        "a/b+c==",
        "A.b:c@d",
    ],
)
def test_a_named_proxy_gives_the_id(settings: LazySettings, named: str) -> None:
    settings.PORTAL_TRUSTED_PROXIES = (PROXY,)
    assert access.request_id(meta(named)) == named
    assert OWN.fullmatch(access.request_id(meta(named, peer="198.51.100.7")))
    settings.PORTAL_TRUSTED_PROXIES = ()
    assert OWN.fullmatch(access.request_id(meta(named)))


@pytest.mark.parametrize(
    "named", ["", " a", "a b", "a\n", 'a"', "x" * 129, "-a", "\u00fc", "a,b", "<b>", "a\x00", "{}"]
)
def test_an_id_that_could_forge_a_log_is_replaced(settings: LazySettings, named: str) -> None:
    settings.PORTAL_TRUSTED_PROXIES = (PROXY,)
    assert OWN.fullmatch(access.request_id(meta(named)))


@given(st.text(max_size=200))
def test_whatever_is_sent_an_id_is_one_short_word(named: str) -> None:
    identifier = access._FROM_PROXY.fullmatch(named)
    assert identifier is None or re.fullmatch(r"[!-~]{1,128}", identifier[0])


def test_a_request_keeps_its_id() -> None:
    asked = meta("x", peer="nowhere")
    assert access.request_id(asked) == access.request_id(asked)


def done(path: str = "/queue/", **environ: Any) -> Done:
    return Done(
        {"REQUEST_METHOD": "GET", "PATH_INFO": path, "REMOTE_ADDR": "192.0.2.7", **environ},
        200,
        17,
        0.0123,
    )


def test_the_access_log_has_a_line_for_each_request_when_it_is_switched_on(
    settings: LazySettings,
) -> None:
    settings.PORTAL_TRUSTED_PROXIES = (PROXY,)
    answered = done(
        HTTP_X_REQUEST_ID="abc-1", HTTP_X_FORWARDED_FOR="203.0.113.9", HTTP_USER_AGENT="curl" * 900
    )
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        access.note_answer(answered)
        assert lines == []
        settings.PORTAL_ACCESS_LOG = True
        access.note_answer(answered)
    (line,) = lines
    assert len(line.pop("agent")) == 500
    assert line == {
        "event": "access",
        "log_level": "info",
        "method": "GET",
        "path": "/queue/",
        "status": 200,
        "bytes": 17,
        "ms": 12.3,
        "address": "203.0.113.9",
        "request_id": "abc-1",
    }


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/account/setup/" + "a1" * 24, "/account/setup/<hidden>"),
        ("/account/setup/Zm9vYmFyYmF6cXV4/x", "/account/setup/<hidden>/x"),
        ("/account/anything/new/" + "_" * 16, "/account/anything/new/<hidden>"),
        ("/account/reauthenticate/", "/account/reauthenticate/"),
        (
            "/requests/0b3f6c1e-1111-4222-8333-444455556666/",
            "/requests/0b3f6c1e-1111-4222-8333-444455556666/",
        ),
        ("/" + "x" * 900, "/" + "x" * 499),
    ],
)
def test_the_secret_of_a_link_is_in_no_line(path: str, shown: str) -> None:
    assert access.shown_path(path) == shown


def test_each_line_of_a_request_has_its_id_and_the_next_request_another(
    db: None, settings: LazySettings
) -> None:
    settings.PORTAL_TRUSTED_PROXIES = (PROXY,)
    ids = []
    for named in ("first", "second"):
        Client(REMOTE_ADDR="192.0.2.7").get("/scep/none/", headers={"X-Request-ID": named})
        ids.append(structlog.contextvars.get_contextvars()["request_id"])
    assert ids == ["first", "second"]
    access.note_answer(done())
    assert "request_id" not in structlog.contextvars.get_contextvars()
