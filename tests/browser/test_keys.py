"""No key or click decides by mistake: real keys, a slow network, two verbs, moving pages."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from django.urls import reverse
from playwright.sync_api import Locator, Page, expect

from accounts.models.people import User
from accounts.roles import Role
from approvals.decisions.decide import approve_request
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.rules.states import State
from ca.models.certificates import Certificate
from tests.browser.conftest import Open
from tests.pages import create_requests
from tests.world import Device, World, create_person, create_profile, now, principal_of, run_worker

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(240),
]

LATENCY = 2000
NAMES = ("ap-0051.example", "ap-0052.example", "ap-0053.example")
REASONS = (
    "Wrong site code",
    "a",
    "ask Jana, x and a",
    "jkjkaaa",
    "unknown device, r a j k u",
    "kaputt / ära",
)


def states() -> dict[str, str]:
    """The state of each request, by its common name."""
    return dict(EnrollmentRequest.objects.values_list("common_name", "state"))


def verdicts() -> dict[str, tuple[str, str]]:
    """Verdict and words of each request that was decided on, by its common name."""
    rows = EnrollmentRequest.objects.filter(decisions__isnull=False)
    return {
        name: (verdict, words or "")
        for name, verdict, words in rows.values_list(
            "common_name", "decisions__verdict", "decisions__written__text"
        )
    }


def slow(page: Page, milliseconds: int = LATENCY) -> None:
    """Let each answer take a while, as a satellite link or a busy server does."""
    conditions = {
        "offline": False,
        "latency": milliseconds,
        "downloadThroughput": -1,
        "uploadThroughput": -1,
    }
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", conditions)


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def arrive(page: Page, heading: str) -> None:
    """Wait for a page, and for its scripts to listen to keys."""
    expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible(timeout=20_000)
    page.wait_for_load_state()


def open_request(visit: Open, user: User, request: EnrollmentRequest, **options: object) -> Page:
    page = visit(reverse("request", args=[request.pk]), user, **options)
    arrive(page, request.common_name)
    return page


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_and_enter_in_the_queue_reject_what_is_ticked_and_approve_nothing(
    visit: Open, world: World, reason: str
) -> None:
    create_requests(world.profile, NAMES)
    page = visit(reverse("queue"), world.alice)
    arrive(page, "Queue")
    press(page, "j", "x", "j", "x", "r")
    page.keyboard.type(reason)
    press(page, "Enter")
    arrive(page, "Results")
    assert verdicts() == dict.fromkeys(NAMES[1:], ("reject", reason))


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_tab_and_enter_on_a_request_reject_it(
    visit: Open, world: World, reason: str
) -> None:
    *_, request = create_requests(world.profile, NAMES)
    page = open_request(visit, world.alice, request)
    press(page, "r")
    page.keyboard.type(reason)
    press(page, "Tab", "Enter")
    expect(page.locator("#state .state")).to_have_text("rejected")
    assert verdicts() == {request.common_name: ("reject", reason)}


@pytest.mark.parametrize("java_script", [True, False])
@pytest.mark.parametrize("place", ["box", "comment", "reason"])
@pytest.mark.parametrize("keys", ["Enter", "Control+Enter", "Shift+Enter"])
def test_enter_in_a_field_of_the_queue_never_does_the_other_verb(
    visit: Open, world: World, place: str, keys: str, *, java_script: bool
) -> None:
    create_requests(world.profile, NAMES)
    page = visit(reverse("queue"), world.alice, java_script_enabled=java_script)
    arrive(page, "Queue")
    box = page.get_by_label("Tick CN=ap-0052.example")
    box.check()
    fields = {
        "box": box,
        "comment": page.get_by_label("Comment on the approval"),
        "reason": page.get_by_label("Reason of the rejection"),
    }
    if place != "box":
        fields[place].fill("a word")
    fields[place].focus()
    press(page, keys)
    page.wait_for_load_state("networkidle")
    allowed = {"box": {}, "comment": {"ap-0052.example": ("approve", "a word")}}
    assert verdicts() in ({}, allowed.get(place, {"ap-0052.example": ("reject", "a word")}))
    if not java_script:
        assert verdicts() == {}
    if not java_script and keys == "Enter":
        expect(
            page.get_by_text("Nothing was decided: press Approve ticked, or Reject ticked.")
        ).to_be_visible()
        expect(page.get_by_label("Tick CN=ap-0052.example")).to_be_checked()
        if place != "box":
            expect(fields[place]).to_have_value("a word")


def test_an_approval_with_a_reason_for_a_rejection_is_refused_in_words(
    visit: Open, world: World
) -> None:
    create_requests(world.profile, NAMES)
    page = visit(reverse("queue"), world.alice)
    page.get_by_label("Tick CN=ap-0051.example").check()
    page.get_by_label("Reason of the rejection").fill("wrong site")
    page.get_by_role("button", name="Approve ticked").click()
    expect(
        page.get_by_text("a reason for a rejection is written, and Approve was pressed")
    ).to_be_visible()
    expect(page.get_by_label("Tick CN=ap-0051.example")).to_be_checked()
    expect(page.get_by_label("Reason of the rejection")).to_have_value("wrong site")
    assert verdicts() == {}


AFTER_LEAVING: Sequence[tuple[str, ...]] = (
    ("j", "a"),
    ("k", "a"),
    ("u", "a"),
    ("j", "a", "a", "a"),
    ("j", "k", "a"),
    ("j", "Tab", "Tab", "Tab", "Enter", "Space"),
    ("j", "r", "x", "Tab", "Enter"),
)


@pytest.mark.parametrize("keys", AFTER_LEAVING, ids=" ".join)
def test_keys_are_dead_from_leaving_a_request_until_the_next_page_is_there(
    visit: Open, world: World, keys: tuple[str, ...]
) -> None:
    _, request, _ = create_requests(world.profile, NAMES)
    page = open_request(visit, world.alice, request)
    page.get_by_role("button", name="Approve ap-0052.example").focus()
    slow(page)
    for key in keys:
        press(page, key)
        page.wait_for_timeout(150)
    arrive(page, {"j": "ap-0051.example", "k": "ap-0053.example", "u": "Queue"}[keys[0]])
    assert verdicts() == {}
    press(page, "a")
    if keys[0] == "u":
        return
    expect(page.locator("#state .state")).to_have_text("approved", timeout=20_000)
    assert list(verdicts()) == [{"j": "ap-0051.example", "k": "ap-0053.example"}[keys[0]]]


LEAVING_BY: dict[str, Callable[[Page], None]] = {
    "a link": lambda page: page.get_by_role("link", name="Older waiting").click(no_wait_after=True),
    "the menu": lambda page: page.get_by_role("link", name="Certificates", exact=True).click(
        no_wait_after=True
    ),
    "an address": lambda page: page.evaluate("() => { location.href = '/queue/' }"),
    "the way back": lambda page: page.evaluate("() => { history.back() }"),
    "loading again": lambda page: page.evaluate("() => { location.reload() }"),
}


@pytest.mark.parametrize("way", LEAVING_BY)
def test_keys_are_dead_however_a_page_is_left(visit: Open, world: World, way: str) -> None:
    _, request, _ = create_requests(world.profile, NAMES)
    page = visit(reverse("history_requests"), world.alice)
    page.goto(reverse("request", args=[request.pk]))
    arrive(page, request.common_name)
    slow(page)
    LEAVING_BY[way](page)
    page.wait_for_timeout(200)
    assert page.url.endswith(reverse("request", args=[request.pk]))
    press(page, "a", "r")
    page.keyboard.type("a reason")
    press(page, "Tab", "Enter")
    page.wait_for_timeout(2 * LATENCY)
    assert verdicts() == {}


def test_a_double_click_and_a_held_key_decide_once_and_are_told_so(
    visit: Open, world: World
) -> None:
    first, second, _ = create_requests(world.profile, NAMES)
    page = open_request(visit, world.alice, first)
    slow(page, 500)
    page.get_by_role("button", name="Approve").dblclick(no_wait_after=True)
    expect(page.get_by_text("Approved. The certificate is being signed.")).to_be_visible()
    page.goto(reverse("request", args=[second.pk]))
    arrive(page, second.common_name)
    page.keyboard.down("a")
    page.keyboard.down("a")
    page.keyboard.down("a")
    page.keyboard.up("a")
    expect(page.get_by_text("Approved. The certificate is being signed.")).to_be_visible()
    assert states() == {NAMES[0]: State.APPROVED, NAMES[1]: State.APPROVED, NAMES[2]: State.PENDING}


def test_a_key_that_is_held_moves_in_the_list_and_opens_and_decides_nothing(
    visit: Open, world: World
) -> None:
    *_, request = create_requests(world.profile, NAMES)
    page = visit(reverse("queue"), world.alice)
    arrive(page, "Queue")
    for _ in range(4):
        page.keyboard.down("j")
    page.keyboard.up("j")
    expect(page.get_by_role("link", name="ap-0051.example")).to_be_focused()
    open_page = open_request(visit, world.alice, request)
    open_page.keyboard.down("x")
    for _ in range(4):
        open_page.keyboard.down("j")
    open_page.keyboard.up("j")
    arrive(open_page, "ap-0052.example")
    open_page.wait_for_timeout(500)
    arrive(open_page, "ap-0052.example")
    assert verdicts() == {}


def test_keys_do_nothing_behind_an_open_dialog(visit: Open, world: World) -> None:
    *_, request = create_requests(world.profile, NAMES)
    page = open_request(visit, world.alice, request)
    press(page, "?")
    heading = page.get_by_role("heading", name="Keys")
    expect(heading).to_be_visible()
    heading.click()
    page.evaluate("document.activeElement.blur()")
    press(page, "a", "j", "u", "r")
    page.wait_for_timeout(300)
    expect(heading).to_be_visible()
    assert verdicts() == {}


@pytest.mark.parametrize(
    "modifier", ["Control", "Alt", "Meta", "Shift", "Control+Shift", "AltGraph"]
)
def test_a_key_with_a_modifier_decides_nothing(visit: Open, world: World, modifier: str) -> None:
    *_, request = create_requests(world.profile, NAMES)
    page = open_request(visit, world.alice, request)
    for part in modifier.split("+"):
        page.keyboard.down(part)
    press(page, "A" if "Shift" in modifier else "a")
    for part in modifier.split("+"):
        page.keyboard.up(part)
    page.wait_for_timeout(300)
    assert modifier == "AltGraph" or verdicts() == {}


def test_what_is_typed_on_after_a_refresh_took_the_field_away_is_no_command(
    visit: Open, world: World
) -> None:
    _, request, _ = create_requests(world.profile, NAMES)
    dora = create_person("dora", Role.OFFICER)
    page = open_request(visit, world.alice, request)
    press(page, "r")
    approve_request(request_id=request.pk, principal=principal_of(dora), comment="", now=now())
    expect(page.locator("#state .state")).to_have_text("approved", timeout=10_000)
    expect(page.locator("#id_reason")).to_have_count(0)
    page.keyboard.type("wrong key, ask Jana again")
    page.wait_for_timeout(500)
    assert page.url.endswith(reverse("request", args=[request.pk]))
    assert list(verdicts()) == [request.common_name]
    press(page, "Escape", "j")
    arrive(page, "ap-0051.example")


def test_words_stay_in_their_field_when_another_officer_decides_meanwhile(
    visit: Open, world: World
) -> None:
    _, request, _ = create_requests(world.profile, NAMES)
    page = open_request(visit, world.alice, request)
    press(page, "r")
    page.keyboard.type("wrong")
    approve_request(
        request_id=request.pk,
        principal=principal_of(create_person("dora", Role.OFFICER)),
        comment="",
        now=now(),
    )
    expect(page.locator("#state .state")).to_have_text("approved", timeout=10_000)
    page.keyboard.type(" key, ask Jana again")
    expect(page.get_by_label("Reason of the rejection")).to_have_value("wrong key, ask Jana again")
    press(page, "Tab", "Enter")
    expect(page.get_by_role("alert")).to_contain_text("Already approved by Dora")
    assert verdicts() == {request.common_name: ("approve", "")}


def test_a_request_with_a_reason_written_is_not_approved_by_a_key(
    visit: Open, world: World
) -> None:
    *_, request = create_requests(world.profile, NAMES)
    page = open_request(visit, world.alice, request)
    press(page, "r")
    page.keyboard.type("wrong site")
    page.get_by_role("heading", name=request.common_name).click()
    press(page, "a")
    expect(page.get_by_role("button", name="Approve ap-0053.example")).to_be_focused()
    page.wait_for_timeout(300)
    assert verdicts() == {}


def test_ticks_go_with_a_filter_and_do_not_come_back_on_other_rows(
    visit: Open, world: World
) -> None:
    create_requests(world.profile, NAMES)
    page = visit(reverse("queue"), world.alice)
    arrive(page, "Queue")
    page.get_by_label("Tick CN=ap-0053.example").check()
    page.get_by_label("Tick CN=ap-0052.example").check()
    create_requests(world.profile, ["ap-0054.example", "ap-0055.example"])
    page.reload()
    arrive(page, "Queue")
    expect(page.locator("input[name=rows]:checked")).to_have_count(0)
    page.get_by_label("Tick CN=ap-0053.example").check()
    page.get_by_role("link", name="ap-0053.example").click()
    arrive(page, "ap-0053.example")
    page.go_back()
    arrive(page, "Queue")
    expect(page.locator("input[name=rows]:checked")).to_have_count(0)
    page.get_by_label("Tick CN=ap-0055.example").check()
    page.get_by_label("Search").fill("ap-005")
    press(page, "Enter")
    page.wait_for_url("**q=ap-005**")
    arrive(page, "Queue")
    press(page, "a", "Enter")
    page.wait_for_timeout(300)
    assert verdicts() == {}


@pytest.mark.parametrize("width", [1440, 1000, 640, 390])
@pytest.mark.parametrize("place", ["[data-row]", "[data-decide]"])
def test_nothing_moves_under_the_pointer_when_a_warning_or_a_request_arrives(
    visit: Open, world: World, place: str, width: int
) -> None:
    *_, request = create_requests(world.profile, NAMES)
    path = reverse("queue") if place == "[data-row]" else reverse("request", args=[request.pk])
    page = visit(path, world.alice, viewport={"width": width, "height": 900})
    page.wait_for_load_state()
    before = boxes(page.locator(place))
    create_requests(world.profile, ["late.example"])
    (due,) = create_requests(world.profile, ["due.example"], state=State.PENDING)
    EnrollmentRequest.objects.filter(pk=due.pk).update(
        state=State.APPROVED,
        next_attempt_at=now() - timedelta(hours=1),
        last_fault="the key is not readable",
    )
    expect(page.locator("#health")).to_contain_text("Nothing signed", timeout=10_000)
    assert boxes(page.locator(place)) == before


def boxes(rows: Locator) -> list[object]:
    return [row.bounding_box() for row in rows.all()]


def end_session(page: Page) -> None:
    """Forget the session, as after an hour without a request; the page stays as it is."""
    page.context.clear_cookies(name="portal_session")


def sign_in(page: Page) -> None:
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill("alice" * 2)
    page.get_by_role("button", name="Sign in").click()


@pytest.mark.parametrize("java_script", [True, False])
def test_a_session_that_ends_while_a_reason_is_typed_loses_nothing(
    visit: Open, world: World, *, java_script: bool
) -> None:
    *_, request = create_requests(world.profile, NAMES)
    page = open_request(visit, world.alice, request, java_script_enabled=java_script)
    page.get_by_label("Reason of the rejection").fill("Wrong site code")
    end_session(page)
    if java_script:
        expect(page.locator("#signed-out")).to_be_visible(timeout=10_000)
    page.get_by_role("button", name="Reject ap-0053.example").click()
    arrive(page, "Sign in")
    sign_in(page)
    arrive(page, request.common_name)
    expect(page.get_by_label("Reason of the rejection")).to_have_value("Wrong site code")
    assert verdicts() == {}
    page.get_by_role("button", name="Reject ap-0053.example").click()
    expect(page.locator("#state .state")).to_have_text("rejected")
    assert verdicts() == {request.common_name: ("reject", "Wrong site code")}


@pytest.mark.parametrize("java_script", [True, False])
def test_a_session_that_ends_while_rows_are_ticked_loses_no_tick(
    visit: Open, world: World, *, java_script: bool
) -> None:
    create_requests(world.profile, NAMES)
    page = visit(reverse("queue") + "?q=ap-005", world.alice, java_script_enabled=java_script)
    arrive(page, "Queue")
    for name in NAMES[:2]:
        page.get_by_label(f"Tick CN={name}").check()
    end_session(page)
    if java_script:
        expect(page.locator("#signed-out")).to_be_visible(timeout=10_000)
    page.get_by_role("button", name="Approve ticked").click()
    arrive(page, "Sign in")
    sign_in(page)
    arrive(page, "Queue")
    assert page.url.endswith("?q=ap-005")
    expect(page.locator("input[name=rows]:checked")).to_have_count(2)
    assert verdicts() == {}
    if java_script:
        expect(page.get_by_text("2 ticked")).to_be_visible()


def test_a_page_with_nothing_typed_leads_to_the_sign_in_and_back(visit: Open, world: World) -> None:
    *_, request = create_requests(world.profile, NAMES)
    page = open_request(visit, world.alice, request)
    end_session(page)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible(timeout=10_000)
    sign_in(page)
    arrive(page, request.common_name)
    assert page.url.endswith(reverse("request", args=[request.pk]))


def test_each_verb_at_two_seconds_of_latency_by_keys_alone(visit: Open, world: World) -> None:
    names = [f"ap-{number:04d}.example" for number in range(1, 9)]
    requests = create_requests(world.profile, names)
    page = open_request(visit, world.alice, requests[7])
    slow(page)
    press(page, "j")
    arrive(page, names[6])
    press(page, "k")
    arrive(page, names[7])
    press(page, "a", "j", "a")
    expect(page.locator("#state .state")).to_have_text("approved", timeout=20_000)
    arrive(page, names[7])
    press(page, "j", "a")
    arrive(page, names[6])
    press(page, "r")
    page.keyboard.type("Wrong site code")
    press(page, "Tab", "Enter", "Enter", "j", "a")
    expect(page.locator("#state .state")).to_have_text("rejected", timeout=20_000)
    arrive(page, names[6])
    press(page, "u")
    arrive(page, "Queue")
    press(page, "j", "x", "j", "Shift+X", "a", "Enter", "Enter", "a", "j", "x")
    arrive(page, "Results")
    press(page, "j", "x", "j", "x", "r")
    page.keyboard.type("No site knows them")
    press(page, "Enter", "Enter", "j", "x", "a", "Enter")
    expect(page.locator("#results")).to_contain_text("rejected", timeout=20_000)
    assert verdicts() == {
        names[7]: ("approve", ""),
        names[6]: ("reject", "Wrong site code"),
        names[5]: ("approve", ""),
        names[4]: ("approve", ""),
        names[3]: ("reject", "No site knows them"),
        names[2]: ("reject", "No site knows them"),
    }


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the element has the focus."""
    for _ in range(120):
        press(page, "Tab")
        if target.evaluate("element => element === document.activeElement"):
            return
    pytest.fail(f"Tab never reaches {target}")


