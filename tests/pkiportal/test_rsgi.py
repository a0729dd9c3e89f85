"""Who may send more than a small body, as the front asks before it reads one."""

import asyncio
import gc
import io
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from django.conf import settings
from django.db import OperationalError
from django.test import Client

from accounts.models.people import User
from accounts.roles import Role
from pkiportal.web.front import Front, Refused
from pkiportal.web.rsgi import front, is_signed_in, start
from tests.pages import signed_in
from tests.world import create_person


@pytest.fixture(autouse=True)
def one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's transaction is on its connection; Django's test client also keeps it open."""
    monkeypatch.setattr("pkiportal.web.rsgi.close_old_connections", lambda: None)


def asking(cookie: str) -> dict[str, Any]:
    """The environment of a request with this cookie."""
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/devices/x/add",
        "wsgi.input": io.BytesIO(),
        "HTTP_COOKIE": cookie,
    }


def cookie_of(browser: Client) -> str:
    return f"{settings.SESSION_COOKIE_NAME}={browser.cookies[settings.SESSION_COOKIE_NAME].value}"


def signed_out(user: User) -> str:
    browser = signed_in(user)
    cookie = cookie_of(browser)
    browser.logout()
    return cookie


def switched_off(user: User) -> str:
    cookie = cookie_of(signed_in(user))
    User.objects.filter(pk=user.pk).update(is_active=False)
    return cookie


@pytest.mark.parametrize(
    ("cookie", "may"),
    [
        (lambda user: cookie_of(signed_in(user)), True),
        (signed_out, False),
        (switched_off, False),
        (lambda user: "", False),
        (lambda user: f"{settings.SESSION_COOKIE_NAME}={'a' * 32}", False),
        (lambda user: f"{settings.SESSION_COOKIE_NAME}=", False),
    ],
)
def test_only_a_person_who_is_signed_in_sends_more_than_a_small_body(
    db: None, cookie: Callable[[User], str], *, may: bool
) -> None:
    environ = asking(cookie(create_person("alice", Role.OFFICER)))
    before = dict(environ)
    assert is_signed_in(environ) is may
    assert environ == before


def test_while_the_database_is_away_they_are_told_to_come_again(db: None) -> None:
    environ = asking(cookie_of(signed_in(create_person("alice"))))
    with (
        mock.patch("pkiportal.web.rsgi.get_user", side_effect=OperationalError("gone")),
        pytest.raises(Refused) as refused,
    ):
        is_signed_in(environ)
    assert refused.value.status == 503


def test_the_web_server_finds_its_front() -> None:
    assert isinstance(front, Front)


def test_at_its_start_a_worker_takes_what_it_has_loaded_out_of_the_passes_of_the_collector(
    request: pytest.FixtureRequest,
) -> None:
    request.addfinalizer(gc.unfreeze)
    loop = asyncio.new_event_loop()
    request.addfinalizer(loop.close)
    with mock.patch("pkiportal.web.rsgi.cut_clients_that_never_read") as cut:
        start(loop)
    cut.assert_called_once_with(loop, port=settings.PORTAL_BIND[1])
    assert not any(thing is front for thing in gc.get_objects())
