"""Values from the environment, each checked, each also from NAME_FILE.

A wrong value is reported in one sentence: a parser raises ValueError with the rest of the sentence
"NAME: 'text' ...".
"""

import ipaddress
import logging
import os
import re
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvError, FileAwareEnv

from outbound.url_rules import AllowedHost, read_allowed_host

T = TypeVar("T")
D = TypeVar("D")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
ProcessKind = Literal["web", "signing", "default", "beat", "command"]
PROCESS_KINDS: Final[tuple[ProcessKind, ...]] = ("web", "signing", "default", "beat", "command")

_reader = FileAwareEnv(strip_whitespace=True)


class SettingsError(ImproperlyConfigured):
    """A setting is wrong; the text is one sentence for the operator."""


class Secret:
    """A value hidden from repr, logs and pages; calling it returns the bytes.

    Raises SettingsError when called in a process that may not have the value, and for a missing
    one.
    """

    __slots__ = ("_find", "name")

    def __init__(self, name: str, find: Callable[[], str]) -> None:
        self.name = name
        self._find = find

    def __call__(self) -> bytes:
        return self._find().encode()

    def __repr__(self) -> str:
        return f"<secret {self.name}>"


def read(name: str, parse: Callable[[str], T], *, default: D, secret: bool = False) -> T | D:
    """Return the parsed value of NAME, or of the file in NAME_FILE; else the default."""
    text = read_text(name)
    if not text:
        return default
    try:
        return parse(text)
    except ValueError as error:
        value_text = "the value" if secret else repr(text)
        raise SettingsError(f"{name}: {value_text} {error}") from error


def read_text(name: str) -> str:
    """Return the text of NAME, or of the file in NAME_FILE; else ""."""
    file_name = os.environ.get(f"{name}_FILE")
    if file_name and os.environ.get(name):
        raise SettingsError(f"{name} and {name}_FILE are both set, keep one of them")
    try:
        return _reader.str(name, default="")
    except (OSError, ValueError) as error:
        raise SettingsError(f"{name}_FILE: {file_name!r} is not a readable text file") from error


def is_set(name: str) -> bool:
    """Whether NAME or NAME_FILE is set."""
    return bool(os.environ.get(name) or os.environ.get(f"{name}_FILE"))


def host_port(text: str) -> tuple[str, int]:
    """Parse '127.0.0.1:8000' or '[::1]:8000' into host (without brackets) and port."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})", text)
    if not match or not 0 < int(match[3]) < 65536:
        raise ValueError("is not HOST:PORT, for example 127.0.0.1:8000 or [::]:8000")
    return match[1] or match[2], int(match[3])


def public_url(text: str) -> str:
    """An http or https origin without path, as 'https://pki.example'."""
    message = "is not a web address without a path, for example https://pki.example"
    parts = urlsplit(text)
    try:
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError as error:
        raise ValueError(message) from error
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or not port_is_valid
        or parts.path not in {"", "/"}
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise ValueError(message)
    return f"{parts.scheme}://{parts.netloc}"


def names(text: str) -> tuple[str, ...]:
    """Parse comma-separated host names.

    '*' is refused: with it a client could choose the host in links of mails and pages.
    """
    hosts = tuple(part.strip() for part in text.split(",") if part.strip())
    for name in hosts:
        if not re.fullmatch(r"\.?[A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\]", name):
            raise ValueError(f"has {name!r}, which is not a host name")
    return hosts


def networks(text: str) -> tuple[Network, ...]:
    """Comma-separated IPv4 or IPv6 networks or addresses."""
    parsed: list[Network] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        try:
            parsed.append(ipaddress.ip_network(part))
        except ValueError as error:
            raise ValueError(
                f"has {part!r}, which is not a network, for example 10.0.0.0/8 or fd00::/8"
            ) from error
    return tuple(parsed)


def proxy_hops(text: str) -> int:
    """Parse the number of chained proxies in front of the portal, 1 to 10."""
    if not text.isdecimal() or not 1 <= int(text) <= 10:
        raise ValueError("is not a number of proxies from 1 to 10")
    return int(text)


def proxy_header(text: str) -> str:
    """Return the usual spelling of the header in which the proxies name the client."""
    spellings = {header.lower(): header for header in ("X-Forwarded-For", "Forwarded")}
    if text.strip().lower() not in spellings:
        raise ValueError("is neither X-Forwarded-For nor Forwarded")
    return spellings[text.strip().lower()]


def call_targets(text: str) -> tuple[AllowedHost, ...]:
    """Parse comma-separated hosts that the portal may call: https, or http after `http://`."""
    return tuple(
        read_allowed_host(part)
        for part in filter(None, (piece.strip() for piece in text.split(",")))
    )


def existing_file(text: str) -> Path:
    """Return the absolute path of a readable file."""
    path = Path(text).absolute()
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ValueError("is not a readable file")
    return path


def tls_key(text: str) -> Path:
    """Return the path of an unencrypted PKCS #8 PEM key, the only form the web server reads."""
    path = existing_file(text)
    if "-----BEGIN PRIVATE KEY-----" not in path.read_text(errors="replace"):
        raise ValueError(
            "is not an unencrypted PKCS #8 key, convert it with: openssl pkcs8 -topk8 -nodes"
        )
    return path


