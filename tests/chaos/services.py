"""A PostgreSQL cluster, a Valkey and the portal's parts, to be killed and restarted."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg
from redis import Redis, RedisError

from pkiportal.runtime.valkey import valkey_program
from tests.chaos.process import CONDUCTOR, RUN_AS

REPOSITORY: Final = Path(__file__).resolve().parents[2]
_PAUSE: Final = 0.3
_POSTGRESQL: Final = Path("/usr/lib/postgresql")
_SUPERUSER: Final = "portal"


@dataclass
class Kept:
    """A process that is restarted when it ends; `held_until` (monotonic) delays that."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    held_until: float = 0.0


@dataclass
class Keeper:
    """Restarts dead processes at once. Used from one thread."""

    logs: Path
    restarts: Counter[str] = field(default_factory=Counter)
    _kept: dict[str, Kept] = field(default_factory=dict)

    def keep(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start a process, and again whenever it ends."""
        self._kept[name] = Kept(name, command, environment)
        self._start(self._kept[name])

    def tick(self) -> None:
        """Restart ended processes that are not held down."""
        now = time.monotonic()
        for process in self._kept.values():
            if process.process is not None and process.process.poll() is not None:
                _kill_group(process.process.pid)
                process.process = None
                process.held_until = max(process.held_until, now + _PAUSE)
                self.restarts[process.name] += 1
            if process.process is None and now >= process.held_until:
                self._start(process)

    def age(self, name: str) -> float:
        """Seconds since the process was started, 0 while it is down."""
        process = self._kept[name]
        if process.process is None or process.process.poll() is not None:
            return 0.0
        return time.monotonic() - process.started_at

    def kill(self, name: str, *, down: float = 0.0) -> None:
        """SIGKILL a process and everything it started, and keep it down for so many seconds."""
        process = self._kept[name]
        process.held_until = time.monotonic() + down
        if process.process is not None and process.process.poll() is None:
            _kill_family(process.process.pid)
            process.process.wait()

    def stop(self) -> None:
        """End everything."""
        for process in self._kept.values():
            if process.process is not None:
                process.process.terminate()
        for process in self._kept.values():
            if process.process is None:
                continue
            try:
                process.process.wait(5)
                _kill_group(process.process.pid)
            except subprocess.TimeoutExpired:
                _kill_family(process.process.pid)
                process.process.wait()

    def _start(self, process: Kept) -> None:
        with (self.logs / f"{process.name}.log").open("ab") as log:
            process.process = subprocess.Popen(
                list(process.command),
                env=dict(process.environment),
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process.started_at = time.monotonic()


@dataclass(frozen=True)
class Site:
    """Where this run lives, and the environment its processes get."""

    root: Path
    port: int
    database: str

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def chaos(self) -> Path:
        return self.root / "chaos"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, kind: str) -> dict[str, str]:
        """The product's own settings for a kind of process; nothing of this machine's services."""
        environment = {
            name: os.environ[name]
            for name in ("PATH", "HOME", "LANG", "TMPDIR")
            if name in os.environ
        }
        return environment | {
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": "pkiportal.settings",
            "PORTAL_PROCESS": kind,
            "PORTAL_DATA": str(self.data),
            "PORTAL_BIND": f"127.0.0.1:{self.port}",
            "CHAOS_FOLDER": str(self.chaos),
            CONDUCTOR: str(os.getpid()),
            **({"DATABASE_URL": self.database_url} if self.database == "postgresql" else {}),
        }

    @property
    def database_url(self) -> str:
        return f"postgresql://{_SUPERUSER}@{str(self.root / 'pg').replace('/', '%2F')}/portal"

    @property
    def conninfo(self) -> str:
        return f"host={self.root / 'pg'} user={_SUPERUSER} dbname=portal connect_timeout=2"

    @property
    def broker(self) -> Redis:
        return Redis(
            unix_socket_path=str(self.data / "valkey.sock"),
            socket_timeout=1,
            socket_connect_timeout=1,
        )


def instrumented(kind: str, *arguments: str) -> list[str]:
    """The command line of a process with points."""
    return [sys.executable, "-m", "tests.chaos.process", kind, *arguments]


def start_postgresql(site: Site, keeper: Keeper) -> None:
    """Create a cluster and start it, as the user postgres if root. fsync stays on."""
    programs = _postgresql_programs()
    folder = site.root / "pg"
    folder.mkdir(mode=0o700)
    owner = "postgres" if os.geteuid() == 0 else ""
    if owner:
        shutil.chown(folder, owner, owner)
    environment = site.environment("command") | {RUN_AS: owner}
    make = [
        str(programs / "initdb"),
        "-D",
        str(folder / "cluster"),
        "-U",
        _SUPERUSER,
        "-A",
        "trust",
        "--no-sync",
    ]
    make += ["-E", "UTF8", "--locale=C.UTF-8"]
    _run(instrumented("exec", *make), environment)
    serve = [str(programs / "postgres"), "-D", str(folder / "cluster"), "-k", str(folder)]
    for setting in ("listen_addresses=", "max_connections=200", "fsync=on", "shared_buffers=64MB"):
        serve += ["-c", setting]
    keeper.keep("postgres", instrumented("exec", *serve), environment)
    _wait(
        lambda: _accepts(site.conninfo.replace("dbname=portal", "dbname=postgres")),
        "PostgreSQL",
        keeper,
    )
    with psycopg.connect(
        site.conninfo.replace("dbname=portal", "dbname=postgres"), autocommit=True
    ) as connection:
        connection.execute("CREATE DATABASE portal")


def start_valkey(site: Site, keeper: Keeper) -> None:
    """Start a broker with the options of the embedded one."""
    folder = site.data / "valkey"
    folder.mkdir(mode=0o700, exist_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(site.data / "valkey.sock"),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    keeper.keep(
        "broker", instrumented("exec", str(valkey_program()), *words), site.environment("command")
    )
    _wait(lambda: broker_answers(site), "Valkey", keeper)


def start_portal(site: Site, keeper: Keeper) -> None:
    """Start web, both workers and beat with the points in them."""
    for kind in ("web", "signing", "default", "beat"):
        keeper.keep(kind, instrumented(kind), site.environment(kind))
    _wait(lambda: _listens(site.port), "the web server", keeper)


def broker_answers(site: Site) -> bool:
    """Whether the broker answers a PING."""
    try:
        with site.broker as client:
            return bool(client.ping())
    except (RedisError, OSError):
        return False


def manage(site: Site, *arguments: str, stdin: str = "", timeout: float = 120) -> str:
    """Run a management command as an operator does; returns its output.

    Raises CalledProcessError.
    """
    command = [sys.executable, "manage.py", *arguments]
    return _run(command, site.environment("command"), stdin=stdin, timeout=timeout)


def _run(
    command: Sequence[str], environment: Mapping[str, str], *, stdin: str = "", timeout: float = 120
) -> str:
    done = subprocess.run(
        command,
        env=dict(environment),
        cwd=REPOSITORY,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        sys.stderr.write(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done.stdout


def _postgresql_programs() -> Path:
    programs = sorted(_POSTGRESQL.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not programs:
        raise SystemExit(f"PostgreSQL's programs are not in {_POSTGRESQL}: apt install postgresql")
    return programs[-1].parent


def _accepts(conninfo: str) -> bool:
    try:
        with psycopg.connect(conninfo):
            return True
    except psycopg.OperationalError:
        return False


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _wait(is_there: Callable[[], bool], what: str, keeper: Keeper, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_there():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} does not start, see {keeper.logs}")
        keeper.tick()
        time.sleep(0.1)


def _kill_family(pid: int) -> None:
    """SIGKILL a process, its group and its descendants: PostgreSQL's have own sessions."""
    family = _descendants(pid)
    _kill_group(pid)
    for member in family:
        with suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    descendants: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                descendants += [child, *_descendants(child)]
    return descendants
