"""This machine and its settings, without the database."""

import os
import stat
import sys
from collections.abc import Iterator
from shlex import quote
from typing import Final

from django.conf import settings

from accounts.network import proxy_notice
from pkiportal.doctor.finding import Clock, Finding
from pkiportal.environment.variables import SettingsError, is_set
from pkiportal.health import broker_answers
from pkiportal.web.sockets import CONNECTIONS, OTHER_DESCRIPTORS, cure, raise_descriptor_limit

#: Seconds for which the doctor reports a proxy's unusable entry.
_NOTICED: Final = 86_400.0


def python(_: Clock) -> Iterator[Finding]:
    """The version of the interpreter."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding("version", "ok", f"PKI portal {settings.PORTAL_VERSION}")
    yield Finding(
        "python",
        "ok" if sys.version_info >= (3, 11) else "fail",
        f"Python {version}, 3.11 is needed",
    )


def folders(_: Clock) -> Iterator[Finding]:
    """Folders that only the portal's user may enter."""
    folder = settings.PORTAL_DATA
    for path in (folder.root, folder.secrets, folder.keys):
        if not path.exists():
            yield Finding("folder", "warn", f"{path} does not exist yet")
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            yield Finding(
                "folder",
                "fail",
                f"{path} has mode {mode:04o}, others may enter it: chmod 700 {quote(str(path))}",
            )
        else:
            yield Finding("folder", "ok", f"{path} is private (mode {mode:04o})")


def secrets(_: Clock) -> Iterator[Finding]:
    """The available secrets and their sources."""
    for secret in (settings.CA_PASSPHRASE, settings.RA_PASSPHRASE, settings.CHALLENGE_KEY):
        try:
            secret()
        except SettingsError as error:
            yield Finding("secret", "fail", str(error))
        else:
            source = "the environment" if is_set(secret.name) else "the data folder"
            yield Finding("secret", "ok", f"{secret.name} comes from {source}")


def authority_keys(_: Clock) -> Iterator[Finding]:
    """The key files of authorities: their modes, and which access this user has."""
    folder = settings.CA_KEY_FOLDER
    paths = sorted(folder.glob("*.pem")) if folder.is_dir() else []
    for path in paths:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Finding(
                "authority keys",
                "fail",
                f"{path} can be read by others: chmod 600 {quote(str(path))}",
            )
    if not paths:
        yield Finding("authority keys", "ok", f"none in {folder}")
    elif os.access(folder, os.R_OK):
        yield Finding(
            "authority keys",
            "warn",
            f"{len(paths)} encrypted, all readable by this user: the operating system does not "
            "separate web and "
            "signing here, one user runs both. To separate them run the signing worker as a user "
            "of its own",
        )


def broker(_: Clock) -> Iterator[Finding]:
    """Whether the broker answers."""
    where = "embedded Valkey" if settings.PORTAL_EMBEDS_BROKER else "Redis or Valkey of REDIS_URL"
    if broker_answers():
        yield Finding("broker", "ok", f"{where} answers")
    else:
        yield Finding(
            "broker",
            "warn",
            f"{where} does not answer: signing waits until it does, nothing is lost",
        )


def transport(_: Clock) -> Iterator[Finding]:
    """Whether the connection to pages is encrypted."""
    if settings.PORTAL_IS_HTTPS:
        yield Finding("https", "ok", f"pages are served as {settings.PORTAL_PUBLIC_URL}")
        return
    yield Finding(
        "https",
        "warn",
        "no TLS: the sign-in pages work on this machine only (--tls-cert, --tls-key, or a proxy)",
    )


def open_files(_: Clock) -> Iterator[Finding]:
    """Whether a web process may hold as many connections as it should."""
    limit = raise_descriptor_limit()
    few = limit < CONNECTIONS + OTHER_DESCRIPTORS
    yield Finding(
        "open files",
        "warn" if few else "ok",
        cure(limit) if few else f"{limit} are allowed, enough",
    )


def proxies(clock: Clock) -> Iterator[Finding]:
    """The proxies that may report the client's address, and whether they do."""
    names = ", ".join(map(str, settings.PORTAL_TRUSTED_PROXIES))
    if not names:
        yield Finding("proxies", "ok", "none is named: the address of a connection is the client's")
        return
    hops = settings.PORTAL_PROXY_HOPS
    way = "1 proxy" if hops == 1 else f"up to {hops} proxies one behind the other"
    header = settings.PORTAL_PROXY_HEADER
    yield Finding("proxies", "ok", f"{names} may say who the client is, in {header}, {way}")
    notice = proxy_notice.last(now=clock().timestamp(), within=_NOTICED)
    if notice:
        cure = (
            f"let the proxy write the client's address into {header}, or name its header in "
            "PORTAL_PROXY_HEADER"
        )
        yield Finding(
            "proxies",
            "warn",
            f"{notice}: such clients have the proxy's address and share its limits; {cure}",
        )
