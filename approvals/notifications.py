"""The outbox: a notice is a row in the transaction that gives the reason for it; a worker sends it."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.template.loader import render_to_string

from accounts.models import RoleAssignment
from accounts.roles import Role
from approvals.models import EnrollmentRequest, OutboxMessage
from audit.inserts import insert

MAX_ATTEMPTS = 8
GATHER = timedelta(seconds=60)  # one mail a minute and officer at most, however many requests come in
_BATCH = 500

_log = structlog.get_logger(__name__)


def notify(kind: str, request: EnrollmentRequest, *, now: datetime) -> None:
    """Write a notice to the request's officers into the outbox, in the caller's transaction."""
    insert(OutboxMessage(kind=kind, request=request, created_at=now, next_attempt_at=now))


def deliver_due(*, now: datetime) -> int:
    """Send what is due, one mail per officer; returns the number of notices dealt with.

    A notice that cannot be sent stays due with a growing delay, at most MAX_ATTEMPTS times. A crash between sending and
    noting it sends a notice twice: never not at all.
    """
    due = list(
        OutboxMessage.objects.filter(next_attempt_at__lte=now)
        .select_related("request__profile__department")
        .order_by("next_attempt_at")[:_BATCH]
    )
    if not due:
        return 0
    if not settings.PORTAL_SENDS_MAIL:
        return _finish(due, "not sent: no EMAIL_URL is set")
    recent = OutboxMessage.objects.filter(outcome="sent", created_at__gt=now - GATHER, next_attempt_at__isnull=True)
    if recent.exists() and min(message.created_at for message in due) > now - GATHER:
        return 0
    try:
        for address, messages in _by_officer(due).items():
            _send(address, messages)
    except OSError as error:
        _log.warning("outbox.not_sent", error=str(error), notices=len(due))
        return _postpone(due, str(error), now=now)
    return _finish(due, "sent")


def _by_officer(messages: Iterable[OutboxMessage]) -> dict[str, list[OutboxMessage]]:
    """Group notices by the mail address of each officer who may decide on their request."""
    officers = list(
        RoleAssignment.objects.filter(role=Role.OFFICER, user__is_active=True)
        .exclude(user__email="")
        .values_list("user__email", "department_id")
    )
    grouped: dict[str, list[OutboxMessage]] = defaultdict(list)
    for message in messages:
        for address in {email for email, department in officers if department in (None, message.request.department_id)}:
            grouped[address].append(message)
    return grouped


def _send(address: str, messages: list[OutboxMessage]) -> None:
    waiting = len(messages)
    text = render_to_string(
        "email/requests.txt", {"messages": messages[:20], "count": waiting, "url": settings.PORTAL_PUBLIC_URL}
    )
    subject = "1 certificate request needs you" if waiting == 1 else f"{waiting} certificate requests need you"
    send_mail(subject, text, None, [address])


def _finish(messages: list[OutboxMessage], outcome: str) -> int:
    rows = OutboxMessage.objects.filter(pk__in=[message.pk for message in messages])
    return rows.update(next_attempt_at=None, outcome=outcome)


def _postpone(messages: list[OutboxMessage], fault: str, *, now: datetime) -> int:
    for message in messages:
        attempts = message.attempts + 1
        again = None if attempts >= MAX_ATTEMPTS else now + timedelta(seconds=min(30 * 2**attempts, 3600))
        OutboxMessage.objects.filter(pk=message.pk).update(
            attempts=attempts, next_attempt_at=again, outcome=f"not sent: {fault}"[:200]
        )
    return len(messages)
