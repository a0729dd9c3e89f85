"""Mail about accounts: stored in the transaction of the change, sent by a worker, no secrets."""

from datetime import datetime, timedelta
from typing import Final

import structlog
from django.conf import settings
from django.core.mail import send_mail

from accounts.models.changes import AccountNotice
from accounts.models.people import RoleAssignment, User
from accounts.roles import Role
from database import moments

MAX_ATTEMPTS: Final = 8
#: Pause after each failed attempt to reach the mail server.
WAITS: Final = (
    timedelta(0),
    *(timedelta(seconds=min(30 * 2**number, 3600)) for number in range(1, MAX_ATTEMPTS)),
)
_BATCH: Final = 200

_log = structlog.get_logger(__name__)


def tell(user: User, subject: str, sentence: str, *, now: datetime, also_to: str = "") -> None:
    """Store mail to the person and to every auditor with an address, in the caller's transaction.

    Without a mail server nothing is stored: the log, and the page after the next sign-in, tell the
    same.
    """
    if not settings.PORTAL_SENDS_MAIL:
        return
    text = (
        f"{sentence}.\n\nIf this is unexpected, tell an auditor and an administrator at once. "
        "Decisions that the "
        f"account makes soon after are marked with it.\n\n{settings.PORTAL_PUBLIC_URL}/\n"
    )
    addresses = dict.fromkeys((user.email, also_to, *_addresses_of_auditors()))
    AccountNotice.objects.bulk_create(
        AccountNotice(
            address=address, subject=subject[:200], text=text, created_at=now, next_attempt_at=now
        )
        for address in addresses
        if address
    )


def deliver_account_notices(*, now: datetime) -> int:
    """Send the mails that are due; returns how many were handled.

    After a fault of the server a mail is retried, MAX_ATTEMPTS times in all.
    """
    due = AccountNotice.objects.filter(moments.attempt_is_due(now=now, waits=WAITS)).order_by(
        "next_attempt_at"
    )[:_BATCH]
    for notice in due:
        try:
            send_mail(notice.subject, notice.text, None, [notice.address])
        except OSError as error:
            _log.warning("account_notice.not_sent", error=str(error), attempts=notice.attempts + 1)
            _postpone(notice, str(error), now=now)
        else:
            notice.delete()
    return len(due)


def _addresses_of_auditors() -> list[str]:
    rows = RoleAssignment.objects.filter(role=Role.AUDITOR, user__is_active=True).exclude(
        user__email=""
    )
    return sorted(set(rows.values_list("user__email", flat=True)))


def _postpone(notice: AccountNotice, fault: str, *, now: datetime) -> None:
    notice.attempts += 1
    notice.next_attempt_at = (
        None if notice.attempts >= MAX_ATTEMPTS else now + WAITS[notice.attempts]
    )
    notice.outcome = f"not sent: {fault}"[:200]
    notice.save(update_fields=["attempts", "next_attempt_at", "outcome"])
