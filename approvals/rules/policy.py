"""Who decides: a pure function from facts to a verdict. PURE.

Deny when in doubt: what is not granted here is refused; only `Ruling.APPROVE` lets a request pass
without an officer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address, ip_network

from approvals.rules.errors import Cause, Refusal
from ca.x509.findings import Finding
from ca.x509.text import shortened

# Before a challenge was accepted every refusal reads the same: it must not tell a stranger what
# would have helped.
UNIFORM_TEXT = "request not permitted"
RENEWAL_WINDOW = timedelta(days=30)
#: A device that met a cap asks again after this time: open requests end by decisions of people.
FULL_RETRY = timedelta(minutes=5)
_RESERVED_SHARE = 10
#: Codes of broken rules by which refusals are told apart in the log.
MAX_CODES = 2


class Ruling(StrEnum):
    """What happens to a request that is not refused."""

    APPROVE = "approve"
    ASK_OFFICER = "ask an officer"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the policy looks at, gathered by the use case."""

    approval: str  # manual, automatic
    challenge: str  # none, static, one-time, webhook, intune
    challenge_satisfied: bool
    refusals: tuple[Finding, ...]  # those of severity "refuse"
    open_requests: int
    max_open_requests: int
    open_from_address: int
    max_open_per_address: int
    has_list: bool = False  # a list of expected devices stands instead of a challenge
    is_listed_by_name: bool = False  # and the device is on it, with the name it asks for
    renewal: Ruling | None = (
        None  # of `evaluate_renewal`; it stands instead of challenge and approval
    )
    challenge_awaited: bool = (
        False  # somebody else is asked: the request may wait, and nothing more
    )
    is_known_transaction: bool = False  # it passed the caps when it was new
    is_known_network: bool = (
        False  # the profile has issued to its network before, or this is a renewal
    )
    needs_officer: bool = False  # findings of severity "officer": no policy approves it alone


@dataclass(frozen=True, slots=True)
class RenewalPolicy:
    """What an enrollment profile says of renewals (RFC 8894 §2.5).

    A window of zero: at any time while it is valid.
    """

    mode: str = "off"  # off, automatic, officer
    window: timedelta = RENEWAL_WINDOW
    grace: timedelta = timedelta(0)
    key_reuse: bool = False
    changed_names: str = "refuse"  # refuse, officer


@dataclass(frozen=True, slots=True)
class RenewalFacts:
    """What is known of the renewed certificate, and of what is to follow it."""

    is_device: bool  # a certificate that was ordered, not one of the portal itself
    is_same_profile: bool
    is_same_ca: (
        bool  # or one it took the place of; a profile may have been given a foreign one since
    )
    status: str  # of the renewed certificate: ISSUED, ON_HOLD, REVOKED
    not_before: datetime
    not_after: datetime
    is_key_used: bool  # the new key has a certificate already
    changes: tuple[str, ...]  # names that differ from the renewed certificate, as sentences
    is_renewed_already: bool


def is_address_allowed(address: str, networks: Sequence[str]) -> bool:
    """Return whether a client address is in one of the networks (CIDR); with no networks, every
    address is.
    """
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
    has_right = facts.challenge_satisfied or facts.challenge_awaited or facts.renewal is not None
    is_open = facts.challenge == "none" and (facts.approval == "manual" or facts.has_list)
    if not has_right and not is_open:
        return Refusal(Cause.CHALLENGE_MISSING, UNIFORM_TEXT)
    refusal = _refuse_content(facts)
    if refusal is not None:
        is_stranger = facts.challenge_awaited and facts.renewal is None
        return replace(refusal, text=UNIFORM_TEXT, detail=refusal.text) if is_stranger else refusal
    if facts.needs_officer:
        return Ruling.ASK_OFFICER
    if facts.renewal is not None:
        return facts.renewal
    if facts.approval == "automatic" and (facts.challenge_satisfied or facts.is_listed_by_name):
        return Ruling.APPROVE
    return Ruling.ASK_OFFICER


def _refuse_content(facts: Facts) -> Refusal | None:
    """Whether the request breaks a rule or a cap; the text names it."""
    if facts.refusals:
        sentences = "; ".join(finding.text for finding in facts.refusals)
        return Refusal(Cause.POLICY, sentences, codes=_codes(facts.refusals))
    return None if facts.is_known_transaction else _refuse_crowd(facts)


