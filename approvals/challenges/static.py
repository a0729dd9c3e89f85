"""Static challenges of profiles: set, rotated with an overlap, revealed, reminded of.

They are stored encrypted under a key from outside the database (`PORTAL_CHALLENGE_KEY`). Everyone
who knows one may ask in its profile, so each has an age, and its uses are recorded (`StaticUse`).
"""

import hmac
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from accounts.permissions import can
from accounts.principals import Principal, PrincipalKind
from accounts.roles import Verb
from approvals.models.challenges import ChallengeOrigin, StaticChallenge
from approvals.models.profiles import ApprovalMode, ChallengePolicy, EnrollmentProfile
from approvals.records.transitions import department_of
from approvals.rules.errors import ChallengeInvalid, NotPermitted
from audit.events import Event, Subject
from audit.log import record, timestamp
from database import moments
from database.encryption import Secret, seal, unseal

MIN_LENGTH = 12
MAX_LENGTH = 255
MAX_OVERLAP = timedelta(days=365)
REMIND_AGAIN = timedelta(days=30)
_PURPOSE = "static challenges"
_REMEMBERED = 100  # number of earlier rotations


def match_static(
    profile: EnrollmentProfile, password: str, *, now: datetime
) -> StaticChallenge | None:
    """Return the accepted static challenge of the profile that equals `presented`."""
    return _match(profile, password, taken(profile, now=now))


def was_static(profile: EnrollmentProfile, password: str, *, now: datetime) -> bool:
    """Whether `presented` is an earlier static challenge of the profile, not accepted any more."""
    over = StaticChallenge.objects.filter(profile=profile, retires_at__lte=now).order_by("-id")[
        :_REMEMBERED
    ]
    return _match(profile, password, over) is not None


def taken(profile: EnrollmentProfile, *, now: datetime) -> list[StaticChallenge]:
    """Return the accepted static challenges: the current one, then those in their overlap."""
    rows = StaticChallenge.objects.filter(
        Q(retires_at__isnull=True) | Q(retires_at__gt=now), profile=profile
    )
    return sorted(rows, key=lambda row: row.pk, reverse=True)


def current(profile: EnrollmentProfile) -> StaticChallenge | None:
    """Return the static challenge for new devices."""
    return StaticChallenge.objects.filter(profile=profile, retires_at__isnull=True).first()


def check_static(text: str) -> None:
    """Raise ChallengeInvalid for a static challenge that is too weak or that no client can send."""
    if not MIN_LENGTH <= len(text) <= MAX_LENGTH or not text.isprintable():
        raise ChallengeInvalid(
            f"static challenge: {MIN_LENGTH} to {MAX_LENGTH} printable characters"
        )


def set_static(
    profile: EnrollmentProfile,
    text: str,
    *,
    principal: Principal,
    now: datetime,
    overlap: timedelta = timedelta(0),
) -> StaticChallenge:
    """Make `text` the static challenge of a profile; the old one is accepted during the overlap.

    Raises NotPermitted, and ChallengeInvalid for a weak text, the same one again or an overlap out
    of bounds.
    """
    if principal.user is not None and not can(principal.user, Verb.PROFILE_MANAGE, profile):
        raise NotPermitted(f"static challenge of {profile.slug}: only its administrators set it")
    if not timedelta(0) <= overlap <= MAX_OVERLAP:
        raise ChallengeInvalid("overlap: between none and 365 days")
    return put_static(profile, text, principal=principal, now=now, overlap=overlap)


def put_static(
    profile: EnrollmentProfile,
    text: str,
    *,
    principal: Principal,
    now: datetime,
    overlap: timedelta = timedelta(0),
) -> StaticChallenge:
    """As `set_static`, for a caller that has checked the permission."""
    check_static(text)
    with transaction.atomic():
        EnrollmentProfile.objects.select_for_update(no_key=True).get(pk=profile.pk)
        if match_static(profile, text, now=now) is not None:
            raise ChallengeInvalid("static challenge: it is the same as before, choose another")
        before = current(profile)
        old = StaticChallenge.objects.filter(
            Q(retires_at__isnull=True) | Q(retires_at__gt=now + overlap)
        )
        old.filter(profile=profile).update(retires_at=now + overlap)
        row = StaticChallenge.objects.create(
            profile=profile,
            sealed=seal(_PURPOSE, profile.slug, text.encode()),
            created_at=now,
            created_by=principal.user,
            created_by_name=principal.name[:150],
            origin=_origin(principal),
        )
        facts = (
            {"replaces": str(before.pk), "old_until": timestamp(now + overlap)} if before else {}
        )
        _record(
            Event.CHALLENGE_ROTATE if before else Event.CHALLENGE_CREATE,
            row,
            principal,
            now=now,
            **facts,
        )
    return row


