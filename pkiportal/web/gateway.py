"""Converts granian's RSGI to WSGI and back: complete requests in, answers out.

PURE. Names and values are those of granian's own WSGI interface; a test compares both on the wire.
Two things differ: a header with an underscore in its name is dropped (`X_Forwarded_For` would pass
for `X-Forwarded-For`), and a request contains nothing of the process environment.
"""

import contextlib
import io
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any, Final, Protocol

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
Application = Callable[[Environ, Any], Iterable[bytes]]

#: Bytes of a streamed answer that are collected in memory. A longer answer is written to an unnamed
#: file, which the server sends at the client's pace. (granian keeps the unread part of a stream in
#: memory.)
IN_MEMORY: Final = 1_048_576
_VERSIONS: Final = {"1": "HTTP/1.0", "1.1": "HTTP/1.1", "2": "HTTP/2"}
_WITHOUT_PREFIX: Final = frozenset({"content-type", "content-length"})
_FIXED: Final[Environ] = {
    "SCRIPT_NAME": "",
    "SERVER_SOFTWARE": "Granian",
    "wsgi.version": (1, 0),
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}


class HeaderMap(Protocol):
    """granian's headers; names are in lower case."""

    def get(self, key: str, default: Any = None, /) -> Any:
        """Return the first value of a header."""

    def items(self) -> list[tuple[str, str]]:
        """Return all headers in order."""


class Scope(Protocol):
    """granian's description of a request."""

    http_version: str
    server: str
    client: str
    scheme: str
    method: str
    path: str
    query_string: str
    authority: str | None

    @property
    def headers(self) -> HeaderMap:
        """The headers."""


class Transport(Protocol):
    """granian's interface for reading the body and answering; answers may come from any thread."""

    async def __call__(self) -> bytes:
        """Return the whole body."""

    def response_empty(self, status: int, headers: Headers) -> None:
        """Answer without a body."""

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer with a body."""

    def response_file(self, status: int, headers: Headers, file: str) -> None:
        """Answer with a file, read at the client's pace."""


@dataclass(frozen=True, slots=True)
class ApplicationResponse:
    """The application's answer: a body in memory, or the file that holds it."""

    status: int
    headers: Headers
    body: bytes
    file: IO[bytes] | None = None
    file_size: int = 0

    @property
    def size(self) -> int:
        """The number of bytes of the body."""
        return len(self.body) if self.file is None else self.file_size

    def send(self, transport: Transport) -> None:
        """Hand the answer to the server."""
        if self.file is not None:
            transport.response_file(self.status, self.headers, f"/dev/fd/{self.file.fileno()}")
        elif self.body:
            transport.response_bytes(self.status, self.headers, self.body)
        else:
            transport.response_empty(self.status, self.headers)


def environ_of(scope: Scope) -> Environ:
    """Return the WSGI environment of a request, without its body."""
    server, port = split_address(scope.server)
    client, _ = split_address(scope.client)
    environ = _FIXED | {
        "REQUEST_METHOD": scope.method,
        "PATH_INFO": scope.path.encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": server,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": _VERSIONS.get(scope.http_version, "HTTP/1.1"),
        "REMOTE_ADDR": client,
        "wsgi.url_scheme": scope.scheme,
        "wsgi.errors": sys.stderr,
        "wsgi.input": io.BytesIO(),
    }
    for name, value in scope.headers.items():
        if "_" in name:
            continue
        key = name.upper().replace("-", "_")
        key = key if name in _WITHOUT_PREFIX else f"HTTP_{key}"
        if key in environ:
            environ[key] = f"{environ[key]}{';' if name == 'cookie' else ','}{value}"
        else:
            environ[key] = value
    environ.setdefault("HTTP_HOST", scope.authority or "")
    return environ


def split_address(address: str) -> tuple[str, str]:
    """Split '127.0.0.1:80' or '[::1]:80' into address and port."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), port


def run(application: Application, environ: Environ) -> ApplicationResponse:
    """Run the application; its answer is closed, in this thread, before this returns."""
    started: list[tuple[int, Headers]] = []

    def start_response(status: str, headers: Headers, _exc_info: Any = None) -> None:
        started[:] = [(int(status[:3]), [(name.lower(), value) for name, value in headers])]

    chunks = application(environ, start_response)
    with _closed(chunks):
        body, file, size = _collect(chunks)
        status, head = started[0]
        if file is not None and all(name != "content-length" for name, _ in head):
            head.append(("content-length", str(size)))
        return ApplicationResponse(status, head, body, file, 0 if file is None else size)


@contextlib.contextmanager
def _closed(chunks: Iterable[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()


def _collect(chunks: Iterable[bytes]) -> tuple[bytes, IO[bytes] | None, int]:
    """Return the whole body, or a file with it if it is streamed and long; and the size."""
    if not getattr(chunks, "streaming", False):
        body = b"".join(chunks)
        return body, None, len(body)
    spool = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - the file outlives this function
    for chunk in chunks:
        spool.write(chunk)
    size = spool.tell()
    spool.seek(0)
    if size <= IN_MEMORY:
        return spool.read(), None, size
    spool.flush()
    return b"", spool, size  # on the disk by now, with a descriptor
