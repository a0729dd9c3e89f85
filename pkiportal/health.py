"""Is it alive, is it ready: two answers for monitors, and the facts behind them for the doctor."""

import importlib
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.util import find_spec
from typing import Any, Final, cast

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from redis import Redis, RedisError

#: Seconds. The broker must not hold an answer about the rest.
_BROKER_TIMEOUT: Final = 1.0

SigningHealth = Callable[[datetime], Mapping[str, Any]]


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 as long as this process answers; looks at nothing else."""
    return HttpResponse("ok\n", content_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-store"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when requests can be taken and remembered, 503 with the reasons when not.

    A dead broker or a late sweep is shown but is no reason: requests wait in the database.
    """
    reasons, facts = readiness(timezone.now())
    state = {"ready": not reasons, "reasons": reasons, **facts}
    return JsonResponse(state, status=503 if reasons else 200, headers={"Cache-Control": "no-store"})


def readiness(now: datetime) -> tuple[list[str], dict[str, Any]]:
    """The reasons against being ready, and facts worth showing."""
    facts: dict[str, Any] = {"broker": "reachable" if broker_answers() else "unreachable"}
    try:
        pending = pending_migrations()
        if pending:
            return [f"{len(pending)} migrations are not applied, run `./portal migrate`"], facts
        return [], facts | dict(signing_health(now))
    except DatabaseError:
        return ["the database does not answer"], facts


def pending_migrations() -> list[str]:
    """Names of migrations that are not applied, as 'app.0001_initial'. Raises DatabaseError."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def signing_health(now: datetime) -> Mapping[str, Any]:
    """What the approvals app knows about waiting requests and the sweep; empty where it has no queue."""
    if find_spec("approvals") is None or find_spec("approvals.queue") is None:
        return {}
    found = getattr(importlib.import_module("approvals.queue"), "signing_health", None)
    return cast("SigningHealth", found)(now) if found else {}


def broker_answers() -> bool:
    """Whether the broker answers a PING within a second."""
    try:
        with broker_client() as client:
            return bool(client.ping())
    except (RedisError, OSError):
        return False


def broker_client() -> "Redis":
    """A client of the broker with short timeouts; the caller closes it."""
    address = settings.CELERY_BROKER_URL.replace("redis+socket://", "unix://", 1)
    return Redis.from_url(address, socket_timeout=_BROKER_TIMEOUT, socket_connect_timeout=_BROKER_TIMEOUT)
