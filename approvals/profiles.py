"""Enrollment profiles: made by command or in the admin pages, paused and resumed by administrators."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_network

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F

from accounts.models import User
from accounts.permissions import can
from accounts.roles import Verb
from approvals.challenges import encrypt_static
from approvals.errors import NotPermitted, ProfileInvalid
from approvals.models import ApprovalMode, ChallengePolicy, EnrollmentProfile, EnrollmentRequest
from approvals.policy import RenewalPolicy
from approvals.records import department_of
from approvals.states import State
from audit.events import Actor, Event, Subject
from audit.log import record
from ca.models import CertificateAuthority
from ca.profiles import ProfileSpec
from ca.store import create_profile

REQUEST_TTL = timedelta(days=30)
REFUSED_TTL = timedelta(hours=24)
NO_UNDO = timedelta(0)
MIN_STATIC_CHALLENGE = 12
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class ProfileRequest:
    """What a new enrollment profile, with a certificate profile of the same name, is to be."""

    slug: str
    ca: CertificateAuthority
    spec: ProfileSpec
    approval: str = ApprovalMode.MANUAL
    challenge: str = ChallengePolicy.ONE_TIME
    static_challenge: str | None = field(default=None, repr=False)
    networks: Sequence[str] = ()
    name: str = ""
    allow_asserted_decisions: bool = True
    renewal: RenewalPolicy = field(default_factory=RenewalPolicy)


def create_enrollment_profile(
    wanted: ProfileRequest, *, actor: Actor, user: User | None, now: datetime
) -> EnrollmentProfile:
    """Create both kinds of profile under one name. Raises ProfileInvalid naming the field."""
    _check(wanted)
    with transaction.atomic():
        rules = create_profile(
            slug=wanted.slug, name=wanted.name or wanted.slug, spec=wanted.spec, actor=actor, user=user, now=now
        )
        profile = EnrollmentProfile(
            slug=wanted.slug,
            name=wanted.name or wanted.slug,
            ca=wanted.ca,
            certificate_profile=rules,
            approval=wanted.approval,
            challenge=wanted.challenge,
            static_challenge=_kept(wanted.slug, wanted.static_challenge),
            networks=list(wanted.networks),
            allow_asserted_decisions=wanted.allow_asserted_decisions,
            request_ttl=REQUEST_TTL,
            refused_ttl=REFUSED_TTL,
            undo_window=NO_UNDO,
            renewal_mode=wanted.renewal.mode,
            renewal_window=wanted.renewal.window,
            renewal_grace=wanted.renewal.grace,
            renewal_key_reuse=wanted.renewal.key_reuse,
            renewal_changed_names=wanted.renewal.changed_names,
            is_test=wanted.ca.is_test,
            created_at=now,
        )
        save_profile(profile, actor=actor, now=now, is_new=True)
    return profile


def save_profile(profile: EnrollmentProfile, *, actor: Actor, now: datetime, is_new: bool) -> None:
    """Validate and save a profile with its audit entry. Raises ProfileInvalid."""
    for network in profile.networks:
        check_network(network)
    if profile.challenge == ChallengePolicy.STATIC and profile.static_challenge is None:
        raise ProfileInvalid("static challenge: set one, or choose another kind of challenge")
    try:
        profile.clean_fields()
        profile.validate_constraints()
    except ValidationError as error:
        raise ProfileInvalid("; ".join(error.messages)) from error
    with transaction.atomic():
        facts = {"static_challenge_replaced": _is_replaced(profile)}
        if not is_new:
            profile.version += 1
        profile.save()
        record(
            Event.PROFILE_CREATE if is_new else Event.PROFILE_CHANGE,
            actor=actor,
            now=now,
            subject=Subject.of("profile", profile.slug),
            data=profile_facts(profile) | facts,
            department=department_of(profile),
        )


def profile_facts(profile: EnrollmentProfile) -> dict[str, object]:
    """Return what the log says of a profile: every setting, no secret."""
    return {
        "version": profile.version,
        "name": profile.name,
        "department": department_of(profile),
        "owner": str(profile.owner_id or ""),
        "ca": profile.ca.name,
        "certificate_profile": profile.certificate_profile.slug,
        "approval": str(profile.approval),
        "challenge": str(profile.challenge),
        "networks": list(profile.networks),
        "required_approvals": profile.required_approvals,
        "allow_asserted_decisions": profile.allow_asserted_decisions,
        "on_duplicate": str(profile.on_duplicate),
        "request_ttl_s": int(profile.request_ttl.total_seconds()),
        "refused_ttl_s": int(profile.refused_ttl.total_seconds()),
        "undo_window_s": int(profile.undo_window.total_seconds()),
        "renewal": str(profile.renewal_mode),
        "renewal_window_s": int(profile.renewal_window.total_seconds()),
        "renewal_grace_s": int(profile.renewal_grace.total_seconds()),
        "renewal_key_reuse": profile.renewal_key_reuse,
        "renewal_changed_names": str(profile.renewal_changed_names),
        "max_open_requests": profile.max_open_requests,
        "max_open_per_address": profile.max_open_per_address,
    }


def _is_replaced(profile: EnrollmentProfile) -> bool:
    """Whether saving puts another static challenge in the place of the one on record, or of none."""
    rows = EnrollmentProfile.objects.select_for_update(no_key=True).filter(pk=profile.pk)
    before = rows.values_list("static_challenge", flat=True).first()
    return bytes(before or b"") != bytes(profile.static_challenge or b"")


def set_static_challenge(profile: EnrollmentProfile, text: str) -> None:
    """Put a static challenge on an unsaved change of a profile, encrypted. Raises ProfileInvalid for a weak one."""
    profile.static_challenge = _kept(profile.slug, text)


def pause_profile(*, profile: EnrollmentProfile, user: User, now: datetime) -> None:
    """Stop signing for this profile; devices keep getting PENDING. Raises NotPermitted."""
    _set_pause(profile, user=user, paused_at=now, now=now)


def resume_profile(*, profile: EnrollmentProfile, user: User, now: datetime) -> None:
    """Sign again; what waited is due at once, and the sweep rings for it."""
    _set_pause(profile, user=user, paused_at=None, now=now)


def check_network(text: str) -> None:
    """Raise ProfileInvalid unless `text` is an IPv4 or IPv6 network in CIDR form."""
    try:
        ip_network(text)
    except ValueError as error:
        raise ProfileInvalid(f"network {text!r}: write it like 10.20.0.0/16 or 2001:db8::/32 ({error})") from error


def _set_pause(profile: EnrollmentProfile, *, user: User, paused_at: datetime | None, now: datetime) -> None:
    if not can(user, Verb.PROFILE_MANAGE, profile):
        raise NotPermitted("Only administrators pause and resume profiles.")
    with transaction.atomic():
        rows = EnrollmentProfile.objects.filter(pk=profile.pk, paused_at__isnull=paused_at is not None)
        if not rows.update(paused_at=paused_at, version=F("version") + 1):
            return
        profile.paused_at = paused_at
        if paused_at is None:
            waiting = EnrollmentRequest.objects.filter(profile=profile, state__in=[State.APPROVED, State.ISSUING])
            waiting.filter(next_attempt_at__gt=now, last_fault="").update(next_attempt_at=now)
        record(
            Event.PROFILE_PAUSE if paused_at else Event.PROFILE_RESUME,
            actor=Actor(kind="user", identifier=str(user.pk), name=user.username),
            now=now,
            subject=Subject.of("profile", profile.slug),
            department=department_of(profile),
        )


def _check(wanted: ProfileRequest) -> None:
    if not _SLUG.fullmatch(wanted.slug):
        raise ProfileInvalid(f"slug {wanted.slug!r}: lower-case letters, digits and hyphens, at most 50")
    if EnrollmentProfile.objects.filter(slug=wanted.slug).exists():
        raise ProfileInvalid(f"slug {wanted.slug!r}: a profile of that name exists already")
    if wanted.challenge == ChallengePolicy.NONE and wanted.approval != ApprovalMode.MANUAL:
        raise ProfileInvalid("challenge none: only together with approval manual")
    if wanted.challenge == ChallengePolicy.STATIC and not wanted.static_challenge:
        raise ProfileInvalid("challenge static: give the challenge with --secret-file")


def _kept(slug: str, text: str | None) -> bytes | None:
    if text is None:
        return None
    if len(text) < MIN_STATIC_CHALLENGE or not text.isprintable():
        raise ProfileInvalid(f"static challenge: at least {MIN_STATIC_CHALLENGE} printable characters")
    return encrypt_static(slug, text)
