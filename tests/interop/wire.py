"""A hop between a client and the portal that records the client's messages."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from scep.transport import HttpAnswer, fetch
from tests.interop.portal import Portal


@dataclass
class Wire:
    """`sent` are the bodies of POSTs, `asked` the queries."""

    portal: Portal
    url: str = ""
    sent: list[bytes] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def hand_on(self, query: str, body: bytes | None) -> HttpAnswer:
        """Pass the client's request to the portal."""
        self.asked.append(query)
        if body is not None:
            self.sent.append(body)
        return fetch(f"{self.portal.scep()}?{query}", body)


@contextmanager
def wire_to(portal: Portal) -> Iterator[Wire]:
    """Listen on a free port of the loopback interface until the end."""
    wire = Wire(portal)

    class Hop(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name in the base class
            """Print nothing."""

        def _answer(self, body: bytes | None) -> None:
            answer = wire.hand_on(self.path.partition("?")[2], body)
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Hop) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        wire.url = f"http://127.0.0.1:{server.server_port}/"
        yield wire
        server.shutdown()
