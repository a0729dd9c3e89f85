"""Checks that machines with one database share their secrets, by fingerprints in the database.

A data folder that was lost and made again holds four other secrets, and the fault shows only when a
key cannot be opened or a challenge is not recognised. The first process records a fingerprint of
each secret. A fingerprint is scrypt over the secret with its own salt: testing guessed passphrases
against it is no faster than against the encrypted key file.
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

from accounts.principals import Principal
from approvals.models.operations import SecretFingerprint
from audit.events import Event, Subject
from audit.log import record

_COST: Final = {"n": 2**15, "r": 8, "p": 1, "maxmem": 64 * 1024 * 1024, "dklen": 32}
_SALT_BYTES: Final = 16

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One secret of this process against its recorded fingerprint: `same`, `differs` or `new`."""

    name: str
    outcome: Literal["same", "differs", "new"]
    machine: str = ""
    recorded_at: datetime | None = None


def compare() -> list[Comparison]:
    """Compare each secret that this process can read. Reads only. Raises DatabaseError."""
    rows = {row.name: row for row in SecretFingerprint.objects.all()}
    comparisons = []
    for name, secret in _readable().items():
        row = rows.get(name)
        if row is None:
            comparisons.append(Comparison(name, "new"))
            continue
        is_same = compare_digest(bytes(row.digest), _digest(secret, bytes(row.salt)))
        comparisons.append(
            Comparison(name, "same" if is_same else "differs", row.machine, row.recorded_at)
        )
    return comparisons


def write_down(*, now: datetime) -> None:
    """Record missing fingerprints, and log each one that differs.

    If the database is away, nothing happens.
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


def accept(name: str, *, principal: Principal, now: datetime) -> None:
    """Record the secret of this process as the right one.

    Raises LookupError for a secret it cannot read.
    """
    row = _row(name, now=now)
    values = {"salt": row.salt, "digest": row.digest, "machine": row.machine, "recorded_at": now}
    with transaction.atomic():
        SecretFingerprint.objects.update_or_create(name=name, defaults=values)
        record(
            Event.SECRET_ACCEPT, actor=principal.actor, now=now, subject=Subject.of("secret", name)
        )


def names() -> Mapping[str, Callable[[], str | bytes]]:
    """Return the variables of the shared secrets."""
    return {
        "PORTAL_SECRET_KEY": lambda: settings.SECRET_KEY,
        "PORTAL_CA_PASSPHRASE": settings.CA_PASSPHRASE,
        "PORTAL_RA_PASSPHRASE": settings.RA_PASSPHRASE,
        "PORTAL_CHALLENGE_KEY": settings.CHALLENGE_KEY,
    }


def _readable() -> dict[str, bytes]:
    secrets = {}
    for name, read in names().items():
        try:
            secret = read()
        except ImproperlyConfigured:
            continue  # not passed to this process, or missing: the doctor checks that elsewhere
        secrets[name] = secret.encode() if isinstance(secret, str) else bytes(secret)
    return secrets


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
