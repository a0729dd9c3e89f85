"""NDES accounts by command."""

import pytest
from django.core.management import CommandError

from approvals.challenge_orders.ndes import NdesCredentials, fetch_challenge
from approvals.models.ndes import NdesAccount
from audit.models import AuditEntry
from tests.pkiportal.commands import run, run_json
from tests.world import World, create_profile, now

CREATE = ("ndes", "create", "jamf", "--profile", "phones", "--owner", "Mobile team")


@pytest.fixture(autouse=True)
def phones(world: World) -> None:
    create_profile(world.ca, "phones", challenge="one-time")


def test_an_account_is_made_listed_given_a_new_password_and_disabled() -> None:
    created = run_json(
        *CREATE,
        "--network",
        "10.0.0.0/8",
        "--max-unused",
        "9",
        "--lifetime",
        "10m",
        "--encoding",
        "utf-8",
    )
    assert fetch_challenge(
        NdesCredentials("jamf", created["password"], "10.1.1.1"), now=now()
    ).secret
    password = created.pop("password")
    (listed,) = run_json("ndes", "list")
    assert listed == created | {"unused": 1}
    assert (listed["max_unused"], listed["lifetime_s"], listed["encoding"]) == (9, 600, "utf-8")
    assert listed["admin_url"].endswith("/certsrv/mscep_admin/")
    assert listed["scep_url"].endswith("/scep/phones/")
    assert "1 of 9" in run("ndes", "list")
    fresh = run("ndes", "password", "JAMF").strip()
    assert fresh != password
    assert fetch_challenge(NdesCredentials("jamf", fresh, "10.1.1.1"), now=now()).secret
    assert run_json("ndes", "disable", "jamf")["disabled_at"]
    assert "disabled" in run("ndes", "list")
    assert (
        AuditEntry.objects.filter(event__startswith="ndes-account:", actor_kind="command").count()
        == 3
    )
    with pytest.raises(CommandError, match="jamf is disabled already"):
        run("ndes", "disable", "jamf")
    with pytest.raises(CommandError, match="jamf is disabled: make another one"):
        run("ndes", "password", "jamf")


def test_what_is_not_there_is_named_with_what_is() -> None:
    assert run("ndes", "list") == "There is no NDES account.\n"
    with pytest.raises(CommandError, match="NDES account 'jamf': not known, there is none yet"):
        run("ndes", "password", "jamf")
    with pytest.raises(CommandError, match="profile routers takes no challenge"):
        run("ndes", "create", "jamf", "--profile", "routers", "--owner", "x")
    assert not NdesAccount.objects.exists()
