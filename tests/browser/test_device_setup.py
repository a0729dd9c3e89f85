"""A technician sets up a device by keyboard alone, and without scripts."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from approvals.models.challenges import ChallengePassword
from tests.browser.conftest import Open
from tests.world import World, create_profile

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_names_and_a_challenge_get_into_the_steps_by_keyboard_alone(
    visit: Open, world: World
) -> None:
    create_profile(world.ca, "vpn", challenge="one-time")
    page = visit(reverse("device_setup", args=["vpn"]), world.alice)
    page.get_by_role("link", name="strongSwan pki").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="strongSwan pki")).to_be_visible()
    page.get_by_label("Common name").focus()
    page.keyboard.type("vpn-1.example")
    page.keyboard.press("Enter")
    expect(page.locator("pre").last).to_contain_text("CN=vpn-1.example")
    expect(page.locator("pre").last).to_contain_text("--password CHALLENGE")
    page.get_by_role("button", name="Make a challenge").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("this page is the only place that shows it")).to_be_visible()
    expect(page.locator("pre").last).not_to_contain_text("CHALLENGE")
    assert ChallengePassword.objects.get().subject == "vpn-1.example"


def test_who_doubts_a_client_reads_what_was_seen_of_it(visit: Open, world: World) -> None:
    page = visit(reverse("device_setup_client", args=["routers", "certmonger"]), world.alice)
    page.get_by_role("link", name="Clients that work").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Clients that work")).to_be_visible()
    row = page.get_by_role("row", name="pending, then rejected")
    expect(row.get_by_text("CA_REJECTED")).to_be_visible()


def test_a_step_is_copied_with_its_line_breaks(visit: Open, world: World) -> None:
    page = visit(
        reverse("device_setup_client", args=["routers", "cisco-ios"]),
        world.alice,
        permissions=["clipboard-read", "clipboard-write"],
    )
    page.get_by_role("button", name="Copy step 1").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = str(page.evaluate("navigator.clipboard.readText()"))
    assert copied.startswith(
        "configure terminal\ncrypto pki trustpoint portal-routers\n enrollment url http://"
    )


def test_without_scripts_the_file_for_a_mac_is_downloaded(visit: Open, world: World) -> None:
    create_profile(world.ca, "vpn", challenge="one-time")
    page = visit(
        reverse("device_setup_client", args=["vpn", "apple"]) + "?cn=mac.example",
        world.alice,
        java_script_enabled=False,
    )
    with page.expect_download() as download:
        page.get_by_role("button", name="Download with a new challenge").click()
    assert download.value.suggested_filename == "portal-vpn.mobileconfig"
    assert ChallengePassword.objects.count() == 1
