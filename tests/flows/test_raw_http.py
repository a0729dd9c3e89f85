"""Hostile HTTP over sockets (D-39): 4xx or nothing, and other clients are served meanwhile."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from scep.client import ScepClient
from tests.interop.portal import Portal, start, stop
from tests.ports import free_port

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(300), pytest.mark.embedded]
CAPS = "/scep/demo/?operation=GetCACaps"
GIVE_UP = 20.0


@pytest.fixture
def portal(
    starts_processes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Portal]:
    """A portal of its own; to start one takes longer than all that is sent to it here."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    running = Portal(tmp_path / "data", free_port())
    process = start(running, tmp_path / "up.log")
    try:
        yield running
    finally:
        stop(process)


def opened(portal: Portal) -> socket.socket:
    return socket.create_connection(("127.0.0.1", portal.port), GIVE_UP)


def sent(portal: Portal, *pieces: bytes) -> bytes:
    """Send and read until the server closes; returns the answer, or "".

    The client's half stays open: the server takes closing it for a disconnected client.
    """
    with opened(portal) as connection:
        with contextlib.suppress(OSError):
            for piece in pieces:
                connection.sendall(piece)
        received = b""
        with contextlib.suppress(OSError):
            while piece := connection.recv(65_536):
                received += piece
        return received


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([line, "Connection: close", *headers, "", ""]).encode("latin-1") + body


def is_serving(portal: Portal) -> bool:
    return "POSTPKIOperation" in ScepClient(portal.scep()).get_ca_caps()


HOST = "Host: localhost"
POST = "POST /scep/demo/?operation=PKIOperation HTTP/1.1"
#: Requests with their right answers; 0: closed without one.
HOSTILE: dict[str, tuple[bytes, set[int]]] = {
    "negative length": (request(POST, HOST, "Content-Length: -1"), {400, 411, 0}),
    "length that is no number": (request(POST, HOST, "Content-Length: 1e3"), {400, 411, 0}),
    "two lengths": (
        request(POST, HOST, "Content-Length: 1", "Content-Length: 2", body=b"xx"),
        {400, 411, 0},
    ),
    "huge length": (request(POST, HOST, "Content-Length: 99999999999"), {413}),
    "huge body": (request(POST, HOST, "Content-Length: 1000000", body=b"x" * 1_000_000), {413}),
    "chunked": (
        request(POST, HOST, "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
        {411},
    ),
    "chunked and counted": (
        request(POST, HOST, "Transfer-Encoding: chunked", "Content-Length: 5", body=b"0\r\n\r\n"),
        {400, 411, 0},
    ),
    "gzip": (
        request(POST, HOST, "Content-Encoding: gzip", "Content-Length: 3", body=b"\x1f\x8b\x08"),
        {415},
    ),
    "a query of a megabyte": (
        request(f"GET {CAPS}&message={'A' * 1_000_000} HTTP/1.1", HOST),
        {400, 414, 431, 0},
    ),
    "a header of a megabyte": (
        request(f"GET {CAPS} HTTP/1.1", HOST, f"X-A: {'a' * 1_000_000}"),
        {400, 431, 0},
    ),
    "ten thousand headers": (
        request(f"GET {CAPS} HTTP/1.1", HOST, *["X-A: a"] * 10_000),
        {400, 431, 0},
    ),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), {400, 0}),
    "an empty line": (b"\r\n\r\n", {400, 0}),
    "HTTP/9.9": (request(f"GET {CAPS} HTTP/9.9", HOST), {400, 505, 0}),
    "NUL in the path": (request("GET /scep/\0/ HTTP/1.1", HOST), {400, 0}),
    "two slashes before a page": (request("GET //queue/ HTTP/1.1", HOST), {404, 400}),
    "a way up": (request("GET /scep/demo/%2e%2e/%2e%2e/admin/ HTTP/1.1", HOST), {404}),
    "an escaped slash": (request("GET /scep/demo%2f..%2fadmin HTTP/1.1", HOST), {404}),
    "another method": (request(f"BREW {CAPS} HTTP/1.1", HOST), {405, 400}),
}
FORMS = (
    *(
        "/account/login/",
        "/account/setup/none",
        "/queue/decide",
        "/admin/login/",
        "/profiles/demo/challenges/list",
    ),
    *("/devices/x/add", "/inspector/", "/api/v1/challenges"),
)
#: Requests of old and odd clients, which must be served.
GOOD: dict[str, bytes] = {
    "HTTP/1.0 without Host": f"GET {CAPS} HTTP/1.0\r\n\r\n".encode(),
    "another Host": request(f"GET {CAPS} HTTP/1.1", "Host: nowhere.example"),
    "a whole address": request(f"GET http://localhost{CAPS} HTTP/1.1", HOST),
    "two slashes": request("GET //scep/demo/?operation=GetCACaps HTTP/1.1", HOST),
    "two slashes before a program": request(
        "GET //scep/demo//pkiclient.exe?operation=GetCACaps HTTP/1.1", HOST
    ),
    "a whole address with two slashes": request(f"GET http://localhost/{CAPS} HTTP/1.1", HOST),
    "a port in Host": request(f"GET {CAPS} HTTP/1.1", "Host: [::1]:8000"),
}


