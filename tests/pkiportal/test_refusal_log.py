"""A refused request leaves one line in the log, and a flood of them only a few."""

import io
import json
import logging
from collections.abc import Iterator
from logging.config import dictConfig
from typing import Any

import pytest
from django.conf import LazySettings, settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from pkiportal import urls as portal_urls
from pkiportal.logs import logging_config
from pkiportal.web.refusal_log import EVERY, MOST, OneLineEach


def forbidden(request: HttpRequest, name: str = "") -> HttpResponse:
    """A page that is not for this person."""
    raise PermissionDenied("canary")


def broken(request: HttpRequest) -> HttpResponse:
    """A fault of the portal."""
    raise ZeroDivisionError("canary")


urlpatterns = [
    path("forbidden/<str:name>/", forbidden),
    path("account/setup/<str:name>", forbidden),
    path("broken/", broken),
    path("form/", lambda request: HttpResponse("done")),
    *portal_urls.urlpatterns,
]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


CLOCK = Clock()


def bounded() -> OneLineEach:
    return OneLineEach(CLOCK)


@pytest.fixture(autouse=True)
def written(settings: LazySettings) -> Iterator[io.StringIO]:
    """The log output under the product's set-up."""
    settings.ROOT_URLCONF = __name__
    config = logging_config("INFO", process="web")
    config["handlers"]["stderr"]["stream"] = stream = io.StringIO()
    config["filters"]["refusals"]["()"] = bounded
    dictConfig(config)
    yield stream
    _restore()


def _restore() -> None:
    dictConfig(settings.LOGGING)


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    """The lines since the last look."""
    entries = [json.loads(line) for line in written.getvalue().splitlines()]
    written.truncate(0)
    written.seek(0)
    return entries


def ask(
    path: str, *, host: str = "localhost", method: str = "GET", from_: str = "192.0.2.7"
) -> int:
    client = Client(REMOTE_ADDR=from_, enforce_csrf_checks=True, raise_request_exception=False)
    return client.generic(method, path, secure=True, headers={"host": host}).status_code


#: Status, path, host, method.
REFUSED = {
    "a page of others": (403, "/forbidden/a/", "localhost", "GET"),
    "a host that is not ours": (400, "/forbidden/a/", "evil.example", "GET"),
    "a host that is none": (400, "/forbidden/a/", "a b\\n", "GET"),
    "a form of another site": (403, "/form/", "localhost", "POST"),
    "a page that is not there": (404, "/nowhere/", "localhost", "GET"),
    "a wrong method": (405, "/healthz", "localhost", "POST"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_request_leaves_one_line_without_a_traceback(
    db: None, written: io.StringIO, case: str
) -> None:
    status, address, host, method = REFUSED[case]
    assert ask(address, host=host, method=method) == status
    (line,) = lines(written)
    assert "exception" not in line
    assert "Traceback" not in line["event"]
    assert line["event"].endswith("(from 192.0.2.7)")
    assert line["request_id"]


@pytest.mark.parametrize("case", REFUSED)
def test_a_hundred_of_them_in_a_minute_leave_one_line_and_their_number(
    db: None, written: io.StringIO, case: str
) -> None:
    status, address, host, method = REFUSED[case]
    for number in range(100):
        path = address.replace("/a/", f"/{number}/")
        assert ask(path, host=host.replace("evil", f"evil{number}"), method=method) == status
    assert len(lines(written)) == 1
    CLOCK.now += EVERY
    ask(address, host=host, method=method)
    repeated, line = lines(written)
    assert (repeated["event"], repeated["count"], repeated["network"]) == (
        "refusals.repeated",
        99,
        "192.0.2.7",
    )
    assert "(from 192.0.2.7)" in line["event"]


@pytest.mark.parametrize(
    ("addresses", "count"),
    [
        (["192.0.2.1", "192.0.2.2", "192.0.2.1"], 2),
        (["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::3"], 1),
        (["2001:db8::1", "2001:db8:0:1::1"], 2),
        (["::ffff:192.0.2.1", "192.0.2.1"], 1),
        (["", "", "192.0.2.1"], 2),
    ],
)
def test_networks_are_told_apart_and_addresses_of_one_ipv6_network_are_not(
    db: None, written: io.StringIO, addresses: list[str], count: int
) -> None:
    for address in addresses:
        ask("/forbidden/a/", from_=address)
    assert len(lines(written)) == count


def test_however_many_networks_ask_the_memory_and_the_lines_end(
    db: None, written: io.StringIO
) -> None:
    limit = bounded()
    record = logging.LogRecord(
        "django.request", logging.WARNING, "", 0, "Forbidden: %s", ("/x",), None
    )
    record.status_code = 403
    passed = sum(
        _passes(limit, record, f"10.{number // 256 % 256}.{number % 256}.1")
        for number in range(3 * MOST)
    )
    assert passed == MOST + 1
    assert len(limit._windows) == MOST + 1


def _passes(limit: OneLineEach, record: logging.LogRecord, address: str) -> bool:
    request = HttpRequest()
    request.META = {"REMOTE_ADDR": address}
    record.request = request
    record.msg, record.args = "Forbidden: %s", ("/x",)
    return limit.filter(record)


def test_a_fault_of_the_portal_always_keeps_its_traceback(db: None, written: io.StringIO) -> None:
    for _ in range(3):
        assert ask("/broken/") == 500
    entries = lines(written)
    assert len(entries) == 3
    assert all("ZeroDivisionError" in line["exception"] for line in entries)


def test_the_secret_of_a_link_is_not_in_the_line(db: None, written: io.StringIO) -> None:
    ask("/account/setup/" + "a1b2" * 12)
    (line,) = lines(written)
    assert "a1b2" not in line["event"]
    assert "<hidden>" in line["event"]
