"""The policy: a pure function from facts to a ruling.

PURE. Deny when in doubt: everything that is not granted here is refused; only
`PolicyOutcome.APPROVE` lets a request pass without an officer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address, ip_network

from approvals.rules.errors import Cause, Refusal
from ca.x509.findings import Finding
from ca.x509.text import shortened

# Before a challenge was accepted, all refusals look the same: they must give an attacker no hint.
UNIFORM_TEXT = "request not permitted"
RENEWAL_WINDOW = timedelta(days=30)
#: A device that met a cap asks again after this time: people close open requests by deciding.
FULL_RETRY = timedelta(minutes=5)
_RESERVED_SHARE = 10
#: Number of codes of broken rules that tell refusals apart in the log.
MAX_CODES = 2


class PolicyOutcome(StrEnum):
    """The result for a request that is not refused."""

    APPROVE = "approve"
    ASK_OFFICER = "ask an officer"


@dataclass(frozen=True, slots=True)
class Facts:
    """The input of the policy, gathered by the use case."""

    approval: str  # manual, automatic
    challenge: str  # none, static, one-time, webhook, intune
    challenge_satisfied: bool
    refusals: tuple[Finding, ...]  # those of severity "refuse"
    open_requests: int
    max_open_requests: int
    open_from_address: int
    max_open_per_address: int
    has_list: bool = False  # a list of expected devices replaces the challenge
    is_listed_by_name: bool = False  # and the device is on it, with the requested name
    renewal: PolicyOutcome | None = (
        None  # the result of `evaluate_renewal`, which replaces challenge and approval
    )
    challenge_awaited: bool = (
        False  # a service must confirm the challenge: the request may only wait
    )
    is_known_transaction: bool = False  # it passed the caps when it was new
    is_known_network: bool = (
        False  # the profile has issued to its network before, or this is a renewal
    )
    needs_officer: bool = False  # findings of severity "officer": no policy approves it alone


@dataclass(frozen=True, slots=True)
class RenewalPolicy:
    """The renewal policy of an enrollment profile (RFC 8894 §2.5).

    A window of zero: at any time while the certificate is valid.
    """

    mode: str = "off"  # off, automatic, officer
    window: timedelta = RENEWAL_WINDOW
    grace: timedelta = timedelta(0)
    key_reuse: bool = False
    changed_names: str = "refuse"  # refuse, officer


@dataclass(frozen=True, slots=True)
class RenewalFacts:
    """Facts about the renewed certificate and its successor."""

    is_device: bool  # ordered by a device, not one of the portal's own
    is_same_profile: bool
    is_same_ca: bool  # or a CA it replaced; a profile may have been given a foreign one since
    status: str  # of the renewed certificate: ISSUED, ON_HOLD, REVOKED
    not_before: datetime
    not_after: datetime
    is_key_used: bool  # the new key has a certificate already
    changes: tuple[str, ...]  # names that differ from the renewed certificate, as sentences
    is_renewed_already: bool


def is_address_allowed(address: str, networks: Sequence[str]) -> bool:
    """Return whether a client address is in one of the networks (CIDR); always without networks."""
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


def evaluate(facts: Facts) -> PolicyOutcome | Refusal:
    """Return the ruling on a request whose challenge was checked, or the refusal."""
    has_right = facts.challenge_satisfied or facts.challenge_awaited or facts.renewal is not None
    is_open = facts.challenge == "none" and (facts.approval == "manual" or facts.has_list)
    if not has_right and not is_open:
        return Refusal(Cause.CHALLENGE_MISSING, UNIFORM_TEXT)
    refusal = _refuse_content(facts)
    if refusal is not None:
        is_stranger = facts.challenge_awaited and facts.renewal is None
        return replace(refusal, text=UNIFORM_TEXT, detail=refusal.text) if is_stranger else refusal
    if facts.needs_officer:
        return PolicyOutcome.ASK_OFFICER
    if facts.renewal is not None:
        return facts.renewal
    if facts.approval == "automatic" and (facts.challenge_satisfied or facts.is_listed_by_name):
        return PolicyOutcome.APPROVE
    return PolicyOutcome.ASK_OFFICER


def _refuse_content(facts: Facts) -> Refusal | None:
    """Refuse a request that breaks a rule or a cap; the text names it."""
    if facts.refusals:
        sentences = "; ".join(finding.text for finding in facts.refusals)
        return Refusal(Cause.POLICY, sentences, codes=_codes(facts.refusals))
    return None if facts.is_known_transaction else _refuse_crowd(facts)


def _refuse_crowd(facts: Facts) -> Refusal | None:
    """Refuse when a cap on open requests is reached.

    This says nothing about the request, so the device may ask again.
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
    """Return the number of open requests above which only known networks open more.

    A tenth of the maximum is reserved for them.
    """
    return max_open_requests - max_open_requests // _RESERVED_SHARE


def _codes(refusals: Sequence[Finding]) -> tuple[str, ...]:
    """Return the first few codes, each once: a sender that varies its faults could fill the log."""
    return tuple(sorted({finding.code for finding in refusals})[:MAX_CODES])


def evaluate_renewal(
    policy: RenewalPolicy, facts: RenewalFacts, *, now: datetime
) -> PolicyOutcome | Refusal:
    """Return the ruling on a renewal, or the refusal.

    Its text may name the fault, since the old key was proved. Changed names (where allowed at all)
    and a second renewal of the same certificate need an officer, whatever the profile decides
    alone.
    """
    refusal = _refuse_renewed(policy, facts, now=now) or _refuse_successor(policy, facts, now=now)
    if refusal is not None:
        return refusal
    if policy.mode == "automatic" and not facts.changes and not facts.is_renewed_already:
        return PolicyOutcome.APPROVE
    return PolicyOutcome.ASK_OFFICER


def changed_names(
    *, subject: str | None, added: Iterable[str], left_out: Iterable[str]
) -> tuple[str, ...]:
    """Return the differences as phrases. `subject` is the new one, None if it is unchanged."""
    changes = [] if subject is None else [f"subject {subject}"]
    changes += [f"{shortened(name)} added" for name in added]
    changes += [f"{shortened(name)} left out" for name in left_out]
    return tuple(changes)


def _refuse_renewed(policy: RenewalPolicy, facts: RenewalFacts, *, now: datetime) -> Refusal | None:
    """Refuse a signer certificate that cannot be renewed (RFC 8894 §2.3)."""
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
    """Refuse content that may not follow the renewed certificate, or not now."""
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
