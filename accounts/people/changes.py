"""Changes that other people made to an account.

They are shown to the person, to auditors, and with every decision made soon after. An administrator
who sets an officer's password could sign in as that officer. As long as one administrator can issue
the links, this cannot be prevented; so the person and the auditors are told, and the change is
attached to every decision of the account within PORTAL_ACCOUNT_CHANGE_PERIOD.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.db.models import Q

from accounts.models.changes import AccountChange, ChangeKind, LinkDelivery
from accounts.models.people import User
from accounts.people.notices import tell
from accounts.principals import Principal, PrincipalKind
from accounts.roles import Role
from audit.log import timestamp


@dataclass(frozen=True, slots=True)
class Author:
    """The author of a change: their name for pages, and the primary key of a signed-in person."""

    name: str
    user_id: str | None = None

    @classmethod
    def of(cls, principal: Principal) -> "Author":
        """Return the author for a person, or for the operating-system user of a command."""
        if principal.kind is PrincipalKind.PERSON:
            return cls(principal.name, principal.identifier)
        officer = principal.on_behalf_of
        behalf = f" for {officer} (asserted, not authenticated)" if officer else ""
        return cls(f"{principal.name or 'the portal'}, by command{behalf}"[:200])


def note_change(
    user: User,
    kind: ChangeKind,
    *,
    author: Author,
    now: datetime,
    detail: str = "",
    also_to: str = "",
) -> None:
    """Record a change in its transaction, and tell the person and the auditors.

    `also_to` is one more mail address.
    """
    change = AccountChange.objects.create(
        user=user, kind=kind, at=now, by=author.name, by_user_id=author.user_id, detail=detail
    )
    tell(
        user,
        f"Account {user.username}: {change.get_kind_display()}",
        sentence_of(change),
        now=now,
        also_to=also_to,
    )


def note_role(user: User, role: Role, *, principal: Principal, now: datetime) -> None:
    """Record a granted role, in the transaction of the grant."""
    kind = ChangeKind.OWN_ROLE if is_person(principal, user) else ChangeKind.ROLE
    note_change(user, kind, author=Author.of(principal), now=now, detail=role.value)


def is_person(principal: Principal, user: User) -> bool:
    """Return whether this person acts, signed in; a command never counts as the person it names."""
    return principal.kind is PrincipalKind.PERSON and principal.identifier == str(user.pk)


def recent_changes(user: User, *, now: datetime) -> list[dict[str, str]]:
    """Return the changes that mark a decision of this person at `now`, oldest first, for JSON.

    A changed mail address alone gives other people no access; it counts only together with a change
    that does.
    """
    rows = AccountChange.objects.filter(
        user=user, at__gt=now - settings.PORTAL_ACCOUNT_CHANGE_PERIOD
    )
    changes = sorted(rows, key=lambda change: (change.at, change.pk))
    is_marked = any(change.kind != ChangeKind.ADDRESS for change in changes)
    return [facts_of(change) for change in changes] if is_marked else []


def facts_of(change: AccountChange) -> dict[str, str]:
    """Return a change in the form that decisions store."""
    return {
        "change": str(change.pk),
        "kind": str(change.kind),
        "at": timestamp(change.at),
        "by": change.by,
        "by_user": str(change.by_user_id or ""),
        "detail": change.detail,
    }


def changes_to_show(user: User, *, now: datetime) -> list[str]:
    """Return sentences about recent changes, and mark the changes as shown.

    These are the changes since the last sign-in of the person, within the period.
    """
    period = Q(at__gt=now - settings.PORTAL_ACCOUNT_CHANGE_PERIOD)
    rows = list(
        AccountChange.objects.filter(period | Q(shown_at__isnull=True), user=user).order_by(
            "at", "pk"
        )
    )
    unseen = [change.pk for change in rows if change.shown_at is None]
    if unseen:
        AccountChange.objects.filter(pk__in=unseen).update(shown_at=now)
    return [sentence_of(change) for change in rows]


def sentence_of(change: AccountChange) -> str:
    """Return a change as a sentence with its time and author."""
    return sentence(facts_of(change))


def sentence(facts: Mapping[str, str]) -> str:
    """Return the facts of a change as a sentence."""
    by, detail = facts["by"], facts["detail"]
    text = {
        ChangeKind.PASSWORD: f"Password set through a link that {by} issued, {_way(detail)}",
        ChangeKind.COMMAND_PASSWORD: f"Password set by {by}",
        ChangeKind.ROLE: f"Role {detail} granted by {by}",
        ChangeKind.OWN_ROLE: f"Role {detail} granted by {by} to themself",
        ChangeKind.ADDRESS: f"E-mail address changed by {by}",
    }[ChangeKind(facts["kind"])]
    return f"{text}, {_minute(facts['at'])}"


def _way(delivery: str) -> str:
    return "sent to the person's address" if delivery == LinkDelivery.MAIL else "seen by the issuer"


def _minute(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
