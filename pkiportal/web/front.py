"""The front: receives a whole request, limited in size and time, before a thread works on it.

PURE.

granian limits the time of a head, never that of a body (ADR 37). Its WSGI interface assigns a
thread to each request from the head on, so a few slow bodies hold every thread. Here granian's
event loop waits for bodies, thousands at a time at next to no cost, and the unchanged WSGI
application gets complete requests.
"""

import asyncio
import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from pkiportal.web.bodies import SMALL, LengthUnknown, TooLarge, body_length, bound_of
from pkiportal.web.gateway import (
    Application,
    ApplicationResponse,
    Environ,
    Headers,
    Scope,
    Transport,
    environ_of,
    run,
)

T = TypeVar("T")

RETRY_SECONDS: Final = "10"
#: Requests that may wait for a thread in one process; further ones are told to retry.
WAITING: Final = 512
#: Larger bodies that one process receives at the same time: memory is the limit.
LARGE_AT_ONCE: Final = 4
#: Seconds after which the file of a long answer is closed here; the server opened it at once and
#: goes on reading.
_FILE_SECONDS: Final = 30.0
_LIVENESS: Final = "/healthz"
_TEXT: Final = ("content-type", "text/plain; charset=utf-8")
_NOT_STORED: Final = ("cache-control", "no-store")


@dataclass(frozen=True, slots=True)
class Done:
    """An answered request, for the access log; `size` counts the bytes of its body."""

    environ: Environ
    status: int
    size: int
    seconds: float


def _nothing(done: Done) -> None:
    """The access log of a front without one."""


class Refused(Exception):
    """A request that is refused before the application sees it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status

    def answer(self) -> ApplicationResponse:
        """The answer. It ends the connection, since the rest of the body is not read."""
        headers: Headers = [_TEXT, _NOT_STORED, ("connection", "close")]
        if self.status in {408, 503}:
            headers.append(("retry-after", RETRY_SECONDS))
        return ApplicationResponse(self.status, headers, f"{self.status}: {self}\n".encode())


class Front:
    """An RSGI application around a WSGI application; granian creates one per worker process."""

    def __init__(
        self,
        application: Application,
        *,
        threads: int,
        may_send_much: Callable[[Environ], bool],
        seconds: Callable[[str], float] = lambda path: bound_of(path).seconds,
        note: Callable[[Done], None] = _nothing,
        on_start: Callable[[asyncio.AbstractEventLoop], None] = lambda loop: None,
    ) -> None:
        """`may_send_much` tells, in a thread, whether a request may have a large body.

        `seconds` returns the time for the body of a path, `note` receives every answer.
        """
        self._application, self._note, self._on_start = application, note, on_start
        self._may_send_much, self._seconds = may_send_much, seconds
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="request")
        self._places = threads + WAITING
        self._large_places = LARGE_AT_ONCE

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start in a worker process, before the first request."""
        self._loop = loop
        self._on_start(loop)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """End: requests that threads work on are answered first."""
        self._pool.shutdown()

    async def __rsgi__(self, scope: Scope, transport: Transport) -> None:
        """Answer one request."""
        started = time.monotonic()
        if scope.path == _LIVENESS and scope.method in {"GET", "HEAD"}:
            ApplicationResponse(200, [_TEXT, _NOT_STORED], b"ok\n").send(transport)
            return
        environ = environ_of(scope)
        try:
            environ["wsgi.input"] = io.BytesIO(await self._take_in(scope, transport, environ))
            answer = await self._in_thread(lambda: self._answer(environ, transport, started))
        except Refused as refused:
            answer = refused.answer()
            answer.send(transport)
            self._note(Done(environ, answer.status, answer.size, time.monotonic() - started))
        if answer.file is not None:
            self._loop.call_later(_FILE_SECONDS, answer.file.close)

    async def _take_in(self, scope: Scope, transport: Transport, environ: Environ) -> bytes:
        """Read the whole body. Raises Refused."""
        header = scope.headers.get
        try:
            length = body_length(
                scope.path,
                length=header("content-length", ""),
                is_chunked=header("transfer-encoding") is not None,
            )
        except LengthUnknown as error:
            raise Refused(411, str(error)) from None
        except TooLarge as error:
            raise Refused(413, str(error)) from None
        if not length:
            return b""
        seconds = self._seconds(scope.path)
        if length <= SMALL.size:
            return await _read(transport, min(seconds, SMALL.seconds))
        return await self._take_in_much(transport, environ, seconds)

    async def _take_in_much(self, transport: Transport, environ: Environ, seconds: float) -> bytes:
        if not self._large_places:
            raise Refused(503, "other large uploads are under way, try again")
        self._large_places -= 1
        try:
            if not await self._in_thread(lambda: self._may_send_much(environ)):
                raise Refused(
                    403, f"sign in first: without a sign-in a body has at most {SMALL.size} bytes"
                )
            return await _read(transport, seconds)
        finally:
            self._large_places += 1

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run a function in the pool. Raises Refused if too many requests wait."""
        if not self._places:
            raise Refused(503, "too many requests wait already, try again")
        self._places -= 1
        try:
            return await self._loop.run_in_executor(self._pool, work)
        finally:
            self._places += 1

    def _answer(
        self, environ: Environ, transport: Transport, started: float
    ) -> ApplicationResponse:
        """Run the application in a thread and answer from there, without the event loop."""
        answer = run(self._application, environ)
        answer.send(transport)
        self._note(Done(environ, answer.status, answer.size, time.monotonic() - started))
        return answer


async def _read(transport: Transport, seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            return await transport()
    except TimeoutError:
        raise Refused(408, f"the body did not arrive within {seconds:g} seconds") from None
    except RuntimeError:  # granian's errors are RuntimeError: the client has disconnected
        raise Refused(400, "the body ended early") from None