def test_d39_hostile_http_gets_4xx_or_nothing_and_all_others_are_served(portal: Portal) -> None:
    answers = {case: sent(portal, message) for case, (message, _) in HOSTILE.items()}
    assert {
        case: answer[:300]
        for case, answer in answers.items()
        if status(answer) not in HOSTILE[case][1]
    } == {}
    assert is_serving(portal)
    answers = {case: sent(portal, message) for case, message in GOOD.items()}
    assert {
        case: answer[:300] for case, answer in answers.items() if b"POSTPKIOperation" not in answer
    } == {}
    a_client_that_waits_for_a_go_ahead_gets_it(portal)
    a_head_request_does_nothing(portal)
    a_file_from_a_stranger_is_refused_and_leaves_nothing(portal)
    slow_and_idle_clients_keep_nobody_out(portal)


def a_client_that_waits_for_a_go_ahead_gets_it(portal: Portal) -> None:
    head = request(POST, HOST, "Content-Length: 5", "Expect: 100-continue")
    answer = sent(portal, head, b"hello")
    assert status(answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")) == 400


def a_head_request_does_nothing(portal: Portal) -> None:
    answer = sent(
        portal, request("HEAD /scep/demo/?operation=PKIOperation&message=MIIA HTTP/1.1", HOST)
    )
    assert status(answer) == 405
    assert answer.endswith(b"\r\n\r\n")


def a_file_from_a_stranger_is_refused_and_leaves_nothing(portal: Portal) -> None:
    """On any page: 5 MB in a form, and a small file where none belongs."""
    scratch = portal.data.parent / "scratch"
    before = set(scratch.rglob("*"))
    for path in FORMS:
        for size, expected in (
            (5_000_000, {413}),
            (3_000_000, {403, 413}),
            (60_000, {302, 401, 403, 404, 405}),
        ):
            part = (
                b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
                + b"x" * size
            )
            length, kind = (
                f"Content-Length: {len(part)}",
                "Content-Type: multipart/form-data; boundary=b",
            )
            answer = sent(portal, request(f"POST {path} HTTP/1.1", HOST, length, kind, body=part))
            assert status(answer) in expected, (path, size, answer[:200])
            assert set(scratch.rglob("*")) == before


def slow_and_idle_clients_keep_nobody_out(portal: Portal) -> None:
    """More clients than threads: half never end their head, half never end their body."""
    with contextlib.ExitStack() as held:
        for number in range(600):
            connection = held.enter_context(opened(portal))
            connection.sendall(
                b"GET /scep/demo/ HT"
                if number % 2
                else request(POST, HOST, "Content-Length: 60000", body=b"x")
            )
        assert is_serving(portal)
    assert is_serving(portal)
