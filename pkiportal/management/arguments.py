"""Arguments of commands: existing names, durations, and secrets read from files or stdin."""

import os
import pwd
import re
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from django.core.management.base import CommandError

from accounts.models.people import Department, User
from accounts.principals import Principal, PrincipalKind, asserted_principal
from accounts.roles import Role
from approvals.models.devices import DeviceGroup
from approvals.models.profiles import EnrollmentProfile
from ca.models.authorities import CertificateAuthority

USAGE: Final = 2  # exit status of a command with wrong arguments
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION: Final = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_SHOWN: Final = 20


def operating_system_user() -> str:
    """Return the user who runs the command; a user without an entry is named by its number."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def command_principal(user: User | None = None) -> Principal:
    """Return the principal of a command; it acts for `user`, or for the operator (None)."""
    operator = operating_system_user()
    if user is None:
        return Principal(kind=PrincipalKind.COMMAND, name=operator)
    return asserted_principal(operator, user)


def duration(text: str) -> timedelta:
    """Parse `90s`, `30m`, `1h` or `7d`."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ArgumentTypeError(f"{text!r} is not a duration: write it like 90s, 30m, 1h or 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def duration_or_none(text: str) -> timedelta:
    """Parse a duration, or `0` for none."""
    return timedelta(0) if text == "0" else duration(text)


def count(text: str) -> int:
    """Parse a whole number from 0 to 1,000,000,000."""
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > 1_000_000_000:
        raise ArgumentTypeError(f"{text!r} is not a number from 0 to 1000000000")
    return int(text)


def words(text: str) -> tuple[str, ...]:
    """Parse a comma-separated list."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def identifier(text: str, *, of: str, listed_by: str = "") -> UUID:
    """Parse the identifier of a row, as its list command or `listed_by` prints it."""
    try:
        return UUID(text)
    except ValueError:
        command = listed_by or f"{of}s list"
        raise CommandError(f"{of} {text!r}: not an identifier, see `./portal {command}`") from None


def authority_named(name: str) -> CertificateAuthority:
    """Return an authority with its parents loaded."""
    authority = (
        CertificateAuthority.objects.select_related("parent__parent").filter(name=name).first()
    )
    if authority is None:
        raise unknown(
            "authority", name, CertificateAuthority.objects.values_list("name", flat=True)
        )
    return authority


def profile_named(slug: str) -> EnrollmentProfile:
    """Return an enrollment profile."""
    profile = EnrollmentProfile.objects.select_related("ca", "department").filter(slug=slug).first()
    if profile is None:
        raise unknown("profile", slug, EnrollmentProfile.objects.values_list("slug", flat=True))
    return profile


def department_named(slug: str | None) -> Department | None:
    """Return a department, or None for an empty name."""
    if slug is None:
        return None
    department = Department.objects.filter(slug=slug).first()
    if department is None:
        raise unknown("department", slug, Department.objects.values_list("slug", flat=True))
    return department


def device_group_named(slug: str) -> DeviceGroup:
    """Return a device group."""
    group = DeviceGroup.objects.select_related("department").filter(slug=slug).first()
    if group is None:
        raise unknown("device group", slug, DeviceGroup.objects.values_list("slug", flat=True))
    return group


def officer_named(name: str) -> User:
    """Return an active user who is an officer anywhere; each request checks its own permissions."""
    officers = User.objects.filter(role_assignments__role=Role.OFFICER, is_active=True).distinct()
    officer = officers.filter(username=name).first()
    if officer is None:
        raise unknown("officer", name, officers.values_list("username", flat=True))
    return officer


def maker_named(name: str | None) -> User | None:
    """Return the officer named as author of new challenges, or None."""
    return officer_named(name) if name else None


def officer_principal(name: str) -> Principal:
    """Return the principal of an officer named by a command: asserted, not authenticated."""
    return command_principal(officer_named(name))


def unknown(kind: str, name: str, existing: Iterable[str]) -> CommandError:
    """Return the error for an unknown name, with the known ones."""
    names = sorted(existing)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    there = f"there are {', '.join(names[:_SHOWN])}{more}" if names else "there is none yet"
    return CommandError(f"{kind} {name!r}: not known, {there}")


def content_of(source: str) -> bytes:
    """Read a whole file; `-` is standard input."""
    if source == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise CommandError(f"{source}: cannot be read: {error.strerror}") from error


def secret_from(source: str) -> str:
    """Read a secret from the first line of a file; `-` is standard input."""
    if source == "-":
        return secret_from_stdin()
    try:
        with Path(source).open(encoding="utf-8") as file:
            return _first_line(file.readline(), source)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise CommandError(f"{source}: cannot be read: {reason}") from error


def secret_from_stdin() -> str:
    """Read a secret from the first line of standard input."""
    return _first_line(sys.stdin.readline(), "standard input")


def _first_line(line: str, source: str) -> str:
    text = line.rstrip("\r\n")
    if not text:
        raise CommandError(f"{source}: the first line is empty, the secret is expected there")
    return text
