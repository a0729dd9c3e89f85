"""Changes that others made to an account: kept for the person, for auditors, and for the decisions
made soon after.

An administrator who sets an officer's password could sign in as the officer. That is not to be
prevented while one administrator issues the links; so it is told to the person and to the auditors,
and stands on every decision that the account makes within PORTAL_ACCOUNT_CHANGE_PERIOD.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.db.models import Q

from accounts.models.changes import AccountChange, ChangeKind, LinkDelivery
from accounts.models.people import User
from accounts.people.notices import tell
from accounts.roles import Role
from audit.events import Actor
from audit.log import timestamp


@dataclass(frozen=True, slots=True)
class Author:
    """Who made a change: as pages name them, and the primary key of a person who was signed in."""

    name: str
    user_id: str | None = None

    @classmethod
    def of(cls, actor: Actor) -> "Author":
        """Return the author for an actor: a person, or the operating-system user of a command."""
        if actor.kind == "user":
            return cls(actor.name, actor.identifier)
        behalf = (
            f" for {actor.on_behalf_of} (asserted, not authenticated)" if actor.on_behalf_of else ""
        )
        return cls(f"{actor.name or 'the portal'}, by command{behalf}"[:200])


def note_change(
    user: User,
    kind: ChangeKind,
    *,
    author: Author,
    now: datetime,
    detail: str = "",
    also_to: str = "",
) -> None:
    """Write down a change in its transaction, and tell the person and the auditors; `also_to` is
    one more address.
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


def note_role(user: User, role: Role, *, actor: Actor, now: datetime) -> None:
    """Write down a role that was granted, in the transaction of the grant."""
    is_own = actor.kind == "user" and actor.identifier == str(user.pk)
    kind = ChangeKind.OWN_ROLE if is_own else ChangeKind.ROLE
    note_change(user, kind, author=Author.of(actor), now=now, detail=role.value)


def recent_changes(user: User, *, now: datetime) -> list[dict[str, str]]:
    """Return the changes for which a decision of this person made now is marked, oldest first, as
    facts for JSON.

    An address alone lets no other person in: it counts together with a change that does.
    """
    rows = AccountChange.objects.filter(
        user=user, at__gt=now - settings.PORTAL_ACCOUNT_CHANGE_PERIOD
    )
    changes = list(rows.order_by("at", "pk"))
    is_marked = any(change.kind != ChangeKind.ADDRESS for change in changes)
    return [facts_of(change) for change in changes] if is_marked else []


def facts_of(change: AccountChange) -> dict[str, str]:
    """Return a change as a decision keeps it."""
    return {
        "change": str(change.pk),
        "kind": str(change.kind),
        "at": timestamp(change.at),
        "by": change.by,
        "by_user": str(change.by_user_id or ""),
        "detail": change.detail,
    }


def changes_to_show(user: User, *, now: datetime) -> list[str]:
    """Return sentences about the changes since the person's last sign-in and of the period, and
    note them as shown.
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
    """Return a change as a sentence with its time and who made it."""
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
