"""Checks of rows: authorities, people, messages."""

import os
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError

from accounts.people.setup import has_administrator
from approvals.models.profiles import ApprovalMode, ChallengePolicy, EnrollmentProfile
from ca.authorities.expiry import deadlines_of
from ca.models.authorities import CertificateAuthority
from ca.models.keys import ServiceKey
from pkiportal.doctor.check import Check, Clock
from pkiportal.health import unplanned_faults


def authorities(now: Clock) -> Iterator[Check]:
    """Certificates and CRLs near their end, and missing RA keys of this user."""
    for ca in CertificateAuthority.objects.order_by("name"):
        deadlines = deadlines_of(ca, now=now())
        yield from (
            Check(f"authority {ca.name}", deadline.state, deadline.text) for deadline in deadlines
        )
        if not deadlines:
            yield Check(f"authority {ca.name}", "ok", "certificates and CRL are good")
    folder = Path(settings.RA_KEY_FOLDER)
    if not os.access(folder, os.R_OK | os.X_OK):
        return  # This machine, or this user, has no business with RA keys
    for name in ServiceKey.objects.filter(retired_at__isnull=True).values_list(
        "key_name", flat=True
    ):
        if not (folder / name).exists():
            yield Check(
                "RA keys",
                "warn",
                f"{folder / name} is missing: copy it from the machine that made it",
            )


def people(_: Clock) -> Iterator[Check]:
    """Whether there is an administrator."""
    try:
        if has_administrator():
            yield Check("people", "ok", "there is an administrator")
            return
    except DatabaseError:
        yield Check("people", "ok", "cannot be checked with this database login")
        return
    yield Check("people", "warn", "no administrator yet: use the link that `./portal up` prints")


def asserted_decisions(_: Clock) -> Iterator[Check]:
    """Profiles that accept decisions by command: every local user can act as any officer."""
    profiles = EnrollmentProfile.objects.filter(allow_asserted_decisions=True, is_test=False)
    try:
        slugs = list(profiles.order_by("slug").values_list("slug", flat=True))
    except DatabaseError:
        yield Check("decisions", "ok", "cannot be checked with this database login")
        return
    if not slugs:
        yield Check(
            "decisions",
            "ok",
            "signed-in officers decide; only test profiles take decisions by command",
        )
        return
    yield Check(
        "decisions",
        "warn",
        "profiles that take decisions by command, for an officer who is named and not "
        "authenticated: "
        f"{', '.join(slugs)}. Untick 'allow asserted decisions' there (People and settings) unless "
        "scripts need it",
    )


def messages(now: Clock) -> Iterator[Check]:
    """Messages that ended in an unexpected fault."""
    try:
        faults = unplanned_faults(now())
    except DatabaseError:
        yield Check("messages", "ok", "cannot be checked with this database login")
        return
    if not faults.count:
        yield Check("messages", "ok", "none of the last 24 hours ended in an unexpected fault")
        return
    text = (
        f"{faults.count} of the last 24 hours ended in an unexpected fault, the newest "
        f"{faults.newest}"
    )
    yield Check(
        "messages", "warn", f"{text}: see `scep.unplanned` in the log of `web`, and report it"
    )


def open_profiles(_: Clock) -> Iterator[Check]:
    """Profiles that issue automatically to anyone with the one shared secret, or without any."""
    rows = EnrollmentProfile.objects.filter(
        approval=ApprovalMode.AUTOMATIC, for_self_test=False
    ).order_by("slug")
    open_rows = [profile for profile in rows if _is_open_to_anybody(profile)]
    for profile in open_rows:
        who = (
            "knows its static challenge"
            if profile.challenge == ChallengePolicy.STATIC
            else "names a listed device"
        )
        yield Check(
            f"profile {profile.slug}",
            "warn",
            f"issues automatically to anybody who {who}, from any network: set networks, one-time "
            "challenges, "
            "or let officers decide",
        )
    if not open_rows:
        yield Check("profiles", "ok", "none issues automatically to anybody")


def _is_open_to_anybody(profile: EnrollmentProfile) -> bool:
    is_shared = profile.challenge in (ChallengePolicy.STATIC, ChallengePolicy.NONE)
    return is_shared and (not profile.networks or _are_everything(profile.networks))


def _are_everything(networks: Sequence[str]) -> bool:
    """Whether the networks together are all of IPv4 or all of IPv6."""
    parsed = [ip_network(text) for text in networks]
    old = collapse_addresses(network for network in parsed if isinstance(network, IPv4Network))
    new = collapse_addresses(network for network in parsed if isinstance(network, IPv6Network))
    return any(network.prefixlen == 0 for network in old) or any(
        network.prefixlen == 0 for network in new
    )
