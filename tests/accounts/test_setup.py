"""The one-time link by which the first administrator is created."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from accounts.models.people import User
from accounts.people.setup import (
    FirstAdministrator,
    SetupLinkInvalid,
    check_setup_link,
    create_setup_link,
    has_administrator,
    use_setup_link,
)
from accounts.roles import Role

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALICE = FirstAdministrator(
    username="alice", password="a long sentence", also_officer=True, address="192.0.2.7"
)

pytestmark = pytest.mark.django_db


def new_link(now: datetime = NOW) -> str:
    token = create_setup_link(now)
    assert token is not None
    return token


def roles(user: User) -> set[str]:
    return set(user.role_assignments.values_list("role", flat=True))


def test_the_first_administrator_is_created_once() -> None:
    token = new_link()
    assert roles(use_setup_link(token, ALICE, now=NOW)) == {Role.ADMINISTRATOR, Role.OFFICER}
    with pytest.raises(SetupLinkInvalid):
        use_setup_link(token, ALICE, now=NOW)
    assert create_setup_link(NOW) is None


def test_an_administrator_need_not_be_an_officer() -> None:
    alone = FirstAdministrator(
        username="alice", password="a long sentence", also_officer=False, address="192.0.2.7"
    )
    assert roles(use_setup_link(new_link(), alone, now=NOW)) == {Role.ADMINISTRATOR}


def test_a_link_ends_after_a_day_and_with_the_next_one() -> None:
    token = new_link()
    check_setup_link(token, now=NOW + timedelta(hours=23))
    with pytest.raises(SetupLinkInvalid):
        check_setup_link(token, now=NOW + timedelta(hours=24))
    new_link(NOW)
    with pytest.raises(SetupLinkInvalid):
        check_setup_link(token, now=NOW)


def test_a_guessed_link_is_refused() -> None:
    with pytest.raises(SetupLinkInvalid):
        check_setup_link("guess", now=NOW)
    new_link()
    with pytest.raises(SetupLinkInvalid):
        use_setup_link("guess", ALICE, now=NOW)
    assert not has_administrator()


def test_a_link_is_worthless_once_there_is_an_administrator() -> None:
    token = new_link()
    User.objects.create_user("bob").role_assignments.create(role=Role.ADMINISTRATOR)
    with pytest.raises(SetupLinkInvalid):
        use_setup_link(token, ALICE, now=NOW)


def test_the_token_is_not_stored() -> None:
    from django.db import connection

    token = new_link()
    with connection.cursor() as cursor:
        cursor.execute("SELECT value FROM pkiportal_cache")
        assert token not in str(cursor.fetchall())


def test_alice_follows_the_link_and_is_signed_in() -> None:
    from django.utils import timezone

    address = f"/account/setup/{new_link(timezone.now())}"
    client = Client()
    assert client.get(address).status_code == 200
    typed = {
        "username": "alice",
        "password": "a long sentence",
        "password_again": "a long sentence",
        "also_officer": "on",
    }
    assert client.post(address, typed | {"password_again": "another"}).status_code == 422
    assert (
        client.post(address, typed | {"password": "short", "password_again": "short"}).status_code
        == 422
    )
    answer = client.post(address, typed)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
    assert client.session["_auth_user_id"] == str(User.objects.get(username="alice").pk)
    assert Client().get(address).status_code == 410