def test_each_verb_without_scripts_by_tab_space_and_enter_alone(visit: Open, world: World) -> None:
    names = [f"ap-{number:04d}.example" for number in range(1, 9)]
    requests = create_requests(world.profile, names)
    page = visit(reverse("request", args=[requests[7].pk]), world.alice, java_script_enabled=False)
    tab_to(page, page.get_by_role("link", name="Older waiting"))
    press(page, "Enter")
    arrive(page, names[6])
    tab_to(page, page.get_by_role("link", name="Newer waiting"))
    press(page, "Enter")
    arrive(page, names[7])
    tab_to(page, page.get_by_role("button", name=f"Approve {names[7]}"))
    press(page, "Space")
    expect(page.locator("#state .state")).to_have_text("approved")
    tab_to(page, page.get_by_role("link", name="Older waiting"))
    press(page, "Enter")
    arrive(page, names[6])
    tab_to(page, page.get_by_label("Reason of the rejection"))
    page.keyboard.type("Wrong site code")
    press(page, "Tab", "Enter")
    expect(page.locator("#state .state")).to_have_text("rejected")
    tab_to(page, page.get_by_role("link", name="← Queue"))
    press(page, "Enter")
    for verb, words, chosen in (
        ("approve", "roll-out", names[4:6]),
        ("reject", "No site knows them", names[2:4]),
    ):
        arrive(page, "Queue")
        for name in reversed(chosen):
            tab_to(page, page.get_by_label(f"Tick CN={name}"))
            press(page, "Space")
        field = "Comment on the approval" if verb == "approve" else "Reason of the rejection"
        tab_to(page, page.get_by_label(field))
        page.keyboard.type(words)
        press(page, "Tab", "Enter")
        expect(page.locator("#results")).to_contain_text(
            "approved" if verb == "approve" else "rejected"
        )
    assert verdicts() == {
        names[7]: ("approve", ""),
        names[6]: ("reject", "Wrong site code"),
        **dict.fromkeys(names[4:6], ("approve", "roll-out")),
        **dict.fromkeys(names[2:4], ("reject", "No site knows them")),
    }


