"""What the doctor looks at. Each look gives findings in plain words and never raises."""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from django.conf import settings
from django.core import checks
from django.db import DatabaseError, connection

from accounts.setup import has_administrator
from ca.expiry import deadlines_of
from ca.models import CertificateAuthority, ServiceKey
from pkiportal.environment import SettingsError, is_set
from pkiportal.health import broker_answers, pending_migrations, unplanned_faults

State = Literal["ok", "warn", "fail"]
#: Seconds. Leases use the database's clock, certificates the signing worker's.
_CLOCK_WARN: Final = 2.0
_CLOCK_FAIL: Final = 30.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: State
    text: str

    def to_json(self) -> dict[str, str]:
        """For scripts."""
        return asdict(self)


def examine(now: Callable[[], datetime]) -> Iterator[Finding]:
    """Look at everything; `now` is read when the clocks are compared."""
    yield _python()
    yield from _folders()
    yield from _secrets()
    yield from _authority_keys(settings.CA_KEY_FOLDER)
    yield _broker()
    yield _transport()
    yield _proxies()
    try:
        yield from _database(now)
    except DatabaseError as error:
        yield Finding("database", "fail", f"does not answer: {_first_line(error)}")


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding("python", "ok" if sys.version_info >= (3, 11) else "fail", f"Python {version}, 3.11 is needed")


def _folders() -> Iterator[Finding]:
    folder = settings.PORTAL_DATA
    for path in (folder.root, folder.secrets, folder.keys):
        if not path.exists():
            yield Finding("folder", "warn", f"{path} does not exist yet")
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            yield Finding("folder", "fail", f"{path} has mode {mode:04o}, others may enter it: chmod 700 {path}")
        else:
            yield Finding("folder", "ok", f"{path} is private (mode {mode:04o})")


def _secrets() -> Iterator[Finding]:
    for secret in (settings.CA_PASSPHRASE, settings.RA_PASSPHRASE, settings.CHALLENGE_KEY):
        try:
            secret()
        except SettingsError as error:
            yield Finding("secret", "fail", str(error))
        else:
            source = "the environment" if is_set(secret.name) else "the data folder"
            yield Finding("secret", "ok", f"{secret.name} comes from {source}")


def _authority_keys(folder: Path) -> Iterator[Finding]:
    paths = sorted(folder.glob("*.pem")) if folder.is_dir() else []
    for path in paths:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Finding("authority keys", "fail", f"{path} can be read by others: chmod 600 {path}")
    if not paths:
        yield Finding("authority keys", "ok", f"none in {folder}")
    elif os.access(folder, os.R_OK):
        yield Finding(
            "authority keys",
            "warn",
            f"{len(paths)} encrypted, all readable by this user: the operating system does not separate web and "
            "signing here, one user runs both. To separate them run the signing worker as a user of its own",
        )


def _broker() -> Finding:
    where = "embedded Valkey" if settings.PORTAL_EMBEDS_BROKER else "Redis or Valkey of REDIS_URL"
    if broker_answers():
        return Finding("broker", "ok", f"{where} answers")
    return Finding("broker", "warn", f"{where} does not answer: signing waits until it does, nothing is lost")


def _transport() -> Finding:
    if settings.PORTAL_IS_HTTPS:
        return Finding("https", "ok", f"pages are served as {settings.PORTAL_PUBLIC_URL}")
    return Finding(
        "https", "warn", "no TLS: the sign-in pages work on this machine only (--tls-cert, --tls-key, or a proxy)"
    )


def _proxies() -> Finding:
    named = ", ".join(map(str, settings.PORTAL_TRUSTED_PROXIES))
    if not named:
        return Finding("proxies", "ok", "none is named: the address of a connection is the client's")
    hops = settings.PORTAL_PROXY_HOPS
    way = "1 proxy" if hops == 1 else f"up to {hops} proxies one behind the other"
    return Finding("proxies", "ok", f"{named} may say who the client is, {way}")


