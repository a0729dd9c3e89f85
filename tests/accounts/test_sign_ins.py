"""The log names each person who signed in or tried to, and the address."""

from unittest import mock

import pytest
from django.test import Client

from accounts.roles import Role
from audit.models import AuditEntry
from tests.world import create_person

LOGIN = "/account/login/"


def private(event: str) -> dict[str, str]:
    """Return the personal values of the only entry of an event."""
    return dict(AuditEntry.objects.get(event=event).private_values.values_list("path", "value"))


def test_signing_in_and_out_is_in_the_log(db: None) -> None:
    alice = create_person("alice", Role.OFFICER)
    client = Client(REMOTE_ADDR="192.0.2.9")
    client.post(LOGIN, {"login": "alice", "password": "alicealice"}, secure=True)
    assert private("user:sign-in") == {"actor.name": "alice", "actor.address": "192.0.2.9"}
    assert AuditEntry.objects.get(event="user:sign-in").subject_id == str(alice.pk)
    client.post("/account/logout/", secure=True)
    assert private("user:sign-out")["actor.name"] == "alice"


@pytest.mark.usefixtures("within_a_minute")
@pytest.mark.parametrize("name", ["alice", "unknown"])
def test_a_failed_sign_in_names_who_was_tried_and_never_the_password(db: None, name: str) -> None:
    create_person("alice", Role.OFFICER)
    client = Client(REMOTE_ADDR="192.0.2.9")
    for _ in range(3):
        client.post(LOGIN, {"login": name, "password": "canary-password"}, secure=True)
    assert private("user:sign-in-fail") == {"actor.address": "192.0.2.9", "data.tried": name}
    assert "canary-password" not in repr(list(AuditEntry.objects.values()))


def test_signing_out_without_having_been_in_is_no_fact(db: None) -> None:
    Client().logout()
    assert not AuditEntry.objects.filter(event="user:sign-out").exists()


NEW = {
    "oldpassword": "alicealice",
    "password1": "canary of Alice 17",
    "password2": "canary of Alice 17",
}


def test_a_new_password_of_ones_own_is_in_the_log_without_the_password(db: None) -> None:
    alice = create_person("alice", Role.OFFICER)
    client = Client(REMOTE_ADDR="192.0.2.9")
    client.force_login(alice)
    assert client.post("/account/password/change/", NEW, secure=True).status_code == 302
    alice.refresh_from_db()
    assert alice.check_password("canary of Alice 17")
    entry = AuditEntry.objects.get(event="user:change")
    assert (entry.subject_id, entry.actor_id, entry.data) == (
        str(alice.pk),
        str(alice.pk),
        {"changed": ["password"]},
    )
    assert private("user:change") == {"actor.name": "alice", "actor.address": "192.0.2.9"}
    assert "canary" not in repr(list(AuditEntry.objects.values()))


def test_a_password_whose_change_cannot_be_recorded_stays_as_it_was(db: None) -> None:
    alice = create_person("alice", Role.OFFICER)
    client = Client(raise_request_exception=False)
    client.force_login(alice)
    with mock.patch("accounts.sign_in.sign_ins.record", side_effect=OSError("the disk is full")):
        assert client.post("/account/password/change/", NEW, secure=True).status_code == 500
    alice.refresh_from_db()
    assert alice.check_password("alicealice")
