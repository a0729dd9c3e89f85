"""The parts of an embedded portal: program, settings, and the secrets withheld from each."""

import os
import sys
from typing import Final

from django.conf import settings

from pkiportal.environment.variables import ProcessKind
from pkiportal.runtime.supervisor import Part
from pkiportal.runtime.valkey import valkey_program

#: Variables that only some parts receive, each also as NAME_FILE.
_ONLY_FOR: Final[dict[str, frozenset[ProcessKind]]] = {
    "PORTAL_CA_PASSPHRASE": frozenset({"signing"}),
    "PORTAL_RA_PASSPHRASE": frozenset({"web"}),
    "PORTAL_CHALLENGE_KEY": frozenset({"web", "default"}),
    "PORTAL_TLS_KEY": frozenset({"web"}),
    "PORTAL_TLS_CERT": frozenset({"web"}),
    "PORTAL_HTTP_BIND": frozenset({"web"}),
}
_STOP_LAST: Final = 1


def environment_for(kind: ProcessKind) -> dict[str, str]:
    """Return the environment of one part: this process's, without secrets of other parts."""
    withheld = {
        name
        for variable, kinds in _ONLY_FOR.items()
        if kind not in kinds
        for name in (variable, f"{variable}_FILE")
    }
    fixed = {
        "PORTAL_PROCESS": kind,
        "PORTAL_EMBEDDED": "1",
        "PORTAL_DATA": str(settings.PORTAL_DATA.root),
        "PORTAL_BIND": _address(settings.PORTAL_BIND),
        "PORTAL_PUBLIC_URL": settings.PORTAL_PUBLIC_URL,
    }
    withheld |= {f"{name}_FILE" for name in fixed}
    environment = {name: value for name, value in os.environ.items() if name not in withheld}
    return environment | {
        **fixed,
        "DJANGO_SETTINGS_MODULE": "pkiportal.settings",
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(settings.BASE_DIR), os.environ.get("PYTHONPATH", "")])
        ),
        "PYTHONUNBUFFERED": "1",
    }


def broker() -> Part:
    """Valkey on a socket in the data folder: no port, append-only file, no eviction of keys."""
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
    command = [
        str(valkey_program()),
        *(argument for name, value in options.items() for argument in (f"--{name}", value)),
    ]
    quiet = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PORTAL_", "DATABASE_", "EMAIL_"))
    }
    return Part("valkey", command, quiet, stop_order=_STOP_LAST)


def portal_parts() -> list[Part]:
    """The web server, the two workers and beat, in starting order."""
    return [
        *_web(),
        Part(
            "signing",
            _worker("signing", concurrency=os.cpu_count() or 1),
            environment_for("signing"),
        ),
        Part("default", _worker("default", concurrency=2), environment_for("default")),
        Part("beat", [*_celery(), "beat", "--pidfile="], environment_for("beat")),
    ]


def _web() -> list[Part]:
    """The web server; with TLS optionally a second one for devices that speak HTTP only."""
    command = [sys.executable, "-m", "pkiportal.webserver"]
    parts = [Part("web", command, environment_for("web"))]
    if settings.PORTAL_HTTP_BIND is not None:
        tls = {"PORTAL_TLS_CERT", "PORTAL_TLS_KEY", "PORTAL_HTTP_BIND"}
        withheld = tls | {f"{name}_FILE" for name in tls}
        plain = {
            name: value for name, value in environment_for("web").items() if name not in withheld
        }
        parts.append(
            Part("web-http", command, plain | {"PORTAL_BIND": _address(settings.PORTAL_HTTP_BIND)})
        )
    return parts


def _address(bind: tuple[str, int]) -> str:
    host, port = bind
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _celery() -> list[str]:
    return [sys.executable, "-m", "celery", "-A", "pkiportal.celery", "--quiet"]


def _worker(kind: ProcessKind, *, concurrency: int) -> list[str]:
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return [
        *_celery(),
        "worker",
        "-n",
        f"{kind}@portal",
        "-Q",
        kind,
        "-P",
        "prefork",
        "-c",
        str(concurrency),
        *quiet,
    ]
