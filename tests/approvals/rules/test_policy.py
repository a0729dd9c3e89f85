"""Who decides: deny when in doubt."""

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.rules.errors import Cause, Refusal
from approvals.rules.policy import (
    FULL_RETRY,
    UNIFORM_TEXT,
    Facts,
    PolicyOutcome,
    evaluate,
    is_address_allowed,
)
from ca.x509.findings import refuse

ASKS = Facts(
    approval="manual",
    challenge="none",
    challenge_satisfied=False,
    refusals=(),
    open_requests=0,
    max_open_requests=10,
    open_from_address=0,
    max_open_per_address=5,
)
TOO_SMALL = refuse("key-size", "RSA 1024: at least 2048")
GRANTED = replace(ASKS, approval="automatic", challenge="static", challenge_satisfied=True)


def test_manual_approval_without_challenge_asks_an_officer() -> None:
    assert evaluate(ASKS) is PolicyOutcome.ASK_OFFICER


def test_a_satisfied_challenge_with_automatic_approval_is_approved() -> None:
    assert evaluate(GRANTED) is PolicyOutcome.APPROVE


def test_a_satisfied_challenge_with_manual_approval_still_asks_an_officer() -> None:
    assert evaluate(replace(GRANTED, approval="manual")) is PolicyOutcome.ASK_OFFICER


@pytest.mark.parametrize("challenge", ["none", "static", "one-time"])
def test_nothing_is_approved_without_a_satisfied_challenge(challenge: str) -> None:
    ruling = evaluate(replace(GRANTED, challenge=challenge, challenge_satisfied=False))
    assert ruling == Refusal(Cause.CHALLENGE_MISSING, UNIFORM_TEXT)


def test_a_list_in_which_the_device_was_not_looked_up_approves_nothing() -> None:
    assert evaluate(replace(ASKS, approval="automatic", has_list=True)) is not PolicyOutcome.APPROVE


@pytest.mark.parametrize("broken", [{"refusals": (TOO_SMALL,)}, {"open_requests": 10}])
def test_a_challenge_that_is_not_yet_confirmed_is_told_no_reason(broken: dict[str, Any]) -> None:
    awaited = replace(ASKS, challenge="webhook", challenge_awaited=True)
    assert evaluate(awaited) is PolicyOutcome.ASK_OFFICER
    refusal, known = evaluate(replace(awaited, **broken)), evaluate(replace(GRANTED, **broken))
    assert isinstance(refusal, Refusal)
    assert isinstance(known, Refusal)
    assert (refusal.cause, refusal.text, refusal.detail) == (known.cause, UNIFORM_TEXT, known.text)
    assert evaluate(replace(awaited, renewal=PolicyOutcome.APPROVE, **broken)) == known


@pytest.mark.parametrize("challenge", ["static", "one-time"])
def test_manual_approval_does_not_replace_a_challenge_that_the_profile_wants(
    challenge: str,
) -> None:
    assert evaluate(replace(ASKS, challenge=challenge)) == Refusal(
        Cause.CHALLENGE_MISSING, UNIFORM_TEXT
    )


@pytest.mark.parametrize(
    ("approval", "by_name", "ruling"),
    [
        ("automatic", True, PolicyOutcome.APPROVE),
        ("automatic", False, PolicyOutcome.ASK_OFFICER),
        ("manual", True, PolicyOutcome.ASK_OFFICER),
        ("manual", False, PolicyOutcome.ASK_OFFICER),
    ],
)
def test_a_list_approves_by_itself_only_what_it_names(
    approval: str, by_name: bool, ruling: PolicyOutcome
) -> None:
    assert (
        evaluate(replace(ASKS, approval=approval, has_list=True, is_listed_by_name=by_name))
        is ruling
    )


@pytest.mark.parametrize("challenge", ["static", "one-time"])
def test_a_list_does_not_replace_a_challenge_that_the_profile_wants(challenge: str) -> None:
    ruling = evaluate(replace(ASKS, challenge=challenge, has_list=True, is_listed_by_name=True))
    assert ruling == Refusal(Cause.CHALLENGE_MISSING, UNIFORM_TEXT)


@given(st.text(max_size=12), st.text(max_size=12))
def test_an_unknown_setting_never_approves(approval: str, challenge: str) -> None:
    ruling = evaluate(
        replace(GRANTED, approval=approval, challenge=challenge, challenge_satisfied=False)
    )
    assert ruling is not PolicyOutcome.APPROVE


def test_findings_of_the_certificate_profile_refuse_by_name() -> None:
    ruling = evaluate(
        replace(GRANTED, refusals=(TOO_SMALL, refuse("subject-empty", "CN: missing")))
    )
    codes = ("key-size", "subject-empty")
    assert ruling == Refusal(Cause.POLICY, "RSA 1024: at least 2048; CN: missing", codes=codes)


@pytest.mark.parametrize(("count", "refused"), [(9, False), (10, True), (11, True)])
def test_the_cap_on_open_requests_counts_what_is_open(count: int, refused: bool) -> None:
    ruling = evaluate(replace(ASKS, open_requests=count, is_known_network=True))
    assert isinstance(ruling, Refusal) is refused
    if isinstance(ruling, Refusal):
        text = "too many open requests: at most 10, try later"
        assert ruling == Refusal(Cause.TOO_MANY_OPEN, text, retry_after=FULL_RETRY)


@given(st.integers(0, 20_000), st.integers(0, 20_000))
def test_a_tenth_of_the_places_is_kept_for_known_networks(most: int, count: int) -> None:
    asks = replace(ASKS, max_open_requests=most, open_requests=count)
    assert isinstance(evaluate(asks), Refusal) is (count >= most - most // 10)
    assert isinstance(evaluate(replace(asks, is_known_network=True)), Refusal) is (count >= most)
    assert evaluate(replace(asks, is_known_transaction=True)) is PolicyOutcome.ASK_OFFICER


@pytest.mark.parametrize(("count", "refused"), [(4, False), (5, True), (6, True)])
def test_the_cap_per_address_counts_that_address(count: int, refused: bool) -> None:
    ruling = evaluate(replace(ASKS, open_from_address=count))
    assert isinstance(ruling, Refusal) is refused
    if isinstance(ruling, Refusal):
        text = "too many open requests from this address: at most 5"
        assert ruling == Refusal(Cause.TOO_MANY_OPEN, text, retry_after=FULL_RETRY)


@pytest.mark.parametrize(
    ("address", "networks", "allowed"),
    [
        ("10.20.3.4", [], True),
        ("10.20.3.4", ["10.20.0.0/16"], True),
        ("10.21.3.4", ["10.20.0.0/16"], False),
        ("10.21.3.4", ["10.20.0.0/16", "10.21.0.0/16"], True),
        ("2001:db8::7", ["2001:db8::/32"], True),
        ("2001:db9::7", ["2001:db8::/32"], False),
        ("::ffff:10.20.3.4", ["10.20.0.0/16"], True),
        ("2001:db8::7", ["10.0.0.0/8"], False),
        ("unknown", ["0.0.0.0/0"], False),
        ("unknown", [], True),
    ],
)
def test_an_address_is_allowed_from_the_networks_of_the_profile(
    address: str, networks: list[str], allowed: bool
) -> None:
    assert is_address_allowed(address, networks) is allowed


def test_facts_cannot_be_changed_after_they_were_gathered() -> None:
    with pytest.raises(FrozenInstanceError):
        ASKS.approval = "automatic"  # type: ignore[misc]  # that is the point
