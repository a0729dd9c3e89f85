"""An NDES account and an API token by keyboard alone; the secret is shown once."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import reverse
from playwright.sync_api import Page, expect

from accounts.models.people import ApiToken
from accounts.roles import Role
from approvals.models.ndes import NdesAccount
from tests.browser.conftest import Open
from tests.browser.test_looks import OUTPUT
from tests.world import World, create_person, create_profile

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def assert_clean(page: Page, name: str) -> None:
    OUTPUT.mkdir(exist_ok=True)
    page.screenshot(path=OUTPUT / f"{name}.png", full_page=True)
    assert Axe().run(page).response["violations"] == []
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")


def test_an_administrator_makes_an_ndes_account_by_keyboard(visit: Open, world: World) -> None:
    create_profile(world.ca, "phones", challenge="one-time")
    charlie = create_person("charlie", Role.ADMINISTRATOR)
    page = visit(
        reverse("ndes_accounts"),
        charlie,
        viewport={"width": 390, "height": 900},
        color_scheme="dark",
    )
    page.get_by_label("Name to sign in with").focus()
    page.keyboard.type("jamf")
    press(page, "Tab", "ArrowDown", "Tab")
    page.keyboard.type("Mobile team")
    press(page, "Enter")
    expect(page.get_by_role("heading", name="Password of jamf")).to_be_visible()
    assert_clean(page, "ndes-account-made-390-dark")
    page.get_by_label("Change jamf", exact=True).focus()
    press(page, "Enter", "Tab", "Tab", "Enter")
    expect(page.get_by_text("jamf is disabled: it gets no challenge any more.")).to_be_visible()
    assert NdesAccount.objects.get().disabled_at


def test_an_officer_makes_and_revokes_a_token_by_keyboard(visit: Open, world: World) -> None:
    page = visit(reverse("api_tokens"), world.alice, viewport={"width": 390, "height": 900})
    page.get_by_label("Program").focus()
    page.keyboard.type("mdm sync")
    press(page, "Tab", "Space", "Enter")
    expect(page.get_by_role("heading", name="Token for mdm sync")).to_be_visible()
    expect(page.get_by_text(re.compile(r"pkip_[0-9a-f]{10}_[0-9a-f]{40}"))).to_be_visible()
    assert_clean(page, "api-token-made-390-light")
    page.get_by_role("button", name="Revoke mdm sync").focus()
    press(page, "Enter")
    expect(page.get_by_text("mdm sync is revoked: it opens nothing any more.")).to_be_visible()
    assert ApiToken.objects.get().revoked_at