def time_zone(text: str) -> str:
    """Check the name of a time zone, such as 'Europe/Berlin'.

    Pages use it; stored times are UTC.
    """
    try:
        zoneinfo.ZoneInfo(text)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
        raise ValueError("is not a time zone, for example Europe/Berlin") from error
    return text


def days(low: int, high: int) -> Callable[[str], int]:
    """Return a parser for a number of days within limits, both included."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise ValueError(f"is not a number of days from {low} to {high}")
        return int(text)

    return parse


crl_days = days(1, 365)


def static_challenge_days(text: str) -> int:
    """Parse the days after which a static challenge is old, 0 to 3650; 0 means never."""
    if not text.isdecimal() or int(text) > 3650:
        raise ValueError("is not a number of days from 0 (never) to 3650")
    return int(text)


def log_level(text: str) -> str:
    """Parse one of Python's level names, in upper case."""
    level = text.upper()
    if (
        level not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}
        or level not in logging.getLevelNamesMapping()
    ):
        raise ValueError("is not one of debug, info, warning, error, critical")
    return level


def switch(text: str) -> bool:
    """Parse 'on' or 'off'."""
    if text.lower() not in {"on", "off"}:
        raise ValueError("is not one of on, off")
    return text.lower() == "on"


def process_kind(text: str) -> ProcessKind:
    """Parse the kind of this process."""
    for kind in PROCESS_KINDS:
        if text == kind:
            return kind
    raise ValueError(f"is not one of {', '.join(PROCESS_KINDS)}")


def redis_url(text: str) -> str:
    """Check a broker address that Celery understands."""
    parts = urlsplit(text)
    with_host = parts.scheme in {"redis", "rediss"} and parts.hostname
    with_socket = parts.scheme == "redis+socket" and parts.path.startswith("/")
    if not with_host and not with_socket:
        raise ValueError("is not redis://HOST:PORT/N, rediss://HOST:PORT/N or redis+socket:///PATH")
    return text


def secret_key(text: str) -> str:
    """Check the key for signing cookies: long enough to resist guessing."""
    if len(text) < 32:
        raise ValueError("is shorter than 32 characters")
    return text


def database(text: str) -> dict[str, Any]:
    """Parse the URL of a PostgreSQL or SQLite database into Django's settings."""
    message = "is not postgresql://USER:PASSWORD@HOST:PORT/NAME or sqlite:////PATH"
    if urlsplit(text).scheme not in {"postgres", "postgresql", "sqlite"}:
        raise ValueError(message)
    try:
        settings = dict(_parsed_by("dj_db_url", text))
    except (EnvError, ValueError) as error:
        raise ValueError(message) from error
    if not settings.get("NAME"):
        raise ValueError(message)
    return settings


def email(text: str) -> dict[str, Any]:
    """Parse smtp://, smtps://, submission:// or console: into Django's EMAIL_ settings."""
    message = "is not smtp://USER:PASSWORD@HOST:PORT, submission://… , smtps://… or console:"
    try:
        settings = dict(_parsed_by("dj_email_url", text))
    except (EnvError, ValueError) as error:
        raise ValueError(message) from error
    if "EMAIL_BACKEND" not in settings:
        raise ValueError(message)
    return {name: value for name, value in settings.items() if value is not None}


def _parsed_by(parser: Literal["dj_db_url", "dj_email_url"], text: str) -> dict[str, Any]:
    """Parse one text with environs, without reading the process environment."""
    return cast("dict[str, Any]", getattr(Env(), parser)("PORTAL_UNSET_NAME", default=text))
