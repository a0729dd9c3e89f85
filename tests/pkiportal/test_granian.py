"""The front on granian, over sockets: as granian's own WSGI interface; slow ones are cut."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.interop.portal import REPOSITORY, wait_until
from tests.ports import free_port

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(120)]
PATIENCE = 15.0


@dataclass(frozen=True)
class Server:
    """A small application on granian."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path

    def opened(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def sent(self, *pieces: bytes) -> bytes:
        """Send and read until the server closes."""
        with self.opened() as connection:
            with contextlib.suppress(OSError):
                for piece in pieces:
                    connection.sendall(piece)
            return rest_of(connection)


def rest_of(connection: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65_536):
            received += piece
    return received


@contextlib.contextmanager
def serving(interface: str, folder: Path) -> Iterator[Server]:
    folder.mkdir()
    port = free_port()
    environment = {**os.environ, "ECHO_FOLDER": str(folder), "CANARY": "canary"}
    command = [sys.executable, "-m", "tests.pkiportal.echo", interface, str(port), str(folder)]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment)
    server = Server(process, port, folder)
    try:
        wait_until(lambda: answers(server), what=interface)
        yield server
    finally:
        process.terminate()
        process.wait(PATIENCE)


def answers(server: Server) -> bool:
    try:
        return bool(server.sent(b"GET / HTTP/1.0\r\n\r\n"))
    except OSError:
        return False


@pytest.fixture(scope="module")
def wsgi(starts_processes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """granian's own WSGI interface: as it was."""
    with serving("wsgi", tmp_path_factory.mktemp("wsgi") / "echo") as server:
        yield server


@pytest.fixture(scope="module")
def rsgi(starts_processes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The front: as it is. A body has a second here."""
    with serving("rsgi", tmp_path_factory.mktemp("rsgi") / "echo") as server:
        yield server


def request(line: str, *headers: str, body: bytes = b"", close: bool = True) -> bytes:
    head = [line, *headers, *(["Connection: close"] if close else []), "", ""]
    return "\r\n".join(head).encode("latin-1") + body


AS_BEFORE = {
    "escapes": request("GET /a%20b/%C3%BC%2f?x=%2B+1&%zz HTTP/1.1", "Host: portal.example:99"),
    "bytes beyond ASCII": request("GET /\u00c3\u00bc HTTP/1.1", "Host: a"),
    "headers twice": request(
        "GET / HTTP/1.1", "Host: a", "X-A: 1", "X-A: 2", "Cookie: a=1", "Cookie: b=2"
    ),
    "two hosts": request("GET / HTTP/1.1", "Host: a", "Host: b"),
    "an empty host": request("GET / HTTP/1.1", "Host:"),
    "no host": request("GET /x HTTP/1.1"),
    "HTTP/1.0": request("GET /scep/x?operation=GetCACaps HTTP/1.0", close=False),
    "an absolute address": request("GET http://other.example:81/p?q=1 HTTP/1.1", "Host: localhost"),
    "an absolute address without host": request(
        "GET http://other.example:81/p HTTP/1.0", close=False
    ),
    "two slashes": request("GET /scep//pkiclient.exe HTTP/1.1", "Host: a"),
    "two slashes first": request("GET //scep/x HTTP/1.1", "Host: a"),
    "a body": request(
        "POST /p HTTP/1.1", "Host: a", "Content-Type: text/x", "Content-Length: 3", body=b"a\0\xff"
    ),
    "a body by HTTP/1.0": request(
        "POST /p HTTP/1.0", "Content-Length: 3", body=b"abc", close=False
    ),
    "a go-ahead": request(
        "POST / HTTP/1.1", "Host: a", "Content-Length: 3", "Expect: 100-continue", body=b"abc"
    ),
    "head": request("HEAD /h HTTP/1.1", "Host: a"),
    "not modified": request("GET /304 HTTP/1.1", "Host: a"),
    "no content": request("GET /204 HTTP/1.1", "Host: a"),
    "pipelined": request("GET /1 HTTP/1.1", "Host: a", close=False)
    + request("GET /2 HTTP/1.1", "Host: a"),
    "kept alive": request("GET /1 HTTP/1.0", "Connection: keep-alive", close=False)
    + request("GET /2 HTTP/1.0", close=False),
    "another method": request("BREW /x HTTP/1.1", "Host: a"),
    "asterisk": request("OPTIONS * HTTP/1.1", "Host: a"),
}


def told(answer: bytes) -> list[Any]:
    """Return the application's echo, status and headers, without those that always change."""
    parts: list[Any] = []
    for line in answer.replace(b"}HTTP/", b"}\r\nHTTP/").split(b"\r\n"):
        if line.startswith(b"{"):
            parts.append(json.loads(line))
        elif line and not line.lower().startswith(b"date:"):
            parts.append(line)
    return parts


@pytest.mark.parametrize("case", AS_BEFORE)
def test_a_request_arrives_and_is_answered_as_through_granians_own_wsgi(
    wsgi: Server, rsgi: Server, case: str
) -> None:
    before, now = told(wsgi.sent(AS_BEFORE[case])), told(rsgi.sent(AS_BEFORE[case]))
    assert now == before
    assert before


def test_nothing_of_the_process_environment_is_in_a_request(rsgi: Server) -> None:
    assert b"canary" not in rsgi.sent(request("GET / HTTP/1.1", "Host: a")).lower()


def test_a_stream_arrives_whole_however_long(rsgi: Server) -> None:
    for pieces in (0, 1, 16, 40):
        head, _, body = rsgi.sent(request(f"GET /stream/{pieces} HTTP/1.1", "Host: a")).partition(
            b"\r\n\r\n"
        )
        assert body == b"".join(bytes([number % 251]) * 65_536 for number in range(pieces))
        assert f"content-length: {len(body)}".encode() in head


def test_bodies_and_heads_that_do_not_come_are_cut_and_hold_no_thread(rsgi: Server) -> None:
    """Ten times as many as there are threads."""
    half = request("POST / HTTP/1.1", "Host: a", "Content-Length: 9", body=b"x")
    with contextlib.ExitStack() as held:
        slow = [held.enter_context(rsgi.opened()) for _ in range(40)]
        for number, connection in enumerate(slow):
            connection.sendall((half, b"GET / HT", b"")[number % 3])
        assert b"200 OK" in rsgi.sent(
            request("POST / HTTP/1.1", "Host: a", "Content-Length: 3", body=b"abc")
        )
        ends = [rest_of(connection) for connection in slow]
    assert all(answer.startswith(b"HTTP/1.1 408") for answer in ends[::3])
    assert not any(b"200" in answer for answer in ends)


def test_a_body_of_a_byte_now_and_then_is_cut_as_well(rsgi: Server) -> None:
    began = time.monotonic()
    with rsgi.opened() as connection:
        connection.sendall(request("POST / HTTP/1.1", "Host: a", "Content-Length: 900"))
        connection.settimeout(0.1)
        answer = b""
        while not answer and time.monotonic() - began < PATIENCE:
            with contextlib.suppress(TimeoutError):
                connection.sendall(b"x")
                answer = connection.recv(100)
    assert answer.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "path", ["/", "/account/login/", "/scep/demo/", "/profiles/x/challenges/list", "/api/x"]
)
@pytest.mark.parametrize(
    "head", ["Content-Length: 99999999999", "Content-Length: 4300000", "Transfer-Encoding: chunked"]
)
def test_an_endless_upload_ends_at_once(rsgi: Server, path: str, head: str) -> None:
    began, sent = time.monotonic(), 0
    with rsgi.opened() as connection, contextlib.suppress(ConnectionError):
        connection.sendall(request(f"POST {path} HTTP/1.1", "Host: a", head, close=False))
        while time.monotonic() - began < PATIENCE:
            sent += connection.send(b"fffe\r\n" + b"x" * 65_534 + b"\r\n")
    assert time.monotonic() - began < PATIENCE
    assert sent < 50_000_000


@pytest.mark.parametrize("path", ["/stream/15", "/stream/100"])
def test_a_client_that_takes_nothing_of_its_answer_is_cut(rsgi: Server, path: str) -> None:
    """15 pieces are sent from memory, 100 from a file."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", rsgi.port))
        connection.sendall(request(f"GET {path} HTTP/1.1", "Host: a", close=False))
        ports = (rsgi.port, connection.getsockname()[1])
        wait_until(lambda: is_held(*ports), what="the connection", within=PATIENCE)
        wait_until(lambda: not is_held(*ports), what="the end of the connection", within=PATIENCE)


def is_held(server: int, client: int) -> bool:
    """Whether the server still holds the connection: a client notices its end only later."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(
        row[1].endswith(f":{server:04X}") and row[2].endswith(f":{client:04X}") for row in rows
    )


