"""Tokens by page and by command: people make their own, administrators see and revoke all."""

import re
from typing import Any

import pytest
from django.core.management import CommandError
from django.urls import reverse

from accounts.models.people import ApiToken, Department, User
from accounts.roles import Role, Verb
from approvals.models.profiles import EnrollmentProfile
from audit.models import AuditEntry
from tests.api.caller import Program, call
from tests.pages import signed_in
from tests.pkiportal.commands import run, run_json
from tests.world import World, create_person, create_profile

PAGE = "/account/tokens/"


@pytest.fixture
def phones(world: World) -> EnrollmentProfile:
    return create_profile(world.ca, "phones", challenge="one-time")


@pytest.fixture
def charlie(world: World) -> User:
    return create_person("charlie", Role.ADMINISTRATOR)


def typed(**data: object) -> dict[str, object]:
    return {
        "name": "mdm sync",
        "scopes": ["challenge:create", "profile:view"],
        "days": 30,
        "networks": "",
        **data,
    }


def text_in(answer: Any) -> str:
    match = re.search(r"pkip_[0-9a-f]{10}_[0-9a-f]{40}", answer.content.decode())
    return match[0] if match else ""


def test_a_person_makes_a_token_sees_it_once_and_revokes_it(
    world: World, phones: EnrollmentProfile
) -> None:
    browser = signed_in(world.alice)
    answer = browser.post(PAGE, typed(profiles=[phones.pk], networks="127.0.0.0/8, 2001:db8::/32"))
    text = text_in(answer)
    assert (answer.status_code, "no-store" in answer.headers["Cache-Control"]) == (201, True)
    assert call("GET", "/profiles", HTTP_AUTHORIZATION=f"Bearer {text}").status_code == 200
    token = ApiToken.objects.get()
    assert (token.owner, token.profiles, token.networks) == (
        world.alice,
        ["phones"],
        ["127.0.0.0/8", "2001:db8::/32"],
    )
    assert not text_in(browser.get(PAGE))
    assert browser.post(reverse("api_token_revoke", args=[token.pk])).status_code == 302
    assert call("GET", "/profiles", HTTP_AUTHORIZATION=f"Bearer {text}").status_code == 401
    assert "Revoked or expired" in browser.get(PAGE).content.decode()
    events = (
        AuditEntry.objects.filter(subject_kind="token")
        .order_by("id")
        .values_list("event", "actor_id")
    )
    alice = str(world.alice.pk)
    assert list(events)[:2] == [("token:create", alice), ("token:revoke", alice)]


def test_a_person_is_offered_and_given_only_what_they_may(world: World) -> None:
    bob = create_person("bob", Role.AUDITOR)
    browser = signed_in(bob)
    page = browser.get(PAGE).content.decode()
    assert 'value="profile:view"' in page
    assert 'value="challenge:create"' not in page
    answer = browser.post(PAGE, typed())
    assert (answer.status_code, text_in(answer)) == (422, "")
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"scopes": []}, {"days": 0}, {"days": 367}, {"networks": "here"}]
)
def test_what_cannot_be_is_said(world: World, wrong: dict[str, object]) -> None:
    assert signed_in(world.alice).post(PAGE, typed(**wrong)).status_code == 422
    assert not ApiToken.objects.exists()


def test_people_see_their_own_and_administrators_all(world: World, charlie: User) -> None:
    bob = create_person("bob", Role.OFFICER)
    mine = Program(world.alice).token
    for user, sees_all in ((bob, False), (world.alice, True), (charlie, True)):
        browser = signed_in(user)
        assert (mine.prefix in browser.get(PAGE).content.decode()) is sees_all
        status = browser.post(reverse("api_token_revoke", args=[mine.pk])).status_code
        assert status == (302 if sees_all else 404)


def test_an_administrator_of_a_department_sees_the_tokens_for_it(world: World) -> None:
    here, elsewhere = (
        Department.objects.create(slug=slug, name=slug) for slug in ("here", "elsewhere")
    )
    dora = create_person("dora", Role.ADMINISTRATOR, department=here)
    inside, outside = (
        Program(world.alice, department=here).token,
        Program(world.alice, department=elsewhere).token,
    )
    own = Program(dora, department=here).token
    page = signed_in(dora).get(PAGE).content.decode()
    assert [token.prefix in page for token in (inside, outside, own)] == [True, False, True]
    assert ">elsewhere</option>" not in page


def test_an_existing_department_is_offered_for_a_token(world: World) -> None:
    Department.objects.create(slug="here", name="Here")
    assert ">Here</option>" in signed_in(world.alice).get(PAGE).content.decode()


def test_tokens_by_command(world: World, phones: EnrollmentProfile) -> None:
    Department.objects.create(slug="here", name="Here")
    options = (
        "--owner",
        "alice",
        "--scope",
        "challenge:create",
        "--profile",
        "phones",
        "--expires",
        "7d",
    )
    created = run_json(
        "tokens", "create", "mdm sync", *options, "--network", "127.0.0.0/8", "--department", "here"
    )
    assert (created["owner"], created["scopes"], created["profiles"]) == (
        "alice",
        ["challenge:create"],
        ["phones"],
    )
    text = created.pop("token")
    (listed,) = run_json("tokens", "list")
    assert listed == created
    answer = call("POST", "/challenges", {"profile": "phones"}, HTTP_AUTHORIZATION=f"Bearer {text}")
    assert answer.status_code == 403, "phones is of no department"
    assert "active" in run("tokens", "list")
    assert run_json("tokens", "revoke", text)["state"] == "revoked"
    with pytest.raises(CommandError, match="is revoked already"):
        run("tokens", "revoke", created["prefix"])
    assert run("tokens", "create", "x", "--owner", "alice", "--scope", "profile:view").startswith(
        "pkip_"
    )
    ApiToken.objects.update(
        created_at="2020-01-01T00:00Z", expires_at="2020-01-02T00:00Z", revoked_at=None
    )
    assert {item["state"] for item in run_json("tokens", "list")} == {"expired"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--owner", "unknown"), "user 'unknown': not known, there are alice"),
        (("--owner", "alice", "--department", "nowhere"), "department 'nowhere': not known"),
        (("--owner", "alice", "--profile", "nothing"), "profile 'nothing': not known"),
        (("--owner", "alice", "--expires", "500d"), "at most 366 days"),
    ],
)
def test_a_command_names_what_is_wrong(
    world: World, options: tuple[str, ...], message: str
) -> None:
    assert run("tokens", "list") == "There is no API token.\n"
    with pytest.raises(CommandError, match=message):
        run("tokens", "create", "x", "--scope", Verb.PROFILE_VIEW.value, *options)
    with pytest.raises(CommandError, match="token '0000000000': not known"):
        run("tokens", "revoke", "pkip_0000000000_x")
