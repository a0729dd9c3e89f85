"""The product's web server as processes: with TLS, and without, on one database."""

import base64
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
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.migrated import copy_migrated_database
from tests.pki import ec_key
from tests.slow.probes import Door

_ROOT: Final = Path(__file__).resolve().parents[2]
_KEPT: Final = ("PATH", "HOME", "LANG", "TMPDIR")
_START_WITHIN: Final = 60.0


@dataclass(frozen=True)
class Stage:
    """Two web servers, and the data for asking them."""

    doors: dict[str, Door]
    servers: list[subprocess.Popen[bytes]]

    def memory(self) -> float:
        """Resident memory of all processes, in MiB; shared pages are counted once for each."""
        return sum(_resident(pid) for server in self.servers for pid in _tree(server.pid)) / 2**20


@contextlib.contextmanager
def stage(folder: Path, postgresql: str | None) -> Iterator[Stage]:
    """Start both web servers on SQLite, or on a new database of the given server."""
    folder.mkdir(mode=0o700)
    ports = {"plain": _free_port(), "tls": _free_port()}
    certificate, key = _certificate(folder)
    common = {name: os.environ[name] for name in _KEPT if name in os.environ} | {
        "PORTAL_DATA": str(folder / "data"),
        "PORTAL_EMBEDDED": "1",  # one user runs everything here
        "PORTAL_PUBLIC_URL": f"https://localhost:{ports['tls']}",
        "PYTHONPATH": str(_ROOT),
    }
    with _database(folder, postgresql) as database:
        common |= database
        facts = _furnish(common)
        tls = {"PORTAL_TLS_CERT": str(certificate), "PORTAL_TLS_KEY": str(key)}
        doors, servers = {}, []
        try:
            for name, extra in (("plain", {}), ("tls", tls)):
                servers.append(
                    _serve(
                        folder, name, common | extra | {"PORTAL_BIND": f"127.0.0.1:{ports[name]}"}
                    )
                )
                message = base64.b64decode(facts["message"])
                doors[name] = Door(ports[name], name == "tls", facts["cookie"], message)
            for name, door in doors.items():
                _wait_for(door, folder / f"{name}.log")
            yield Stage(doors, servers)
        finally:
            for server in servers:
                server.send_signal(signal.SIGTERM)
            for server in servers:
                server.wait(20)


@contextlib.contextmanager
def _database(folder: Path, postgresql: str | None) -> Iterator[dict[str, str]]:
    if postgresql is None:
        (folder / "data").mkdir(mode=0o700)
        copy_migrated_database(folder / "data" / "db.sqlite3")
        yield {}
        return
    name = f"portal_slow_{os.getpid()}"
    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield {"DATABASE_URL": urlunsplit(urlsplit(postgresql)._replace(path=f"/{name}"))}
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _furnish(environment: dict[str, str]) -> dict[str, str]:
    command = [sys.executable, "-m", "tests.slow.furnish"]
    done = subprocess.run(
        command, cwd=_ROOT, env=environment, stdout=subprocess.PIPE, check=True, timeout=120
    )
    facts: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return facts


def _serve(folder: Path, name: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with (folder / f"{name}.log").open("wb") as log:
        command = [sys.executable, "-m", "pkiportal.webserver"]
        return subprocess.Popen(
            command, cwd=_ROOT, env={**environment, "PORTAL_PROCESS": "web"}, stdout=log, stderr=log
        )


def _wait_for(door: Door, log: Path) -> None:
    deadline, missing = time.monotonic() + _START_WITHIN, ["any answer"]
    while missing and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            missing = [name for name, probe in door.probes().items() if not probe()]
        time.sleep(0.2)
    if missing:
        raise SystemExit(
            "without the right answer within a minute: "
            f"{', '.join(missing)}\n{log.read_text()[-2000:]}"
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost, and its key, in files."""
    key, name, now = (
        ec_key(),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]),
        datetime.now(UTC),
    )
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=9)
    )
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    paths = folder / "certificate.pem", folder / "key.pem"
    for path, content in zip(paths, (certificate, text), strict=True):
        path.write_bytes(content)
    return paths


def _tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    if not children.exists():
        return []
    return [
        pid,
        *(descendant for child in children.read_text().split() for descendant in _tree(int(child))),
    ]


def _resident(pid: int) -> int:
    fields: Any = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
