"""NDES accounts: created, given a new password, disabled. The password is random and shown once."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.principals import Principal
from approvals.models.ndes import NdesAccount, NdesEncoding
from approvals.models.profiles import ChallengePolicy, EnrollmentProfile
from approvals.profiles.manage import check_network
from approvals.records.transitions import department_of
from approvals.rules.errors import NdesAccountInvalid, ProfileInvalid
from audit.events import Actor, Event, Personal, Subject
from audit.log import record
from database.encryption import Secret

_PASSWORD_BYTES = 20  # 160 random bits: guessing is hopeless, even without limits
_NAME = re.compile(r"[a-z0-9][a-z0-9._@\\-]{0,63}")


@dataclass(frozen=True, slots=True)
class NdesAccountOrder:
    """A new account: `owner` is its contact; up to `max_unused` challenges wait for `lifetime`."""

    name: str
    profile: EnrollmentProfile
    owner: str
    networks: Sequence[str] = ()
    max_unused: int = 5
    lifetime: timedelta = timedelta(minutes=60)
    encoding: str = NdesEncoding.UTF_16


def create_ndes_account(
    order: NdesAccountOrder, *, principal: Principal, now: datetime
) -> tuple[NdesAccount, Secret]:
    """Create an account; its password is returned here and stored nowhere.

    Raises NdesAccountInvalid naming the field.
    """
    password = _random_password()
    account = NdesAccount(
        name=order.name.strip().lower(),
        password=make_password(password),
        profile=order.profile,
        owner=order.owner.strip(),
        networks=list(order.networks),
        max_unused=order.max_unused,
        lifetime=order.lifetime,
        encoding=order.encoding,
        created_at=now,
        created_by=principal.user,
        password_set_at=now,
    )
    account.digest = account.digest_of(password)
    _check(account)
    with transaction.atomic():
        account.save(force_insert=True)
        facts = {
            "name": account.name,
            "owner": Personal(account.owner),
            "networks": list(account.networks),
            "max_unused": account.max_unused,
            "lifetime_s": int(account.lifetime.total_seconds()),
            "encoding": str(account.encoding),
        }
        _record(Event.NDES_ACCOUNT_CREATE, account, actor=principal.actor, now=now, **facts)
    return account, Secret(password)


def replace_password(account: NdesAccount, *, principal: Principal, now: datetime) -> Secret:
    """Give an account a new password and return it; the old one is worth nothing from now on.

    Raises NdesAccountInvalid for a disabled account.
    """
    password = _random_password()
    with transaction.atomic():
        rows = NdesAccount.objects.filter(pk=account.pk, disabled_at__isnull=True)
        hashed, digest = make_password(password), account.digest_of(password)
        if not rows.update(password=hashed, digest=digest, password_set_at=now):
            raise NdesAccountInvalid(f"NDES account {account.name} is disabled: make another one")
        account.refresh_from_db()
        _record(
            Event.NDES_ACCOUNT_CHANGE, account, actor=principal.actor, now=now, changed=["password"]
        )
    return Secret(password)


def disable_ndes_account(account: NdesAccount, *, principal: Principal, now: datetime) -> bool:
    """Take an account its right for good; returns False if it had none any more.

    Its unused challenges stay valid until their end: a device may be using one now.
    """
    with transaction.atomic():
        if not NdesAccount.objects.filter(pk=account.pk, disabled_at__isnull=True).update(
            disabled_at=now
        ):
            return False
        account.disabled_at = now
        _record(Event.NDES_ACCOUNT_DISABLE, account, actor=principal.actor, now=now)
    return True


def _random_password() -> str:
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def _check(account: NdesAccount) -> None:
    if not _NAME.fullmatch(account.name):
        raise NdesAccountInvalid(
            f"name {account.name!r}: letters, digits and . _ @ \\ -, at most 64, a letter or digit "
            "first"
        )
    if account.profile.challenge != ChallengePolicy.ONE_TIME:
        raise NdesAccountInvalid(
            f"profile {account.profile.slug} takes {account.profile.get_challenge_display()}: "
            "choose one with one-time challenges"
        )
    try:
        for network in account.networks:
            check_network(network)
        account.full_clean(exclude=["profile", "created_by", "disabled_at"])
    except ProfileInvalid as error:
        raise NdesAccountInvalid(str(error)) from error
    except ValidationError as error:
        sentences = [f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items()]
        raise NdesAccountInvalid("; ".join(sentences)) from error


def _record(
    event: Event, account: NdesAccount, *, actor: Actor, now: datetime, **data: object
) -> None:
    record(
        event,
        actor=actor,
        now=now,
        subject=Subject.of("ndes-account", account.pk),
        data={"profile": account.profile.slug, **data},
        department=department_of(account.profile),
    )
