"""Unexpected exceptions: counted for the operator, hidden from strangers."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.db import OperationalError
from django.test import Client

from approvals.records import refusals
from audit.log import close_minutes
from audit.models import AuditEntry
from pkiportal import health
from pkiportal.doctor import diagnosis
from scep import faults
from scep.errors import PLANNED, UNANSWERABLE
from tests.flows.wire import URL, message, nothing_granted, post, read
from tests.scep.forge import csr
from tests.world import World, now

CANARY = "canary-4711"
WHERE = "scep.service.handle_pki_operation"


@pytest.mark.parametrize(
    "error", [RecursionError(CANARY), MemoryError(CANARY), ValueError(CANARY), KeyError(CANARY)]
)
def test_an_unplanned_exception_is_a_500_without_detail_and_on_record_without_content(
    world: World, unplanned_faults: None, capsys: Any, error: Exception
) -> None:
    sent = message(world, csr())
    with nothing_granted(), mock.patch(WHERE, side_effect=error):
        answer = post(sent)
    assert (answer.http, answer.body) == (500, b"internal fault, try again\n")
    assert int(answer.headers["Retry-After"]) > 0
    (entry,) = AuditEntry.objects.filter(event="message:fault")
    assert entry.data["cause"] == f"routers: {type(error).__name__}"
    assert len(entry.data["message_sha256"]) == 64
    written = capsys.readouterr()
    assert CANARY not in str(entry.data) + written.out + written.err
    assert faults.seen[-1].endswith(type(error).__name__)


def test_a_fault_met_in_a_query_is_counted_by_its_digest_too(
    world: World, unplanned_faults: None
) -> None:
    with mock.patch("scep.views.authority.ca_capabilities", side_effect=ZeroDivisionError):
        assert read(Client().get(f"{URL}?operation=GetCACaps")).http == 500
    assert AuditEntry.objects.filter(event="message:fault").count() == 1


def test_operators_see_how_many_and_which_was_the_newest(
    world: World, unplanned_faults: None, settings: Any, tmp_path: Path
) -> None:
    settings.CELERY_BROKER_URL = f"redis+socket://{tmp_path}/missing.sock"
    findings = {finding.name: finding for finding in diagnosis.examine(now)}
    assert findings["messages"].state == "ok"
    assert health.unplanned_faults(now()).count == 0
    with mock.patch(WHERE, side_effect=RecursionError):
        for _ in range(3):
            post(b"x")
    assert Client().get("/readyz").json()["unplanned_faults"] == 3
    findings = {finding.name: finding for finding in diagnosis.examine(now)}
    assert (findings["messages"].state, findings["messages"].text[:2]) == ("warn", "3 ")
    assert "routers: RecursionError" in findings["messages"].text
    close_minutes(now=now() + timedelta(minutes=5))
    assert health.unplanned_faults(now()).count == 3
    assert health.unplanned_faults(now() + timedelta(hours=25)).count == 0


def test_a_database_that_fails_as_well_takes_away_the_record_only(
    world: World, unplanned_faults: None
) -> None:
    broken = mock.patch.object(refusals, "record_repeated", side_effect=OperationalError("gone"))
    with broken, mock.patch(WHERE, side_effect=RecursionError):
        assert post(b"x").http == 500
    assert faults.seen[-1].endswith("RecursionError")


def test_the_planned_exceptions_are_few_small_and_ours() -> None:
    planned = {error for errors in PLANNED.values() for error in errors}
    assert not planned & {Exception, ValueError, TypeError, KeyError, LookupError, OSError}
    assert all(error.__module__.partition(".")[0] in {"ca", "scep"} for error in planned)
    assert set(UNANSWERABLE) <= planned
