"""The id of a request in the logs, and the access log (off by default: PORTAL_ACCESS_LOG)."""

import re
import secrets
from typing import Any, Final

import structlog
from django.conf import settings
from django.http import HttpRequest

from accounts.network.addresses import client_address, is_from_trusted_proxy
from pkiportal.web.front import Done

_KEY: Final = "portal.request_id"
_FIELD: Final = "request_id"
#: Characters that a proxy may use in a request id: none can end a field or a line of a log.
_FROM_PROXY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:=+/@-]{0,127}")
#: The path of a sign-up or sign-in link holds its secret.
_SECRET_IN_PATH: Final = re.compile(r"(?<=/)[A-Za-z0-9_-]{16,}(?=/|$)")
_LONGEST: Final = 500

_log: Final = structlog.get_logger(__name__)


def request_id(meta: dict[str, Any]) -> str:
    """Return the id of a request: a valid X-Request-ID of a trusted proxy, else a new one.

    It is stored in `meta`.
    """
    identifier: str | None = meta.get(_KEY)
    if identifier is None:
        identifier = meta[_KEY] = _from_proxy(meta) or secrets.token_hex(8)
    return identifier


def bind_request_id(meta: dict[str, Any]) -> None:
    """Add the id of this request to every log line of this thread."""
    structlog.contextvars.bind_contextvars(**{_FIELD: request_id(meta)})


def note_answer(done: Done) -> None:
    """End a request for the logs of this thread; write to the access log if it is switched on."""
    if settings.PORTAL_ACCESS_LOG:
        bind_request_id(done.environ)
        _log.info("access", **_facts(done))
    structlog.contextvars.unbind_contextvars(_FIELD)


def shown_path(path: str) -> str:
    """Return a path for logs: short, and without the secret of a link."""
    safe = _SECRET_IN_PATH.sub("<hidden>", path) if path.startswith("/account/") else path
    return safe[:_LONGEST]


def _facts(done: Done) -> dict[str, Any]:
    environ = done.environ
    return {
        "method": environ["REQUEST_METHOD"],
        "path": shown_path(environ["PATH_INFO"]),
        "status": done.status,
        "bytes": done.size,
        "ms": round(done.seconds * 1000, 1),
        "address": client_address(_request(environ)),
        "agent": environ.get("HTTP_USER_AGENT", "")[:_LONGEST],
    }


def _from_proxy(meta: dict[str, Any]) -> str | None:
    identifier = meta.get("HTTP_X_REQUEST_ID", "")
    if (
        settings.PORTAL_TRUSTED_PROXIES
        and _FROM_PROXY.fullmatch(identifier)
        and is_from_trusted_proxy(_request(meta))
    ):
        return str(identifier)
    return None


def _request(meta: dict[str, Any]) -> HttpRequest:
    """Return the facts about the sender of a request."""
    request = HttpRequest()
    request.META = meta
    return request
