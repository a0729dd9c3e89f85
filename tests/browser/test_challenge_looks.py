"""Pages of challenges and expected devices: pictures in all widths and schemes, axe, keyboard."""

from datetime import timedelta
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from accounts.models.people import User
from accounts.roles import Role
from approvals.challenges.device_groups import add_devices, create_group
from approvals.challenges.onetime import ChallengeOrder, create_challenges
from approvals.challenges.static import set_static
from approvals.decisions.decide import approve_request
from approvals.models.challenges import (
    AlarmKind,
    ChallengeOrigin,
    ChallengePassword,
    FailedChallenges,
    StaticChallenge,
)
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.operations.alarms import raise_alarm
from tests.browser.conftest import Open
from tests.browser.test_looks import LOOKS, OUTPUT, Scheme
from tests.world import (
    Device,
    World,
    create_person,
    create_profile,
    later,
    now,
    principal_of,
    run_worker,
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(300),
]


@pytest.fixture
def people(world: World) -> dict[str, User]:
    bob = create_person("bob", Role.AUDITOR)
    return {
        "alice": world.alice,
        "bob": bob,
        "charlie": create_person("charlie", Role.ADMINISTRATOR),
    }


@pytest.fixture
def furnished(world: World, people: dict[str, User]) -> dict[str, tuple[str, User]]:
    """Every page, and the person who opens it."""
    alice, bob, charlie = people["alice"], people["bob"], people["charlie"]
    phones = create_profile(world.ca, "phones", challenge="one-time")
    used = _challenges(phones, alice)
    _static(world, charlie)
    group = create_group(
        "munich-access", department=None, principal=principal_of(charlie), now=now()
    )
    rows = [
        f"FOC24{n:04d},00:1b:44:11:3a:{n:02x},ap-muc-{n:04d}.branch.example.org,rack {n}"
        for n in range(60)
    ]
    content = "\n".join(["serial_number,mac,name,note", *rows]).encode()
    add_devices(group, content, principal=principal_of(charlie), now=now())
    create_profile(world.ca, "access", eligibility=group, unlisted="officer")
    FailedChallenges.objects.create(
        profile=phones, address="2001:db8:17::4", since=now(), locked_until=later(minutes=9)
    )
    raise_alarm(
        AlarmKind.LOCKED,
        phones,
        "20 challenges failed in 10 minutes from 2001:db8:17::4.",
        now=now(),
    )
    static = StaticChallenge.objects.get(retires_at=None)
    own = EnrollmentRequest.objects.get(common_name="tablet-0043.branch.example.org")
    unused = ChallengePassword.objects.filter(redeemed_at=None).latest("id")
    return {
        "challenges": ("/challenges/", bob),
        "challenges-none": ("/challenges/?q=unknown", bob),
        "challenge-used": (f"/challenges/{used.pk}/", bob),
        "challenge-unused": (f"/challenges/{unused.pk}/", alice),
        "challenge-new": ("/profiles/phones/challenges/new", alice),
        "challenge-list": ("/profiles/phones/challenges/list", alice),
        "own-challenge": (f"/requests/{own.pk}/", alice),
        "static": ("/profiles/printers/static/", charlie),
        "static-challenge": (f"/static-challenges/{static.pk}/", bob),
        "locks": ("/profiles/phones/locks/", alice),
        "devices": ("/devices/", charlie),
        "device-group": ("/devices/munich-access/", charlie),
        "profiles-with-warnings": ("/profiles/", charlie),
    }


def _challenges(phones: EnrollmentProfile, alice: User) -> ChallengePassword:
    """Challenges in every state; one led to a certificate, one to a request seen by its author."""
    maker = create_person("dora", Role.OFFICER)
    order = ChallengeOrder(
        phones,
        subject="tablet-0042.branch.example.org",
        sans=["dns:tablet-0042.branch.example.org"],
        networks=["127.0.0.0/8"],
        created_for="Jana Nováková, ticket 4711",
        origin=ChallengeOrigin.PAGE,
    )
    ((used, secret),) = create_challenges(order, principal=principal_of(maker), now=now())
    Device.named(order.subject, "device-1", "phones").enroll(
        challenge=secret.reveal(), dns_names=[order.subject]
    )
    approve_request(
        request_id=EnrollmentRequest.objects.get().pk,
        principal=principal_of(alice),
        comment="as announced",
        now=now(),
    )
    run_worker()
    ((_, own),) = create_challenges(
        ChallengeOrder(phones), principal=principal_of(alice), now=now()
    )
    Device.named("tablet-0043.branch.example.org", "device-2", "phones").enroll(
        challenge=own.reveal()
    )
    many = ChallengeOrder(
        phones, count=60, created_for="roll-out Brno", origin=ChallengeOrigin.BULK
    )
    create_challenges(many, principal=principal_of(alice), now=now())
    old = ChallengePassword.objects.filter(redeemed_at=None)[:5].values_list("pk", flat=True)
    ChallengePassword.objects.filter(pk__in=list(old)).update(expires_at=now())
    return used


def _static(world: World, charlie: User) -> None:
    printers = create_profile(
        world.ca,
        "printers",
        challenge="static",
        static_challenge="a secret of the printers",
        approval="automatic",
    )
    principal = principal_of(charlie)
    for number in (3, 4):
        Device.named(f"printer-{number}", f"device-{number}", "printers").enroll(
            challenge="a secret of the printers"
        )
    set_static(
        printers,
        "a new secret of the printers",
        principal=principal,
        now=now(),
        overlap=timedelta(days=7),
    )


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_no_page_of_challenges_overflows_or_violates_what_axe_knows(
    visit: Open, furnished: dict[str, tuple[str, User]], scheme: Scheme, width: int
) -> None:
    OUTPUT.mkdir(exist_ok=True)
    faults: dict[str, Any] = {}
    for name, (path, user) in furnished.items():
        page = visit(path, user, viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.screenshot(path=OUTPUT / f"{name}-{width}-{scheme}.png", full_page=width == 1440)
        violations = [
            f"{item['id']}: {item['nodes'][0]['html'][:200]}"
            for item in Axe().run(page).response["violations"]
        ]
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            violations.append("wider than the screen")
        if violations:
            faults[name] = violations
        page.context.close()
    assert faults == {}


def test_a_challenge_is_made_and_withdrawn_by_keyboard_alone(visit: Open, world: World) -> None:
    create_profile(world.ca, "phones", challenge="one-time")
    page = visit("/profiles/", world.alice)
    page.get_by_role("link", name="New challenge for phones").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="New challenge for phones")).to_be_visible()
    page.get_by_label("Made for").focus()
    page.keyboard.type("Jana")
    page.keyboard.press("Tab")
    page.keyboard.type("r1.example")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="New challenge for phones", exact=True)).to_be_visible()
    expect(page.get_by_text("Shown this once")).to_be_visible()
    page.get_by_role("link", name="Family tree of challenge 1").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Challenge for Jana")).to_be_visible()
    page.get_by_role("button", name="Withdraw it").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("it opens nothing any more")).to_be_visible()
    assert ChallengePassword.objects.get().withdrawn_by == world.alice
