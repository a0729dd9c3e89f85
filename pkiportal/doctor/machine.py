"""This machine and its settings, without the database."""

import os
import stat
import sys
from collections.abc import Iterator
from shlex import quote
from typing import Final

from django.conf import settings

from accounts.network import proxy_notice
from pkiportal.doctor.check import Check, Clock
from pkiportal.environment.variables import SettingsError, is_set
from pkiportal.health import broker_answers
from pkiportal.web.sockets import CONNECTIONS, OTHER_DESCRIPTORS, cure, raise_descriptor_limit

#: Seconds for which the doctor reports a proxy's unusable entry.
_NOTICED: Final = 86_400.0


def python(_: Clock) -> Iterator[Check]:
    """The version of the interpreter."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Check("version", "ok", f"PKI portal {settings.PORTAL_VERSION}")
    yield Check(
        "python",
        "ok" if sys.version_info >= (3, 11) else "fail",
        f"Python {version}, 3.11 is needed",
    )


def folders(_: Clock) -> Iterator[Check]:
    """Folders that only the portal's user may enter."""
    folder = settings.PORTAL_DATA
    for path in (folder.root, folder.secrets, folder.keys):
        if not path.exists():
            yield Check("folder", "warn", f"{path} does not exist yet")
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            yield Check(
                "folder",
                "fail",
                f"{path} has mode {mode:04o}, others may enter it: chmod 700 {quote(str(path))}",
            )
        else:
            yield Check("folder", "ok", f"{path} is private (mode {mode:04o})")


def secrets(_: Clock) -> Iterator[Check]:
    """The available secrets and their sources."""
    for secret in (settings.CA_PASSPHRASE, settings.RA_PASSPHRASE, settings.CHALLENGE_KEY):
        try:
            secret()
        except SettingsError as error:
            yield Check("secret", "fail", str(error))
        else:
            source = "the environment" if is_set(secret.name) else "the data folder"
            yield Check("secret", "ok", f"{secret.name} comes from {source}")


def authority_keys(_: Clock) -> Iterator[Check]:
    """The key files of authorities: their modes, and which access this user has."""
    folder = settings.CA_KEY_FOLDER
    paths = sorted(folder.glob("*.pem")) if folder.is_dir() else []
    for path in paths:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Check(
                "authority keys",
                "fail",
                f"{path} can be read by others: chmod 600 {quote(str(path))}",
            )
    if not paths:
        yield Check("authority keys", "ok", f"none in {folder}")
    elif os.access(folder, os.R_OK):
        yield Check(
            "authority keys",
            "warn",
            f"{len(paths)} encrypted, all readable by this user: the operating system does not "
            "separate web and "
            "signing here, one user runs both. To separate them run the signing worker as a user "
            "of its own",
        )


def broker(_: Clock) -> Iterator[Check]:
    """Whether the broker answers."""
    where = "embedded Valkey" if settings.PORTAL_EMBEDS_BROKER else "Redis or Valkey of REDIS_URL"
    if broker_answers():
        yield Check("broker", "ok", f"{where} answers")
    else:
        yield Check(
            "broker",
            "warn",
            f"{where} does not answer: signing waits until it does, nothing is lost",
        )


def transport(_: Clock) -> Iterator[Check]:
    """Whether the connection to pages is encrypted."""
    if settings.PORTAL_IS_HTTPS:
        yield Check("https", "ok", f"pages are served as {settings.PORTAL_PUBLIC_URL}")
        return
    yield Check(
        "https",
        "warn",
        "no TLS: the sign-in pages work on this machine only (--tls-cert, --tls-key, or a proxy)",
    )


def open_files(_: Clock) -> Iterator[Check]:
    """Whether a web process may hold as many connections as it should."""
    limit = raise_descriptor_limit()
    few = limit < CONNECTIONS + OTHER_DESCRIPTORS
    yield Check(
        "open files",
        "warn" if few else "ok",
        cure(limit) if few else f"{limit} are allowed, enough",
    )


def proxies(clock: Clock) -> Iterator[Check]:
    """The proxies that may report the client's address, and whether they do."""
    names = ", ".join(map(str, settings.PORTAL_TRUSTED_PROXIES))
    if not names:
        yield Check("proxies", "ok", "none is named: the address of a connection is the client's")
        return
    hops = settings.PORTAL_PROXY_HOPS
    way = "1 proxy" if hops == 1 else f"up to {hops} proxies one behind the other"
    header = settings.PORTAL_PROXY_HEADER
    yield Check("proxies", "ok", f"{names} may say who the client is, in {header}, {way}")
    notice = proxy_notice.last(now=clock().timestamp(), within=_NOTICED)
    if notice:
        cure = (
            f"let the proxy write the client's address into {header}, or name its header in "
            "PORTAL_PROXY_HEADER"
        )
        yield Check(
            "proxies",
            "warn",
            f"{notice}: such clients have the proxy's address and share its limits; {cure}",
        )
