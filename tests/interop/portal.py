"""The whole portal as processes with its own data folder, as `./portal up` starts it."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scep.transport import HttpError, fetch
from tests.migrated import copy_migrated_database

REPOSITORY: Final = Path(__file__).resolve().parents[2]
OFFICER: Final = "alice"
PASSWORD: Final = "green-kettle-41-harbor"
_START_WITHIN: Final = 60.0
_STOP_WITHIN: Final = 20.0
_KEPT: Final = ("PATH", "HOME", "LANG", "TMPDIR")


def wait_until(
    condition: Callable[[], object], *, what: str, within: float = 20.0, every: float = 0.1
) -> None:
    """Return as soon as the condition is true; fail the test after `within` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {within:.0f} s"
        time.sleep(every)


@dataclass(frozen=True)
class Portal:
    """A running portal, with commands and a look into its records."""

    data: Path
    port: int

    @property
    def address(self) -> str:
        """Where people sign in."""
        return f"http://localhost:{self.port}"

    def scep(self, profile: str = "demo") -> str:
        """Return the SCEP address of a profile."""
        return f"http://127.0.0.1:{self.port}/scep/{profile}/"

    @property
    def public_address(self) -> str:
        """The address in configurations; it is not of this machine, and leads nowhere here."""
        return f"http://pki.example:{self.port}"

    def popen(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command next to the portal, as `./portal ARGUMENTS --data DIR`."""
        command = [
            sys.executable,
            str(REPOSITORY / "manage.py"),
            *arguments,
            "--data",
            str(self.data),
        ]
        environment = _environment()
        if arguments[0] == "deviceconfig":
            environment["PORTAL_PUBLIC_URL"] = self.public_address
        return subprocess.Popen(command, cwd=REPOSITORY, env=environment, text=True, **options)

    def run(self, *arguments: str, text: str = "") -> str:
        """Run a command to its end and return its output; fails the test unless it succeeds."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = self.popen(*arguments, **pipes)
        out, err = process.communicate(text, timeout=240)
        assert process.returncode == 0, f"{arguments}: status {process.returncode}\n{out}{err}"
        return out

    def requests(self, common_name: str) -> list[tuple[str, str]]:
        """Return id and state of the requests for a name, oldest first."""
        rows = self._read(
            "SELECT id, state FROM approvals_enrollmentrequest WHERE common_name = ? ORDER BY id",
            common_name,
        )
        return [(str(request_id), str(state)) for request_id, state in rows]

    def wait_for_request(self, common_name: str) -> str:
        """Return the id of the request for a name, as soon as it is there."""
        wait_until(lambda: self.requests(common_name), what=f"a request for {common_name}")
        return self.requests(common_name)[-1][0]

    def approve(self, common_name: str) -> None:
        """Let the officer approve by command."""
        request = self.wait_for_request(common_name)
        self.run("requests", "approve", request, "--officer", OFFICER)

    def reject(self, common_name: str, reason: str) -> None:
        """Let the officer reject by command."""
        request = self.wait_for_request(common_name)
        self.run("requests", "reject", request, "--officer", OFFICER, "--comment", reason)

    def refusals(self, transaction_id: str) -> list[dict[str, Any]]:
        """Return the audit data of refused messages with this transactionID, oldest first."""
        rows = self._read(
            "SELECT data FROM audit_auditentry WHERE event = 'message:refuse' ORDER BY id"
        )
        entries = [json.loads(data) for (data,) in rows]
        return [entry for entry in entries if entry.get("transaction_id") == transaction_id]

    def rejection_reason(self, request: str) -> str:
        """Return the reason of a rejection."""
        query = (
            "SELECT text FROM approvals_decisioncomment c JOIN approvals_decision d ON "
            "d.id = c.decision_id WHERE verdict = 'reject' AND replace(request_id, '-', '') = ?"
        )
        ((value,),) = self._read(query, request)
        return str(value)

    def ra_certificates(self, authority: str) -> int:
        """Return how many RA certificates an authority has."""
        ((certificate,),) = self._read(
            "SELECT count(*) FROM ca_servicekey k JOIN ca_certificateauthority a ON a.id = k.ca_id "
            "WHERE a.name = ? AND k.purpose = 'scep-ra' AND k.certificate_id IS NOT NULL",
            authority,
        )
        return int(certificate)

    def _read(self, query: str, *parameters: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(
            f"file:{self.data / 'db.sqlite3'}?mode=ro", uri=True, timeout=10
        )
        try:
            return connection.execute(query, parameters).fetchall()
        finally:
            connection.close()


def start(portal: Portal, log: Path) -> subprocess.Popen[str]:
    """Start the portal on a migrated database; return when web, broker and worker are ready."""
    if not portal.data.exists():
        portal.data.mkdir(mode=0o700)
        copy_migrated_database(portal.data / "db.sqlite3")
    with log.open("w") as out:
        bind = f"127.0.0.1:{portal.port}"
        process = portal.popen(
            "up", "--bind", bind, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        wait_until(
            lambda: process.poll() is not None or "The portal is running" in log.read_text(),
            what="the portal",
            within=_START_WITHIN,
        )
        assert process.poll() is None, f"the portal ended:\n{log.read_text()}"
        wait_until(lambda: _is_ready(portal), what="readiness", within=_START_WITHIN)
    except BaseException:
        stop(process)
        raise
    return process


def stop(process: subprocess.Popen[str]) -> None:
    """Stop the portal as Ctrl-C does; its parts end with it even when it has to be killed."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _is_ready(portal: Portal) -> bool:
    try:
        return fetch(f"http://127.0.0.1:{portal.port}/readyz", None).status == 200
    except HttpError:
        return False


def _environment() -> dict[str, str]:
    """Nothing of the tests' own settings."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | {
        "PYTHONUNBUFFERED": "1"
    }
