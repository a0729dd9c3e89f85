"""Tokens for programs: limited to their owner's rights, shown once; a refusal gives no hint."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import Final, Protocol

from django.db import transaction
from django.db.models import Q

from accounts.models.people import ApiToken, Department, User, department_ref
from accounts.network.addresses import network_of
from accounts.permissions import can
from accounts.principals import Principal, PrincipalKind
from accounts.roles import Verb
from accounts.sign_in.throttle import Limit
from audit.events import Actor, Event, Personal, Subject
from audit.log import record, record_repeated, timestamp
from database import moments

#: Verbs that a token can have; deciding on requests is not among them.
API_VERBS: Final = (Verb.CHALLENGE_CREATE, Verb.PROFILE_VIEW, Verb.REQUEST_VIEW)
MAX_LIFETIME: Final = timedelta(days=366)
#: Wrong tokens a minute, from one network and with one prefix; above that, programs are told to
#: wait.
WRONG_A_MINUTE: Final = 20
_FROM_NETWORK: Final = Limit("token from", WRONG_A_MINUTE, timedelta(minutes=1))
_OF_PREFIX: Final = Limit("token of", WRONG_A_MINUTE, timedelta(minutes=1))
_SECRET_BYTES: Final = 20
_PREFIX_BYTES: Final = 5
_FORM: Final = re.compile(r"pkip_([0-9a-f]{10})_([0-9a-f]{40})")
_SEEN_EVERY: Final = timedelta(minutes=1)


class TokenInvalid(Exception):
    """The order of a token is invalid; the text names the field and the fault."""


class TokenRefusal(StrEnum):
    """Causes for which a token is refused. Only the log has them."""

    UNKNOWN = "unknown token"
    NETWORK = "network not allowed"
    REVOKED = "token revoked"
    EXPIRED = "token expired"
    OWNER = "owner cannot sign in any more"
    TOO_MANY_TRIES = "too many unknown tokens"


_GUESSES: Final = (TokenRefusal.UNKNOWN, TokenRefusal.NETWORK)


@dataclass(frozen=True, slots=True)
class TokenOrder:
    """The order of a new token for its owner.

    Empty limits add no restriction to the owner's rights.
    """

    owner: User
    name: str
    scopes: Sequence[Verb]
    lifetime: timedelta = timedelta(days=90)
    department: Department | None = None
    profiles: Sequence[str] = ()
    networks: Sequence[str] = ()


class OfProfile(Protocol):
    """An enrollment profile, or an object of one: its slug and its department."""

    @property
    def slug(self) -> str:
        """The slug of the profile."""

    @property
    def department_id(self) -> int | None:
        """The department's primary key."""


def create_token(order: TokenOrder, *, principal: Principal, now: datetime) -> tuple[ApiToken, str]:
    """Create a token; its text is returned here and stored nowhere.

    Raises TokenInvalid naming the field.
    """
    _check(order)
    prefix, secret = secrets.token_hex(_PREFIX_BYTES), secrets.token_hex(_SECRET_BYTES)
    token = ApiToken(
        owner=order.owner,
        name=order.name.strip(),
        prefix=prefix,
        digest=_digest(secret),
        scopes=sorted({scope.value for scope in order.scopes}),
        department=order.department,
        profiles=sorted(set(order.profiles)),
        networks=list(order.networks),
        created_at=now,
        expires_at=now + order.lifetime,
    )
    with transaction.atomic():
        token.save(force_insert=True)
        data: dict[str, object] = {
            "name": token.name,
            "prefix": prefix,
            "owner": str(order.owner.pk),
            "scopes": token.scopes,
            "profiles": token.profiles,
            "networks": token.networks,
            "expires_at": timestamp(token.expires_at),
        }
        _record(Event.TOKEN_CREATE, token, principal=principal, now=now, data=data)
    return token, f"pkip_{prefix}_{secret}"


def revoke_token(token: ApiToken, *, principal: Principal, now: datetime) -> bool:
    """Revoke a token at once; returns False if it was revoked already."""
    with transaction.atomic():
        if not ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True).update(revoked_at=now):
            return False
        token.revoked_at = now
        _record(
            Event.TOKEN_REVOKE,
            token,
            principal=principal,
            now=now,
            data={"name": token.name, "prefix": token.prefix},
        )
    return True