def test_the_first_of_two_votes_says_so_and_the_verdict_is_not_offered_twice(
    visit: Open, world: World
) -> None:
    EnrollmentProfile.objects.update(required_approvals=2)
    (request,) = create_requests(world.profile, ["core-1.example"])
    page = open_request(visit, world.alice, request)
    press(page, "a")
    expect(page.locator("#messages")).to_contain_text("1 of 2 approvals")
    expect(page.locator("#state")).to_contain_text("pending 1 of 2 approvals")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    expect(page.get_by_role("button", name="Reject")).to_have_count(0)
    press(page, "a", "u")
    arrive(page, "Queue")
    expect(page.locator("[data-row]").first).to_contain_text("1/2")
    expect(page.locator("input[name=rows]")).to_have_count(0)
    dora = visit(reverse("queue"), create_person("dora", Role.OFFICER))
    dora.get_by_label("Tick CN=core-1.example").check()
    dora.get_by_role("button", name="Approve ticked").click()
    expect(dora.locator("#results .chip.good")).to_have_text("approved")
    assert states() == {"core-1.example": State.APPROVED}


@pytest.fixture
def renewed(world: World) -> tuple[Certificate, Certificate]:
    """A certificate, and one that follows from it: over the same key."""
    return issue(create_profile(world.ca, "tablets"), world.alice), issue(
        world.profile, world.alice
    )


