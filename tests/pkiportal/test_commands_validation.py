"""Validation services by command: set from files, listed without their secrets, tried."""

import json
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError

from approvals.models.profiles import EnrollmentProfile
from approvals.models.validations import ValidationService
from outbound.url_rules import read_allowed_host
from tests.approvals.validation.mdm import SECRET, StandIn, mdm, served
from tests.pkiportal.commands import run, run_json
from tests.world import World


@pytest.fixture
def stand_in(settings: Any) -> Iterator[StandIn]:
    with served(mdm) as server:
        settings.PORTAL_WEBHOOK_HOSTS = (read_allowed_host(server.origin),)
        settings.PORTAL_WEBHOOK_NETWORKS = (ip_network("127.0.0.0/8"),)
        yield server


@pytest.fixture
def secret(tmp_path: Path) -> str:
    file = tmp_path / "secret.txt"
    file.write_text(f"{SECRET}\n")
    return str(file)


def test_a_webhook_is_set_listed_and_tried(world: World, stand_in: StandIn, secret: str) -> None:
    words = (
        "--kind",
        "webhook",
        "--url",
        f"{stand_in.origin}/scep",
        "--secret-file",
        secret,
        "--report",
    )
    assert "asks 127.0.0.1" in run("validation", "set", "routers", *words)
    (listed,) = run_json("validation", "list")
    assert (listed["profile"], listed["reports"], listed["deliver_after_report"]) == (
        "routers",
        True,
        False,
    )
    assert SECRET not in json.dumps(listed)
    assert run_json("validation", "test", "routers")["works"] is True
    assert stand_in.heard[0].json["kind"] == "probe"
    assert stand_in.origin.removeprefix("http://") in run("validation", "list")
    stand_in.answer = lambda heard: (401, b"")
    with pytest.raises(CommandError, match="HTTP 401"):
        run("validation", "test", "routers")
    assert EnrollmentProfile.objects.get().challenge == "webhook"


def test_an_intune_tenant_waits_for_its_notice_unless_told_otherwise(
    world: World, secret: str
) -> None:
    words = ("--kind", "intune", "--tenant", "contoso.example", "--client-id", "0000")
    first = run_json("validation", "set", "routers", *words, "--secret-file", secret)
    assert first["deliver_after_report"] is True
    then = run_json("validation", "set", "routers", *words, "--no-deliver-after-report")
    assert then["deliver_after_report"] is False
    EnrollmentProfile.objects.update(challenge="one-time")
    assert "not in use" in run("validation", "list")


def test_a_profile_without_a_service_cannot_be_tried(world: World) -> None:
    assert run("validation", "list") == "No profile asks a service.\n"
    with pytest.raises(CommandError, match="asks no service"):
        run("validation", "test", "routers")


def test_a_profile_is_made_with_its_service(world: World, stand_in: StandIn, secret: str) -> None:
    words = (
        "createprofile",
        "phones",
        "--ca",
        "issuing",
        "--approval",
        "automatic",
        "--challenge",
        "webhook",
    )
    run(*words, "--url", f"{stand_in.origin}/scep", "--secret-file", secret)
    assert ValidationService.objects.get().profile.slug == "phones"
    with pytest.raises(CommandError, match="these need it"):
        run("createprofile", "tablets", *words[2:], "--url", stand_in.origin)
