"""Limits on guessing challenges, per network and profile: above them no challenge is checked.

The counts are in the database: losing a cache or broker does not open the door. While challenges
are not checked, a right and a wrong one get the same answer, "try again later". Polls, known
transactions and renewals are not affected.

Only guessable challenges lock a whole profile: static ones, those of NDES (64 bits), and those of a
webhook. All other kinds have at least 128 bits. A lock against guessing those would protect nothing
and would let anyone with a few networks block the profile, so many failures only raise an alarm.
"""

import re
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import F, Q

from accounts.network.addresses import network_of
from accounts.permissions import can
from accounts.principals import Principal
from accounts.roles import Verb
from approvals.models.challenges import AlarmKind, FailedChallenges
from approvals.models.profiles import ChallengePolicy, EnrollmentProfile
from approvals.operations.alarms import raise_alarm
from approvals.records.transitions import department_of
from approvals.rules.errors import Cause, NotPermitted
from approvals.rules.policy import is_address_allowed
from audit.events import SYSTEM, Event, Personal, Subject
from audit.log import record, timestamp
from database import moments

WINDOW = timedelta(minutes=10)
LOCKED_FOR = timedelta(minutes=15)
KEPT_FOR = timedelta(days=1)
#: Keys of rows that count a whole profile, for guessable and other challenges. No network has such
#: a name.
_EVERYWHERE = ""
_UNGUESSABLE = "*"
#: The form of an NDES challenge made by `approvals.challenges.onetime`. A challenge of another
#: length cannot match one.
_NDES_FORM: Final = re.compile(r"[0-9A-F]{16}")


def is_guessable(profile: EnrollmentProfile, presented: str) -> bool:
    """Return whether a challenge of this form could be guessed at this profile.

    The form alone decides, never whether the challenge is right: the answer must not reveal that.
    """
    if profile.challenge == ChallengePolicy.ONE_TIME:
        return _NDES_FORM.fullmatch(presented) is not None
    return (
        profile.challenge != ChallengePolicy.INTUNE
    )  # Intune's challenges are encrypted and signed documents


def lock_end(
    profile: EnrollmentProfile, address: str, presented: str, *, now: datetime
) -> datetime | None:
    """Return until when such a challenge from this address is not checked; None: check it now."""
    if _is_exempt(profile, address):
        return None
    places = [network_of(address), *([_EVERYWHERE] if is_guessable(profile, presented) else [])]
    rows = FailedChallenges.objects.filter(_holds(now), profile_id=profile.pk, address__in=places)
    return max(
        (end for end in rows.values_list("locked_until", flat=True) if end is not None),
        default=None,
    )


def note_failure(
    profile: EnrollmentProfile, address: str, *, cause: Cause, now: datetime, presented: str = ""
) -> None:
    """Count a failed challenge, in the transaction of the refusal; lock at the limit.

    A lock writes one audit entry and one alarm.
    """
    if cause is Cause.CHALLENGE_MISSING or _is_exempt(profile, address):
        return
    network, limit = network_of(address), profile.max_failed_per_address
    if limit and _count(profile, network, now=now) >= limit:
        _lock(profile, network, limit=limit, cause=cause, now=now)
    limit, everywhere = profile.max_failed_challenges, is_guessable(profile, presented)
    if limit and _count(profile, _EVERYWHERE if everywhere else _UNGUESSABLE, now=now) >= limit:
        (_lock_everywhere if everywhere else _warn)(profile, limit=limit, cause=cause, now=now)


def unlock(profile: EnrollmentProfile, *, principal: Principal, now: datetime) -> int:
    """Check challenges again for everybody at once; returns how many locks there were.

    Raises NotPermitted.
    """
    if principal.user is not None and not can(principal.user, Verb.CHALLENGE_CREATE, profile):
        raise NotPermitted(f"profile {profile.slug}: you may not unlock its challenges")
    with transaction.atomic():
        number, _ = FailedChallenges.objects.filter(_holds(now), profile=profile).delete()
        if number:
            record(
                Event.CHALLENGE_UNLOCK,
                actor=principal.actor,
                now=now,
                subject=Subject.of("profile", profile.slug),
                data={"locks": number},
                department=department_of(profile),
            )
    return number


