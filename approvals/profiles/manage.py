"""Enrollment profiles: created by command or admin page, paused and resumed by administrators."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.permissions import can
from accounts.principals import Principal
from accounts.roles import Verb
from approvals.challenges.static import check_static, current, put_static
from approvals.models.devices import DeviceGroup
from approvals.models.profiles import (
    ApprovalMode,
    ChallengePolicy,
    EmptyContentForm,
    EnrollmentProfile,
    NameConflicts,
    ReplyChain,
    Unlisted,
)
from approvals.models.requests import EnrollmentRequest
from approvals.models.validations import ValidationService
from approvals.operations.doorbell import ring_for_probes
from approvals.profiles.settings import profile_facts
from approvals.profiles.versions import write_version
from approvals.records.transitions import department_of
from approvals.rules.errors import ChallengeInvalid, NotPermitted, ProfileInvalid, ServiceMissing
from approvals.rules.policy import RenewalPolicy
from approvals.rules.profile_rules import ProfileSettings, network_fault, profile_faults
from approvals.rules.states import State
from approvals.validation.services import ServiceOrder, keep_service, order_probe, service_of
from audit.events import Event, Subject
from audit.log import record
from ca.certificates.profile_versions import create_profile
from ca.content.csr_review import ProfileSpec
from ca.models.authorities import CertificateAuthority, CertificatesShape

REQUEST_TTL = timedelta(days=30)
SELF_TEST_TTL = timedelta(hours=1)
REFUSED_TTL = timedelta(hours=24)
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class ProtocolSwitches:
    """Exceptions to RFC 8894 for devices that break it; the default suits all others."""

    legacy_algorithms: bool = False
    reply_chain: str = ReplyChain.LEAF
    empty_content: str = EmptyContentForm.OCTETS
    max_clock_skew: timedelta | None = None


@dataclass(frozen=True, slots=True)
class GuessLimits:
    """Failed challenges in 10 minutes after which none is checked any more; 0: never.

    See `approvals.challenges.lockouts`.
    """

    per_address: int = 20
    per_profile: int = 500
    exempt_networks: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ProfileRequest:
    """A new enrollment profile, with a certificate profile of the same name."""

    slug: str
    ca: CertificateAuthority
    spec: ProfileSpec
    approval: str = ApprovalMode.MANUAL
    challenge: str = ChallengePolicy.ONE_TIME
    static_challenge: str | None = field(default=None, repr=False)
    eligibility: DeviceGroup | None = None
    unlisted: str = Unlisted.REFUSE
    networks: Sequence[str] = ()
    name: str = ""
    allow_asserted_decisions: bool = False
    refuse_after_account_change: bool = False
    renewal: RenewalPolicy = field(default_factory=RenewalPolicy)
    switches: ProtocolSwitches = field(default_factory=ProtocolSwitches)
    guesses: GuessLimits = field(default_factory=GuessLimits)
    is_default: bool = False
    ca_certificates: str = CertificatesShape.RA_CHAIN
    name_conflicts: str = NameConflicts.OFFICER
    service: ServiceOrder | None = None  # the service that checks challenges of this kind
    for_self_test: bool = False
    settings: Mapping[str, object] = field(default_factory=dict)  # by column; they win


def create_enrollment_profile(
    order: ProfileRequest, *, principal: Principal, now: datetime
) -> EnrollmentProfile:
    """Create both kinds of profile under one name. Raises ProfileInvalid naming the field."""
    _check_slug(order.slug)
    profile = _new_profile(order, now=now)
    known_by = KnownBy(order.static_challenge, order.service)
    for fault in profile_faults(_dependent(profile, known_by)):
        raise fault.error
    with transaction.atomic():
        profile.certificate_profile = create_profile(
            slug=profile.slug,
            name=profile.name,
            spec=order.spec,
            principal=principal,
            now=now,
        )
        save_profile(profile, principal=principal, now=now, is_new=True, known_by=known_by)
    return profile


def _new_profile(order: ProfileRequest, *, now: datetime) -> EnrollmentProfile:
    """Return the profile, still without its certificate profile."""
    fields: dict[str, object] = {
        "slug": order.slug,
        "name": order.name or order.slug,
        "ca": order.ca,
        "approval": order.approval,
        "challenge": order.challenge,
        "eligibility": order.eligibility,
        "unlisted": order.unlisted,
        "networks": list(order.networks),
        "allow_asserted_decisions": order.allow_asserted_decisions,
        "refuse_after_account_change": order.refuse_after_account_change,
        "name_conflicts": NameConflicts.ALLOW if order.for_self_test else order.name_conflicts,
        "request_ttl": SELF_TEST_TTL if order.for_self_test else REQUEST_TTL,
        "refused_ttl": REFUSED_TTL,
        "renewal_mode": order.renewal.mode,
        "renewal_window": order.renewal.window,
        "renewal_grace": order.renewal.grace,
        "renewal_key_reuse": order.renewal.key_reuse,
        "renewal_changed_names": order.renewal.changed_names,
        "legacy_algorithms": order.switches.legacy_algorithms,
        "reply_chain": order.switches.reply_chain,
        "empty_content": order.switches.empty_content,
        "max_clock_skew": order.switches.max_clock_skew,
        "max_failed_per_address": order.guesses.per_address,
        "max_failed_challenges": order.guesses.per_profile,
        "lock_exempt_networks": list(order.guesses.exempt_networks),
        "is_default": order.is_default,
        "ca_certificates": order.ca_certificates,
        "for_self_test": order.for_self_test,
        "created_at": now,
    }
    return EnrollmentProfile(**(fields | dict(order.settings)))


@dataclass(frozen=True, slots=True)
class KnownBy:
    """What is set together with a profile: a static challenge, or the service
    to ask.
    """

    static_challenge: str | None = field(default=None, repr=False)
    service: ServiceOrder | None = None


def save_profile(
    profile: EnrollmentProfile,
    *,
    principal: Principal,
    now: datetime,
    is_new: bool,
    known_by: KnownBy = KnownBy(),
) -> None:
    """Validate and save a profile with its audit entry, and a change of its challenges.

    Raises ProfileInvalid.
    """
    _check_static_text(known_by.static_challenge)
    for fault in profile_faults(_dependent(profile, known_by)):
        if not fault.is_constraint:  # `validate_constraints` names the others
            raise fault.error
    check_authority(profile, profile.ca)
    profile.is_test = profile.ca.is_test
    try:
        profile.clean_fields(exclude={"version", "current"})  # both are written by `write_version`
        profile.validate_constraints()
    except ValidationError as error:
        raise ProfileInvalid("; ".join(error.messages)) from error
    with transaction.atomic():
        facts = {"static_challenge_replaced": known_by.static_challenge is not None}
        profile.save()
        write_version(profile, principal=principal, now=now)
        record(
            Event.PROFILE_CREATE if is_new else Event.PROFILE_CHANGE,
            actor=principal.actor,
            now=now,
            subject=Subject.of("profile", profile.slug),
            data=profile_facts(profile) | facts,
            department=department_of(profile),
        )
        if known_by.service is not None:
            keep_service(profile, known_by.service, principal=principal, now=now)
        if known_by.static_challenge is not None:
            put_static(profile, known_by.static_challenge, principal=principal, now=now)


def set_service(
    profile: EnrollmentProfile, order: ServiceOrder, *, principal: Principal, now: datetime
) -> ValidationService:
    """Let a profile accept the challenges of this service, and ask it. Raises ProfileInvalid."""
    with transaction.atomic():
        if profile.challenge != order.kind:
            profile.challenge = order.kind
            save_profile(
                profile, principal=principal, now=now, is_new=False, known_by=KnownBy(service=order)
            )
        else:
            keep_service(profile, order, principal=principal, now=now)
    return ValidationService.objects.get(pk=profile.pk)


def check_authority(profile: EnrollmentProfile, ca: CertificateAuthority) -> None:
    """Raise ProfileInvalid unless this CA may issue for this profile.

    A CA of self-tests is a test and issues for nothing else: its certificates are left out of
    counts.
    """
    others = EnrollmentProfile.objects.filter(ca=ca).exclude(pk=profile.pk)
    is_shared = others.filter(for_self_test=not profile.for_self_test).exists()
    if is_shared or (profile.for_self_test and not ca.is_test):
        raise ProfileInvalid(
            f"CA {ca.name}: a CA of self-tests serves self-tests only, choose another one"
        )


def _dependent(profile: EnrollmentProfile, known_by: KnownBy) -> ProfileSettings:
    """Return the settings that depend on each other, with the recorded or new challenge."""
    service = known_by.service or service_of(profile)
    has_static = known_by.static_challenge is not None
    if not has_static and profile.pk and profile.challenge == ChallengePolicy.STATIC:
        has_static = current(profile) is not None
    return ProfileSettings(
        approval=profile.approval,
        challenge=profile.challenge,
        has_list=profile.eligibility_id is not None,
        networks=profile.networks,
        lock_exempt_networks=profile.lock_exempt_networks,
        has_static_challenge=has_static,
        service=service.kind if service else "",
    )


def _check_static_text(text: str | None) -> None:
    if text is not None:
        try:
            check_static(text)
        except ChallengeInvalid as error:
            raise ProfileInvalid(str(error)) from error


def pause_profile(*, profile: EnrollmentProfile, principal: Principal, now: datetime) -> None:
    """Stop signing for this profile; devices keep getting PENDING. Raises NotPermitted."""
    _set_pause(profile, principal=principal, paused_at=now, now=now)


def resume_profile(*, profile: EnrollmentProfile, principal: Principal, now: datetime) -> None:
    """Sign again; what waited is due at once, and the sweep rings for it."""
    _set_pause(profile, principal=principal, paused_at=None, now=now)


def order_service_probe(*, profile: EnrollmentProfile, principal: Principal, now: datetime) -> None:
    """Let the worker try the service of a profile: the web process calls no other host.

    The entry says who ordered it; the worker adds another with the result. Raises NotPermitted,
    ProfileInvalid.
    """
    if principal.user is None or not can(principal.user, Verb.PROFILE_MANAGE, profile):
        raise NotPermitted("Only administrators test the services of profiles.")
    with transaction.atomic():
        if not order_probe(profile, now=now):
            raise ServiceMissing(field="profile", value=profile.slug)
        record(
            Event.VALIDATION_SERVICE_PROBE,
            actor=principal.actor,
            now=now,
            subject=Subject.of("profile", profile.slug),
            data={"ordered": True},
            department=department_of(profile),
        )
    ring_for_probes()


def check_network(text: str) -> None:
    """Raise ProfileInvalid unless `text` is an IPv4 or IPv6 network in CIDR form."""
    fault = network_fault(text)
    if fault:
        raise fault


def _set_pause(
    profile: EnrollmentProfile,
    *,
    principal: Principal,
    paused_at: datetime | None,
    now: datetime,
) -> None:
    if principal.user is None or not can(principal.user, Verb.PROFILE_MANAGE, profile):
        raise NotPermitted("Only administrators pause and resume profiles.")
    with transaction.atomic():
        rows = EnrollmentProfile.objects.filter(
            pk=profile.pk, paused_at__isnull=paused_at is not None
        )
        if not rows.update(paused_at=paused_at):
            return
        profile.paused_at = paused_at
        if paused_at is None:
            waiting = EnrollmentRequest.objects.filter(
                profile=profile, state__in=[State.APPROVED, State.ISSUING]
            )
            waiting.filter(next_attempt_at__gt=now, last_fault="").update(next_attempt_at=now)
        record(
            Event.PROFILE_PAUSE if paused_at else Event.PROFILE_RESUME,
            actor=principal.actor,
            now=now,
            subject=Subject.of("profile", profile.slug),
            department=department_of(profile),
        )


def _check_slug(slug: str) -> None:
    if not _SLUG.fullmatch(slug):
        raise ProfileInvalid(f"slug {slug!r}: lower-case letters, digits and hyphens, at most 50")
    if EnrollmentProfile.objects.filter(slug=slug).exists():
        raise ProfileInvalid(f"slug {slug!r}: a profile of that name exists already")
