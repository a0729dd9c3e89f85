"""The front: a request is whole, small and in time, or no thread hears of it."""

import asyncio
import io
import threading
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pkiportal.web import front as fronts
from pkiportal.web.bodies import SMALL
from pkiportal.web.front import Done, Front, Refused
from pkiportal.web.gateway import (
    IN_MEMORY,
    ApplicationResponse,
    Environ,
    Headers,
    environ_of,
    run,
    split_address,
)

LISTS = "/profiles/routers/challenges/list"


class Head:
    """Headers as granian gives them."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.pairs = [(name.lower(), value) for name, value in pairs]

    def get(self, key: str, default: Any = None, /) -> Any:
        return next((value for name, value in self.pairs if name == key), default)

    def items(self) -> list[tuple[str, str]]:
        return self.pairs


class Request:
    """A scope as granian gives it."""

    http_version, server, client, scheme = "1.1", "127.0.0.1:8000", "192.0.2.7:5000", "http"
    query_string = ""
    authority: str | None = None

    def __init__(self, path: str = "/", method: str = "POST", **headers: str) -> None:
        self.path, self.method = path, method
        self.headers = Head((name.replace("_", "-"), value) for name, value in headers.items())


class Connection:
    """The messages that a client sends and receives."""

    def __init__(
        self, body: bytes = b"", *, after: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self.body, self.after = body, after
        self.reads = 0
        self.answers: list[tuple[int, Headers, bytes]] = []

    async def __call__(self) -> bytes:
        self.reads += 1
        if self.after is not None:
            await self.after()
        return self.body

    def response_empty(self, status: int, headers: Headers) -> None:
        self.answers.append((status, headers, b""))

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        self.answers.append((status, headers, body))

    def response_file(self, status: int, headers: Headers, file: str) -> None:
        with open(file, "rb") as content:  # noqa: PTH123 - the server opens it by name too
            self.answers.append((status, headers, content.read()))

    @property
    def status(self) -> int:
        ((status, _, _),) = self.answers
        return status

    @property
    def header(self) -> dict[str, str]:
        return dict(self.answers[0][1])


async def forever() -> None:
    """A client that sends nothing more."""
    await asyncio.Event().wait()


class Seen:
    """An application that records its requests."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        self.gate.wait(20)
        self.bodies.append(environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"seen"]


def is_alice(environ: Environ) -> bool:
    return environ.get("HTTP_COOKIE") == "alice"


Served = Callable[[Front, asyncio.AbstractEventLoop], Awaitable[None]]


