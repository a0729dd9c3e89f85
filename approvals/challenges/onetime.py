"""Challenge passwords (RFC 8894 §2.4, §7.3): one-time ones as keyed hashes, static ones encrypted.

The key comes from outside the database (`PORTAL_CHALLENGE_KEY`): a copy of the database reveals no
challenge. In stored CSRs the presented challenge is overwritten (`ca.x509.csr.stored_der`).
"""

import base64
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.models.people import User
from accounts.permissions import can
from accounts.principals import Principal
from accounts.roles import Verb
from approvals.challenges.eligibility import is_member
from approvals.challenges.static import match_static, was_static
from approvals.models.challenges import (
    ChallengeOrigin,
    ChallengePassword,
    StaticChallenge,
    StaticUse,
)
from approvals.models.devices import DeviceGroup
from approvals.models.profiles import ChallengePolicy, EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.records.transitions import department_of
from approvals.rules.bindings import Binding, claims_of, described, normalized
from approvals.rules.errors import Cause, ChallengeInvalid, NotPermitted
from approvals.rules.submission import Submission
from audit.events import Event, Personal, Subject
from audit.log import record, timestamp
from database.encryption import Secret
from database.statements import insert

CHALLENGE_BYTES = 20  # 160 random bits, 32 characters of base32
#: NDES makes challenges of 16 hexadecimal digits in capitals, and readers of its page look for
#: them.
NDES_BYTES = 8
MAX_LIFETIME = timedelta(days=365)
MAX_COUNT = 10_000
MAX_CREATED_FOR = 150


@dataclass(frozen=True, slots=True)
class ChallengeResult:
    """The result of checking a challenge: satisfied, a cause, or still unknown (`is_awaited`).

    `challenge` is to be marked as redeemed; `presented` is the one-time challenge on record, valid
    or not; `static` is the matching static one.
    """

    satisfied: bool
    cause: Cause | None = None
    is_awaited: bool = False  # a service must confirm it: `approvals.records.validation_gate`
    challenge: ChallengePassword | None = field(default=None, repr=False)
    presented: ChallengePassword | None = field(default=None, repr=False)
    static: StaticChallenge | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ChallengeOrder:
    """An order of one-time challenges: number, lifetime, purpose and binding (empty: unbound).

    `subject` is a common name, `subject_dn` a whole subject like `CN=r1.example, O=Example`, `sans`
    are written `kind:value`, `networks` in CIDR or as one address.
    """

    profile: EnrollmentProfile
    count: int = 1
    lifetime: timedelta = timedelta(hours=1)
    subject: str = ""
    subject_dn: str = ""
    serial_number: str = ""
    sans: Sequence[str] = ()
    networks: Sequence[str] = ()
    group: DeviceGroup | None = None
    created_for: str = ""
    origin: ChallengeOrigin = ChallengeOrigin.COMMAND

    def check(self) -> Binding:
        """Return the binding of each challenge. Raises ChallengeInvalid for an invalid order."""
        if self.profile.challenge != ChallengePolicy.ONE_TIME:
            kind = self.profile.get_challenge_display()
            raise ChallengeInvalid(
                f"profile {self.profile.slug} takes {kind}, not one-time challenges"
            )
        if not 1 <= self.count <= MAX_COUNT:
            raise ChallengeInvalid(
                f"count {self.count}: make between 1 and {MAX_COUNT:,} challenges at a time"
            )
        if not timedelta(0) < self.lifetime <= MAX_LIFETIME:
            raise ChallengeInvalid("expiry: between a second and 365 days from now")
        if len(self.created_for) > MAX_CREATED_FOR:
            raise ChallengeInvalid(
                f"made for: {len(self.created_for)} characters, at most {MAX_CREATED_FOR}"
            )
        return normalized(
            common_name=self.subject,
            subject=self.subject_dn,
            serial_number=self.serial_number,
            sans=self.sans,
            networks=self.networks,
        )


def create_challenges(
    order: ChallengeOrder, *, principal: Principal, now: datetime
) -> list[tuple[ChallengePassword, Secret]]:
    """Create one-time challenges; the clear texts are returned here and stored nowhere.

    The person behind the principal, also if a command or an interface acts for them, will not be
    able to approve a request that uses them. Raises NotPermitted where they may not make them;
    ChallengeInvalid for a count or lifetime out of bounds, a binding that is none, or a profile
    that does not take one-time challenges.
    """
    if principal.user is not None and not can(principal.user, Verb.CHALLENGE_CREATE, order.profile):
        raise NotPermitted(
            f"challenges for {order.profile.slug}: {principal.user.username} may not make them"
        )
    binding = order.check()
    with transaction.atomic():
        return [_create(order, binding, principal=principal, now=now) for _ in range(order.count)]


def _create(
    order: ChallengeOrder, binding: Binding, *, principal: Principal, now: datetime
) -> tuple[ChallengePassword, Secret]:
    text = _random_text(order.origin)
    challenge = ChallengePassword.objects.create(
        profile=order.profile,
        keyed_hash=keyed_hash(order.profile, text),
        subject=binding.common_name,
        subject_dn=binding.subject,
        serial_number=binding.serial_number,
        sans=list(binding.sans),
        networks=list(binding.networks),
        group=order.group,
        created_at=now,
        created_by=principal.user,
        created_by_name=principal.name[:150],
        created_for=order.created_for.strip(),
        origin=order.origin,
        expires_at=now + order.lifetime,
    )
    record(
        Event.CHALLENGE_CREATE,
        actor=principal.actor,
        now=now,
        subject=Subject.of("challenge", challenge.pk),
        data={
            "profile": order.profile.slug,
            "origin": str(order.origin),
            "bound_to": Personal(
                "; ".join(described(binding, order.group.slug if order.group else ""))
            ),
            "created_for": Personal(challenge.created_for),
            "expires_at": timestamp(challenge.expires_at),
        },
        department=department_of(order.profile),
    )
    return challenge, Secret(text)