def locks_of(profile: EnrollmentProfile, *, now: datetime) -> list[FailedChallenges]:
    """Return the current locks, the one of the whole profile first."""
    rows = FailedChallenges.objects.filter(_holds(now), profile=profile)
    return list(rows.order_by("address")[:100])


def forget_old(*, now: datetime) -> int:
    """Delete outdated counts; returns how many."""
    old = Q(since__lte=now - KEPT_FOR) | Q(since__gt=now + moments.TOLERANCE)
    return FailedChallenges.objects.filter(~_holds(now), old).delete()[0]


def _holds(now: datetime) -> Q:
    """Filter for locks that are not over; one longer than possible was set by a clock ahead."""
    return Q(locked_until__isnull=False) & moments.ahead("locked_until", now=now, span=LOCKED_FOR)


def _is_exempt(profile: EnrollmentProfile, address: str) -> bool:
    """Whether the profile exempts this network: an MDM's proxy asks for all its devices."""
    return bool(profile.lock_exempt_networks) and is_address_allowed(
        address, profile.lock_exempt_networks
    )


def _count(profile: EnrollmentProfile, where: str, *, now: datetime) -> int:
    """Count one more and return the number.

    Of several first failures at the same time one creates the row.
    """
    rows = FailedChallenges.objects.filter(profile_id=profile.pk, address=where)
    lately = moments.within("since", now=now, span=WINDOW)
    recent, old = rows.filter(lately), rows.filter(~lately)
    if not recent.update(failures=F("failures") + 1) and not old.update(failures=1, since=now):
        first = FailedChallenges(profile_id=profile.pk, address=where, failures=0, since=now)
        FailedChallenges.objects.bulk_create([first], ignore_conflicts=True)
        rows.update(failures=F("failures") + 1)
    return rows.values_list("failures", flat=True).get()


def _lock_everywhere(
    profile: EnrollmentProfile, *, limit: int, cause: Cause, now: datetime
) -> None:
    _lock(profile, _EVERYWHERE, limit=limit, cause=cause, now=now)


def _lock(
    profile: EnrollmentProfile, where: str, *, limit: int, cause: Cause, now: datetime
) -> None:
    until = now + LOCKED_FOR
    rows = FailedChallenges.objects.filter(profile_id=profile.pk, address=where)
    rows = rows.filter(~_holds(now))
    if not rows.update(locked_until=until, failures=0):
        return
    facts = {"address": Personal(where or "everywhere"), "until": timestamp(until)}
    _record(Event.CHALLENGE_LOCK, profile, facts, limit=limit, cause=cause, now=now)
    who = f"from {where}; from there" if where else "from all addresses together;"
    text = (
        f"{limit} challenges failed in 10 minutes {who} no challenge is checked until "
        f"{until:%H:%M} UTC."
    )
    raise_alarm(AlarmKind.LOCKED, profile, text, now=now)


def _warn(profile: EnrollmentProfile, *, limit: int, cause: Cause, now: datetime) -> None:
    """Raise an alarm without a lock, at most once in LOCKED_FOR."""
    rows = FailedChallenges.objects.filter(profile_id=profile.pk, address=_UNGUESSABLE)
    rows = rows.filter(
        Q(quiet_until__isnull=True) | moments.over("quiet_until", now=now, span=LOCKED_FOR)
    )
    if not rows.update(quiet_until=now + LOCKED_FOR, failures=0):
        return
    _record(Event.CHALLENGE_ALARM, profile, {}, limit=limit, cause=cause, now=now)
    text = (
        f"{limit} challenges failed in 10 minutes from many addresses. They are too long to be "
        "guessed, so the profile "
        "stays open: look in the audit log which devices send them."
    )
    raise_alarm(AlarmKind.FAILING, profile, text, now=now)


def _record(
    event: Event,
    profile: EnrollmentProfile,
    facts: dict[str, object],
    *,
    limit: int,
    cause: Cause,
    now: datetime,
) -> None:
    record(
        event,
        actor=SYSTEM,
        now=now,
        subject=Subject.of("profile", profile.slug),
        data={"profile": profile.slug, "failures": limit, "last_cause": cause.value, **facts},
        department=department_of(profile),
    )
