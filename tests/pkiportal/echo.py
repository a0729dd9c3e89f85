"""A small application on granian: `python -m tests.pkiportal.echo INTERFACE PORT FOLDER`.

It runs with and without the front and echoes its request. Paths that begin with `/wait` are
answered when the file `go` is in the folder.
"""

import json
import os
import sys
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from pkiportal.web.front import Front
from pkiportal.web.sockets import cut_clients_that_never_read

TOLD = {
    *("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "SCRIPT_NAME", "SERVER_NAME", "REMOTE_ADDR"),
    *("CONTENT_LENGTH", "CONTENT_TYPE", "wsgi.url_scheme"),
}
FOLDER = Path(os.environ.get("ECHO_FOLDER", "."))


class Chunks(list[bytes]):
    """An answer that comes in pieces, as a long list would."""

    streaming = True


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer with the request as JSON; `/stream/N` with a stream of N pieces of 64 KiB."""
    path = environ["PATH_INFO"]
    if path.startswith("/wait"):
        (FOLDER / "waiting").touch()
        while not (FOLDER / "go").exists():
            time.sleep(0.02)
    document = {
        name: value for name, value in environ.items() if name in TOLD or name.startswith("HTTP_")
    }
    document["body"] = (
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode("latin-1")
    )
    status = {"/304": "304 Not Modified", "/204": "204 No Content"}.get(path, "200 OK")
    start_response(
        status, [("Content-Type", "application/json"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    )
    if path.startswith("/stream/"):
        return Chunks([bytes([n % 251]) * 65_536 for n in range(int(path.rpartition("/")[2]))])
    return [] if path in {"/304", "/204"} else [json.dumps(document, sort_keys=True).encode()]


front = Front(
    application,
    threads=4,
    may_send_much=lambda environ: environ.get("HTTP_COOKIE") == "alice",
    seconds=lambda _: 1.0,
    on_start=partial(cut_clients_that_never_read, port=int(sys.argv[-2]), milliseconds=1_500),
)


def serve(interface: str, port: int) -> None:
    """Serve with one of granian's interfaces, as the portal does."""
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.server import MPServer

    target = {"wsgi": "application", "rsgi": "front"}[interface]
    MPServer(
        f"tests.pkiportal.echo:{target}",
        address="127.0.0.1",
        port=port,
        interface=Interfaces(interface),
        http=HTTPModes.http1,
        websockets=False,
        blocking_threads=4 if interface == "wsgi" else 1,
        backpressure=256,
        http1_settings=HTTP1Settings(header_read_timeout=2_000),
        workers_kill_timeout=5,
        log_enabled=False,
    ).serve()


if __name__ == "__main__":
    os.environ["ECHO_FOLDER"] = sys.argv[3]
    serve(sys.argv[1], int(sys.argv[2]))
