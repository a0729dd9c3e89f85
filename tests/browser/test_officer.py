"""An officer's whole path, by mouse and by keyboard alone, and two officers at once."""

import re

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from accounts.roles import Role
from approvals.decisions.decide import approve_request
from approvals.models.requests import EnrollmentRequest
from approvals.rules.states import State
from scep.protocol.constants import PKIStatus
from tests.browser.conftest import Open
from tests.pages import create_requests
from tests.world import Device, World, create_person, now, principal_of, run_worker

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def sign_in(page: Page, name: str) -> None:
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(name * 2)
    page.get_by_role("button", name="Sign in").click()


def arrive(page: Page, heading: str) -> None:
    """Wait for a page, and for its scripts to listen to keys."""
    expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    page.wait_for_load_state()


def test_an_officer_approves_with_the_mouse_and_sees_it_issued_without_reloading(
    visit: Open, world: World
) -> None:
    device = Device.named("r1.example")
    device.enroll(dns_names=["r1.example"])
    page = visit("/")
    sign_in(page, "alice")
    expect(page.get_by_role("heading", name="Queue")).to_be_visible()
    page.get_by_role("link", name="r1.example").click()
    page.get_by_label("Comment on the approval").fill("known router")
    page.get_by_role("button", name="Approve").click()
    expect(page.locator("#state .state")).to_have_text("approved")
    page.evaluate("window.stillHere = true")
    run_worker()
    expect(page.locator("#state .state")).to_have_text("issued", timeout=3000)
    page.get_by_role("link", name="Open the certificate").click()
    expect(page.get_by_text("known router").first).to_be_visible()
    assert device.poll().status is PKIStatus.SUCCESS


def test_an_officer_does_everything_by_keyboard_alone(visit: Open, world: World) -> None:
    first, second, third = create_requests(
        world.profile, ["r1.example", "r2.example", "r3.example"]
    )
    page = visit("/")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.get_by_label("Username").focus()
    page.keyboard.type("alice")
    page.keyboard.press("Tab")
    page.keyboard.type("alicealice")
    page.keyboard.press("Enter")
    arrive(page, "Queue")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    arrive(page, "r3.example")
    page.keyboard.press("r")
    page.keyboard.type("Wrong site code")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#state .state")).to_have_text("rejected")
    arrive(page, "r3.example")
    page.keyboard.press("u")
    arrive(page, "Queue")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("Shift+X")
    expect(page.get_by_text("2 ticked")).to_be_visible()
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    arrive(page, "Results")
    expect(page.locator("#results .chip.good")).to_have_count(2)
    states = {row.pk: row.state for row in EnrollmentRequest.objects.all()}
    assert states == {first.pk: State.APPROVED, second.pk: State.APPROVED, third.pk: State.REJECTED}
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()


def test_a_page_without_scripts_decides_as_well(visit: Open, world: World) -> None:
    waiting, ticked = create_requests(world.profile, ["r1.example", "r2.example"])
    page = visit(reverse("request", args=[waiting.pk]), world.alice, java_script_enabled=False)
    page.get_by_role("button", name="Approve").click()
    expect(page.locator("#state .state")).to_have_text("approved")
    page.goto(reverse("queue"))
    page.get_by_label("Tick CN=r2.example").check()
    page.get_by_label("Reason of the rejection").fill("unknown device")
    page.get_by_role("button", name="Reject ticked").click()
    expect(page.locator("#results")).to_contain_text("rejected")
    ticked.refresh_from_db()
    assert ticked.reason == "unknown device"


def test_of_two_officers_one_decides_and_the_other_reads_a_friendly_sentence(
    visit: Open, world: World
) -> None:
    (request,) = create_requests(world.profile, ["r1.example"])
    dora = create_person("dora", Role.OFFICER)
    page = visit(reverse("request", args=[request.pk]), world.alice, java_script_enabled=False)
    approve_request(request_id=request.pk, principal=principal_of(dora), comment="", now=now())
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("alert")).to_contain_text(
        re.compile(r"Already approved by Dora .* Nothing was done twice")
    )
    assert request.decisions.count() == 1


def test_new_requests_and_decisions_of_others_appear_without_moving_a_row(
    visit: Open, world: World
) -> None:
    first, second = create_requests(world.profile, ["r1.example", "r2.example"])
    page = visit(reverse("queue"), world.alice)
    before = [row.bounding_box() for row in page.locator("[data-row]").all()]
    create_requests(world.profile, ["r3.example", "r4.example"])
    approve_request(
        request_id=first.pk,
        principal=principal_of(create_person("dora", Role.OFFICER)),
        comment="",
        now=now(),
    )
    expect(page.locator("#news")).to_contain_text("2 new")
    expect(page.locator(f"#state-{first.pk.hex}")).to_have_text("approved")
    expect(page.locator(f"#pick-{first.pk.hex} input")).to_have_count(0)
    assert [row.bounding_box() for row in page.locator("[data-row]").all()] == before
    page.get_by_role("link", name="2 new").click()
    expect(page.get_by_role("link", name="r4.example")).to_be_visible()
    expect(page.get_by_role("link", name=second.common_name)).to_be_visible()
