"""Rules for the settings of an enrollment profile that depend on each other. PURE.

Every door that creates or changes a profile asks `profile_faults`. The constraints of the table
repeat the first two rules, with OPEN_TEXT and LIST_TEXT as their sentences.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

from approvals.rules.errors import ProfileInvalid, ServiceMissing

OPEN_TEXT: Final = (
    "Without a challenge only manual approval is possible, or a list of expected devices together "
    "with networks."
)
LIST_TEXT: Final = "A list of expected devices stands instead of a challenge."
_CHECKED_BY_SERVICE: Final = ("webhook", "intune")


@dataclass(frozen=True, slots=True)
class ProfileSettings:
    """The settings that depend on each other."""

    approval: str
    challenge: str
    has_list: bool
    networks: Sequence[str]
    lock_exempt_networks: Sequence[str] = ()
    has_static_challenge: bool = False  # one is set, or comes with the change
    service: str = ""  # kind of the service that is set, or comes with the change


@dataclass(frozen=True, slots=True)
class ProfileFault:
    """One broken rule: the field of the form, and the error, which each door words.

    `is_constraint`: the table refuses it too.
    """

    field: str
    error: ProfileInvalid
    is_constraint: bool = False


def profile_faults(settings: ProfileSettings) -> Iterator[ProfileFault]:
    """Yield each rule that these settings break."""
    yield from _challenge_faults(settings)
    yield from _secret_faults(settings)
    for field in ("networks", "lock_exempt_networks"):
        for network in getattr(settings, field):
            fault = network_fault(network)
            if fault:
                yield ProfileFault(field, fault)


def network_fault(text: str) -> ProfileInvalid | None:
    """Return the fault of a text that is no IPv4 or IPv6 network in CIDR form."""
    try:
        ip_network(text)
    except ValueError as error:
        return ProfileInvalid(
            f"network {text!r}: write it like 10.20.0.0/16 or 2001:db8::/32 ({error})"
        )
    return None


def _challenge_faults(settings: ProfileSettings) -> Iterator[ProfileFault]:
    """Yield the faults of challenge, approval and list, as the constraints have them."""
    has_limits = settings.has_list and settings.networks
    if settings.challenge == "none" and settings.approval != "manual" and not has_limits:
        error = ProfileInvalid(
            "only together with approval manual, or with {} and {}",
            field="challenge",
            value=settings.challenge,
            others=("devices", "networks"),
        )
        yield ProfileFault("challenge", error, is_constraint=True)
    if settings.has_list and settings.challenge != "none":
        error = ProfileInvalid(
            "a list of expected devices stands instead of a challenge: {} none",
            field="devices",
            others=("challenge",),
        )
        yield ProfileFault("eligibility", error, is_constraint=True)


def _secret_faults(settings: ProfileSettings) -> Iterator[ProfileFault]:
    """Yield the faults of a challenge that neither the portal nor a service can check."""
    if settings.challenge == "static" and not settings.has_static_challenge:
        error = ProfileInvalid(
            "set one, or choose another kind of challenge", field="static_challenge"
        )
        yield ProfileFault("new_static_challenge", error)
    if settings.service and settings.service != settings.challenge:
        error = ProfileInvalid(
            f"no {settings.service} is asked about it", field="challenge", value=settings.challenge
        )
        yield ProfileFault("challenge", error)
    if settings.challenge in _CHECKED_BY_SERVICE and not settings.service:
        yield ProfileFault("challenge", ServiceMissing())