def _random_text(origin: ChallengeOrigin) -> str:
    if origin == ChallengeOrigin.NDES:
        return secrets.token_hex(NDES_BYTES).upper()
    return base64.b32encode(secrets.token_bytes(CHALLENGE_BYTES)).decode().lower()


def withdraw_challenge(
    *, challenge_id: UUID, principal: Principal, now: datetime
) -> ChallengePassword:
    """Make a one-time challenge worthless before it is used.

    Raises NotPermitted, ChallengeInvalid if it was used or withdrawn already.
    """
    challenge = (
        ChallengePassword.objects.select_related("profile__department")
        .filter(pk=challenge_id)
        .first()
    )
    if challenge is None or (
        principal.user is not None and not can(principal.user, Verb.CHALLENGE_CREATE, challenge)
    ):
        raise NotPermitted(
            f"challenge {challenge_id}: there is none, or it is not yours to withdraw"
        )
    with transaction.atomic():
        unused = ChallengePassword.objects.filter(
            pk=challenge.pk, redeemed_at__isnull=True, withdrawn_at__isnull=True
        )
        if not unused.update(withdrawn_at=now, withdrawn_by=principal.user):
            raise ChallengeInvalid(f"challenge {challenge_id}: used or withdrawn already")
        record(
            Event.CHALLENGE_WITHDRAW,
            actor=principal.actor,
            now=now,
            subject=Subject.of("challenge", challenge.pk),
            data={"profile": challenge.profile.slug},
            department=department_of(challenge.profile),
        )
    challenge.withdrawn_at, challenge.withdrawn_by = now, principal.user
    return challenge


def is_made_by(user: User, request: EnrollmentRequest) -> bool:
    """Whether this person created the one-time challenge that opened the request."""
    return ChallengePassword.objects.filter(redeemed_by=request.pk, created_by=user.pk).exists()


def keyed_hash(profile: EnrollmentProfile, text: str) -> str:
    """Return the stored HMAC-SHA256 of a one-time challenge of this profile, hex."""
    return hmac.new(
        settings.CHALLENGE_KEY(), f"one-time\0{profile.pk}\0{text}".encode(), sha256
    ).hexdigest()


def check_challenge(
    profile: EnrollmentProfile, submission: Submission, *, now: datetime
) -> ChallengeResult:
    """Check the challenge in a submission. Nothing is consumed: `redeem` does that later.

    A bound challenge serves only its binding: a further name, in the subject or as an alternative
    name, makes it invalid. `redeem` runs together with the opening of the request.
    """
    password = submission.csr.challenge_password
    match profile.challenge:
        case ChallengePolicy.NONE:
            return ChallengeResult(satisfied=False)
        case _ if not password:
            return ChallengeResult(satisfied=False, cause=Cause.CHALLENGE_MISSING)
        case ChallengePolicy.STATIC:
            return _check_static(profile, password, now=now)
        case ChallengePolicy.ONE_TIME:
            return _check_one_time(profile, password, submission, now=now)
        case ChallengePolicy.WEBHOOK | ChallengePolicy.INTUNE:
            return ChallengeResult(satisfied=False, is_awaited=True)
        case _:
            return ChallengeResult(satisfied=False, cause=Cause.CHALLENGE_WRONG)


def redeem(challenge: ChallengePassword, *, request: EnrollmentRequest, now: datetime) -> bool:
    """Mark a one-time challenge as used by `request`; returns False if it is used up."""
    unused = ChallengePassword.objects.filter(
        pk=challenge.pk, redeemed_by__isnull=True, withdrawn_at__isnull=True, expires_at__gt=now
    )
    return unused.update(redeemed_by=request, redeemed_at=now) == 1


def note_static_use(challenge: StaticChallenge, *, request: EnrollmentRequest) -> None:
    """Record which static challenge opened a request, in the caller's transaction."""
    insert(StaticUse(request=request, challenge=challenge))


def _check_static(profile: EnrollmentProfile, password: str, *, now: datetime) -> ChallengeResult:
    static = match_static(profile, password, now=now)
    if static is not None:
        return ChallengeResult(satisfied=True, static=static)
    was_one = was_static(profile, password, now=now)
    return ChallengeResult(
        satisfied=False, cause=Cause.CHALLENGE_EXPIRED if was_one else Cause.CHALLENGE_WRONG
    )


def _check_one_time(
    profile: EnrollmentProfile, password: str, submission: Submission, *, now: datetime
) -> ChallengeResult:
    challenge = (
        ChallengePassword.objects.select_related("group")
        .filter(keyed_hash=keyed_hash(profile, password))
        .first()
    )
    cause = _fault(challenge, submission, now=now)
    if cause is not None:
        return ChallengeResult(satisfied=False, cause=cause, presented=challenge)
    return ChallengeResult(satisfied=True, challenge=challenge, presented=challenge)


def _fault(
    challenge: ChallengePassword | None, submission: Submission, *, now: datetime
) -> Cause | None:
    if challenge is None:
        return Cause.CHALLENGE_WRONG
    if challenge.redeemed_at is not None:
        return Cause.CHALLENGE_USED
    if challenge.withdrawn_at is not None:
        return Cause.CHALLENGE_WITHDRAWN
    if challenge.expires_at <= now:
        return Cause.CHALLENGE_EXPIRED
    if challenge.group is not None and not is_member(challenge.group, submission):
        return Cause.CHALLENGE_FOREIGN_GROUP
    return challenge.binding.fault(claims_of(submission)) if challenge.binding else None
