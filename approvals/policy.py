"""Who decides: a pure function from facts to a verdict. PURE.

Deny when in doubt: what is not granted here is refused; only `Ruling.APPROVE` lets a request pass without an officer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address, ip_network

from approvals.errors import Cause, Refusal

# Before a challenge was accepted every refusal reads the same: it must not tell a stranger what would have helped.
UNIFORM_TEXT = "request not permitted"


class Ruling(StrEnum):
    """What happens to a request that is not refused."""

    APPROVE = "approve"
    ASK_OFFICER = "ask an officer"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the policy looks at, gathered by the use case."""

    approval: str  # manual, automatic
    challenge: str  # none, static, one-time
    challenge_satisfied: bool
    refusals: tuple[str, ...]  # findings of severity "refuse", as sentences
    open_requests: int
    max_open_requests: int
    open_from_address: int
    max_open_per_address: int


def is_address_allowed(address: str, networks: Sequence[str]) -> bool:
    """Return whether a client address is in one of the networks (CIDR); with no networks, every address is."""
    if not networks:
        return True
    try:
        client = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(client, "ipv4_mapped", None)
    if mapped is not None:
        client = mapped
    return any(client in ip_network(network) for network in networks)


def evaluate(facts: Facts) -> Ruling | Refusal:
    """Return the ruling on a request whose challenge has been looked at, or the refusal."""
    if not facts.challenge_satisfied and (facts.challenge != "none" or facts.approval != "manual"):
        return Refusal(Cause.CHALLENGE_MISSING, UNIFORM_TEXT)
    if facts.refusals:
        return Refusal(Cause.POLICY, "; ".join(facts.refusals))
    if facts.open_requests >= facts.max_open_requests:
        return Refusal(Cause.TOO_MANY_OPEN, f"too many open requests: at most {facts.max_open_requests}, try later")
    if facts.open_from_address >= facts.max_open_per_address:
        return Refusal(
            Cause.TOO_MANY_OPEN, f"too many open requests from this address: at most {facts.max_open_per_address}"
        )
    if facts.approval == "automatic" and facts.challenge_satisfied:
        return Ruling.APPROVE
    return Ruling.ASK_OFFICER
