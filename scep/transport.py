"""One HTTP exchange of a SCEP client, with the standard library."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final, Protocol
from urllib.parse import urlsplit

_TIMEOUT_SECONDS: Final = 15
_MAX_ANSWER_BYTES: Final = 1 << 20
_REQUEST_TYPE: Final = "application/x-pki-message"


class HttpError(Exception):
    """The server gave no SCEP answer: it could not be reached (`status` is None), or its HTTP
    status is not 200.
    """

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status, Content-Type as sent, and body of one exchange."""

    status: int
    content_type: str
    body: bytes = field(repr=False)


class Transport(Protocol):
    """One HTTP exchange. `body` is None for GET.

    Raises HttpError when the server cannot be reached.
    """

    def __call__(self, url: str, body: bytes | None) -> HttpAnswer: ...


def fetch(url: str, body: bytes | None) -> HttpAnswer:
    """GET or POST with the standard library; no redirects, 15 s, at most 1 MiB.

    Raises HttpError.
    """
    parts = urlsplit(url)
    connection_class = {"http": HTTPConnection, "https": HTTPSConnection}.get(parts.scheme)
    if connection_class is None or parts.hostname is None:
        raise HttpError(f"URL {url}: http:// or https:// with a host is needed")
    connection = connection_class(_host_of(parts.hostname), parts.port, timeout=_TIMEOUT_SECONDS)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    try:
        headers = {} if body is None else {"Content-Type": _REQUEST_TYPE}
        connection.request("GET" if body is None else "POST", target, body=body, headers=headers)
        response = connection.getresponse()
        content = response.read(_MAX_ANSWER_BYTES)
        return HttpAnswer(response.status, response.headers.get("Content-Type", ""), content)
    except (OSError, HTTPException) as error:
        raise HttpError(f"{parts.scheme}://{parts.netloc}: {error}") from error
    finally:
        connection.close()


def _host_of(name: str) -> str:
    """Resolve `localhost` even without /etc/hosts (RFC 6761 section 6.3)."""
    if name != "localhost":
        return name
    try:
        socket.getaddrinfo(name, None)
    except socket.gaierror:
        return "127.0.0.1"
    return name
