"""Who acts: made at the door, and the actor of the log."""

from datetime import timedelta

import pytest

from accounts import doors
from accounts.models.changes import AccountChange, ChangeKind
from accounts.models.people import User
from accounts.principals import (
    POLICY,
    PORTAL,
    Evidence,
    PrincipalKind,
    asserted_principal,
    person_principal,
)
from accounts.roles import Role
from audit.events import Actor
from tests.pages import signed_in
from tests.world import World, create_person, now


def test_a_person_acts_from_an_address(world: World) -> None:
    alice = person_principal(world.alice, address="192.0.2.7")
    assert alice.actor == Actor("user", str(world.alice.pk), name="alice", address="192.0.2.7")
    assert (alice.evidence, alice.user) == (Evidence.SESSION, world.alice)


def test_a_command_acts_on_behalf_of_a_person(world: World) -> None:
    principal = asserted_principal("root", world.alice)
    assert principal.actor == Actor(
        "command", str(world.alice.pk), name="root", on_behalf_of="alice"
    )
    assert principal.evidence == Evidence.ASSERTED


def test_the_policy_and_the_portal_act_with_the_rights_of_no_person() -> None:
    assert (POLICY.kind, POLICY.user, POLICY.evidence) == (
        PrincipalKind.POLICY,
        None,
        Evidence.POLICY,
    )
    assert (PORTAL.actor, PORTAL.user) == (Actor("system"), None)


def test_it_is_known_when_a_link_or_a_command_last_set_the_password(world: World) -> None:
    assert person_principal(world.alice, address="").credential_changed_at is None
    moment = now()
    for kind, ago in ((ChangeKind.PASSWORD, 3), (ChangeKind.COMMAND_PASSWORD, 2)):
        _change(world.alice, kind, ago)
    _change(world.alice, ChangeKind.ROLE, 1)
    changed_at = person_principal(world.alice, address="").credential_changed_at
    assert changed_at is not None
    assert timedelta(days=2) <= moment - changed_at + timedelta(minutes=1) < timedelta(days=3)


def _change(user: User, kind: ChangeKind, days_ago: int) -> None:
    AccountChange.objects.create(
        user=user, kind=kind, at=now() - timedelta(days=days_ago), by="charlie"
    )


def test_the_tests_notice_a_door_that_forgets_the_address(
    world: World, monkeypatch: pytest.MonkeyPatch, entries_without_address: list[str]
) -> None:
    monkeypatch.setattr(doors, "client_address", lambda _: "")
    signed_in(create_person("charlie", Role.ADMINISTRATOR)).post("/profiles/routers/pause")
    assert entries_without_address == ["POST /profiles/routers/pause: user charlie"]
    entries_without_address.clear()
