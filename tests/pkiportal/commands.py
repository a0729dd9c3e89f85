"""Run a command as a script would, and read its output."""

import io
import json
from typing import Any

from django.core.management import call_command


def run(*arguments: str, stdin: str = "", monkeypatch: Any = None) -> str:
    """Return the command's output on stdout."""
    out = io.StringIO()
    if monkeypatch is not None:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
    call_command(*arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def run_json(*arguments: str, **options: Any) -> Any:
    """Return the one JSON document that a command printed."""
    return json.loads(run(*arguments, "--json", **options))


def status_and_json(*arguments: str) -> tuple[object, Any]:
    """Return exit status and document of a command that may end with a status of its own."""
    out = io.StringIO()
    status: object = 0
    try:
        call_command(*arguments, "--json", stdout=out, stderr=io.StringIO())
    except SystemExit as end:
        status = end.code
    return status, json.loads(out.getvalue())