def _refuse_crowd(facts: Facts) -> Refusal | None:
    """Whether a cap on open requests is reached.

    It says nothing about the request, so the device may ask again.
    """
    most = (
        facts.max_open_requests if facts.is_known_network else unreserved(facts.max_open_requests)
    )
    if facts.open_requests >= most:
        text = f"too many open requests: at most {most}, try later"
        return Refusal(Cause.TOO_MANY_OPEN, text, retry_after=FULL_RETRY)
    if facts.open_from_address >= facts.max_open_per_address:
        text = f"too many open requests from this address: at most {facts.max_open_per_address}"
        return Refusal(Cause.TOO_MANY_OPEN, text, retry_after=FULL_RETRY)
    return None


def unreserved(max_open_requests: int) -> int:
    """Return how many requests may be open before only known networks open more: a tenth is kept
    for them.
    """
    return max_open_requests - max_open_requests // _RESERVED_SHARE


def _codes(refusals: Sequence[Finding]) -> tuple[str, ...]:
    """The first few codes, each once: a sender who chose among all sets of faults could fill the
    log.
    """
    return tuple(sorted({finding.code for finding in refusals})[:MAX_CODES])


def evaluate_renewal(
    policy: RenewalPolicy, facts: RenewalFacts, *, now: datetime
) -> Ruling | Refusal:
    """Return the ruling on a renewal, or the refusal; its text may name the fault, since the old
    key was proved.

    Whoever changes names (where that is allowed at all) or renews the same certificate a second
    time meets an officer, whatever the profile decides alone.
    """
    refusal = _refuse_renewed(policy, facts, now=now) or _refuse_successor(policy, facts, now=now)
    if refusal is not None:
        return refusal
    if policy.mode == "automatic" and not facts.changes and not facts.is_renewed_already:
        return Ruling.APPROVE
    return Ruling.ASK_OFFICER


def changed_names(
    *, subject: str | None, added: Iterable[str], left_out: Iterable[str]
) -> tuple[str, ...]:
    """Return what differs, as phrases. `subject` is the new one, None where it is the old one."""
    changes = [] if subject is None else [f"subject {subject}"]
    changes += [f"{shortened(name)} added" for name in added]
    changes += [f"{shortened(name)} left out" for name in left_out]
    return tuple(changes)


def _refuse_renewed(policy: RenewalPolicy, facts: RenewalFacts, *, now: datetime) -> Refusal | None:
    """Whether the certificate that signed is one that renews at all (RFC 8894 §2.3)."""
    if not facts.is_device:
        return Refusal(
            Cause.SIGNER_NO_DEVICE, "the certificate that signs the message is not a device's"
        )
    if policy.mode not in ("automatic", "officer"):
        return Refusal(Cause.RENEWAL_DISABLED, "renewal is not enabled")
    return _refuse_origin(facts) or _refuse_state(policy, facts, now=now)


def _refuse_origin(facts: RenewalFacts) -> Refusal | None:
    if not facts.is_same_profile:
        text = (
            "the certificate to renew was issued through another enrollment profile: use its "
            "address"
        )
        return Refusal(Cause.RENEWED_OTHER_PROFILE, text)
    if not facts.is_same_ca:
        text = (
            "the certificate to renew was issued by another CA than this profile's: enroll with a "
            "new key"
        )
        return Refusal(Cause.RENEWED_OTHER_CA, text)
    return None


def _refuse_state(policy: RenewalPolicy, facts: RenewalFacts, *, now: datetime) -> Refusal | None:
    if facts.status == "ON_HOLD":
        return Refusal(Cause.RENEWED_ON_HOLD, "the certificate to renew is on hold")
    if facts.status != "ISSUED":
        return Refusal(
            Cause.RENEWED_REVOKED, "the certificate to renew is revoked: enroll with a new key"
        )
    if now < facts.not_before:
        return Refusal(
            Cause.RENEWED_NOT_YET_VALID,
            f"the certificate to renew is valid from {_time(facts.not_before)}",
        )
    if now > facts.not_after + policy.grace:
        text = (
            f"the certificate to renew expired at {_time(facts.not_after)}: enroll with a new key"
        )
        return Refusal(Cause.RENEWED_EXPIRED, text)
    return None


def _refuse_successor(
    policy: RenewalPolicy, facts: RenewalFacts, *, now: datetime
) -> Refusal | None:
    """Whether what is asked for may follow the renewed certificate, and now."""
    opens_at = facts.not_after - policy.window
    if policy.window and now < opens_at:
        return Refusal(Cause.RENEWAL_TOO_EARLY, f"too early to renew: from {_time(opens_at)} on")
    if facts.is_key_used and not policy.key_reuse:
        return Refusal(
            Cause.RENEWAL_KEY_REUSED, "this key has a certificate already: renew with a new key"
        )
    if facts.changes and policy.changed_names != "officer":
        text = f"a renewal keeps the names of the certificate: {'; '.join(facts.changes)}"
        return Refusal(Cause.RENEWAL_NAMES_CHANGED, text)
    return None


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%MZ}"
