"""Entries of the log that a request wrote, and that do not say from which address."""

from contextvars import ContextVar
from typing import Any, Final

import pytest
from django.core.handlers.base import BaseHandler
from django.http import HttpRequest

from audit import log
from audit.events import Actor

#: Actors that no door leads to: they act by themselves, also while a request is answered.
_WITHIN: Final = frozenset({"policy", "system"})
_request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)


def watch_entries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that each entry without an address joins, written while a request lasts."""
    missing: list[str] = []
    answer, facts_of = BaseHandler.get_response, log._actor_data

    def get_response(handler: BaseHandler, request: HttpRequest) -> Any:
        token = _request.set(request)
        try:
            return answer(handler, request)
        finally:
            _request.reset(token)

    def actor_data(actor: Actor) -> log.Data:
        request = _request.get()
        if request is not None and actor.kind not in _WITHIN and not actor.address:
            missing.append(f"{request.method} {request.path}: {actor.kind} {actor.name}")
        return facts_of(actor)

    monkeypatch.setattr(BaseHandler, "get_response", get_response)
    monkeypatch.setattr(log, "_actor_data", actor_data)
    return missing
