"""The loop on PostgreSQL and Redis as services: real web server, worker and broker."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from scep.client import Identity, ScepClient, build_csr
from scep.protocol.constants import PKIStatus
from tests.pki import rsa_key
from tests.ports import free_port

REPOSITORY = Path(__file__).parents[2]
NAME = f"portal_services_{os.getpid()}"


@pytest.fixture
def environment(starts_processes: None, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a portal with a database of its own on the services that the run was
    given.
    """
    database, broker = (
        os.environ.get("PORTAL_TEST_DATABASE_URL"),
        os.environ.get("PORTAL_TEST_REDIS_URL"),
    )
    if not database or not broker:
        pytest.skip("PORTAL_TEST_DATABASE_URL and PORTAL_TEST_REDIS_URL name no services")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {NAME}")
    environment = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ
    }
    own = {"DATABASE_URL": f"{database.rpartition('/')[0]}/{NAME}", "REDIS_URL": broker}
    yield environment | own | {"PORTAL_DATA": str(tmp_path / "data")}
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


def command(environment: dict[str, str], *words: str, text: str = "") -> str:
    """Run a command of the portal."""
    run = [sys.executable, str(REPOSITORY / "manage.py"), *words]
    done = subprocess.run(
        run, env=environment, input=text, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.postgresql
def test_the_loop_runs_on_postgresql_and_redis(environment: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    log = tmp_path / "up.log"
    run = [sys.executable, str(REPOSITORY / "manage.py"), "up", "--bind", f"127.0.0.1:{port}"]
    with log.open("wb") as output:
        portal = subprocess.Popen(run, env=environment, stdout=output, stderr=output)
    try:
        wait_for(lambda: b"The portal is running" in log.read_bytes(), 60)
        assert "valkey" not in {path.stem for path in (tmp_path / "data" / "logs").iterdir()}
        command(environment, "createca", "issuing", "--key", "ec:p256", "--subject", "CN=Issuing")
        policy = ("--approval", "manual", "--challenge", "none", "--allow-asserted-decisions")
        command(environment, "createprofile", "routers", "--ca", "issuing", *policy)
        command(
            environment,
            "createuser",
            "alice",
            "--role",
            "officer",
            "--password-stdin",
            text="a-long-passw0rd",
        )
        client = ScepClient(f"http://127.0.0.1:{port}/scep/routers/")
        device = Identity.self_signed(rsa_key("alice"), "r1.example", now=datetime.now(UTC))
        assert (
            client.enroll(build_csr(device.key, "r1.example"), device).status is PKIStatus.PENDING
        )
        command(environment, "requests", "approve", "--all-pending", "--officer", "alice")
        wait_for(lambda: client.poll(device).status is PKIStatus.SUCCESS, 30)
    finally:
        portal.send_signal(signal.SIGINT)
        portal.wait(30)


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    """Return as soon as the condition holds; fail when it does not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
