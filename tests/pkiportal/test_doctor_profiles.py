"""The doctor names each profile that issues automatically to anybody."""

from typing import Any

import pytest

from approvals.models.devices import DeviceGroup
from approvals.models.profiles import EnrollmentProfile
from pkiportal.doctor.records import open_profiles
from tests.world import World, create_profile, now

SECRET: dict[str, Any] = {"challenge": "static", "static_challenge": "a secret of all phones"}


@pytest.mark.parametrize(
    ("changes", "is_named"),
    [
        ({"approval": "automatic", **SECRET}, True),
        ({"approval": "automatic", **SECRET, "networks": ["10.0.0.0/8", "0.0.0.0/0"]}, True),
        ({"approval": "automatic", **SECRET, "networks": ["::/0"]}, True),
        ({"approval": "automatic", **SECRET, "networks": ["10.20.0.0/16"]}, False),
        ({"approval": "automatic", "challenge": "one-time"}, False),
        ({"approval": "manual", **SECRET}, False),
        ({"approval": "manual"}, False),
    ],
)
def test_a_profile_that_issues_automatically_to_anybody_is_named(
    world: World, changes: dict[str, Any], is_named: bool
) -> None:
    create_profile(world.ca, "phones", **changes)
    findings = list(open_profiles(now))
    assert [(item.name, item.state) for item in findings] == [
        ("profile phones", "warn") if is_named else ("profiles", "ok")
    ]
    assert ("to anybody who knows its static challenge" in findings[0].text) is is_named


@pytest.mark.parametrize(
    ("networks", "is_named"),
    [
        (["0.0.0.0/0"], True),
        (["::/0"], True),
        (["10.20.0.0/16", "::/0"], True),
        (["0.0.0.0/1", "128.0.0.0/1"], True),
        (["128.0.0.0/1", "10.0.0.0/8", "0.0.0.0/2", "64.0.0.0/2"], True),
        (["::/1", "8000::/1"], True),
        (["8000::/1", "192.0.2.0/24", "::/2", "4000::/2"], True),
        (["0.0.0.0/1"], False),
        (["0.0.0.0/1", "192.0.0.0/2"], False),
        (["0.0.0.0/1", "8000::/1"], False),
        (["::/1", "c000::/2"], False),
        (["10.20.0.0/16", "2001:db8::/32"], False),
    ],
)
@pytest.mark.parametrize(
    ("by", "who"), [("secret", "knows its static challenge"), ("list", "names a listed device")]
)
def test_networks_that_are_everything_together_bound_nothing(
    world: World, by: str, who: str, networks: list[str], is_named: bool
) -> None:
    profile = create_profile(
        world.ca, "phones", approval="automatic", networks=["10.20.0.0/16"], **SECRET
    )
    if by == "list":
        group = DeviceGroup.objects.create(slug="switches", created_at=now())
        EnrollmentProfile.objects.filter(pk=profile.pk).update(challenge="none", eligibility=group)
    EnrollmentProfile.objects.filter(pk=profile.pk).update(networks=networks)
    (finding,) = open_profiles(now)
    assert finding.state == ("warn" if is_named else "ok")
    assert (
        f"issues automatically to anybody who {who}, from any network" in finding.text
    ) is is_named


def test_the_profile_of_a_self_test_is_not_named(world: World) -> None:
    profile = create_profile(world.ca, "phones", approval="automatic", **SECRET)
    EnrollmentProfile.objects.filter(pk=profile.pk).update(is_test=True, for_self_test=True)
    assert [item.state for item in open_profiles(now)] == ["ok"]
