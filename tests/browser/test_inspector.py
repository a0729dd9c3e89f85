"""The inspector, the walk through a transaction and the self-test, by keyboard alone."""

import base64

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.scene import Scene
from tests.flows.wire import message
from tests.scep.forge import CHALLENGE, csr
from tests.world import World

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def press_until_focused(page: Page, selector: str) -> None:
    """Go on with Tab until an element has the focus; fail where it is not to be reached."""
    for _ in range(40):
        if page.evaluate("wanted => document.activeElement.matches(wanted)", selector):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"{selector}: not reached by Tab")


def test_a_technician_decodes_a_message_without_a_mouse_and_reads_no_challenge(
    visit: Open, scene: Scene, world: World
) -> None:
    sent = base64.b64encode(message(world, csr())).decode()
    page = visit(reverse("inspector"), scene.alice)
    press_until_focused(page, "textarea")
    page.evaluate("text => { document.activeElement.value = text }", sent)  # as a clipboard does
    press_until_focused(page, "form[method=post] button[type=submit].go")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What was pasted")).to_be_visible()
    expect(page.get_by_text("PKCSReq").first).to_be_visible()
    assert CHALLENGE not in page.locator("main").inner_text()


def test_arrow_keys_and_links_walk_through_a_transaction(visit: Open, scene: Scene) -> None:
    page = visit(reverse("walk", args=[scene.run.request_id]) + "?step=2", scene.alice)
    expect(page.get_by_role("heading", name="Step 2 of")).to_be_visible()
    page.wait_for_load_state()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="Step 3 of")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("heading", name="Step 2 of")).to_be_visible()
    press_until_focused(page, "#step-on")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Step 3 of")).to_be_visible()
    expect(page.locator("[aria-current=step]")).to_have_count(1)


def test_the_button_of_the_self_test_is_pressed_by_keyboard_and_the_page_says_what_happens(
    visit: Open, scene: Scene
) -> None:
    page = visit(reverse("self_tests"), scene.alice)
    press_until_focused(page, "form[action$='/selftest/start'] button")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Self-test of selftest")).to_be_visible()
    expect(page.locator("#result")).to_be_visible()