def issue(profile: EnrollmentProfile, officer: User) -> Certificate:
    Device.named("tablet-7.example", "device-1", profile=profile.slug).enroll(
        transaction_id=profile.slug
    )
    request = EnrollmentRequest.objects.latest("id")
    approve_request(request_id=request.pk, principal=principal_of(officer), comment="", now=now())
    run_worker()
    return Certificate.objects.get(order_id=request.pk)


@pytest.mark.parametrize("java_script", [True, False])
@pytest.mark.parametrize("place", ["Reason", "Revoke it too (reason: key compromise)"])
@pytest.mark.parametrize("keys", ["Enter", "Control+Enter", "Shift+Enter"])
def test_enter_on_the_revoke_page_revokes_by_its_button_only(
    visit: Open,
    world: World,
    renewed: tuple[Certificate, Certificate],
    place: str,
    keys: str,
    *,
    java_script: bool,
) -> None:
    page = visit(
        reverse("certificate_revoke", args=[renewed[0].pk]),
        world.alice,
        java_script_enabled=java_script,
    )
    page.get_by_label("Reason", exact=True).select_option("keyCompromise")
    page.get_by_label(place, exact=True).focus()
    press(page, keys, "Escape")
    page.wait_for_load_state("networkidle")
    assert not Certificate.objects.filter(status="REVOKED").exists()
    expect(page.get_by_label("Reason", exact=True)).to_have_value("keyCompromise")
    page.get_by_label("Revoke it too").check()
    page.get_by_role("button", name="Revoke").focus()
    press(page, "Enter")
    expect(page.locator(".state.revoked").first).to_be_visible(timeout=20_000)
    assert Certificate.objects.filter(status="REVOKED").count() == 2


@pytest.mark.parametrize("keys", ["r", "a", "ar", "xr", "jkoxar"])
@pytest.mark.parametrize("place", ["keys", "revoke"])
def test_keys_of_the_queue_reach_no_field_of_another_page(
    visit: Open, world: World, renewed: tuple[Certificate, Certificate], place: str, keys: str
) -> None:
    charlie = create_person("charlie", Role.ADMINISTRATOR)
    path = (
        reverse("certificate_revoke", args=[renewed[0].pk])
        if place == "revoke"
        else reverse("keys") + "?key=ff"
    )
    page = visit(path, world.alice if place == "revoke" else charlie)
    page.wait_for_load_state()
    press(page, *keys)
    page.keyboard.type("seven")
    expect(page.locator("#id_reason")).to_have_value("")
