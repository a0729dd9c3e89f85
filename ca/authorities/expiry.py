"""Certificates of authorities and RA, and CRLs, that end soon or have ended.

For the page and the doctor.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from ca.authorities.ra_certificates import certificates_of, certified_times, ra_keys_of
from ca.certificates.crls import latest_crl
from ca.models.authorities import AuthorityRollover, CertificateAuthority
from ca.models.keys import ServiceKey

_CERTIFIED_WITHIN: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A fact for an operator: `warn` soon, `fail` now. `about` is ca, ra or crl."""

    about: Literal["ca", "ra", "crl"]
    state: Literal["warn", "fail"]
    text: str


def deadlines_of(ca: CertificateAuthority, *, now: datetime) -> list[Deadline]:
    """Return the deadlines of an authority that are near or past; none for a replaced one."""
    if AuthorityRollover.objects.filter(ca=ca, switched_at__isnull=False).exists():
        return [] if ca.not_after < now else list(_crl(ca, now=now))
    if ca.not_after < now:
        text = f"the certificate of the CA expired {_day(ca.not_after)}: nothing can be issued"
        return [Deadline("ca", "fail", text)]
    return [*_authority(ca, now=now), *_ra(ca, now=now), *_crl(ca, now=now)]


def _authority(ca: CertificateAuthority, *, now: datetime) -> Iterator[Deadline]:
    if ca.not_after - now >= (ca.not_after - ca.not_before) / 5:
        return
    ahead = (
        AuthorityRollover.objects.filter(ca=ca, cancelled_at__isnull=True)
        .select_related("next_ca")
        .first()
    )
    todo = (
        f"its rollover to {ahead.next_ca.name} is {ahead.stage}"
        if ahead
        else f"./portal rollover stage {ca.name}"
    )
    yield Deadline("ca", "warn", f"the certificate of the CA ends {_day(ca.not_after)}: {todo}")


def _ra(ca: CertificateAuthority, *, now: datetime) -> Iterator[Deadline]:
    for is_split in (False, True):
        keys = ra_keys_of(ca, is_split=is_split)
        waiting = [
            key
            for key in keys
            if certificates_of(key) is None and key.created_at < now - _CERTIFIED_WITHIN
        ]
        if waiting:
            since = f"{waiting[0].created_at:%Y-%m-%d %H:%M}"
            yield Deadline(
                "ra",
                "warn",
                f"an RA key waits for its certificate since {since} UTC: see the signing worker",
            )
        certified = [key for key in keys if certificates_of(key) is not None]
        if certified:
            yield from _ra_end(ca, certified[0], now=now)


def _ra_end(ca: CertificateAuthority, newest: ServiceKey, *, now: datetime) -> Iterator[Deadline]:
    issued_at, not_after = certified_times(newest)
    if not_after < now:
        yield Deadline(
            "ra",
            "fail",
            f"the RA certificate expired {_day(not_after)}: devices may refuse our answers",
        )
    elif not_after - now < (not_after - issued_at) / 4 and not_after < ca.not_after:
        todo = f"./portal racertificates renew --ca {ca.name}"
        yield Deadline(
            "ra", "warn", f"the RA certificate ends {_day(not_after)} and was not renewed: {todo}"
        )


def _crl(ca: CertificateAuthority, *, now: datetime) -> Iterator[Deadline]:
    crl = latest_crl(ca)
    if crl is None:
        yield Deadline("crl", "warn", "no CRL yet: the signing worker makes it, see its log")
        return
    until = f"{crl.next_update:%Y-%m-%d %H:%M} UTC"
    if crl.next_update < now:
        yield Deadline(
            "crl",
            "fail",
            f"CRL {crl.number} is overdue since {until}: see crl.not_issued in the worker's log",
        )
    elif now > crl.next_update - (crl.next_update - crl.this_update) / 4:
        yield Deadline(
            "crl", "warn", f"CRL {crl.number} is good until {until} and was not replaced in time"
        )


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
