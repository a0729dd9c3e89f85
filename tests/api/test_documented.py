"""`docs/api.md` says what the REST door does: calls, members, defaults, limits, errors."""

import json
import re
from datetime import timedelta
from inspect import signature
from typing import Any

import pytest
from django.urls import resolve
from rest_framework.fields import empty

from accounts.tokens import API_VERBS, MAX_LIFETIME, WRONG_A_MINUTE, TokenOrder
from api.problems import CONTENT_TYPE, TITLES, document
from api.serializers import BindingSerializer, OrderSerializer
from api.urls import urlpatterns
from api.views import _MAX_KEY, Door, NothingHere
from approvals.models.profiles import EnrollmentProfile
from pkiportal.web.bodies import bound_of
from tests.api.caller import Program
from tests.architecture.measures import ROOT
from tests.world import Device, World, create_profile

DOCUMENT = (ROOT / "docs/api.md").read_text()
AN_ID = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def phones(world: World) -> EnrollmentProfile:
    return create_profile(world.ca, "phones", challenge="one-time")


def table(heading: str) -> list[list[str]]:
    """Return the cells of the table with this first heading."""
    lines = DOCUMENT.partition(f"\n| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names_in(text: str) -> list[str]:
    """Return the words in backticks."""
    return re.findall(r"`(\w+)`", text)


def test_each_problem_has_its_documented_title() -> None:
    assert {int(status): title for status, title, _ in table("status")} == TITLES
    for status, title in TITLES.items():
        assert document(status, "x") == {
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": "x",
        }
    introduction = DOCUMENT.partition("### Errors\n")[2].partition("\n\n|")[0]
    assert f"`{CONTENT_TYPE}`" in introduction
    assert "`type` is always `about:blank`" in introduction
    assert set(document(400, "x")) <= set(names_in(introduction))


def test_each_call_has_its_documented_scope() -> None:
    documented: dict[type[Door], set[str]] = {}
    for call, scope, _ in table("call"):
        method, _, path = call.strip("`").partition(" ")
        view: Any = resolve(path.replace("ID", AN_ID)).func
        assert view.cls.verb.value == scope.strip("`"), call
        documented.setdefault(view.cls, set()).add(method.lower())
    views: list[Any] = [pattern.callback for pattern in urlpatterns]
    assert documented == {
        view.cls: set(view.cls.http_method_names) - {"head"}
        for view in views
        if view.cls is not NothingHere
    }


def test_the_members_of_an_order_have_their_documented_defaults() -> None:
    members: dict[str, Any] = dict(OrderSerializer().fields)
    words = {"needed": empty, "empty": "", "nothing": {}}
    documented = {
        name.strip("`"): words[default] if default in words else int(default)
        for name, default, _ in table("member of an order")
    }
    defaults = {
        name: field.default() if field.default in (dict, list) else field.default
        for name, field in members.items()
    }
    assert documented == defaults
    meanings = {name.strip("`"): meaning for name, _, meaning in table("member of an order")}
    assert f"up to {members['count'].max_value}" in meanings["count"]
    assert f"at most {members['created_for'].max_length} characters" in meanings["created_for"]
    lifetime = members["lifetime_seconds"]
    longest = timedelta(seconds=lifetime.max_value)
    assert f"{lifetime.min_value} seconds to {longest.days} days" in meanings["lifetime_seconds"]
    assert names_in(meanings["bound_to"]) == list(BindingSerializer().fields)


def test_a_token_has_its_documented_scopes_and_times() -> None:
    text = DOCUMENT.partition("## Token\n")[2].partition("\n## ")[0]
    lifetime = signature(TokenOrder).parameters["lifetime"].default
    scopes = text.partition("**scopes** say:")[2].partition(".")[0]
    assert re.findall(r"`([\w:]+)`", scopes) == [verb.value for verb in API_VERBS]
    assert f"ends after {lifetime.days} days" in text
    assert f"up to {MAX_LIFETIME.days} days" in text
    assert f"after {WRONG_A_MINUTE} wrong ones within a minute" in DOCUMENT
    assert f"any text up to {_MAX_KEY} characters" in DOCUMENT
    assert f"more than\n{bound_of('/api/v1/challenges').size // 1024} KiB" in DOCUMENT


def test_challenges_and_requests_have_their_documented_members(
    world: World, phones: EnrollmentProfile
) -> None:
    example = json.loads(re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)[0])
    program = Program(world.alice)
    ordered = program.order().body
    assert list(ordered) == list(example)
    (challenge,), (shown,) = ordered["challenges"], example["challenges"]
    assert list(challenge) == list(shown)
    assert list(challenge["bound_to"]) == list(shown["bound_to"])
    assert len(challenge["challenge"]) == int(re.findall(r"has (\d+) characters", DOCUMENT)[0])
    Device.named("r1.example", profile="phones").enroll(challenge=challenge["challenge"])
    request = program.call("GET", f"/challenges/{challenge['id']}").body["request"]
    text = DOCUMENT.partition("GET /api/v1/requests/ID`:")[2].partition("(null")[0]
    assert names_in(text) == list(request)


def test_profiles_have_their_documented_members(world: World, phones: EnrollmentProfile) -> None:
    (row,) = [row for row in table("call") if "profiles" in row[0]]
    profiles = Program(world.alice).call("GET", "/profiles").body
    assert list(profiles) == names_in(row[2])
    assert set(profiles["profiles"][0]) == {
        *("slug", "name", "scep_url", "challenge", "approval", "paused", "ca")
    }
    for word in ("slug", "name", "SCEP address", "challenge", "approval", "paused", "CA"):
        assert word in row[2]
