"""Challenge passwords (RFC 8894 §2.4, §7.3): one-time ones as keyed hashes, static ones encrypted.

The key comes from outside the database (`PORTAL_CHALLENGE_KEY`): who reads only the database learns no challenge. In
the CSRs that are kept, the challenge presented is overwritten (`ca.csr.stored_der`).
"""

import base64
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import transaction

from accounts.models import User
from approvals.errors import Cause
from approvals.models import ChallengePassword, ChallengePolicy, EnrollmentProfile, EnrollmentRequest
from approvals.records import department_of
from audit.events import Actor, Event, Personal, Subject
from audit.log import record, timestamp

CHALLENGE_BYTES = 20  # 160 random bits, 32 characters of base32
MAX_LIFETIME = timedelta(days=365)


class Secret:
    """A challenge in clear text; shows itself only when asked by name."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the clear text."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"


@dataclass(frozen=True, slots=True)
class Redemption:
    """What a presented challenge is worth: satisfied, or the cause why not. `challenge` is to be marked as redeemed."""

    satisfied: bool
    cause: Cause | None = None
    challenge: ChallengePassword | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ChallengeOrder:
    """How many one-time challenges to make, for how long, and bound to which name (empty: to any)."""

    profile: EnrollmentProfile
    count: int = 1
    lifetime: timedelta = timedelta(hours=1)
    subject: str = ""


def create_challenges(
    order: ChallengeOrder, *, actor: Actor, user: User | None, now: datetime
) -> list[tuple[ChallengePassword, Secret]]:
    """Make one-time challenges; the clear texts are returned here and nowhere else.

    Raises ValueError for a count or lifetime out of bounds, or a profile that does not take one-time challenges.
    """
    profile, count, lifetime = order.profile, order.count, order.lifetime
    if profile.challenge != ChallengePolicy.ONE_TIME:
        raise ValueError(f"profile {profile.slug} takes {profile.get_challenge_display()}, not one-time challenges")
    if not 1 <= count <= 10_000:
        raise ValueError(f"count {count}: make between 1 and 10,000 challenges at a time")
    if not timedelta(0) < lifetime <= MAX_LIFETIME:
        raise ValueError("expiry: between a second and 365 days from now")
    made: list[tuple[ChallengePassword, Secret]] = []
    with transaction.atomic():
        for _ in range(count):
            text = base64.b32encode(secrets.token_bytes(CHALLENGE_BYTES)).decode().lower()
            challenge = ChallengePassword.objects.create(
                profile=profile,
                keyed_hash=keyed_hash(profile, text),
                subject=order.subject,
                created_at=now,
                created_by=user,
                created_for=actor.name,
                expires_at=now + lifetime,
            )
            record(
                Event.CHALLENGE_CREATE,
                actor=actor,
                now=now,
                subject=Subject.of("challenge", challenge.pk),
                data={
                    "profile": profile.slug,
                    "bound_to": Personal(order.subject),
                    "expires_at": timestamp(challenge.expires_at),
                },
                department=department_of(profile),
            )
            made.append((challenge, Secret(text)))
    return made


def keyed_hash(profile: EnrollmentProfile, text: str) -> str:
    """Return the HMAC-SHA256 under which a one-time challenge of this profile is found, hex."""
    return hmac.new(settings.CHALLENGE_KEY(), f"one-time\0{profile.pk}\0{text}".encode(), sha256).hexdigest()


def check_challenge(
    profile: EnrollmentProfile, presented: str | None, *, names: Sequence[str], now: datetime
) -> Redemption:
    """Return what `presented` is worth for a request for `names`: everything in it that names the requester.

    A challenge bound to a name serves a request for that name and no other, and none without a name. Nothing is
    consumed: `redeem` does that together with the opening of the request.
    """
    match profile.challenge:
        case ChallengePolicy.NONE:
            return Redemption(satisfied=False)
        case _ if not presented:
            return Redemption(satisfied=False, cause=Cause.CHALLENGE_MISSING)
        case ChallengePolicy.STATIC:
            known = decrypt_static(profile)
            right = known is not None and hmac.compare_digest(known.encode(), presented.encode())
            return Redemption(satisfied=right, cause=None if right else Cause.CHALLENGE_WRONG)
        case ChallengePolicy.ONE_TIME:
            return _check_one_time(profile, presented, names=names, now=now)
        case _:
            return Redemption(satisfied=False, cause=Cause.CHALLENGE_WRONG)


def redeem(challenge: ChallengePassword, *, request: EnrollmentRequest, now: datetime) -> bool:
    """Mark a one-time challenge as used by `request`; returns False when somebody else was faster."""
    unused = ChallengePassword.objects.filter(pk=challenge.pk, redeemed_by__isnull=True, expires_at__gt=now)
    return unused.update(redeemed_by=request, redeemed_at=now) == 1


def encrypt_static(profile_slug: str, text: str) -> bytes:
    """Return a static challenge encrypted for the database (AES-256-GCM, bound to its profile's slug)."""
    nonce = secrets.token_bytes(12)
    return nonce + AESGCM(_encryption_key()).encrypt(nonce, text.encode(), profile_slug.encode())


def decrypt_static(profile: EnrollmentProfile) -> str | None:
    """Return the static challenge of a profile, None where it has none or the key is not the one it was kept under."""
    if profile.static_challenge is None:
        return None
    kept = bytes(profile.static_challenge)
    try:
        return AESGCM(_encryption_key()).decrypt(kept[:12], kept[12:], profile.slug.encode()).decode()
    except InvalidTag:
        return None


def _encryption_key() -> bytes:
    return hmac.new(settings.CHALLENGE_KEY(), b"static challenges: encryption", sha256).digest()


def _check_one_time(profile: EnrollmentProfile, presented: str, *, names: Sequence[str], now: datetime) -> Redemption:
    found = ChallengePassword.objects.filter(keyed_hash=keyed_hash(profile, presented)).first()
    if found is None:
        return Redemption(satisfied=False, cause=Cause.CHALLENGE_WRONG)
    if found.redeemed_at is not None:
        return Redemption(satisfied=False, cause=Cause.CHALLENGE_USED)
    if found.expires_at <= now:
        return Redemption(satisfied=False, cause=Cause.CHALLENGE_EXPIRED)
    if found.subject and {name.lower() for name in names} != {found.subject.lower()}:
        return Redemption(satisfied=False, cause=Cause.CHALLENGE_FOREIGN_NAME)
    return Redemption(satisfied=True, challenge=found)
