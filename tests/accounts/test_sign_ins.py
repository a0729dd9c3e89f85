"""Who signed in, from where, and who tried."""

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


@pytest.mark.parametrize("name", ["alice", "nobody"])
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
