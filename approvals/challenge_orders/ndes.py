"""One-time challenges for MDMs that fetch them as from NDES: name, password, page.

Each refusal is recorded with its real cause; repeats are counted. Passwords have 160 bits: the
right one is recognised by its digest before anything else, so that wrong ones from its network or
for its name never lock an MDM out.
"""

import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from django.contrib.auth.hashers import check_password, make_password
from django.db import transaction

from accounts.network.addresses import network_of
from accounts.principals import Principal, PrincipalKind
from accounts.sign_in.throttle import Limit
from approvals.challenges.onetime import ChallengeOrder, create_challenges
from approvals.models.challenges import ChallengeOrigin
from approvals.models.ndes import NdesAccount, NdesChallenge
from approvals.models.profiles import ChallengePolicy
from approvals.records.transitions import department_of
from approvals.rules.policy import is_address_allowed
from audit.events import NO_DEPARTMENT, Actor, Event, Personal, Subject
from audit.log import record_repeated
from database.encryption import Secret

#: Wrong names or passwords a minute, from one network and for one name; above that, clients must
#: wait.
WRONG_A_MINUTE = 10
_FROM_NETWORK = Limit("ndes from", WRONG_A_MINUTE, timedelta(minutes=1))
_OF_NAME = Limit("ndes of", WRONG_A_MINUTE, timedelta(minutes=1))


class NdesRefusal(StrEnum):
    """Causes for which no challenge is created.

    The client cannot tell the first four apart, except for the pause of the last of them.
    """

    UNKNOWN_NAME = "unknown name"
    WRONG_PASSWORD = "wrong password"  # noqa: S105 - a cause, not a password
    NETWORK = "network not allowed"
    TOO_MANY_TRIES = "too many wrong names or passwords"
    DISABLED = "account disabled"
    NOT_ONE_TIME = "profile takes no one-time challenges"
    FULL = "too many unused challenges"


_GUESSES = (NdesRefusal.UNKNOWN_NAME, NdesRefusal.WRONG_PASSWORD, NdesRefusal.NETWORK)


@dataclass(frozen=True, slots=True)
class NdesCredentials:
    """The presented credentials, and the address they come from."""

    name: str
    password: str = field(repr=False)
    address: str


@dataclass(frozen=True, slots=True)
class NdesAnswer:
    """A fresh challenge or a refusal, and the account if the password was right."""

    account: NdesAccount | None = None
    secret: Secret | None = None
    refusal: NdesRefusal | None = None


def fetch_challenge(credentials: NdesCredentials, *, now: datetime) -> NdesAnswer:
    """Create a challenge for the account with this name and password.

    A wrong name costs the time of a wrong password. The slow hash is computed outside of any
    transaction, so that no lock waits for it, and never for a password whose digest is known.
    """
    account = (
        NdesAccount.objects.select_related("profile__ca", "profile__department")
        .filter(name=credentials.name.lower())
        .first()
    )
    refusal = _look_at(credentials, account, now=now)
    if account is None or refusal is not None:
        return _refuse(credentials, refusal or NdesRefusal.UNKNOWN_NAME, account, now=now)
    result = _make(account, credentials, now=now)
    if isinstance(result, NdesRefusal):
        return _refuse(credentials, result, account, now=now)
    return NdesAnswer(account=account, secret=result)


def _look_at(
    credentials: NdesCredentials, account: NdesAccount | None, *, now: datetime
) -> NdesRefusal | None:
    if (
        account is not None
        and _is_known(credentials, account)
        and is_address_allowed(credentials.address, account.networks)
    ):
        return _state(account)
    name, network = credentials.name.lower(), network_of(credentials.address)
    if not (_FROM_NETWORK.take(network, now=now) and _OF_NAME.take(name, now=now)):
        return NdesRefusal.TOO_MANY_TRIES
    if account is None:
        make_password(credentials.password)
        return NdesRefusal.UNKNOWN_NAME
    if not check_password(credentials.password, account.password):
        return NdesRefusal.WRONG_PASSWORD
    if not is_address_allowed(credentials.address, account.networks):
        return NdesRefusal.NETWORK
    _FROM_NETWORK.give_back(network)
    _OF_NAME.give_back(name)
    digest = account.digest_of(credentials.password)
    NdesAccount.objects.filter(pk=account.pk, password=account.password).update(digest=digest)
    return _state(account)


def _is_known(credentials: NdesCredentials, account: NdesAccount) -> bool:
    return hmac.compare_digest(account.digest, account.digest_of(credentials.password))


def _state(account: NdesAccount) -> NdesRefusal | None:
    if account.disabled_at is not None:
        return NdesRefusal.DISABLED
    return (
        None if account.profile.challenge == ChallengePolicy.ONE_TIME else NdesRefusal.NOT_ONE_TIME
    )


def _make(
    account: NdesAccount, credentials: NdesCredentials, *, now: datetime
) -> Secret | NdesRefusal:
    """Create a challenge, unless the maximum is reached or the account has changed meanwhile.

    The lock on the account prevents two from both being the last.
    """
    principal = Principal(
        kind=PrincipalKind.ACCOUNT,
        identifier=str(account.pk),
        name=account.name,
        address=credentials.address,
        credential_changed_at=account.password_set_at,
    )
    order = ChallengeOrder(account.profile, lifetime=account.lifetime, origin=ChallengeOrigin.NDES)
    with transaction.atomic():
        fresh = NdesAccount.objects.select_for_update().get(pk=account.pk)
        if fresh.disabled_at is not None:
            return NdesRefusal.DISABLED
        if fresh.password != account.password:
            return NdesRefusal.WRONG_PASSWORD
        if unused(fresh, now=now) >= fresh.max_unused:
            return NdesRefusal.FULL
        ((challenge, secret),) = create_challenges(order, principal=principal, now=now)
        NdesChallenge.objects.create(challenge=challenge, account=account)
    return secret


def unused(account: NdesAccount, *, now: datetime) -> int:
    """Return how many challenges of the account can still be used."""
    return NdesChallenge.objects.filter(
        account=account,
        challenge__redeemed_at__isnull=True,
        challenge__withdrawn_at__isnull=True,
        challenge__expires_at__gt=now,
    ).count()


def _refuse(
    credentials: NdesCredentials,
    refusal: NdesRefusal,
    account: NdesAccount | None,
    *,
    now: datetime,
) -> NdesAnswer:
    """Record the real cause.

    A guess has no subject, so that guesses at several names count for one address.
    """
    is_guess = refusal in _GUESSES or refusal is NdesRefusal.TOO_MANY_TRIES
    is_over = refusal is NdesRefusal.TOO_MANY_TRIES
    address = network_of(credentials.address) if is_over else credentials.address
    with transaction.atomic():
        record_repeated(
            Event.NDES_REFUSE,
            actor=Actor(
                "ndes-account",
                name="" if is_guess or account is None else account.name,
                address=address,
            ),
            now=now,
            cause=refusal.value,
            subject=Subject.of("ndes-account", account.pk)
            if account is not None and not is_guess
            else None,
            data={"tried": Personal(credentials.name[:150])},
            department=department_of(account.profile) if account else NO_DEPARTMENT,
        )
    return NdesAnswer(account=None if is_guess else account, refusal=refusal)
