"""A check constraint is asked once for values that pass, and each time for values that do not."""

from django.db import connection

from approvals.models.profiles import EnrollmentProfile
from tests.world import World, create_profile


def queries(profile: EnrollmentProfile) -> int:
    """Return how many queries the validation of a profile's constraints takes."""
    counted = 0

    def count(execute: object, sql: str, *rest: object) -> object:
        nonlocal counted
        counted += ' AS "_check" ' in sql
        return execute(sql, *rest)  # type: ignore[operator]  # what Django hands to a wrapper

    with connection.execute_wrapper(count):
        profile.validate_constraints()
    return counted


def test_the_same_values_are_checked_once(world: World) -> None:
    profile = create_profile(world.ca, "printers")
    queries(profile)
    assert queries(profile) <= 1  # one of its constraints is no check of its row


def test_other_values_are_checked(world: World) -> None:
    profile = create_profile(world.ca, "printers")
    before = queries(profile)
    profile.required_approvals = 9
    assert queries(profile) == before + 1
