"""Guessing challenges: failures are counted per address and profile; past a limit no challenge is checked for a while.

The counts stand in the database: no cache or broker that is gone opens the door. A device reads the same text whether
its challenge was wrong or was not looked at. Polls, known transactions, renewals without a challenge never come here.
"""

from datetime import datetime, timedelta
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

from django.db import transaction
from django.db.models import F, Q

from accounts.models import User
from accounts.permissions import can
from accounts.roles import Verb
from approvals.alarms import raise_alarm
from approvals.errors import Cause, NotPermitted
from approvals.models import AlarmKind, EnrollmentProfile, FailedChallenges
from approvals.policy import is_address_allowed
from approvals.records import department_of
from audit.events import SYSTEM, Actor, Event, Personal, Subject
from audit.log import record, timestamp

WINDOW = timedelta(minutes=10)
LOCKED_FOR = timedelta(minutes=15)
KEPT_FOR = timedelta(days=1)
#: What is no guess: nothing was presented, or nothing was looked at.
NOT_COUNTED = frozenset({Cause.CHALLENGE_MISSING, Cause.CHALLENGE_LOCKED})
_EVERYWHERE = ""
_IPV6_PREFIX: Final = 64


def is_locked(profile: EnrollmentProfile, address: str, *, now: datetime) -> bool:
    """Return whether challenges from this address are not to be checked now."""
    if _is_exempt(profile, address):
        return False
    rows = FailedChallenges.objects.filter(profile_id=profile.pk, address__in=[_place(address), _EVERYWHERE])
    return rows.filter(locked_until__gt=now).exists()


def note_failure(profile: EnrollmentProfile, address: str, *, cause: Cause, now: datetime) -> None:
    """Count a challenge that failed, in the transaction of the refusal; lock at the limit, with one entry and alarm."""
    if cause in NOT_COUNTED or _is_exempt(profile, address):
        return
    for where, limit in (
        (_place(address), profile.max_failed_per_address),
        (_EVERYWHERE, profile.max_failed_challenges),
    ):
        if limit and _count(profile, where, now=now) >= limit:
            _lock(profile, where, limit=limit, cause=cause, now=now)


def unlock(profile: EnrollmentProfile, *, actor: Actor, user: User | None, now: datetime) -> int:
    """Check challenges again for everybody at once; returns how many locks there were. Raises NotPermitted."""
    if user is not None and not can(user, Verb.CHALLENGE_CREATE, profile):
        raise NotPermitted(f"profile {profile.slug}: you may not unlock its challenges")
    with transaction.atomic():
        number, _ = FailedChallenges.objects.filter(profile=profile).filter(locked_until__gt=now).delete()
        if number:
            record(
                Event.CHALLENGE_UNLOCK,
                actor=actor,
                now=now,
                subject=Subject.of("profile", profile.slug),
                data={"locks": number},
                department=department_of(profile),
            )
    return number


def locks_of(profile: EnrollmentProfile, *, now: datetime) -> list[FailedChallenges]:
    """Return the locks that hold now, the one of the whole profile first."""
    rows = FailedChallenges.objects.filter(profile=profile, locked_until__gt=now)
    return list(rows.order_by("address")[:100])


def forget_old(*, now: datetime) -> int:
    """Delete counts that matter no more; returns how many."""
    over = Q(locked_until__isnull=True) | Q(locked_until__lte=now)
    return FailedChallenges.objects.filter(over, since__lte=now - KEPT_FOR).delete()[0]


def _place(address: str) -> str:
    """Where failures are counted: an IPv6 host can have every address of its /64 (RFC 7421), so that counts as one."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return address
    host_bits = found.max_prefixlen - _IPV6_PREFIX
    return str(IPv6Network((int(found) >> host_bits << host_bits, _IPV6_PREFIX)))


def _is_exempt(profile: EnrollmentProfile, address: str) -> bool:
    """An MDM's proxy asks for all its devices from one address: networks that the profile names are never locked."""
    return bool(profile.lock_exempt_networks) and is_address_allowed(address, profile.lock_exempt_networks)


def _count(profile: EnrollmentProfile, where: str, *, now: datetime) -> int:
    """Count one more and return how many there are. Of several that are the first at once one makes the row."""
    rows = FailedChallenges.objects.filter(profile_id=profile.pk, address=where)
    recent, old = rows.filter(since__gt=now - WINDOW), rows.filter(since__lte=now - WINDOW)
    if not recent.update(failures=F("failures") + 1) and not old.update(failures=1, since=now):
        first = FailedChallenges(profile_id=profile.pk, address=where, failures=0, since=now)
        FailedChallenges.objects.bulk_create([first], ignore_conflicts=True)
        rows.update(failures=F("failures") + 1)
    return rows.values_list("failures", flat=True).get()


def _lock(profile: EnrollmentProfile, where: str, *, limit: int, cause: Cause, now: datetime) -> None:
    until = now + LOCKED_FOR
    rows = FailedChallenges.objects.filter(profile_id=profile.pk, address=where)
    rows = rows.filter(Q(locked_until__isnull=True) | Q(locked_until__lte=now))
    if not rows.update(locked_until=until, failures=0):
        return
    record(
        Event.CHALLENGE_LOCK,
        actor=SYSTEM,
        now=now,
        subject=Subject.of("profile", profile.slug),
        data={
            "profile": profile.slug,
            "address": Personal(where or "everywhere"),
            "failures": limit,
            "last_cause": cause.value,
            "until": timestamp(until),
        },
        department=department_of(profile),
    )
    who = f"from {where}" if where else "from many addresses"
    text = f"{limit} challenges failed in 10 minutes {who}; none is checked for it until {until:%H:%M} UTC."
    raise_alarm(AlarmKind.LOCKED, profile, text, now=now)
