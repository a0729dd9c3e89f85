"""Sessions stand in the database under digests: a copy of the table signs in as no one."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given, strategies
from hypothesis import settings as hypothesis_settings

from accounts.models.people import User
from accounts.models.sessions import StoredSession
from accounts.roles import Role
from accounts.sign_in.sessions import SessionStore
from tests.world import create_person

NAMES = ("alice", "bob", "charlie", "dora", "emil")


def sign_in(name: str) -> Client:
    """Sign in by the page, as a browser does."""
    browser = Client()
    answer = browser.post("/account/login/", {"login": name, "password": name * 2}, secure=True)
    assert answer.status_code == 302
    return browser


def key_of(browser: Client) -> str:
    return str(browser.cookies[settings.SESSION_COOKIE_NAME].value)


def everything_stored() -> str:
    """Every value of every table whose name says session."""
    tables = [name for name in connection.introspection.table_names() if "session" in name]
    assert "accounts_session" in tables
    with connection.cursor() as cursor:
        values = []
        for table in tables:
            cursor.execute(f"SELECT * FROM {table}")  # noqa: S608 - a name from the catalogue
            values += cursor.fetchall()
    return repr(values)


@pytest.mark.parametrize("name", NAMES)
def test_the_key_of_a_cookie_is_nowhere_in_the_database(db: None, name: str) -> None:
    create_person(name, Role.OFFICER)
    browser = sign_in(name)
    assert browser.get("/queue/", secure=True).status_code == 200
    key = key_of(browser)
    assert key not in everything_stored()
    assert StoredSession.objects.get().session_key == sha256(key.encode()).hexdigest()


@pytest.mark.parametrize("name", NAMES)
def test_what_stands_in_the_table_opens_no_session(db: None, name: str) -> None:
    create_person(name, Role.OFFICER)
    sign_in(name)
    thief = Client()
    thief.cookies[settings.SESSION_COOKIE_NAME] = StoredSession.objects.get().session_key
    assert thief.get("/queue/", secure=True).status_code == 302


@given(key=strategies.text(min_size=1, max_size=80))
@hypothesis_settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_browser_cannot_choose_its_key(db: None, key: str) -> None:
    store = SessionStore(key)
    assert store.get("anything") is None
    assert store.session_key is None
    store["a"] = 1
    store.save()
    assert store.session_key != key
    store.delete()


def test_a_session_lives_changes_its_key_and_ends(db: None) -> None:
    store = SessionStore()
    store["a"] = 1
    store.create()
    first = str(store.session_key)
    assert SessionStore(first)["a"] == 1
    assert store.exists(first)
    store.cycle_key()
    second = str(store.session_key)
    assert not SessionStore().exists(first)
    assert SessionStore(second)["a"] == 1
    store["b"] = 2
    store.save()
    assert SessionStore(second)["b"] == 2
    SessionStore().delete(second)
    assert not StoredSession.objects.exists()
    SessionStore().delete()  # without a key there is nothing to end


def test_the_same_holds_for_code_that_awaits(transactional_db: None) -> None:
    async def walk() -> None:
        store = SessionStore()
        await store.aset("a", 1)
        await store.acreate()
        key = str(store.session_key)
        assert await SessionStore(key).aget("a") == 1
        assert await store.aexists(key)
        assert await StoredSession.objects.aget(session_key=sha256(key.encode()).hexdigest())
        assert await SessionStore("unknown").aget("a") is None
        await store.adelete()
        await SessionStore().adelete()
        assert not await StoredSession.objects.aexists()

    with ThreadPoolExecutor(
        1
    ) as thread:  # the tests with a browser leave a running loop in this one
        thread.submit(asyncio.run, walk()).result()


def test_signing_out_removes_the_row_and_clearsessions_what_is_over(db: None) -> None:
    for name in NAMES:
        create_person(name, Role.OFFICER)
    browsers = [sign_in(name) for name in NAMES]
    browsers[0].post("/account/logout/", secure=True)
    signed_in = [row for row in StoredSession.objects.all() if "_auth_user_id" in row.get_decoded()]
    assert len(signed_in) == len(NAMES) - 1
    StoredSession.objects.filter(pk=signed_in[0].pk).update(
        expire_date=timezone.now() - timedelta(seconds=1)
    )
    call_command("clearsessions", stdout=StringIO())
    assert not StoredSession.objects.filter(pk=signed_in[0].pk).exists()
    assert (
        sum(browser.get("/queue/", secure=True).status_code == 200 for browser in browsers)
        == len(NAMES) - 2
    )


def test_a_changed_password_ends_the_other_sessions_of_the_person(db: None) -> None:
    create_person("alice", Role.OFFICER)
    here, elsewhere = sign_in("alice"), sign_in("alice")
    form = {
        "oldpassword": "alicealice",
        "password1": "a password 2 of Alice",
        "password2": "a password 2 of Alice",
    }
    assert here.post("/account/password/change/", form, secure=True).status_code == 302
    assert here.get("/queue/", secure=True).status_code == 200
    assert elsewhere.get("/queue/", secure=True).status_code == 302
    assert User.objects.get().check_password("a password 2 of Alice")
