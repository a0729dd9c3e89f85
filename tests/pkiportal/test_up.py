"""`./portal up` as a person runs it: the real parts, over loopback."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.ports import free_port

#: Variables that say how a portal runs; those of the test run are not the ones of the portals it
#: starts.
OURS = ("PORTAL_", "DJANGO_", "DATABASE_", "REDIS_")
ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(180), pytest.mark.embedded]


def processes_of(data: Path) -> list[int]:
    """Process ids of all parts on the data folder, by environment or command line."""
    processes = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "environ").read_bytes() + b"\0" + (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if b"PORTAL_DATA=" + os.fsencode(data) in text or os.fsencode(data / "valkey.sock") in text:
            processes.append(int(entry.name))
    return processes


class Portal:
    """One portal on one data folder and port."""

    def __init__(self, data: Path) -> None:
        self.data, self.port = data, free_port()
        self.output = data.with_suffix(".out")
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, port: int) -> list[str]:
        return [
            sys.executable,
            str(ROOT / "manage.py"),
            "up",
            "--data",
            str(self.data),
            "--bind",
            f"127.0.0.1:{port}",
        ]

    def environment(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith(OURS)}

    def start(self) -> str:
        """Start, and return the output until it is ready."""
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                self.command(self.port),
                env=self.environment(),
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self.wait_for(lambda: "Ctrl-C" in self.said())
        return self.said()

    def start_another(self, *, port: int, data: Path) -> str:
        """Try to start a second one, and return its refusal."""
        done = subprocess.run(
            [*self.command(port)[:-4], "--data", str(data), "--bind", f"127.0.0.1:{port}"],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 1
        return done.stderr

    def said(self) -> str:
        return self.output.read_text()

    def get(self, raw: bytes) -> bytes:
        """Send bytes to the web server, return everything it answers."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(raw)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
            return answer

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=120)

    def wait_for(self, condition: Callable[[], bool], seconds: float = 110) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)


@pytest.fixture
def portal(starts_processes: None, tmp_path: Path) -> Iterator[Portal]:
    found = Portal(tmp_path / "data")
    yield found
    if found.process is not None and found.process.poll() is None:
        found.end(signal.SIGTERM)
    for pid in processes_of(found.data):
        os.kill(pid, signal.SIGKILL)


def broker_is_private_and_keeps_its_queue(data: Path) -> None:
    assert (data / "valkey.sock").stat().st_mode & 0o777 == 0o700
    with Redis(unix_socket_path=str(data / "valkey.sock"), decode_responses=True) as broker:
        settings = broker.config_get("*")
        assert {
            name: settings[name]
            for name in ("port", "appendonly", "appendfsync", "maxmemory-policy")
        } == {
            "port": "0",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
        }


def test_one_command_serves_and_one_key_stops_it(portal: Portal) -> None:
    output = portal.start()
    assert [line.strip(" .") for line in output.splitlines()[:6]] == [
        "Starting the portal",
        f"preparing the database in {portal.data}",
        "collecting style sheets and scripts",
        "starting the web server",
        "making the keys of the demo authorities",
        "starting the workers",
    ]
    assert f"ssh -L {portal.port}:localhost:{portal.port} " in output
    assert f"The portal is running: http://localhost:{portal.port}/" in output
    link = re.search(rf"http://localhost:{portal.port}(/account/setup/\w{{32,}})", output)
    assert link
    page = portal.get(
        f"GET {link[1]} HTTP/1.1\r\nHost: localhost:{portal.port}\r\nConnection: "
        "close\r\n\r\n".encode()
    )
    assert page.startswith(b"HTTP/1.1 200 ")

    assert f"http://localhost:{portal.port}/scep/demo/" in output
    old_device = portal.get(b"GET /scep/demo/?operation=GetCACaps HTTP/1.0\r\n\r\n")
    assert old_device.startswith(b"HTTP/1.0 200 ")
    assert old_device.endswith(b"SCEPStandard")
    assert b"transfer-encoding" not in old_device
    chunked = (
        b"POST /scep/demo/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: "
        b"close\r\n\r\n0\r\n\r\n"
    )
    assert portal.get(chunked).startswith(b"HTTP/1.1 411 ")
    broker_is_private_and_keeps_its_queue(portal.data)

    assert "is in use by another portal (process " in portal.start_another(
        port=free_port(), data=portal.data
    )
    elsewhere = portal.data.with_name("elsewhere")
    refusal = portal.start_another(port=portal.port, data=elsewhere)
    assert f"cannot listen on 127.0.0.1:{portal.port} (Address already in use)" in refusal

    began = time.monotonic()
    assert portal.end(signal.SIGINT) == 0
    assert time.monotonic() - began < 12
    assert processes_of(portal.data) == []
    assert "Stopped." in portal.said()


def test_dead_parts_come_back_and_a_killed_supervisor_leaves_no_orphan(portal: Portal) -> None:
    portal.start()
    assert portal.process is not None
    children = (
        Path(f"/proc/{portal.process.pid}/task/{portal.process.pid}/children").read_text().split()
    )
    assert len(children) == 5
    for pid in children:
        os.kill(int(pid), signal.SIGKILL)
    portal.wait_for(lambda: portal.said().count("starting it again in 1 s") >= 5)
    ready = b"GET /readyz HTTP/1.0\r\n\r\n"

    def is_ready() -> bool:
        try:
            return b'"broker": "reachable"' in portal.get(ready) and b'"ready": true' in portal.get(
                ready
            )
        except OSError:
            return False

    portal.wait_for(is_ready)
    portal.end(signal.SIGKILL)
    portal.wait_for(lambda: processes_of(portal.data) == [])
    portal.start()
    assert is_ready()
