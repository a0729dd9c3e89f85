"""Administrators switch the recording of a profile on for a limited time, and off."""

from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from accounts.permissions import can
from accounts.principals import Principal
from accounts.roles import Verb
from approvals.models.profiles import EnrollmentProfile
from approvals.records.transitions import department_of
from approvals.rules.errors import ApprovalsError, NotPermitted
from audit.events import Event, Subject
from audit.log import record
from database import moments
from exchanges.models import Recording
from exchanges.storage import recorder

LONGEST: Final = timedelta(hours=24)


class RecordingRefused(ApprovalsError):
    """The requested duration is not allowed."""


def start_recording(
    *, profile: EnrollmentProfile, principal: Principal, span: timedelta, now: datetime
) -> Recording:
    """Keep every message of a profile for `span`, from now.

    Raises NotPermitted, RecordingRefused.
    """
    _check(profile, principal)
    if not timedelta(0) < span <= LONGEST:
        raise RecordingRefused(f"Recording for {span}: more than nothing and at most 24 hours.")
    with transaction.atomic():
        values = {"until": now + span, "started_at": now, "started_by": principal.user}
        recording, _ = Recording.objects.update_or_create(profile=profile, defaults=values)
        _record(
            Event.RECORDING_START,
            profile,
            principal,
            now,
            {"until": f"{recording.until:%Y-%m-%dT%H:%M:%SZ}"},
        )
    recorder.forget()
    return recording


def stop_recording(*, profile: EnrollmentProfile, principal: Principal, now: datetime) -> None:
    """End a recording before its time; what was recorded stays for its days.

    Raises NotPermitted.
    """
    _check(profile, principal)
    with transaction.atomic():
        if Recording.objects.filter(profile=profile, until__gt=now).update(until=now):
            _record(Event.RECORDING_STOP, profile, principal, now, {})
    recorder.forget()


def running(*, now: datetime) -> dict[str, datetime]:
    """Return the end of each running recording, by the slug of its profile."""
    rows = Recording.objects.filter(until__gt=now, started_at__lte=now + moments.TOLERANCE)
    return dict(rows.values_list("profile__slug", "until"))


def _check(profile: EnrollmentProfile, principal: Principal) -> None:
    if principal.user is None or not can(principal.user, Verb.PROFILE_MANAGE, profile):
        raise NotPermitted("Only administrators switch recording on and off.")


def _record(
    event: Event,
    profile: EnrollmentProfile,
    principal: Principal,
    now: datetime,
    data: dict[str, object],
) -> None:
    record(
        event,
        actor=principal.actor,
        now=now,
        subject=Subject.of("profile", profile.slug),
        data=data,
        department=department_of(profile),
    )
