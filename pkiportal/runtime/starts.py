"""The start of a process: refuse a dangerous set-up, and record the start in the audit log."""

import os
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

import structlog
from django.conf import settings
from django.db import DatabaseError, transaction

from audit.canonical import canonical_json
from audit.events import Actor, Event
from audit.log import record
from audit.writers import begin, name_start_to_children
from ca.authorities.checks import readable_keys
from pkiportal.environment.fingerprints import write_down

#: Set by `./portal up` for its parts: one user runs all of them, which `./portal doctor` explains.
EMBEDDED: Final = "PORTAL_EMBEDDED"

_log: Final = structlog.get_logger(__name__)


def refuse_readable_ca_keys() -> None:
    """End a web process that can read a CA key: web and signing would not be separated."""
    if os.environ.get(EMBEDDED) == "1":
        return
    readable = readable_keys(Path(settings.CA_KEY_FOLDER))
    if readable:
        raise SystemExit(
            f"{readable[0]}: the web process can read this CA key. Run web and signing worker as "
            "two users, and give the folder of CA keys to the signing worker's alone."
        )


def note_start(process: str, *, now: datetime) -> None:
    """Record the start of a process with its version and a digest of its settings.

    If the database is away, the start is only logged.
    """
    data = {
        "process": process,
        "version": settings.PORTAL_VERSION,
        "settings_sha256": settings_digest(plain_settings()),
    }
    try:
        begin()
        with transaction.atomic():
            entry = record(
                Event.PROCESS_START,
                actor=Actor(kind="system", identifier=process),
                now=now,
                data=data,
            )
        name_start_to_children(entry.pk)
    except DatabaseError as error:
        _log.warning("start.not_recorded", fault=f"{type(error).__name__}: {error}", **data)
    write_down(now=now)


def plain_settings() -> dict[str, str]:
    """Return the settings that determine a process's behaviour, as text, without secrets."""
    database = settings.DATABASES["default"]
    values = {
        name: repr(getattr(settings, name)) for name in dir(settings) if name.startswith("PORTAL_")
    }
    values |= {
        f"DATABASE_{key}": str(database.get(key, ""))
        for key in ("ENGINE", "HOST", "PORT", "NAME", "USER")
    }
    values["ALLOWED_HOSTS"] = repr(settings.ALLOWED_HOSTS)
    return values


def settings_digest(values: Mapping[str, str]) -> str:
    """Return the SHA-256 of settings in canonical form, hex."""
    return sha256(canonical_json(dict(values))).hexdigest()