def find_token(text: str, *, address: str, now: datetime) -> ApiToken | TokenRefusal:
    """Return the token of this text, or the cause of the refusal, which is recorded.

    The secret has 160 bits and is compared first: wrong secrets never lock out a valid token. The
    use is noted at most once a minute, so that most calls write nothing.
    """
    match = _FORM.fullmatch(text)
    prefix, secret = (match[1], match[2]) if match else ("", "")
    token = ApiToken.objects.select_related("owner", "department").filter(prefix=prefix).first()
    stored_digest = token.digest if token is not None else _digest("")
    is_right = hmac.compare_digest(stored_digest, _digest(secret)) and token is not None
    refusal = (
        _fault(token, address=address, now=now)
        if token is not None and is_right
        else TokenRefusal.UNKNOWN
    )
    if refusal in _GUESSES and not _may_guess(prefix, address=address, now=now):
        return _refused(
            TokenRefusal.TOO_MANY_TRIES, None, address=network_of(address), now=now, prefix=prefix
        )
    if token is None or not is_right:
        return _refused(TokenRefusal.UNKNOWN, None, address=address, now=now, prefix=prefix)
    if refusal is not None:
        return _refused(refusal, token, address=address, now=now)
    is_recent = moments.within("last_used_at", now=now, span=_SEEN_EVERY)
    if token.last_used_at is None or abs(now - token.last_used_at) >= _SEEN_EVERY:
        ApiToken.objects.filter(Q(last_used_at__isnull=True) | ~is_recent, pk=token.pk).update(
            last_used_at=now
        )
    return token


def token_may(token: ApiToken, verb: Verb, profile: OfProfile | None = None) -> bool:
    """Return whether a token may do `verb` to an object of a profile (None: to any object at all).

    Its scopes and limits narrow the current rights of its owner; a right that the owner loses is
    lost at once.
    """
    if verb.value not in token.scopes or not can(token.owner, verb, profile):
        return False
    if profile is None:
        return True
    if token.department_id is not None and profile.department_id != token.department_id:
        return False
    return not token.profiles or profile.slug in token.profiles


def principal_of_token(token: ApiToken, *, address: str) -> Principal:
    """Return the principal of a token that was checked; it acts with the rights of its owner."""
    return Principal(
        kind=PrincipalKind.TOKEN,
        identifier=str(token.pk),
        name=token.name,
        address=address,
        on_behalf_of=token.owner.username,
        credential_changed_at=token.created_at,
        user=token.owner,
    )


def _check(order: TokenOrder) -> None:
    name = order.name.strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise TokenInvalid(
            "name: 1 to 100 printable characters that say which program has the token"
        )
    if not order.scopes:
        raise TokenInvalid("scopes: choose at least one")
    for scope in order.scopes:
        if scope not in API_VERBS:
            raise TokenInvalid(f"scope {scope.value}: no token can be made for it")
        if not can(order.owner, scope, _Limit(order.department.pk) if order.department else None):
            where = f" in {order.department.slug}" if order.department else ""
            raise TokenInvalid(
                f"scope {scope.value}: {order.owner.username} may not do that{where}"
            )
    if not timedelta(0) < order.lifetime <= MAX_LIFETIME:
        raise TokenInvalid(f"lifetime: at most {MAX_LIFETIME.days} days")
    for network in order.networks:
        _check_network(network)


def _check_network(text: str) -> None:
    try:
        ip_network(text)
    except ValueError as error:
        raise TokenInvalid(
            f"network {text!r}: write it like 10.20.0.0/16 or 2001:db8::/32 ({error})"
        ) from error


@dataclass(frozen=True, slots=True)
class _Limit:
    """A department, as an object that belongs to it."""

    department_id: int | None


def _may_guess(prefix: str, *, address: str, now: datetime) -> bool:
    """Count a wrong token; False at the limit of its network, or of its prefix from anywhere."""
    return _FROM_NETWORK.take(network_of(address), now=now) and (
        not prefix or _OF_PREFIX.take(prefix, now=now)
    )


def _fault(token: ApiToken, *, address: str, now: datetime) -> TokenRefusal | None:
    if token.networks and not any(
        ip_address(address) in ip_network(network) for network in token.networks
    ):
        return TokenRefusal.NETWORK
    if token.revoked_at is not None:
        return TokenRefusal.REVOKED
    if token.expires_at <= now:
        return TokenRefusal.EXPIRED
    return None if token.owner.is_active else TokenRefusal.OWNER


def _refused(
    refusal: TokenRefusal, token: ApiToken | None, *, address: str, now: datetime, prefix: str = ""
) -> TokenRefusal:
    """Record the cause.

    A guess has no subject, so that all guesses of an address count together.
    """
    is_guess = token is None or refusal in _GUESSES
    with transaction.atomic():
        record_repeated(
            Event.TOKEN_REFUSE,
            actor=Actor(
                "token", identifier="" if token is None else str(token.pk), address=address
            ),
            now=now,
            cause=refusal.value,
            subject=None if is_guess or token is None else Subject.of("token", token.pk),
            data={"prefix": Personal(prefix if token is None else token.prefix)},
            department=department_ref(token.department if token is not None else None),
        )
    return refusal


def _record(
    event: Event, token: ApiToken, *, principal: Principal, now: datetime, data: dict[str, object]
) -> None:
    subject = Subject.of("token", token.pk)
    record(
        event,
        actor=principal.actor,
        now=now,
        subject=subject,
        data=data,
        department=department_ref(token.department),
    )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
