"""NDES accounts by page: made by administrators of the department, their password shown once."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from accounts.models.people import Department, User
from accounts.principals import PORTAL
from accounts.roles import Role
from approvals.challenge_orders.ndes import NdesCredentials, fetch_challenge
from approvals.challenge_orders.ndes_accounts import (
    NdesAccountOrder,
    create_ndes_account,
    disable_ndes_account,
    replace_password,
)
from approvals.models.ndes import NdesAccount
from approvals.models.profiles import EnrollmentProfile
from approvals.rules.errors import NdesAccountInvalid
from audit.models import AuditEntry
from tests.pages import signed_in
from tests.world import World, create_person, create_profile, now

PAGE = "/ndes/"


@pytest.fixture
def phones(world: World) -> EnrollmentProfile:
    return create_profile(world.ca, "phones", challenge="one-time")


@pytest.fixture
def charlie(world: World) -> User:
    return create_person("charlie", Role.ADMINISTRATOR)


def typed(profile: EnrollmentProfile, **data: object) -> dict[str, object]:
    """The fields an administrator fills in."""
    return {
        "name": "Jamf",
        "profile": profile.pk,
        "owner": "Mobile team",
        "networks": "192.0.2.0/24, 2001:db8::/32",
        "max_unused": 20,
        "minutes": 30,
        "encoding": "utf-8",
        **data,
    }


def password_in(answer: Any) -> str:
    match = re.search(
        r"<dt>Password</dt><dd class=\"fpline\"><code>([^<]+)</code>", answer.content.decode()
    )
    assert match
    return match[1]


def test_an_administrator_makes_an_account_and_sees_its_password_once(
    charlie: User, phones: EnrollmentProfile
) -> None:
    browser = signed_in(charlie)
    answer = browser.post(PAGE, typed(phones))
    assert (answer.status_code, answer.headers["Cache-Control"]) == (
        201,
        "max-age=0, no-cache, no-store, must-revalidate, private",
    )
    password = password_in(answer)
    account = NdesAccount.objects.get()
    assert (account.name, account.owner, account.created_by) == ("jamf", "Mobile team", charlie)
    assert account.networks == ["192.0.2.0/24", "2001:db8::/32"]
    assert (account.max_unused, account.lifetime, account.encoding) == (
        20,
        timedelta(minutes=30),
        "utf-8",
    )
    assert fetch_challenge(NdesCredentials("jamf", password, "192.0.2.9"), now=now()).secret
    page = browser.get(PAGE).content.decode()
    assert password not in page
    assert "1 of 20" in page
    entry = AuditEntry.objects.get(event="ndes-account:create")
    assert (entry.subject_id, entry.actor_id, entry.data["name"]) == (
        str(account.pk),
        str(charlie.pk),
        "jamf",
    )
    assert password not in repr(list(AuditEntry.objects.values()))


def test_a_new_password_is_shown_once_and_a_disabled_account_gets_none(
    charlie: User, phones: EnrollmentProfile
) -> None:
    browser = signed_in(charlie)
    first = password_in(browser.post(PAGE, typed(phones)))
    account = NdesAccount.objects.get()
    second = password_in(browser.post(reverse("ndes_password", args=[account.pk])))
    assert first != second
    assert browser.post(reverse("ndes_disable", args=[account.pk])).status_code == 302
    answer = browser.post(reverse("ndes_password", args=[account.pk]), follow=True)
    assert "is disabled: make another one" in answer.content.decode()
    assert "disabled" in browser.get(PAGE).content.decode()
    events = (
        AuditEntry.objects.filter(subject_kind="ndes-account")
        .order_by("id")
        .values_list("event", flat=True)
    )
    assert list(events) == ["ndes-account:create", "ndes-account:change", "ndes-account:disable"]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": "a:b"}, "letters, digits and . _ @"),
        ({"name": "taken"}, "Ndes account with this Name already exists."),
        ({"networks": "10.0.0.1/8"}, "write it like 10.20.0.0/16"),
        ({"max_unused": 0}, "max_unused: Ensure this value is greater than or equal to 1."),
        ({"max_unused": 1001}, "max_unused: Ensure this value is less than or equal to 1000."),
        ({"minutes": 0}, "Ensure this value is greater than or equal to 1."),
        ({"owner": ""}, "This field is required."),
        ({"encoding": "utf-7"}, "is not one of the available choices"),
    ],
)
def test_what_cannot_be_is_said_by_name(
    charlie: User, phones: EnrollmentProfile, wrong: dict[str, object], sentence: str
) -> None:
    create_ndes_account(NdesAccountOrder("taken", phones, "x"), principal=PORTAL, now=now())
    answer = signed_in(charlie).post(PAGE, typed(phones, **wrong))
    assert answer.status_code == 422
    assert sentence in answer.content.decode().replace("&#x27;", "'")
    assert NdesAccount.objects.count() == 1


def test_only_profiles_with_one_time_challenges_are_offered_and_taken(
    world: World, charlie: User, phones: EnrollmentProfile
) -> None:
    page = signed_in(charlie).get(PAGE).content.decode()
    assert ">phones</option>" in page
    assert ">routers</option>" not in page
    assert signed_in(charlie).post(PAGE, typed(world.profile)).status_code == 422
    with pytest.raises(
        NdesAccountInvalid, match="profile routers takes no challenge: choose one with one-time"
    ):
        create_ndes_account(NdesAccountOrder("x", world.profile, "x"), principal=PORTAL, now=now())


def test_an_administrator_of_another_department_sees_and_changes_nothing(
    phones: EnrollmentProfile,
) -> None:
    here, elsewhere = (
        Department.objects.create(slug=slug, name=slug) for slug in ("here", "elsewhere")
    )
    EnrollmentProfile.objects.filter(pk=phones.pk).update(department=here)
    account, _ = create_ndes_account(
        NdesAccountOrder("jamf", phones, "x"), principal=PORTAL, now=now()
    )
    bob = create_person("bob", Role.ADMINISTRATOR, department=elsewhere)
    browser = signed_in(bob)
    page = browser.get(PAGE).content.decode()
    assert "jamf</td>" not in page
    assert ">phones</option>" not in page
    for name in ("ndes_password", "ndes_disable"):
        assert browser.post(reverse(name, args=[account.pk])).status_code == 404
    assert browser.post(PAGE, typed(phones)).status_code == 422
    account.refresh_from_db()
    assert account.disabled_at is None


def test_a_disabled_account_stays_disabled(phones: EnrollmentProfile) -> None:
    account, _ = create_ndes_account(
        NdesAccountOrder("jamf", phones, "x"), principal=PORTAL, now=now()
    )
    disable_ndes_account(account, principal=PORTAL, now=now())
    with pytest.raises(NdesAccountInvalid, match="NDES account jamf is disabled"):
        replace_password(account, principal=PORTAL, now=now())
