"""Who acts: one value, made at the door, that use cases ask for rights, records and the log."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from django.db.models import Max, TextChoices

from accounts.models.changes import AccountChange, ChangeKind
from accounts.models.people import User
from audit.events import Actor


class PrincipalKind(StrEnum):
    """What kind of principal acts; the values are the kinds of actors in the log."""

    PERSON = "user"
    TOKEN = "token"  # noqa: S105 - a kind
    COMMAND = "command"
    DEVICE = "device"
    ACCOUNT = "ndes-account"
    POLICY = "policy"
    SYSTEM = "system"


class Evidence(TextChoices):
    """How the portal knows that it is this principal."""

    SESSION = "session", "signed in"
    PASSKEY = "passkey", "confirmed with a passkey"
    ASSERTED = "asserted", "asserted, not authenticated"
    POLICY = "policy", "decided by policy"
    NONE = "none", "no person confirmed it"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who acts, how the portal knows, and from where.

    `user` is the person whose rights count; None where no person's rights limit the act: a command
    of the operator, the policy, the portal itself, an NDES account.
    """

    kind: PrincipalKind
    identifier: str = ""
    name: str = ""
    evidence: Evidence = Evidence.NONE
    address: str = ""
    on_behalf_of: str = ""  # the user name of the person behind a command or a token
    delegation: str = ""  # the delegation under which it acts; empty: in its own right
    credential_changed_at: datetime | None = None  # None: not changed since it was made
    user: User | None = field(default=None, repr=False, compare=False)

    @property
    def actor(self) -> Actor:
        """The actor of audit entries."""
        return Actor(
            kind=self.kind.value,
            identifier=self.identifier,
            name=self.name,
            address=self.address,
            on_behalf_of=self.on_behalf_of,
        )


def person_principal(
    user: User, *, address: str, evidence: Evidence = Evidence.SESSION
) -> Principal:
    """Return the principal of a person who was authenticated, and acts from this address."""
    return Principal(
        kind=PrincipalKind.PERSON,
        identifier=str(user.pk),
        name=user.username,
        evidence=evidence,
        address=address,
        credential_changed_at=_password_changed_at(user),
        user=user,
    )


def asserted_principal(operator: str, user: User) -> Principal:
    """Return the principal of a command that names a person: asserted, not authenticated.

    `operator` is the operating-system user that runs the command.
    """
    return Principal(
        kind=PrincipalKind.COMMAND,
        identifier=str(user.pk),
        name=operator,
        evidence=Evidence.ASSERTED,
        on_behalf_of=user.username,
        user=user,
    )


def _password_changed_at(user: User) -> datetime | None:
    """When a link or a command last set the password of the person."""
    passwords = [ChangeKind.PASSWORD, ChangeKind.COMMAND_PASSWORD]
    rows = AccountChange.objects.filter(user=user, kind__in=passwords)
    newest: datetime | None = rows.aggregate(newest=Max("at"))["newest"]
    return newest


#: The rules of a profile decide.
POLICY: Final = Principal(kind=PrincipalKind.POLICY, evidence=Evidence.POLICY)
#: The portal acts of itself.
PORTAL: Final = Principal(kind=PrincipalKind.SYSTEM)
