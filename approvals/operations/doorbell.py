"""Rings the workers. The database is the queue; a lost ring costs seconds: the sweep rings again.

Tasks are sent by name, so that no use case imports a task. A silent or dead broker must never delay
an officer's click: one attempt, one-second timeouts (settings), and after a failure this process
does not try again for a while.
"""

import time
from collections.abc import Sequence
from functools import partial
from uuid import UUID

import structlog
from celery import current_app
from django.db import transaction
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

BATCH = 50  # one task per request issues about 290 certificates/s, batches of 50 about 3,000/s
_ASKED_AT_ONCE = 10
QUIET_AFTER_FAILURE = 30.0  # seconds
EXPIRES = 60  # seconds; the sweep rings again, so a worker that was away need not process old bells

_log = structlog.get_logger(__name__)


class Breaker:
    """Remembers a recent failure of the broker.

    One per process; a race costs one more attempt.
    """

    def __init__(self, quiet: float = QUIET_AFTER_FAILURE) -> None:
        self._quiet = quiet
        self._closed_until = 0.0

    def send(self, task: str, *, queue: str, **arguments: str | Sequence[str]) -> bool:
        """Send one task; returns whether the broker accepted it.

        Never raises for a broker that is away.
        """
        if time.monotonic() < self._closed_until:
            return False
        try:
            current_app.send_task(task, kwargs=arguments, queue=queue, retry=False, expires=EXPIRES)
        except (KombuError, RedisError, OSError) as error:
            self._closed_until = time.monotonic() + self._quiet
            _log.warning("doorbell.silent", task=task, error=str(error), quiet_seconds=self._quiet)
            return False
        return True


_breaker = Breaker()


def ring(request_ids: Sequence[UUID]) -> None:
    """Ask the signing worker to process these requests, after the commit of the transaction.

    Without a transaction it rings at once.
    """
    if request_ids:
        transaction.on_commit(partial(ring_now, list(request_ids)), robust=True)


def ring_now(request_ids: Sequence[UUID]) -> bool:
    """Send the requests in batches of BATCH; returns whether the broker accepted all of them."""
    accepted = True
    for start in range(0, len(request_ids), BATCH):
        batch = [str(request_id) for request_id in request_ids[start : start + BATCH]]
        accepted = (
            _breaker.send("approvals.issue_certificates", queue="signing", request_ids=batch)
            and accepted
        )
    return accepted


def ring_for_validations(request_ids: Sequence[UUID]) -> None:
    """Ask the default worker to validate these requests, after the commit of the transaction."""
    if request_ids:
        transaction.on_commit(partial(ring_for_validations_now, list(request_ids)), robust=True)


def ring_for_validations_now(request_ids: Sequence[UUID]) -> bool:
    """Send them in small batches, since each may wait; returns whether the broker accepted all."""
    accepted = True
    for start in range(0, len(request_ids), _ASKED_AT_ONCE):
        batch = [str(request_id) for request_id in request_ids[start : start + _ASKED_AT_ONCE]]
        accepted = (
            _breaker.send("approvals.validate_requests", queue="default", request_ids=batch)
            and accepted
        )
    return accepted


def ring_for_probes() -> None:
    """Ask the default worker to run the ordered tests of validation services."""
    transaction.on_commit(
        partial(_breaker.send, "approvals.probe_services", queue="default"), robust=True
    )


def ring_for_crls() -> None:
    """Ask the signing worker for due CRLs, after the commit of the transaction."""
    transaction.on_commit(partial(_breaker.send, "ca.issue_crls", queue="signing"), robust=True)


def ring_for(task: str, *, queue: str, **arguments: str) -> None:
    """Ask a worker for one task of another app, after the commit of the transaction."""
    transaction.on_commit(partial(_breaker.send, task, queue=queue, **arguments), robust=True)
