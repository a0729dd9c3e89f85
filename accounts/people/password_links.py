"""People set their own passwords through a link that works once, for one day.

The link goes to the person's mail address. Without an address or a mail server the issuer sees it
and could use it: the credential, and the decisions made soon after, say so
(`accounts.people.changes`).
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse

from accounts.models.changes import ChangeKind, LinkDelivery, PasswordLink
from accounts.models.people import User
from accounts.people.changes import Author, note_change
from accounts.people.notices import tell
from accounts.principals import Principal, person_principal
from audit.events import Event, Personal, Subject
from audit.log import record, timestamp

LINK_LIFETIME: Final = timedelta(hours=24)
_TOKEN_BYTES: Final = 24


class PasswordLinkInvalid(Exception):
    """The link is unknown, used, replaced or expired, or the account is switched off."""

    public_text: Final = (
        "This link is not valid: it was used, a newer one replaced it, it is older than a day, or "
        "the account is "
        "switched off. Ask an administrator for a new link."
    )


class LinkNotIssued(Exception):
    """No link was issued; `str()` is a sentence with the reason."""


@dataclass(frozen=True, slots=True)
class IssuedLink:
    """An issued link. `url` is empty if the link was mailed, to `mailed_to`."""

    url: str = field(repr=False)
    mailed_to: str
    expires_at: datetime


def issue_link(user: User, *, principal: Principal, now: datetime) -> IssuedLink:
    """Issue a link for a person; it replaces any earlier link at once.

    The mail is sent after the commit. Raises LinkNotIssued for an account that is switched off, and
    if the mail server refuses the mail: then the link is withdrawn and never shown.
    """
    if not user.is_active:
        raise LinkNotIssued(
            f"user {user.username!r}: the account is switched off, switch it on first"
        )
    token = secrets.token_hex(_TOKEN_BYTES)
    issuer = Author.of(principal)
    delivery = (
        LinkDelivery.MAIL if user.email and settings.PORTAL_SENDS_MAIL else LinkDelivery.SHOWN
    )
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        _open_links(user).update(withdrawn_at=now)
        link = PasswordLink.objects.create(
            user=user,
            digest=_digest(token),
            issuer_id=issuer.user_id,
            issued_by=issuer.name,
            delivery=delivery,
            created_at=now,
            expires_at=now + LINK_LIFETIME,
        )
        _record(Event.PASSWORD_LINK_CREATE, link, principal=principal, now=now)
        if delivery == LinkDelivery.SHOWN:
            sentence = (
                f"{link.issued_by} issued a link that sets the password of {user.username}, and "
                "saw it"
            )
            tell(user, f"Account {user.username}: a password link was issued", sentence, now=now)
    url = f"{settings.PORTAL_PUBLIC_URL}{reverse('account_password_link', args=[token])}"
    if delivery == LinkDelivery.SHOWN:
        return IssuedLink(url, "", link.expires_at)
    _send(link, url, now=now)
    return IssuedLink("", user.email, link.expires_at)


def check_link(token: str, *, now: datetime) -> PasswordLink:
    """Return the link of this token if it can be used now. Raises PasswordLinkInvalid."""
    rows = PasswordLink.objects.select_related("user").filter(
        digest=_digest(token), expires_at__gt=now
    )
    link = rows.filter(
        used_at__isnull=True, withdrawn_at__isnull=True, user__is_active=True
    ).first()
    if link is None:
        raise PasswordLinkInvalid
    return link


def redeem_link(token: str, password: str, *, address: str, now: datetime) -> User:
    """Set the password of the person whose link this is, and end all their sessions.

    Raises PasswordLinkInvalid, and ValidationError for a weak password. Of two uses at the same
    time one succeeds.
    """
    with transaction.atomic():
        link = check_link(token, now=now)
        validate_password(password, link.user)
        if not _open_links(link.user).filter(pk=link.pk).update(used_at=now):
            raise PasswordLinkInvalid
        user = link.user
        user.set_password(password)
        user.save(update_fields=["password"])
        principal = person_principal(user, address=address)
        _record(Event.PASSWORD_LINK_USE, link, principal=principal, now=now)
        issuer = Author(link.issued_by, str(link.issuer_id) if link.issuer_id else None)
        note_change(user, ChangeKind.PASSWORD, author=issuer, now=now, detail=str(link.delivery))
    return user


def has_open_link(user: User, *, now: datetime) -> bool:
    """Whether the person has a link that can be used now."""
    return _open_links(user).filter(expires_at__gt=now).exists()


def _send(link: PasswordLink, url: str, *, now: datetime) -> None:
    text = (
        f"{link.issued_by} issued this link for your account {link.user.username} at the PKI "
        "portal. It sets your "
        f"password, works once, and ends at {timestamp(link.expires_at)[:16]} UTC:\n\n{url}\n\n"
        "If you did not expect it, do not open it, and tell an auditor.\n"
    )
    try:
        send_mail("Set your password for the PKI portal", text, None, [link.user.email])
    except OSError as error:
        PasswordLink.objects.filter(pk=link.pk).update(withdrawn_at=now)
        raise LinkNotIssued(
            f"user {link.user.username!r}: the mail server did not take the link ({error}), try "
            "again later"
        ) from error


def _open_links(user: User) -> QuerySet[PasswordLink]:
    return PasswordLink.objects.filter(user=user, used_at__isnull=True, withdrawn_at__isnull=True)


def _record(event: Event, link: PasswordLink, *, principal: Principal, now: datetime) -> None:
    data = {
        "link": str(link.pk),
        "delivery": str(link.delivery),
        "issued_by": Personal(link.issued_by),
    }
    record(
        event, actor=principal.actor, now=now, subject=Subject.of("user", link.user_id), data=data
    )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
