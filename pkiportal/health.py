"""Liveness and readiness for monitors, and the facts behind them for the doctor."""

import sys
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.http import require_safe
from redis import Redis, RedisError

from approvals.operations.pulse import beat
from approvals.reading.queue import signing_health
from approvals.records.refusals import Unplanned, unplanned_since
from database.availability import is_unavailable
from pkiportal import watching

#: Seconds. A slow broker must not delay the rest of the answer.
_BROKER_TIMEOUT: Final = 1.0
#: Period in which unexpected faults are counted.
FAULTS_SINCE: Final = timedelta(hours=24)


def page_fault(request: HttpRequest) -> HttpResponse:
    """Answer a failed page: 503 and "try again" if the database is away, 500 for everything else.

    The templates are rendered without the request: the user cannot be looked up now.
    """
    if is_unavailable(sys.exc_info()[1]):
        return HttpResponse(render_to_string("503.html"), status=503, headers={"Retry-After": "10"})
    return HttpResponse(render_to_string("500.html"), status=500)


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200 as long as this process answers; checks nothing else."""
    return HttpResponse(
        "ok\n", content_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-store"}
    )


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 if requests can be accepted and stored, else 503 with the reasons.

    A dead broker or a late sweep appears in `warnings` but is no reason: requests wait in the
    database.
    """
    reasons, facts = readiness(timezone.now())
    state = {"ready": not reasons, "reasons": reasons, "version": settings.PORTAL_VERSION, **facts}
    return JsonResponse(
        state, status=503 if reasons else 200, headers={"Cache-Control": "no-store"}
    )


def readiness(now: datetime) -> tuple[list[str], dict[str, Any]]:
    """Return the reasons against being ready, and facts to report.

    A database that answers but takes no writes (a full disk, a standby) is a reason: no request
    could be stored. Each process tries its own write, every few seconds at most.
    """
    facts: dict[str, Any] = {"broker": "reachable" if broker_answers() else "unreachable"}
    try:
        pending = pending_migrations()
        if pending:
            return [f"{len(pending)} migrations are not applied, run `./portal migrate`"], facts
        fault = beat.write(settings.PORTAL_PROCESS, now=now)
        facts |= signing_facts(now) | {
            "write": fault or "ok",
            "unplanned_faults": unplanned_faults(now).count,
        }
    except (DatabaseError, InterfaceError):
        return ["the database does not answer"], facts
    return [fault] if fault else [], facts


def pending_migrations() -> list[str]:
    """Return unapplied migrations, as 'app.0001_initial'. Raises DatabaseError."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def signing_facts(now: datetime) -> dict[str, Any]:
    """Return the state of signing, the last sweep, and problems for an operator.

    Seconds are counted from `now`.
    """
    health = signing_health(now)
    return {
        "signing": watching.signing_sentence(now) or "ok",
        "waiting": str(health.waiting),
        "attention": watching.attention().value,
        "oldest_due_seconds": _age(health.oldest_due_at, now),
        "last_sweep_seconds": _age(watching.swept_at(), now),
        "warnings": watching.worries(now),
    }


def unplanned_faults(now: datetime) -> Unplanned:
    """Count the messages of the last 24 hours that ended in an unexpected exception.

    Raises DatabaseError.
    """
    return unplanned_since(now - FAULTS_SINCE)


def _age(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else round((now - moment).total_seconds(), 1)


def broker_answers() -> bool:
    """Whether the broker answers a PING within a second."""
    try:
        with broker_client() as client:
            return bool(client.ping())
    except (RedisError, OSError):
        return False


def broker_client() -> "Redis":
    """Return a client of the broker with short timeouts; the caller closes it."""
    address = settings.CELERY_BROKER_URL.replace("redis+socket://", "unix://", 1)
    return Redis.from_url(
        address, socket_timeout=_BROKER_TIMEOUT, socket_connect_timeout=_BROKER_TIMEOUT
    )
