"""Alarms: mail to administrators and officers that is not about one request.

As with other notices, the row is written in the transaction of its reason, and a worker sends it.
"""

from collections import defaultdict
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.template.loader import render_to_string

from accounts.models.people import RoleAssignment
from accounts.roles import Role
from approvals.models.challenges import Alarm, AlarmKind
from approvals.models.profiles import EnrollmentProfile
from database import moments
from database.statements import insert

MAX_ATTEMPTS = 8
#: Pause after each failed attempt to reach the mail server.
WAITS = (
    timedelta(0),
    *(timedelta(seconds=min(30 * 2**number, 3600)) for number in range(1, MAX_ATTEMPTS)),
)
_BATCH = 200
_ROLES = {
    AlarmKind.STATIC_OLD: (Role.ADMINISTRATOR,),
    AlarmKind.LOCKED: (Role.ADMINISTRATOR, Role.OFFICER),
    AlarmKind.FAILING: (Role.ADMINISTRATOR, Role.OFFICER),
    AlarmKind.ATTENTION: (Role.ADMINISTRATOR,),
    AlarmKind.RECOVERED: (Role.ADMINISTRATOR,),
}

_log = structlog.get_logger(__name__)


def raise_alarm(kind: AlarmKind, profile: EnrollmentProfile, text: str, *, now: datetime) -> None:
    """Write an alarm about a profile, in the caller's transaction.

    `text` is one sentence without secrets.
    """
    insert(Alarm(kind=kind, profile=profile, text=text[:500], created_at=now, next_attempt_at=now))


def deliver_alarms(*, now: datetime) -> int:
    """Mail the due alarms, one mail per person; returns the number of alarms handled.

    An alarm that failed for a fault of the mail server is retried, at most MAX_ATTEMPTS times.
    """
    due = list(
        Alarm.objects.filter(moments.attempt_is_due(now=now, waits=WAITS))
        .select_related("profile__owner", "profile__department")
        .order_by("next_attempt_at")[:_BATCH]
    )
    if due and not settings.PORTAL_SENDS_MAIL:
        _finish(due, "not sent: no EMAIL_URL is set")
        return len(due)
    sent: set[object] = set()
    faults: dict[object, str] = {}
    for address, alarms in _by_person(due).items():
        try:
            _send(address, alarms)
            sent.update(alarm.pk for alarm in alarms)
        except OSError as error:
            _log.warning("alarm.not_sent", error=str(error), alarms=len(alarms))
            faults |= dict.fromkeys((alarm.pk for alarm in alarms), str(error))
    _finish([alarm for alarm in due if alarm.pk in sent], "sent")
    _finish(
        [alarm for alarm in due if alarm.pk not in sent | faults.keys()],
        "not sent: no recipient has a mail address",
    )
    for alarm in due:
        if alarm.pk in faults.keys() - sent:
            _postpone(alarm, faults[alarm.pk], now=now)
    return len(due)


def _by_person(alarms: list[Alarm]) -> dict[str, list[Alarm]]:
    rows = RoleAssignment.objects.filter(user__is_active=True).exclude(user__email="")
    people = list(rows.values_list("user__email", "role", "department_id"))
    grouped: dict[str, list[Alarm]] = defaultdict(list)
    for alarm in alarms:
        roles, department = _ROLES[AlarmKind(alarm.kind)], alarm.profile.department_id
        addresses = {
            email for email, role, of in people if role in roles and of in (None, department)
        }
        owner = alarm.profile.owner
        if owner is not None and owner.is_active and owner.email:
            addresses.add(owner.email)
        for address in addresses:
            grouped[address].append(alarm)
    return grouped


def _send(address: str, alarms: list[Alarm]) -> None:
    text = render_to_string(
        "email/alarms.txt", {"alarms": alarms, "url": settings.PORTAL_PUBLIC_URL}
    )
    subject = (
        f"{alarms[0].profile.slug}: {alarms[0].get_kind_display()}"
        if len(alarms) == 1
        else _subject(alarms)
    )
    send_mail(subject, text, None, [address])


def _subject(alarms: list[Alarm]) -> str:
    return f"{len(alarms)} enrollment profiles need you"


def _finish(alarms: list[Alarm], outcome: str) -> None:
    Alarm.objects.filter(pk__in=[alarm.pk for alarm in alarms]).update(
        next_attempt_at=None, outcome=outcome
    )


def _postpone(alarm: Alarm, fault: str, *, now: datetime) -> None:
    attempts = alarm.attempts + 1
    again = None if attempts >= MAX_ATTEMPTS else now + WAITS[attempts]
    Alarm.objects.filter(pk=alarm.pk).update(
        attempts=attempts, next_attempt_at=again, outcome=f"not sent: {fault}"[:200]
    )
