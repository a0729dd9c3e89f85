"""Whether machines that share a database share their secrets: the first process writes down a
fingerprint of each.

A data folder that was lost and made again holds four other secrets, and nothing says so until a key
cannot be opened or a challenge is not recognised. A fingerprint is scrypt over the secret with a
salt of its own: to a reader of the database it gives no faster test of a guessed passphrase than
the encrypted key file would give.
"""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import scrypt
from hmac import compare_digest
from typing import Final, Literal

import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, transaction

from approvals.models.operations import SecretFingerprint
from audit.events import Actor, Event, Subject
from audit.log import record

_COST: Final = {"n": 2**15, "r": 8, "p": 1, "maxmem": 64 * 1024 * 1024, "dklen": 32}
_SALT_BYTES: Final = 16

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One secret of this process beside its fingerprint: `same`, `differs`, or `new` where none is
    on record.
    """

    name: str
    outcome: Literal["same", "differs", "new"]
    machine: str = ""
    recorded_at: datetime | None = None


def compare() -> list[Comparison]:
    """Compare each secret that this process may read. Reads only. Raises DatabaseError."""
    rows = {row.name: row for row in SecretFingerprint.objects.all()}
    found = []
    for name, secret in _readable().items():
        row = rows.get(name)
        if row is None:
            found.append(Comparison(name, "new"))
            continue
        is_same = compare_digest(bytes(row.digest), _digest(secret, bytes(row.salt)))
        found.append(
            Comparison(name, "same" if is_same else "differs", row.machine, row.recorded_at)
        )
    return found


def write_down(*, now: datetime) -> None:
    """Record the fingerprints that are missing, and log each that differs; a database that is away
    stops nothing.
    """
    try:
        for item in compare():
            if item.outcome == "new":
                SecretFingerprint.objects.bulk_create(
                    [_row(item.name, now=now)], ignore_conflicts=True
                )
            elif item.outcome == "differs":
                _log.error(
                    "secret.differs",
                    secret=item.name,
                    recorded_by=item.machine,
                    advice="./portal doctor",
                )
    except (DatabaseError, InterfaceError) as error:
        _log.warning("secrets.not_compared", fault=f"{type(error).__name__}: {error}")


def accept(name: str, *, actor: Actor, now: datetime) -> None:
    """Take the secret of this process for the right one from now on.

    Raises LookupError for one it cannot read.
    """
    row = _row(name, now=now)
    values = {"salt": row.salt, "digest": row.digest, "machine": row.machine, "recorded_at": now}
    with transaction.atomic():
        SecretFingerprint.objects.update_or_create(name=name, defaults=values)
        record(Event.SECRET_ACCEPT, actor=actor, now=now, subject=Subject.of("secret", name))


def names() -> Mapping[str, Callable[[], str | bytes]]:
    """Return the shared secrets by the name of their variable."""
    return {
        "PORTAL_SECRET_KEY": lambda: settings.SECRET_KEY,
        "PORTAL_CA_PASSPHRASE": settings.CA_PASSPHRASE,
        "PORTAL_RA_PASSPHRASE": settings.RA_PASSPHRASE,
        "PORTAL_CHALLENGE_KEY": settings.CHALLENGE_KEY,
    }


def _readable() -> dict[str, bytes]:
    found = {}
    for name, read in names().items():
        try:
            secret = read()
        except ImproperlyConfigured:
            continue  # not given to this process, or not there: the doctor looks at that elsewhere
        found[name] = secret.encode() if isinstance(secret, str) else bytes(secret)
    return found


def _row(name: str, *, now: datetime) -> SecretFingerprint:
    secret = _readable().get(name)
    if secret is None:
        raise LookupError(f"secret {name}: this process cannot read it")
    salt = os.urandom(_SALT_BYTES)
    machine = socket.gethostname()[:255]
    return SecretFingerprint(
        name=name, salt=salt, digest=_digest(secret, salt), machine=machine, recorded_at=now
    )


def _digest(secret: bytes, salt: bytes) -> bytes:
    return scrypt(secret, salt=salt, **_COST)
