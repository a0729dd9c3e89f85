"""How each kind of process connects to the database and to the broker."""

from pathlib import Path
from typing import Any, Final

from pkiportal.environment.variables import ProcessKind

_SQLITE_OPTIONS: Final[dict[str, Any]] = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": (
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA recursive_triggers=ON; PRAGMA "
        "foreign_keys=ON"
    ),
}


def database_connection(
    database: dict[str, Any] | None, *, process: ProcessKind, file: Path
) -> dict[str, Any]:
    """Return Django's connection settings: the environment's database, else SQLite in `file`."""
    if database is None:
        database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)}
    database_options: dict[str, Any] = database.get("OPTIONS", {})
    if database["ENGINE"].endswith("sqlite3"):
        return database | {"CONN_MAX_AGE": None, "OPTIONS": _SQLITE_OPTIONS | database_options}
    options = {
        "server_side_binding": True,
        "connect_timeout": 5,
        "application_name": f"portal-{process}",
        "options": " ".join(f"-c {name}={value}" for name, value in _limits(process).items()),
    }
    return database | {
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options | database_options,
    }


def _limits(process: ProcessKind) -> dict[str, int]:
    """Milliseconds. A command may migrate a large table; a page or a worker that waits this long is
    stuck.
    """
    limits = {"lock_timeout": 3000}
    if process != "command":
        limits |= {"statement_timeout": 15_000, "idle_in_transaction_session_timeout": 10_000}
    return limits


def broker_options(process: ProcessKind, *, is_embedded: bool) -> dict[str, Any]:
    """Return how long to wait for the broker.

    A worker waits on its connection; what rings must not hold a click: one second, no retry.
    """
    if process in {"signing", "default"}:
        return {
            "visibility_timeout": 120,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "socket_keepalive": not is_embedded,
            "health_check_interval": 15,
        }
    return {
        "visibility_timeout": 120,
        "socket_timeout": 1,
        "socket_connect_timeout": 1,
        "max_retries": 0,
    }
