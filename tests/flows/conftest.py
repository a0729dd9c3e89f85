"""Fixtures of the tests of flows."""

from collections.abc import Iterator

import pytest

from pkiportal.doctor.invariants import check_invariants
from tests.world import World


@pytest.fixture
def consistent(world: World, request: pytest.FixtureRequest) -> Iterator[None]:
    """The invariants hold after each test, except those with `forges_records`."""
    yield
    if "forges_records" not in request.fixturenames:
        assert check_invariants(at_rest=False).violations == ()


@pytest.fixture
def forges_records() -> None:
    """For tests that write records the portal would not write."""