def _database(now: Callable[[], datetime]) -> Iterator[Finding]:
    pending = pending_migrations()
    if pending:
        yield Finding("migrations", "fail", f"{len(pending)} not applied, first {pending[0]}: ./portal migrate")
        return
    yield Finding("migrations", "ok", "all applied")
    yield from _pragmas() if connection.vendor == "sqlite" else _server()
    yield _clock(now)
    yield from _system_checks()
    yield from _authorities(now)
    yield _people()
    yield _messages(now())


def _authorities(now: Callable[[], datetime]) -> Iterator[Finding]:
    """Certificates and CRLs near their end; RA keys that this user should have and has not."""
    for ca in CertificateAuthority.objects.order_by("name"):
        found = deadlines_of(ca, now=now())
        yield from (Finding(f"authority {ca.name}", deadline.state, deadline.text) for deadline in found)
        if not found:
            yield Finding(f"authority {ca.name}", "ok", "certificates and CRL are good")
    folder = Path(settings.RA_KEY_FOLDER)
    if not os.access(folder, os.R_OK | os.X_OK):
        return  # another user's: this machine, or this user, has no business with RA keys
    for name in ServiceKey.objects.filter(retired_at__isnull=True).values_list("key_name", flat=True):
        if not (folder / name).exists():
            yield Finding("RA keys", "warn", f"{folder / name} is missing: copy it from the machine that made it")


def _people() -> Finding:
    try:
        if has_administrator():
            return Finding("people", "ok", "there is an administrator")
    except DatabaseError:
        return Finding("people", "ok", "not to be seen with this database login")
    return Finding("people", "warn", "no administrator yet: use the link that `./portal up` prints")


def _messages(now: datetime) -> Finding:
    try:
        found = unplanned_faults(now)
    except DatabaseError:
        return Finding("messages", "ok", "not to be seen with this database login")
    if not found.count:
        return Finding("messages", "ok", "none of the last 24 hours ran into a fault that nobody planned")
    text = f"{found.count} of the last 24 hours ran into a fault that nobody planned, the newest {found.newest}"
    return Finding("messages", "warn", f"{text}: see `scep.unplanned` in the log of `web`, and report it")


def _pragmas() -> Iterator[Finding]:
    wanted: dict[str, Any] = {"journal_mode": "wal", "synchronous": 2, "recursive_triggers": 1, "foreign_keys": 1}
    for name, value in wanted.items():
        with connection.cursor() as cursor:
            found = cursor.execute(f"PRAGMA {name}").fetchone()[0]
        state: State = "ok" if found == value else "fail"
        yield Finding("sqlite", state, f"{name} is {found}" + ("" if state == "ok" else f", {value} is needed"))


def _server() -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('max_connections')"
        )
        version, fsync, most = cursor.fetchone()
    yield Finding("postgresql", "ok", f"version {version}, {most} connections allowed")
    yield Finding("postgresql", "ok" if fsync == "on" else "fail", f"fsync is {fsync}")


def _clock(now: Callable[[], datetime]) -> Finding:
    statement = "SELECT now()" if connection.vendor == "postgresql" else "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')"
    with connection.cursor() as cursor:
        cursor.execute(statement)
        found = cursor.fetchone()[0]
    there = found if isinstance(found, datetime) else datetime.fromisoformat(found).replace(tzinfo=UTC)
    offset = abs((now() - there).total_seconds())
    state: State = "ok" if offset < _CLOCK_WARN else "warn" if offset < _CLOCK_FAIL else "fail"
    return Finding("clock", state, f"differs by {offset:.1f} s from the database")


def _system_checks() -> Iterator[Finding]:
    found = checks.run_checks(databases=["default"], include_deployment_checks=False)
    for message in found:
        state: State = "fail" if message.level >= checks.ERROR else "warn"
        yield Finding("checks", state, str(message.msg) + (f", {message.hint}" if message.hint else ""))
    if not found:
        yield Finding("checks", "ok", "triggers and settings are as they should be")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
