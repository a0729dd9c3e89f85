"""The database fails during a command about many requests: earlier results are printed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection

from accounts.roles import Role
from approvals.models.decisions import Decision
from approvals.models.requests import EnrollmentRequest
from approvals.rules.states import State
from tests.pages import create_requests
from tests.pkiportal.commands import status_and_json
from tests.world import World, create_person, now

pytestmark = pytest.mark.usefixtures(
    "transactional_db"
)  # a transaction around all would be lost as a whole

NAMES = [f"r{number}.example" for number in range(1, 7)]


@contextmanager
def away_after(statements: int, *, table: str, error: type[Exception]) -> Iterator[None]:
    """Let the database fail after this number of inserts into a table."""
    left = statements

    def execute(call: Callable[..., Any], sql: str, *rest: Any) -> Any:
        nonlocal left
        if sql.startswith(f'INSERT INTO "{table}"'):
            left -= 1
        if left < 0:
            raise error("terminating connection due to administrator command")
        return call(sql, *rest)

    with connection.execute_wrapper(execute):
        yield


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
@pytest.mark.parametrize("done", [0, 1, 2, 4, 5])
@pytest.mark.parametrize("action", ["approve", "reject"])
def test_decisions_before_the_database_went_away_are_printed(
    world: World, action: str, done: int, error: type[Exception]
) -> None:
    ids = [str(request.pk) for request in create_requests(world.profile, NAMES)]
    create_person("otto", Role.OFFICER)
    which = ["--all-pending"] if action == "approve" else ids
    with away_after(done, table="approvals_decision", error=error):
        status, results = status_and_json(
            "requests", action, *which, "--officer", "otto", "--comment", "checked by list"
        )
    assert status == 1
    assert [item["id"] for item in results] == ids
    assert [item["done"] for item in results] == [True] * done + [False] * (len(ids) - done)
    assert "look whether it is done" in results[done]["text"]
    assert {item["text"] for item in results[done + 1 :]} <= {
        "Database error: not tried. Try again later."
    }
    decided = State.APPROVED if action == "approve" else State.REJECTED
    assert (
        EnrollmentRequest.objects.filter(state=decided).count() == Decision.objects.count() == done
    )


@pytest.mark.parametrize("done", [0, 1, 2, 4, 5])
def test_retries_before_the_database_went_away_are_printed(world: World, done: int) -> None:
    ids = [
        str(request.pk) for request in create_requests(world.profile, NAMES, state=State.APPROVED)
    ]
    EnrollmentRequest.objects.update(quarantined_at=now(), last_fault="the key is away", attempts=8)
    with away_after(done, table="audit_auditentry", error=OperationalError):
        status, results = status_and_json("requests", "retry", *ids)
    assert status == 1
    assert [item["done"] for item in results] == [True] * done + [False] * (len(ids) - done)
