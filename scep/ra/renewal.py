"""Maintains RA keys: made when missing, renewed before their certificate ends, then retired.

Runs next to the web, since only the web knows the passphrase of RA keys, and not in a device's
request: a request makes only the first key. The signing worker certifies the new keys.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction

from accounts.principals import Principal
from approvals.models.profiles import EnrollmentProfile
from approvals.operations.doorbell import ring_for_crls
from audit.events import NO_DEPARTMENT
from ca.authorities.ra_certificates import (
    certificates_of,
    certified_times,
    halves_of,
    is_renewal_due,
    ra_key_with,
    ra_keys_of,
)
from ca.certificates.revocation import Witness, revoke
from ca.models.authorities import AuthorityRollover, CertificateAuthority, CertificatesShape
from ca.models.certificates import CertificateKind
from ca.models.keys import ServiceKey
from keys.errors import KeyStoreError
from scep.ra.keys import (
    ensure_ra_key,
    make_ra_key,
    mark_retired,
    remove_retired_files,
    retire_ra_key,
)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RaPolicy:
    """Lifetime and renewal of RA certificates (`ca.authorities.ra_certificates.RaLife`)."""

    life: timedelta
    renew_before: timedelta | None

    @classmethod
    def of_settings(cls) -> "RaPolicy":
        """Return the policy in PORTAL_RA_DAYS and PORTAL_RA_RENEW_DAYS."""
        return cls(settings.PORTAL_RA_LIFE, settings.PORTAL_RA_RENEW_BEFORE)


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The number of keys made and retired."""

    made: int = 0
    retired: int = 0


def keep_ra_keys(*, now: datetime) -> Upkeep:
    """Do the due work for every authority.

    If a key cannot be written, the fault is logged and the other authorities continue.
    """
    made = retired = 0
    needs = _wanted()
    retired_keys = set(
        AuthorityRollover.objects.filter(switched_at__isnull=False).values_list("ca_id", flat=True)
    )
    for ca in CertificateAuthority.objects.order_by("id"):
        for is_split in (False, True):
            keys = ra_keys_of(ca, is_split=is_split)
            retired += _retire(keys, ca.pk in retired_keys or ca.not_after < now, now=now)
            if (
                ca.pk in retired_keys
                or ca.not_after <= now
                or not _is_due(keys, ca, (ca.pk, is_split) in needs, now=now)
            ):
                continue
            try:
                (make_ra_key if keys else ensure_ra_key)(ca, now=now, is_split=is_split)
            except (KeyStoreError, OSError) as error:
                _log.error("ra.key_not_made", ca=ca.name, fault=str(error))
                continue
            made += 1
    remove_retired_files()
    return Upkeep(made, retired)


def renew_now(ca: CertificateAuthority, *, now: datetime) -> list[ServiceKey]:
    """Make the next RA key of each kind of a CA, whether due or not. Raises KeyStoreError."""
    kinds = [is_split for is_split in (False, True) if ra_keys_of(ca, is_split=is_split)]
    return [make_ra_key(ca, now=now, is_split=is_split) for is_split in kinds or [False]]


class RaKeyNeeded(Exception):
    """This RA certificate cannot be retired; the text says what to do."""


def give_up(
    ca: CertificateAuthority, serial_hex: str, *, reason: str, principal: Principal, now: datetime
) -> None:
    """Stop using a possibly stolen RA key at once, and revoke its certificates.

    Raises RaKeyNeeded for the last one of its kind and for an unknown serial number,
    RevocationReasonUnknown.
    """
    with transaction.atomic():
        CertificateAuthority.objects.select_for_update(of=("self",), no_key=True).get(pk=ca.pk)
        key, others = ra_key_with(ca, serial_hex)
        if key is None:
            raise RaKeyNeeded(
                f"CA {ca.name}: no RA certificate in use has the serial number {serial_hex}"
            )
        if not others:
            raise RaKeyNeeded(
                f"CA {ca.name}: this is its only RA certificate of the kind, devices would get no "
                "answer. Make the next"
                f" one first (./portal racertificates renew --ca {ca.name}), and wait until it is "
                "certified"
            )
        mark_retired(key, principal=principal, now=now)
        witness = Witness(principal, NO_DEPARTMENT, {"purpose": key.purpose})
        for half in halves_of(key):
            if half.certificate is not None:
                revoke(
                    half.certificate,
                    reason=reason,
                    witness=witness,
                    now=now,
                    kind=CertificateKind.SERVICE,
                )
        ring_for_crls()
    remove_retired_files()


def _wanted() -> set[tuple[int, bool]]:
    """Return authorities (and whether split) whose RA certificates profiles need, next CAs too."""
    needs: set[tuple[int, bool]] = set()
    ahead = AuthorityRollover.objects.filter(switched_at__isnull=True, cancelled_at__isnull=True)
    following = dict(ahead.values_list("ca_id", "next_ca_id"))
    for ca_id, shape in EnrollmentProfile.objects.values_list(
        "ca_id", "ca_certificates"
    ).distinct():
        is_split = CertificatesShape(shape).is_split
        needs |= {
            (pk, kind) for pk in (ca_id, following.get(ca_id, ca_id)) for kind in (False, is_split)
        }
    return needs


def _is_due(
    keys: list[ServiceKey],
    ca: CertificateAuthority,
    is_wanted: bool,  # noqa: FBT001 - one fact of several
    *,
    now: datetime,
) -> bool:
    if not keys:
        return is_wanted
    newest = keys[0]
    if certificates_of(newest) is None or newest.certificate is None:
        return False  # the signing worker is certifying it
    return is_renewal_due(
        not_before=newest.certificate.not_before,
        not_after=certified_times(newest)[1],
        ca_not_after=ca.not_after,
        now=now,
        policy=RaPolicy.of_settings(),
    )


def _retire(keys: list[ServiceKey], is_over: bool, *, now: datetime) -> int:  # noqa: FBT001 - one fact of several
    """Retire keys that ended and have a successor, or whose CA was replaced or has ended."""
    certified = [key for key in keys if certificates_of(key) is not None]
    over = [key for key in certified if certified_times(key)[1] < now]
    if not is_over:
        over = [key for key in over if key is not certified[0]]
    for key in over:
        retire_ra_key(key, now=now)
    return len(over)