def test_who_is_signed_in_sends_a_list(rsgi: Server) -> None:
    body = b"x" * 1_000_000
    head = ("Host: a", "Content-Length: 1000000")
    line = "POST /devices/routers/add HTTP/1.1"
    assert rsgi.sent(request(line, *head, body=body)).startswith(b"HTTP/1.1 403")
    (answer,) = [
        part
        for part in told(rsgi.sent(request(line, *head, "Cookie: alice", body=body)))
        if isinstance(part, dict)
    ]
    assert answer["body"] == "x" * 1_000_000


@pytest.mark.usefixtures("starts_processes")
def test_a_request_that_is_worked_on_is_answered_before_the_server_stops(tmp_path: Path) -> None:
    with serving("rsgi", tmp_path / "echo") as server, server.opened() as connection:
        connection.sendall(request("GET /wait HTTP/1.1", "Host: a"))
        wait_until((server.folder / "waiting").exists, what="the request")
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not answers(server), what="a closed door")
        (server.folder / "go").touch()
        assert b"200 OK" in rest_of(connection)
        assert server.process.wait(PATIENCE) == 0


@pytest.mark.usefixtures("starts_processes")
def test_a_reload_answers_what_is_worked_on_and_serves_on(tmp_path: Path) -> None:
    with serving("rsgi", tmp_path / "echo") as server, server.opened() as connection:
        connection.sendall(request("GET /wait HTTP/1.1", "Host: a"))
        wait_until((server.folder / "waiting").exists, what="the request")
        server.process.send_signal(signal.SIGHUP)
        assert answers(server)
        (server.folder / "go").touch()
        assert b"200 OK" in rest_of(connection)
        assert answers(server)
