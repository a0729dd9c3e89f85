"""A portal at localhost writes configurations for its own machine only."""

import html
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import CommandError
from django.test import Client

from approvals.device_setup.configurations.clients import CLIENTS
from approvals.models.challenges import ChallengePassword
from approvals.models.profiles import EnrollmentProfile
from tests.pages import signed_in
from tests.pkiportal.commands import run
from tests.world import World, create_profile

LOCAL = [
    "http://localhost:8123",
    "https://localhost",
    "http://127.0.0.1:9000",
    "http://[::1]:8000",
    "http://0.0.0.0:80",
]
at_each_local_address = pytest.mark.parametrize("address", LOCAL)
FOR_DEVICES = sorted(set(CLIENTS) - {"demo"})


@pytest.fixture
def one_time(world: World) -> EnrollmentProfile:
    return create_profile(world.ca, "vpn", challenge="one-time")


@at_each_local_address
@pytest.mark.parametrize("client", FOR_DEVICES)
def test_the_command_refuses_and_says_what_to_set(
    world: World, settings: LazySettings, client: str, address: str
) -> None:
    settings.PORTAL_PUBLIC_URL = address
    with pytest.raises(CommandError) as refusal:
        run("deviceconfig", "routers", client, "--out", "/proc/none")
    assert str(refusal.value).startswith(
        f"address {address}: on a device it means the device itself"
    )
    assert "PORTAL_PUBLIC_URL=" in str(refusal.value)


@at_each_local_address
def test_no_challenge_is_made_for_a_configuration_that_leads_nowhere(
    one_time: EnrollmentProfile, world: World, settings: LazySettings, address: str
) -> None:
    settings.PORTAL_PUBLIC_URL = address
    with pytest.raises(CommandError):
        run("deviceconfig", "vpn", "cisco-asa", "--challenge", "new")
    alice = signed_in(world.alice)
    for path in ("junos/challenge", "apple/mobileconfig/challenge"):
        answer = alice.post(_path(alice, path), {"lifetime": "1h"})
        assert answer.status_code == 422
        assert _faults(answer) == 1
    assert not ChallengePassword.objects.exists()


@at_each_local_address
@pytest.mark.parametrize("client", FOR_DEVICES)
def test_a_page_shows_no_steps_and_no_qr_code(
    world: World, settings: LazySettings, client: str, address: str
) -> None:
    settings.PORTAL_PUBLIC_URL = address
    answer = signed_in(world.alice).get(f"/profiles/routers/devices/{client}/")
    text = answer.content.decode()
    assert answer.status_code == 422
    assert _faults(answer) == 1
    assert 'class="steps"' not in text
    assert "qrline" not in text


@at_each_local_address
def test_the_page_of_the_profile_shows_no_qr_code(
    world: World, settings: LazySettings, address: str
) -> None:
    settings.PORTAL_PUBLIC_URL = address
    answer = signed_in(world.alice).get("/profiles/routers/devices/")
    assert answer.status_code == 200
    assert _faults(answer) == 1
    assert "qrline" not in answer.content.decode()
    file = signed_in(world.alice).get("/profiles/routers/devices/apple/mobileconfig")
    assert "attachment" not in file.get("Content-Disposition", "")


@at_each_local_address
def test_the_test_client_runs_on_this_machine(
    world: World, settings: LazySettings, address: str
) -> None:
    settings.PORTAL_PUBLIC_URL = address
    assert f"{address}/scep/routers/" in run("deviceconfig", "routers", "demo")
    assert signed_in(world.alice).get("/profiles/routers/devices/demo/").status_code == 200


@at_each_local_address
@pytest.mark.parametrize("client", ["strongswan", "certmonger", "sscep"])
def test_the_demo_profile_is_for_this_machine(
    world: World, settings: LazySettings, client: str, address: str
) -> None:
    settings.PORTAL_PUBLIC_URL = address
    create_profile(world.ca, "demo")
    EnrollmentProfile.objects.filter(slug="demo").update(is_test=True)
    assert address in run("deviceconfig", "demo", client)
    answer = signed_in(world.alice).get(f"/profiles/demo/devices/{client}/")
    assert answer.status_code == 200
    assert _faults(answer) == 0


@pytest.mark.parametrize(
    "address",
    [
        "http://pki.example",
        "https://ra.example:8443",
        "http://192.0.2.1",
        "http://10.9.8.7:1",
        "http://[2001:db8::5]",
    ],
)
def test_a_name_of_the_network_is_written(
    world: World, settings: LazySettings, address: str
) -> None:
    settings.PORTAL_PUBLIC_URL = address
    assert address in run("deviceconfig", "routers", "sscep")
    assert "qrline" in signed_in(world.alice).get("/profiles/routers/devices/").content.decode()


def _path(client: Client, path: str) -> str:
    return f"/profiles/vpn/devices/{path}"


def _faults(answer: Any) -> int:
    return html.unescape(answer.content.decode()).count("on a device it means the device itself")
