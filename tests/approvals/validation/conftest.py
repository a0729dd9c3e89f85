"""Fixtures of the tests of validation services."""

from collections.abc import Iterator
from datetime import timedelta
from unittest import mock

import pytest

from tests.approvals.validation.working import work


@pytest.fixture
def prompt_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Prompt workers while the web process sleeps, with enough time on a busy machine.

    An unanswered question is tried again when a test makes it due, not when a second happens to
    have passed.
    """
    for name in (
        "approvals.validation.worker.backoff",
        "approvals.records.validation_gate.backoff",
    ):
        monkeypatch.setattr(name, lambda attempts: timedelta(days=1))
    monkeypatch.setattr("scep.operations.enrollment.WAIT_SECONDS", 60.0)
    for service in ("intune", "webhook"):
        monkeypatch.setattr(f"approvals.validation.{service}.SECONDS", 60.0)
    with mock.patch("scep.operations.enrollment.time.sleep", side_effect=lambda seconds: work()):
        yield
