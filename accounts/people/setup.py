"""The one-time link that creates the first administrator; no portal has a default password."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypedDict, cast

from django.core.cache import cache
from django.db import transaction
from django.utils.crypto import constant_time_compare

from accounts.models.people import RoleAssignment, User
from accounts.people.manage import record_role
from accounts.principals import PORTAL, person_principal
from accounts.roles import Role
from audit.events import NO_DEPARTMENT, Event, Subject
from audit.log import record

LINK_LIFETIME: Final = timedelta(hours=24)
_TOKEN_BYTES: Final = 24
_KEY: Final = "accounts.setup-link"


class SetupLinkInvalid(Exception):
    """The link is unknown, used, expired, or not needed any more."""

    public_text: Final = (
        "This set-up link is not valid: it was used, it is older than a day, or there is an "
        "administrator already. "
        "Restart the portal for a new link, or use `./portal createuser`."
    )


class _Link(TypedDict):
    """A stored link: the digest of its token, and its end (Unix time)."""

    digest: str
    expires: float


@dataclass(frozen=True, slots=True)
class FirstAdministrator:
    """The data of the first administrator, and the address they come from."""

    username: str
    password: str
    also_officer: bool
    address: str

    def __repr__(self) -> str:
        return f"FirstAdministrator(username={self.username!r})"


def has_administrator() -> bool:
    """Whether any person who can sign in holds the role."""
    return RoleAssignment.objects.filter(role=Role.ADMINISTRATOR, user__is_active=True).exists()


def create_setup_link(now: datetime) -> str | None:
    """Return the token of a new link, which replaces any earlier one.

    Returns None if there is an administrator already.
    """
    with transaction.atomic():
        if has_administrator():
            return None
        token = secrets.token_hex(_TOKEN_BYTES)
        link = _Link(digest=_digest(token), expires=(now + LINK_LIFETIME).timestamp())
        cache.set(_KEY, link, timeout=None)
        record(Event.SETUP_LINK_CREATE, actor=PORTAL.actor, now=now)
    return token


def check_setup_link(token: str, *, now: datetime) -> None:
    """Raise SetupLinkInvalid unless the link can be used now."""
    link = cast("_Link | None", cache.get(_KEY))
    if link is None or not constant_time_compare(link["digest"], _digest(token)):
        raise SetupLinkInvalid
    if now.timestamp() >= link["expires"] or has_administrator():
        raise SetupLinkInvalid


def use_setup_link(token: str, person: FirstAdministrator, *, now: datetime) -> User:
    """Create the first administrator.

    Raises SetupLinkInvalid; of two uses at the same time one wins.

    The link is a row of the cache table in the database. Only one transaction can delete it, and
    the same transaction creates the user.
    """
    with transaction.atomic():
        check_setup_link(token, now=now)
        if not cache.delete(_KEY):
            raise SetupLinkInvalid
        user = User.objects.create_user(person.username, password=person.password)
        principal = person_principal(user, address=person.address)
        subject = Subject.of("user", user.pk)
        record(Event.SETUP_LINK_USE, actor=principal.actor, now=now, subject=subject)
        record(Event.USER_CREATE, actor=principal.actor, now=now, subject=subject)
        for role in (
            (Role.ADMINISTRATOR, Role.OFFICER) if person.also_officer else (Role.ADMINISTRATOR,)
        ):
            RoleAssignment.objects.create(user=user, role=role, granted_at=now)
            record_role(
                Event.ROLE_GRANT, user, role, principal=principal, now=now, department=NO_DEPARTMENT
            )
    return user


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
