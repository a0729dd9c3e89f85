"""Requests that are stuck: counted, and reported to administrators at beginning and end.

A postponed request is due only later, so a look at the due ones alone finds all well a moment after
each failed attempt. The recorded fault stays until the certificate exists.
"""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery

from approvals.models.challenges import Alarm, AlarmKind
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.models.validations import ReportState, Validation, ValidationState
from approvals.operations.alarms import raise_alarm
from approvals.rules.states import State

#: Minimum time between the end of one alarm of a profile and the next: a recurring fault is one
#: story.
QUIET: Final = timedelta(minutes=15)
_KINDS: Final = (AlarmKind.ATTENTION, AlarmKind.RECOVERED)
_LID: Final = 1000


def needs_attention() -> Q:
    """Return the filter for stuck requests, including those that another system delays.

    They are approved ones that did not become a certificate, and those whose validation service
    does not answer: about the challenge, or to the report of the certificate.
    """
    signing = Q(state__in=[State.APPROVED, State.ISSUING]) & ~Q(last_fault="")
    return Q(state=State.FAILED) | signing | Q(pk__in=_held_up())


def _held_up() -> list[UUID]:
    """Return keys, looked up first: as a subquery they would make it walk all requests."""
    silent = Q(state=ValidationState.UNREACHABLE, request__state=State.PENDING)
    untold = Q(report__in=[ReportState.OWED, ReportState.GIVEN_UP], request__state=State.ISSUED)
    rows = Validation.objects.filter(silent | untold).exclude(fault="")
    return list(rows.values_list("pk", flat=True)[:_LID])


def in_need() -> QuerySet[EnrollmentRequest]:
    """Return the requests that need attention, without self-tests."""
    return EnrollmentRequest.objects.filter(needs_attention(), profile__for_self_test=False)


def signing_fault() -> str:
    """Return the fault of an approved request whose signing failed, or ""."""
    stuck = EnrollmentRequest.objects.filter(
        state__in=[State.APPROVED, State.ISSUING], profile__for_self_test=False
    )
    return (
        stuck.exclude(last_fault="").order_by("pk").values_list("last_fault", flat=True).first()
        or ""
    )


def tell_administrators(*, now: datetime) -> int:
    """Raise an alarm for each profile whose requests began or stopped needing attention.

    Returns how many.
    """
    needing = dict(in_need().order_by().values_list("profile").annotate(Count("pk")))
    newest = Alarm.objects.filter(profile=OuterRef("pk"), kind__in=_KINDS).order_by("-pk")
    profiles = EnrollmentProfile.objects.annotate(
        told=Subquery(newest.values("kind")[:1]), told_at=Subquery(newest.values("created_at")[:1])
    )
    raised = 0
    for profile in profiles.filter(Q(pk__in=needing) | Q(told=AlarmKind.ATTENTION)):
        if profile.pk not in needing:
            text = "No request needs attention any more."
            raise_alarm(AlarmKind.RECOVERED, profile, text, now=now)
        elif profile.told is None or (
            profile.told == AlarmKind.RECOVERED and abs(now - profile.told_at) > QUIET
        ):
            with transaction.atomic():
                raise_alarm(
                    AlarmKind.ATTENTION, profile, _sentence(profile, needing[profile.pk]), now=now
                )
        else:
            continue
        raised += 1
    return raised


def _sentence(profile: EnrollmentProfile, number: int) -> str:
    faults = in_need().filter(profile=profile).exclude(last_fault="").order_by("pk")
    fault = (
        faults.values_list("last_fault", flat=True).first()
        or "a validation service does not answer"
    )
    subject = "1 request needs" if number == 1 else f"{number} requests need"
    return f"{subject} attention, the first because of: {fault}"