def end_overlap(*, challenge_id: UUID, principal: Principal, now: datetime) -> None:
    """Let a static challenge that was replaced open nothing any more, before its time.

    Raises NotPermitted, ChallengeInvalid for the current one, or one that is over.
    """
    row = _load(challenge_id, principal, Verb.PROFILE_MANAGE)
    with transaction.atomic():
        if not StaticChallenge.objects.filter(pk=row.pk, retires_at__gt=now).update(retires_at=now):
            raise ChallengeInvalid(
                "static challenge: it is the current one, or over already; rotate the current one"
            )
        _record(Event.CHALLENGE_WITHDRAW, row, principal, now=now)


def reveal_static(*, challenge_id: UUID, principal: Principal, now: datetime) -> Secret:
    """Return the clear text of a static challenge, with an entry of who saw it.

    Raises NotPermitted, ChallengeInvalid if it was encrypted under another key.
    """
    row = _load(challenge_id, principal, Verb.CHALLENGE_REVEAL)
    text = _clear_text(row.profile, row)
    if text is None:
        raise ChallengeInvalid(
            "static challenge: it was encrypted with another PORTAL_CHALLENGE_KEY, set it again"
        )
    with transaction.atomic():
        _record(Event.CHALLENGE_REVEAL, row, principal, now=now)
    return Secret(text)


def is_old(row: StaticChallenge, *, now: datetime) -> bool:
    """Whether it should be rotated, by `PORTAL_STATIC_CHALLENGE_DAYS`."""
    days: int = settings.PORTAL_STATIC_CHALLENGE_DAYS
    return days > 0 and row.retires_at is None and row.created_at + timedelta(days=days) <= now


def warnings_of(profile: EnrollmentProfile, *, now: datetime) -> list[tuple[str, str]]:
    """Return warnings about the profile's static challenge, as (tone, sentence)."""
    if profile.challenge != ChallengePolicy.STATIC:
        return []
    warnings = []
    if profile.approval == ApprovalMode.AUTOMATIC:
        text = (
            "Static challenge and automatic approval: everyone who knows it gets a certificate, "
            "without an officer."
        )
        warnings.append(("error", text))
    else:
        warnings.append(
            ("warn", "Static challenge: everyone who knows it may ask in the name of any device.")
        )
    row = current(profile)
    if row is None:
        warnings.append(("error", "There is no static challenge: nothing is accepted. Set one."))
    elif is_old(row, now=now):
        days = (now - row.created_at).days
        warnings.append(
            (
                "warn",
                (
                    f"It is {days} days old: rotate it, with an overlap for devices that have the "
                    "old "
                    "one."
                ),
            )
        )
    return warnings


def overdue(*, now: datetime) -> list[StaticChallenge]:
    """Return current static challenges that are old and without a recent reminder."""
    days: int = settings.PORTAL_STATIC_CHALLENGE_DAYS
    if not days:
        return []
    rows = StaticChallenge.objects.filter(
        Q(reminded_at__isnull=True) | ~moments.within("reminded_at", now=now, span=REMIND_AGAIN),
        retires_at__isnull=True,
        created_at__lte=now - timedelta(days=days),
        profile__challenge=ChallengePolicy.STATIC,
    )
    return list(rows.select_related("profile__department").defer("sealed")[:100])


def _match(
    profile: EnrollmentProfile, password: str, rows: Iterable[StaticChallenge]
) -> StaticChallenge | None:
    """Compare with every one, each in constant time."""
    match = None
    for row in rows:
        stored = _clear_text(profile, row)
        if stored is not None and hmac.compare_digest(stored.encode(), password.encode()):
            match = row
    return match


def _load(challenge_id: UUID, principal: Principal, verb: Verb) -> StaticChallenge:
    row = (
        StaticChallenge.objects.select_related("profile__department")
        .filter(pk=challenge_id)
        .first()
    )
    if row is None or (principal.user is not None and not can(principal.user, verb, row)):
        raise NotPermitted("There is no such static challenge, or it is not yours.")
    return row


def _clear_text(profile: EnrollmentProfile, row: StaticChallenge) -> str | None:
    """Return the clear text, or None if it was encrypted under another key."""
    plain = unseal(_PURPOSE, profile.slug, bytes(row.sealed))
    return plain.decode() if plain is not None else None


def _origin(principal: Principal) -> ChallengeOrigin:
    is_person = principal.kind is PrincipalKind.PERSON
    return ChallengeOrigin.PAGE if is_person else ChallengeOrigin.COMMAND


def _record(
    event: Event, row: StaticChallenge, principal: Principal, *, now: datetime, **facts: object
) -> None:
    record(
        event,
        actor=principal.actor,
        now=now,
        subject=Subject.of("challenge", row.pk),
        data={
            "profile": row.profile.slug,
            "kind": "static",
            "origin": str(_origin(principal)),
            **facts,
        },
        department=department_of(row.profile),
    )
