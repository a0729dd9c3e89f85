"""Stand-ins for validation services: real HTTP on the loopback, with faults on demand."""

import json
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from approvals.validation.webhook_messages import signature_of
from ca.x509.csr import decode_csr

SECRET = "a secret that the portal and the MDM share"
CODE = "moonlight-4711-canary"
Reply = tuple[int, bytes | dict[str, Any]]


@dataclass(frozen=True)
class Heard:
    """One message that came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self) -> dict[str, Any]:
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document


@dataclass
class StandIn:
    """A server that answers with the result of `answer`, and records its requests."""

    port: int
    answer: Callable[[Heard], Reply]
    heard: list[Heard] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of_kind(self, kind: str) -> list[Heard]:
        """Return the webhook messages of this kind."""
        return [message for message in self.heard if message.json["kind"] == kind]


@contextmanager
def served(answer: Callable[[Heard], Reply]) -> Iterator[StandIn]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            heard = Heard(self.command, self.path, dict(self.headers.items()), body)
            stand_in.heard.append(heard)
            status, content = stand_in.answer(heard)
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", data.decode())
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = _answer  # noqa: N815 - a name that http.server looks for
        do_POST = _answer  # noqa: N815 - as above

        def log_message(self, *_: Any) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Clients that hang up are part of the tests."""

    server = Server(("127.0.0.1", 0), Handler)
    stand_in = StandIn(server.server_address[1], answer)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def mdm(heard: Heard) -> Reply:
    """A good MDM: checks the signature, and knows one code."""
    if heard.headers.get("X-Portal-Signature") != signature_of(heard.body, SECRET):
        return 401, {"error": "signature"}
    message = heard.json
    if message["kind"] != "validate":
        return 204, b""
    if message["challenge"] == CODE:
        return 200, {"action": "allow"}
    return 200, {"action": "deny", "reason": f"code {message['challenge']} is not known"}


@dataclass
class Intune:
    """Entra's sign-in, Graph's directory and Intune's validation service at one address."""

    challenge: str = CODE
    code: str = "ChallengeExpired"  # the answer to another challenge
    notice: str = "Success"
    secret: str = "a client secret"
    origin: str = ""
    tokens: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    notices: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    validated: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, heard: Heard) -> Reply:
        path = urlsplit(heard.path).path
        if path == "/contoso.example/oauth2/v2.0/token":
            return self._token(heard)
        if path == "/v1.0/servicePrincipals/appId=0000000a-0000-0000-c000-000000000000/endpoints":
            return self._directory(heard)
        return self._action(path, heard)

    def _token(self, heard: Heard) -> Reply:
        form = parse_qs(heard.body.decode())
        if form["client_secret"] != [self.secret] or form["grant_type"] != ["client_credentials"]:
            return 401, {"error": "invalid_client", "error_description": "AADSTS7000215"}
        self.tokens.append(form["scope"][0])
        return 200, {
            "token_type": "Bearer",
            "expires_in": 3599,
            "access_token": f"token for {form['scope'][0]}",
        }

    def _directory(self, heard: Heard) -> Reply:
        assert heard.headers["Authorization"].endswith("/.default")
        other = {"providerName": "PkiConnectorFEService", "uri": "https://elsewhere.example"}
        return 200, {
            "value": [
                other,
                {"providerName": "ScepRequestValidationFEService", "uri": f"{self.origin}/svc"},
            ]
        }

    def _action(self, path: str, heard: Heard) -> Reply:
        actions = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "api-version": "2018-02-20",
        }
        self.wrong += [name for name, value in actions.items() if heard.headers.get(name) != value]
        if (
            not heard.headers["Authorization"].endswith("//.default")
            or not heard.headers["client-request-id"]
        ):
            return 401, b""
        if path == "/svc/ScepActions/validateRequest":
            self.validated.append(heard.json["request"])
            return 200, {"code": self._verdict(heard.json["request"]), "errorDescription": ""}
        self.notices.append((path.removeprefix("/svc/ScepActions/"), heard.json["notification"]))
        return 200, {"code": self.notice, "errorDescription": ""}

    def _verdict(self, request: dict[str, Any]) -> str:
        csr = decode_csr(b64decode(request["certificateRequest"], validate=True)).challenge_password
        return "Success" if csr == self.challenge else self.code


def slow(seconds: float) -> Callable[[Heard], Reply]:
    """Answer late."""

    def answer(heard: Heard) -> Reply:
        threading.Event().wait(seconds)  # time.sleep is where tests let the workers work
        return mdm(heard)

    return answer
