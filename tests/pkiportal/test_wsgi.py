"""The application as granian calls it: with the process environment copied into each request."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CODE = """
import io, os
os.environ["HTTP_PROXY"] = "canary"
os.environ["REMOTE_USER"] = "canary"
from pkiportal import wsgi
seen = {}
given = {"REQUEST_METHOD": "GET", "PATH_INFO": "/healthz", "QUERY_STRING": "", "SERVER_NAME": "x",
    "SERVER_PORT": "80", "wsgi.input": io.BytesIO(), "wsgi.url_scheme": "http", "HTTP_ACCEPT": "*/*"}
environ = dict(os.environ) | given
answer = wsgi.application(environ, lambda status, headers: seen.update(status=status))
assert b"".join(answer) == b"ok\\n", answer
assert seen["status"] == "200 OK", seen
assert "canary" not in str(environ), environ
assert not [name for name in environ if name.startswith(("PORTAL_", "DJANGO_"))], environ
assert environ["HTTP_ACCEPT"] == "*/*"
"""


def test_a_request_sees_nothing_of_the_process_environment(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PORTAL_", "DJANGO_"))}
    environment |= {"PORTAL_DATA": str(tmp_path), "PORTAL_SECRET_KEY": "canary" * 10, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
