"""A whole portal under a stepped clock: all processes, and PostgreSQL's server too."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from scep.client import Identity, ScepClient, build_csr
from scep.protocol.constants import PKIStatus
from scep.transport import fetch
from tests.interop.portal import REPOSITORY, Portal, start, stop, wait_until
from tests.pki import rsa_key
from tests.ports import free_port

#: Seconds by which the clock is off, one after the other; between two of them it is right again.
#: Back by less than an hour: the certificate of the demo CA is valid since an hour before it was
#: made.
STEPS: Final = (3_000, -2_700, 4 * 3_600, -1_200, 30 * 3_600)
_STEPPED: Final = (
    "CREATE FUNCTION stepped.NAME() RETURNS timestamptz LANGUAGE sql VOLATILE AS "
    "$$SELECT pg_catalog.NAME() + (SELECT seconds FROM stepped.clock) * interval '1 second'$$"
)
_TEST_DATABASE: Final = os.environ.get("PORTAL_TEST_DATABASE_URL", "")

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(420)]


@dataclass(frozen=True)
class SteppedPortal(Portal):
    """A portal whose processes read their offset from a file, and the server's from a table."""

    database: str = ""
    clock: Path = field(default_factory=lambda: Path(os.devnull))

    def popen(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        environment = {
            name: os.environ[name]
            for name in ("PATH", "HOME", "LANG", "TMPDIR")
            if name in os.environ
        }
        stepped = {
            "PYTHONPATH": str(REPOSITORY / "tests" / "stepping"),
            "STEPPED_CLOCK": str(self.clock),
        }
        database = {"DATABASE_URL": self.database} if self.database else {}
        command = [
            sys.executable,
            str(REPOSITORY / "manage.py"),
            *arguments,
            "--data",
            str(self.data),
        ]
        return subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=environment | stepped | database | {"PYTHONUNBUFFERED": "1"},
            text=True,
            **options,
        )

    def step(self, seconds: int) -> None:
        """Set all clocks to the real time and so many seconds."""
        if self.database:
            with psycopg.connect(self.database, autocommit=True) as connection:
                connection.execute("UPDATE stepped.clock SET seconds = %s", [seconds])
        draft = self.clock.with_suffix(".draft")
        draft.write_text(str(seconds))
        draft.replace(self.clock)

    def state(self) -> dict[str, Any]:
        """Return the answer of /readyz."""
        answer = fetch(f"http://127.0.0.1:{self.port}/readyz", None)
        document: dict[str, Any] = json.loads(answer.body)
        return document

    def issues(self, name: str) -> bool:
        """Whether a device that asks at a profile that decides by itself gets its certificate."""
        challenge = self.run("createchallenge", "once").split()[0]
        key = rsa_key("alice")
        identity = Identity.self_signed(key, name, now=datetime.now(UTC))
        scep = ScepClient(self.scep("once"), fetch)
        answer = scep.enroll(build_csr(key, name, challenge_password=challenge), identity)
        answers = [answer]

        def is_issued() -> bool:
            answers.append(
                scep.poll(identity) if answers[-1].status is PKIStatus.PENDING else answers[-1]
            )
            return answers[-1].status is PKIStatus.SUCCESS

        wait_until(
            is_issued, what=f"a certificate for {name}, {answers[-1].status}", within=40, every=0.5
        )
        return True


def swept(portal: SteppedPortal) -> bool:
    """Whether a sweep has just run by the clock of now, and nothing lies about."""
    state = portal.state()
    seconds = state["last_sweep_seconds"]
    return seconds is not None and 0 <= seconds < 20 and state["signing"] == "ok"


@pytest.fixture
def running(starts_processes: None, tmp_path: Path) -> Iterator[Callable[[str], SteppedPortal]]:
    processes: list[subprocess.Popen[str]] = []

    def run(database: str) -> SteppedPortal:
        portal = SteppedPortal(tmp_path / "data", free_port(), database, tmp_path / "clock")
        portal.step(0)
        processes.append(start(portal, tmp_path / "up.log"))
        if database:
            portal.run("createca", "demo", "--subject", "CN=Demo CA,O=Example", "--key", "ec:p256")
        portal.run(
            "createprofile",
            "once",
            "--ca",
            "demo",
            "--approval",
            "automatic",
            "--challenge",
            "one-time",
        )
        return portal

    yield run
    for process in processes:
        stop(process)


def goes_on_whatever_the_clock_does(portal: SteppedPortal) -> None:
    wait_until(lambda: swept(portal), what="the first sweep", within=40)
    for number, seconds in enumerate(STEPS):
        for offset in (seconds, 0):
            portal.step(offset)
            wait_until(
                lambda: swept(portal), what=f"a sweep with the clock off by {offset} s", within=40
            )
            assert portal.issues(f"r{number}-{offset}.example")


def a_request_put_off_under_a_clock_ahead_is_signed(portal: SteppedPortal) -> None:
    """Its key returns together with the right time: no officer and no restart is needed."""
    (key,) = (portal.data / "keys" / "ca").glob("demo.pem")
    portal.step(9_000)
    away = key.rename(key.with_suffix(".away"))
    challenge = portal.run("createchallenge", "once").split()[0]
    signing_key = rsa_key("bob")
    identity = Identity.self_signed(signing_key, "late.example", now=datetime.now(UTC))
    scep = ScepClient(portal.scep("once"), fetch)
    scep.enroll(build_csr(signing_key, "late.example", challenge_password=challenge), identity)
    assert scep.poll(identity).status is PKIStatus.PENDING
    portal.step(0)
    away.rename(key)
    wait_until(
        lambda: scep.poll(identity).status is PKIStatus.SUCCESS,
        what="the certificate",
        within=60,
        every=1,
    )


@pytest.mark.embedded
def test_a_portal_goes_on_while_the_clock_of_its_machine_is_set(
    running: Callable[[str], SteppedPortal],
) -> None:
    portal = running("")
    goes_on_whatever_the_clock_does(portal)
    a_request_put_off_under_a_clock_ahead_is_signed(portal)


@pytest.fixture
def server(starts_processes: None) -> Iterator[str]:
    """A database of its own whose server's clock can be set: functions that come before those of
    pg_catalog.
    """
    if not _TEST_DATABASE.startswith("postgres"):
        pytest.skip("PORTAL_TEST_DATABASE_URL names no PostgreSQL server")
    name = f"stepped_{os.getpid()}"
    url = urlunsplit(urlsplit(_TEST_DATABASE)._replace(path=f"/{name}"))
    with psycopg.connect(_TEST_DATABASE, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        connection.execute(f"ALTER DATABASE {name} SET search_path = public, stepped, pg_catalog")
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE SCHEMA stepped CREATE TABLE clock (seconds int NOT NULL)")
            connection.execute("INSERT INTO stepped.clock VALUES (0)")
            for function in ("clock_timestamp", "now"):
                connection.execute(_STEPPED.replace("NAME", function))
        yield url
    finally:
        with psycopg.connect(_TEST_DATABASE, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.postgresql
def test_a_portal_goes_on_while_the_clocks_of_machine_and_server_are_set(
    running: Callable[[str], SteppedPortal], server: str
) -> None:
    portal = running(server)
    goes_on_whatever_the_clock_does(portal)
    a_request_put_off_under_a_clock_ahead_is_signed(portal)
