"""Challenges that a program orders with a token: created once, even if the order is repeated."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from django.db import IntegrityError, transaction

from accounts.models.people import ApiToken
from accounts.principals import Principal
from accounts.roles import Verb
from accounts.tokens import token_may
from approvals.challenges.onetime import ChallengeOrder, create_challenges
from approvals.models.challenges import ChallengePassword
from approvals.models.orders import ApiChallenge, ApiOrder
from approvals.rules.errors import ApprovalsError, NotPermitted
from audit.canonical import canonical_json
from database.encryption import Secret


class KeyUsedOtherwise(ApprovalsError):
    """The Idempotency-Key was used with another order before."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who orders: a token that was checked, and its principal.

    `key` is the client's Idempotency-Key, or "".
    """

    token: ApiToken
    principal: Principal
    key: str = ""


@dataclass(frozen=True, slots=True)
class Ordered:
    """The challenges of an order.

    `secret` is None for a repeated order: the texts were shown before.
    """

    challenges: list[tuple[ChallengePassword, Secret | None]]
    is_repeat: bool


def order_challenges(order: ChallengeOrder, *, caller: Caller, now: datetime) -> Ordered:
    """Create the challenges of an order, or find those that the same key ordered before.

    Two equal orders at once create one: the unique constraint decides, the slower one is answered
    as a repeat. Raises NotPermitted, ChallengeInvalid, KeyUsedOtherwise.
    """
    if not token_may(caller.token, Verb.CHALLENGE_CREATE, order.profile):
        raise NotPermitted(
            f"profile {order.profile.slug}: this token may not make challenges for it"
        )
    content = _content(order)
    earlier = _find(caller, content)
    if earlier is not None:
        return earlier
    try:
        with transaction.atomic():
            return Ordered(_make(order, caller, content, now=now), is_repeat=False)
    except IntegrityError:
        earlier = _find(caller, content)
        if earlier is None:
            raise
        return earlier


def _make(
    order: ChallengeOrder, caller: Caller, content: str, *, now: datetime
) -> list[tuple[ChallengePassword, Secret | None]]:
    row = ApiOrder.objects.create(
        token=caller.token, key_sha256=_key(caller) or None, content_sha256=content, created_at=now
    )
    created = create_challenges(order, principal=caller.principal, now=now)
    ApiChallenge.objects.bulk_create(
        ApiChallenge(challenge=challenge, order=row) for challenge, _ in created
    )
    return [(challenge, secret) for challenge, secret in created]


def _find(caller: Caller, content: str) -> Ordered | None:
    if not caller.key:
        return None
    order_row = ApiOrder.objects.filter(token=caller.token, key_sha256=_key(caller)).first()
    if order_row is None:
        return None
    if order_row.content_sha256 != content:
        raise KeyUsedOtherwise(
            "Idempotency-Key: it came with another order before, use a new key for a new order"
        )
    rows = ChallengePassword.objects.filter(api_challenge__order=order_row).order_by("id")
    challenges = rows.select_related("profile", "group", "redeemed_by")
    return Ordered([(challenge, None) for challenge in challenges], is_repeat=True)


def _key(caller: Caller) -> str:
    return sha256(caller.key.encode()).hexdigest() if caller.key else ""


def _content(order: ChallengeOrder) -> str:
    """Return the digest by which two orders are equal."""
    return sha256(
        canonical_json(
            {
                "profile": order.profile.slug,
                "count": order.count,
                "lifetime_s": int(order.lifetime.total_seconds()),
                "subject": order.subject,
                "subject_dn": order.subject_dn,
                "serial_number": order.serial_number,
                "group": order.group.slug if order.group else "",
                "sans": list(order.sans),
                "networks": list(order.networks),
                "created_for": order.created_for,
            }
        )
    ).hexdigest()
