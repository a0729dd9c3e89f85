"""The outbox: a notice is a row in the transaction of its reason; a worker sends it."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.template.loader import render_to_string

from accounts.models.people import RoleAssignment
from accounts.roles import Role
from approvals.models.requests import EnrollmentRequest, OutboxMessage
from database import moments
from database.ids import since
from database.statements import insert

MAX_ATTEMPTS = 8
#: Pause after each failed attempt to reach the mail server.
WAITS = (
    timedelta(0),
    *(timedelta(seconds=min(30 * 2**number, 3600)) for number in range(1, MAX_ATTEMPTS)),
)
GATHER = timedelta(seconds=60)  # one mail a minute and officer at most, for any number of requests
NO_RECIPIENT = "not sent: no officer with a mail address"
_BATCH = 500

_log = structlog.get_logger(__name__)


def notify(kind: str, request: EnrollmentRequest, *, now: datetime) -> None:
    """Write a notice to the request's officers into the outbox, in the caller's transaction.

    Self-tests send none.
    """
    if request.profile.for_self_test:
        return
    insert(OutboxMessage(kind=kind, request=request, created_at=now, next_attempt_at=now))


def deliver_due(*, now: datetime) -> int:
    """Send the due notices, one mail per officer; returns the number of notices handled.

    A notice that reached no officer stays due with a growing delay, at most MAX_ATTEMPTS times; one
    that reached any officer is done. A crash between sending and recording sends a notice twice:
    never not at all.
    """
    due = list(
        OutboxMessage.objects.filter(moments.attempt_is_due(now=now, waits=WAITS))
        .select_related("request__profile__department")
        .order_by("next_attempt_at")[:_BATCH]
    )
    if not due:
        return 0
    if not settings.PORTAL_SENDS_MAIL:
        return _finish(due, "not sent: no EMAIL_URL is set")
    if all(
        now - GATHER < message.created_at <= now + moments.TOLERANCE for message in due
    ) and _sent_lately(now):
        return 0
    return _send_all(due, now=now)


def _sent_lately(now: datetime) -> bool:
    """Whether a notice of the last minute was sent; keys sort by time, so few rows are read."""
    lately = moments.within("created_at", now=now, span=GATHER)
    rows = OutboxMessage.objects.filter(lately, pk__gte=since(now - GATHER))
    return rows.filter(outcome="sent", next_attempt_at__isnull=True).exists()


def _send_all(due: list[OutboxMessage], *, now: datetime) -> int:
    """Send each officer their mail; a fault with one address does not affect the others."""
    reached: set[UUID] = set()
    faults: dict[UUID, str] = {}
    for address, messages in _by_officer(due).items():
        keys = [message.pk for message in messages]
        try:
            _send(address, messages)
        except OSError as error:
            _log.warning("outbox.not_sent", error=str(error), notices=len(messages))
            faults |= dict.fromkeys(keys, str(error))
        else:
            reached.update(keys)
    _finish([message for message in due if message.pk in reached], "sent")
    missed = [message for message in due if message.pk not in reached]
    _finish([message for message in missed if message.pk not in faults], NO_RECIPIENT)
    for message in missed:
        if message.pk in faults:
            _postpone(message, faults[message.pk], now=now)
    return len(due)


def _by_officer(messages: Iterable[OutboxMessage]) -> dict[str, list[OutboxMessage]]:
    """Group notices by the mail address of each officer who may decide on their request."""
    officers = list(
        RoleAssignment.objects.filter(role=Role.OFFICER, user__is_active=True)
        .exclude(user__email="")
        .values_list("user__email", "department_id")
    )
    grouped: dict[str, list[OutboxMessage]] = defaultdict(list)
    for message in messages:
        for address in {
            email
            for email, department in officers
            if department in (None, message.request.department_id)
        }:
            grouped[address].append(message)
    return grouped


def _send(address: str, messages: list[OutboxMessage]) -> None:
    waiting = len(messages)
    text = render_to_string(
        "email/requests.txt",
        {"messages": messages[:20], "count": waiting, "url": settings.PORTAL_PUBLIC_URL},
    )
    subject = (
        "1 certificate request needs you"
        if waiting == 1
        else f"{waiting} certificate requests need you"
    )
    send_mail(subject, text, None, [address])


def _finish(messages: list[OutboxMessage], outcome: str) -> int:
    rows = OutboxMessage.objects.filter(pk__in=[message.pk for message in messages])
    return rows.update(next_attempt_at=None, outcome=outcome)


def _postpone(message: OutboxMessage, fault: str, *, now: datetime) -> None:
    attempts = message.attempts + 1
    again = None if attempts >= MAX_ATTEMPTS else now + WAITS[attempts]
    OutboxMessage.objects.filter(pk=message.pk).update(
        attempts=attempts, next_attempt_at=again, outcome=f"not sent: {fault}"[:200]
    )
