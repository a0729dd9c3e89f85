"""A setting that cannot be as it was given: one error, worded by each door."""

import pytest
from django.core.management.base import CommandError

from approvals.rules.errors import ApprovalsError, Invalid, ProfileInvalid, ServiceMissing
from pkiportal.management.portal_command import PortalCommand, worded

OPEN_DOOR = ProfileInvalid(
    "only with {} or {}", field="challenge", value="none", others=("devices", "networks")
)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ({}, "challenge none: only with devices or networks"),
        ({"devices": "--devices"}, "challenge none: only with --devices or networks"),
        (
            {"devices": "Expected devices", "networks": "Networks"},
            "challenge none: only with Expected devices or Networks",
        ),
    ],
)
def test_each_door_has_its_own_names_for_other_fields(names: dict[str, str], sentence: str) -> None:
    assert OPEN_DOOR.worded(names) == sentence


def test_a_form_shows_the_reason_next_to_the_field() -> None:
    labels = {"devices": "Expected devices", "networks": "Networks"}
    assert OPEN_DOOR.field == "challenge"
    assert OPEN_DOOR.because(labels) == "only with Expected devices or Networks"


def test_braces_that_a_person_typed_stay_as_they_are() -> None:
    assert str(Invalid("slug '{x}': lower-case letters", value="a_b")) == (
        "a_b: slug '{x}': lower-case letters"
    )


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OPEN_DOOR, "challenge none: only with --devices or --network"),
        (
            ProfileInvalid(
                "give its secret with {}", field="validation_service", others=("secret",)
            ),
            "validation service: give its secret with --secret-file",
        ),
        (
            ServiceMissing(),
            "a service has to be named that knows the challenges: ./portal validation set",
        ),
        (ApprovalsError("no"), "no"),
    ],
)
def test_commands_speak_of_options(error: ApprovalsError, sentence: str) -> None:
    assert worded(error) == sentence

    class Refusing(PortalCommand):
        def run(self, options: dict[str, object]) -> None:
            raise error

    with pytest.raises(CommandError, match=f"^{sentence}$"):
        Refusing().handle()