def served(application: Seen, work: Served, **options: Any) -> None:
    """Do something with a front on a loop of its own."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        arguments: dict[str, Any] = {"threads": 2, "may_send_much": is_alice, **options}
        front = Front(application, **arguments)
        front.__rsgi_init__(loop)
        try:
            await work(front, loop)
        finally:
            application.gate.set()
            front.__rsgi_del__(loop)

    with ThreadPoolExecutor(
        1
    ) as thread:  # the tests with a browser leave a running loop in this one
        thread.submit(asyncio.run, main()).result()


def asked(
    application: Seen, request: Request, connection: Connection, **options: Any
) -> Connection:
    """Send one request."""

    async def work(front: Front, _: asyncio.AbstractEventLoop) -> None:
        await front.__rsgi__(request, connection)

    served(application, work, **options)
    return connection


@pytest.mark.parametrize(
    "path", ["/", "/account/login/", "/scep/demo/", "/api/v1/challenges", LISTS, "/inspector/"]
)
@pytest.mark.parametrize("size", [SMALL.size + 1, 300_000, 5_000_000, 700_000_000])
def test_a_large_body_of_a_stranger_is_refused_unread(path: str, size: int) -> None:
    application, connection = Seen(), Connection(b"x")
    asked(application, Request(path, content_length=str(size)), connection)
    assert connection.status in {403, 413}
    assert connection.header["connection"] == "close"
    assert (connection.reads, application.bodies) == (0, [])


@pytest.mark.parametrize(
    "headers",
    [{"transfer_encoding": "chunked"}, {"content_length": "-1"}, {"content_length": "1e3"}],
)
def test_a_body_without_a_plain_length_is_refused_unread(headers: dict[str, str]) -> None:
    application, connection = Seen(), Connection(b"x")
    asked(application, Request(**headers), connection)
    assert (connection.status, connection.reads, application.bodies) == (411, 0, [])


@given(st.binary(max_size=200))
@settings(max_examples=20, deadline=None)
def test_a_body_in_time_reaches_the_application_whole(body: bytes) -> None:
    application = Seen()
    connection = asked(application, Request(content_length=str(len(body))), Connection(body))
    assert (connection.answers[0][0], connection.answers[0][2], application.bodies) == (
        200,
        b"seen",
        [body],
    )


@pytest.mark.parametrize("path", ["/", "/scep/demo/", "/account/login/", LISTS, "/inspector/"])
def test_a_body_that_does_not_come_is_cut_in_time_and_holds_no_thread(path: str) -> None:
    application, connection = Seen(), Connection(after=forever)
    asked(application, Request(path, content_length="60000"), connection, seconds=lambda _: 0.01)
    assert (connection.status, connection.header["connection"], application.bodies) == (
        408,
        "close",
        [],
    )
    assert int(connection.header["retry-after"]) > 0


def test_a_client_that_goes_away_is_refused() -> None:
    async def gone() -> None:
        raise RuntimeError("closed")

    application = Seen()
    connection = asked(application, Request(content_length="5"), Connection(after=gone))
    assert (connection.status, application.bodies) == (400, [])


def test_a_thousand_unfinished_bodies_keep_no_other_request_waiting() -> None:
    application = Seen()

    async def work(front: Front, loop: asyncio.AbstractEventLoop) -> None:
        slow = [
            loop.create_task(front.__rsgi__(Request(content_length="9"), Connection(after=forever)))
            for _ in range(1000)
        ]
        await asyncio.sleep(0)
        connection = Connection(b"quick")
        await front.__rsgi__(Request(content_length="5"), connection)
        assert connection.status == 200
        for task in slow:
            task.cancel()

    served(application, work)
    assert application.bodies == [b"quick"]


def test_liveness_needs_no_thread_and_other_requests_beyond_the_queue_are_told_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fronts, "WAITING", 3)
    application = Seen()
    application.gate.clear()

    async def work(front: Front, loop: asyncio.AbstractEventLoop) -> None:
        held = [Connection() for _ in range(5)]
        tasks = [loop.create_task(front.__rsgi__(Request(method="GET"), one)) for one in held]
        await asyncio.sleep(0)
        refused, alive = Connection(), Connection()
        await front.__rsgi__(Request(method="GET"), refused)
        await front.__rsgi__(Request("/healthz", "GET"), alive)
        assert (refused.status, alive.status) == (503, 200)
        assert int(refused.header["retry-after"]) > 0
        application.gate.set()
        await asyncio.gather(*tasks)
        assert [one.status for one in held] == [200] * 5

    served(application, work)


def test_people_who_are_signed_in_send_lists_a_few_at_a_time() -> None:
    application, body = Seen(), b"x" * 200_000

    async def work(front: Front, loop: asyncio.AbstractEventLoop) -> None:
        go = asyncio.Event()

        async def wait() -> None:
            await go.wait()

        held = [Connection(body, after=wait) for _ in range(fronts.LARGE_AT_ONCE)]
        requests = {"content_length": str(len(body)), "cookie": "alice"}
        tasks = [loop.create_task(front.__rsgi__(Request(LISTS, **requests), one)) for one in held]
        while not all(one.reads for one in held):
            await asyncio.sleep(0.001)
        refused, small = Connection(body), Connection(b"y")
        await front.__rsgi__(Request(LISTS, **requests), refused)
        await front.__rsgi__(Request(LISTS, content_length="1"), small)
        assert (refused.status, refused.reads, small.status) == (503, 0, 200)
        go.set()
        await asyncio.gather(*tasks)
        assert [one.status for one in held] == [200] * fronts.LARGE_AT_ONCE
        last = Connection(body)
        await front.__rsgi__(Request(LISTS, **requests), last)
        assert last.status == 200

    served(application, work)
    assert application.bodies.count(body) == fronts.LARGE_AT_ONCE + 1


def test_a_database_that_is_away_is_said_to_people_with_lists() -> None:
    def unknown(_: Environ) -> bool:
        raise Refused(503, "the database does not answer, try again")

    connection = Connection(b"x")
    asked(Seen(), Request(LISTS, content_length="200000"), connection, may_send_much=unknown)
    assert (connection.status, connection.reads) == (503, 0)


def test_every_answer_but_liveness_is_noted() -> None:
    noted: list[Done] = []
    for request in (
        Request(content_length="2"),
        Request(content_length="x"),
        Request("/healthz", "GET"),
    ):
        asked(Seen(), request, Connection(b"ab"), note=noted.append)
    assert [(done.status, done.size > 0, done.environ["REMOTE_ADDR"]) for done in noted] == [
        (200, True, "192.0.2.7"),
        (411, True, "192.0.2.7"),
    ]
    assert all(done.seconds >= 0 for done in noted)


@pytest.mark.parametrize("size", [0, 1, 1_000, IN_MEMORY, IN_MEMORY + 1, 3 * IN_MEMORY])
@pytest.mark.parametrize("is_streamed", [False, True])
def test_the_access_log_counts_the_bytes_of_an_answer_wherever_they_are(
    size: int, is_streamed: bool
) -> None:
    class Long(Seen):
        def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
            start_response("200 OK", [])
            chunks = [b"x" * (size // 2), b"x" * (size - size // 2)]
            return Stream(chunks) if is_streamed else chunks

    noted: list[Done] = []
    connection = Connection()
    asked(Long(), Request(method="GET"), connection, note=noted.append)
    assert [done.size for done in noted] == [len(connection.answers[0][2])] == [size]


class Stream(list[bytes]):
    """An answer in pieces."""

    streaming = True
    closed_in: int | None = None

    def close(self) -> None:
        self.closed_in = threading.get_ident()


@pytest.mark.parametrize("pieces", [0, 1, 16, 17, 100])
def test_a_long_stream_is_sent_from_a_file_and_a_short_one_from_memory(pieces: int) -> None:
    stream = Stream([bytes([number]) * 65_536 for number in range(pieces)])

    def application(_: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("X-Kept", "yes")])
        return stream

    answer = run(application, {})
    assert (answer.file is not None) == (pieces * 65_536 > IN_MEMORY)
    assert stream.closed_in == threading.get_ident()
    connection = Connection()
    answer.send(connection)
    assert connection.answers[0][2] == b"".join(stream)
    assert connection.header["x-kept"] == "yes"
    if answer.file is not None:
        assert (connection.header["content-length"], answer.body) == (str(pieces * 65_536), b"")
        answer.file.close()


def test_the_file_of_a_long_answer_is_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fronts, "_FILE_SECONDS", 0.0)
    files: list[Any] = []

    class Long(Seen):
        def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
            start_response("200 OK", [])
            return Stream([b"x" * IN_MEMORY, b"y"])

    def keep(answer: ApplicationResponse, transport: Connection) -> None:
        files.append(answer.file)

    monkeypatch.setattr(ApplicationResponse, "send", keep)

    async def work(front: Front, _: asyncio.AbstractEventLoop) -> None:
        await front.__rsgi__(Request(method="GET"), Connection())
        while not files[0].closed:
            await asyncio.sleep(0.001)

    served(Long(), work)


def test_a_stream_that_fails_is_closed() -> None:
    class Broken(Stream):
        def __iter__(self) -> Any:
            raise ZeroDivisionError

    stream = Broken()
    with pytest.raises(ZeroDivisionError):
        run(lambda environ, start_response: stream, {})
    assert stream.closed_in is not None


def test_a_header_with_an_underscore_does_not_pass_for_another() -> None:
    request = Request(method="GET")
    request.headers = Head(
        [
            ("X_Forwarded_For", "203.0.113.9"),
            ("X-Forwarded-For", "192.0.2.1"),
            ("Cookie", "a"),
            ("cookie", "b"),
        ]
    )
    environ = environ_of(request)
    assert environ["HTTP_X_FORWARDED_FOR"] == "192.0.2.1"
    assert environ["HTTP_COOKIE"] == "a;b"
    assert isinstance(environ["wsgi.input"], io.BytesIO)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]:443", "::1"),
        ("[::ffff:192.0.2.1]:9", "::ffff:192.0.2.1"),
        ("", ""),
        ("x", ""),
    ],
)
def test_an_address_is_what_stands_before_its_port(text: str, address: str) -> None:
    assert split_address(text)[0] == address
