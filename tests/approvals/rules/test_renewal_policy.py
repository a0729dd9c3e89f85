"""Who decides on a renewal: each rule on its own."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.rules.errors import Cause, Refusal
from approvals.rules.policy import (
    UNIFORM_TEXT,
    Facts,
    PolicyOutcome,
    RenewalFacts,
    RenewalPolicy,
    changed_names,
    evaluate,
    evaluate_renewal,
)
from ca.x509.findings import refuse

START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
SOON = END - timedelta(days=3)
DAY = timedelta(days=1)

AUTOMATIC = RenewalPolicy(mode="automatic")
OFFICER = RenewalPolicy(mode="officer")
GOOD = RenewalFacts(
    is_device=True,
    is_same_profile=True,
    is_same_ca=True,
    status="ISSUED",
    not_before=START,
    not_after=END,
    is_key_used=False,
    changes=(),
    is_renewed_already=False,
)
CHANGED = replace(GOOD, changes=("dns:dc1.example added",))


def cause(
    policy: RenewalPolicy, facts: RenewalFacts, now: datetime = SOON
) -> Cause | PolicyOutcome:
    ruling = evaluate_renewal(policy, facts, now=now)
    return ruling.cause if isinstance(ruling, Refusal) else ruling


def test_a_profile_renews_nothing_unless_it_says_so() -> None:
    assert cause(RenewalPolicy(), GOOD) is Cause.RENEWAL_DISABLED


@given(st.text(max_size=12))
def test_an_unknown_mode_never_renews(mode: str) -> None:
    if mode not in ("automatic", "officer"):
        assert cause(RenewalPolicy(mode=mode), GOOD) is Cause.RENEWAL_DISABLED


@given(st.text(max_size=12))
def test_an_unknown_status_never_renews(status: str) -> None:
    if status != "ISSUED":
        assert isinstance(cause(AUTOMATIC, replace(GOOD, status=status)), Cause)


@pytest.mark.parametrize(
    ("policy", "facts", "expected"),
    [
        (AUTOMATIC, GOOD, PolicyOutcome.APPROVE),
        (OFFICER, GOOD, PolicyOutcome.ASK_OFFICER),
        (AUTOMATIC, replace(GOOD, is_renewed_already=True), PolicyOutcome.ASK_OFFICER),
        (AUTOMATIC, replace(GOOD, is_device=False), Cause.SIGNER_NO_DEVICE),
        (AUTOMATIC, replace(GOOD, is_same_profile=False), Cause.RENEWED_OTHER_PROFILE),
        (AUTOMATIC, replace(GOOD, is_same_ca=False), Cause.RENEWED_OTHER_CA),
        (AUTOMATIC, replace(GOOD, status="ON_HOLD"), Cause.RENEWED_ON_HOLD),
        (AUTOMATIC, replace(GOOD, status="REVOKED"), Cause.RENEWED_REVOKED),
        (AUTOMATIC, replace(GOOD, is_key_used=True), Cause.RENEWAL_KEY_REUSED),
        (
            replace(AUTOMATIC, key_reuse=True),
            replace(GOOD, is_key_used=True),
            PolicyOutcome.APPROVE,
        ),
        (AUTOMATIC, CHANGED, Cause.RENEWAL_NAMES_CHANGED),
        (replace(AUTOMATIC, changed_names="officer"), CHANGED, PolicyOutcome.ASK_OFFICER),
        (replace(AUTOMATIC, changed_names="officer"), GOOD, PolicyOutcome.APPROVE),
    ],
)
def test_each_rule_has_its_cause(
    policy: RenewalPolicy, facts: RenewalFacts, expected: Cause | PolicyOutcome
) -> None:
    assert cause(policy, facts) is expected


@pytest.mark.parametrize(
    ("policy", "moment", "expected"),
    [
        (AUTOMATIC, END - 30 * DAY - timedelta(seconds=1), Cause.RENEWAL_TOO_EARLY),
        (AUTOMATIC, END - 30 * DAY, PolicyOutcome.APPROVE),
        (AUTOMATIC, END, PolicyOutcome.APPROVE),
        (AUTOMATIC, END + timedelta(seconds=1), Cause.RENEWED_EXPIRED),
        (replace(AUTOMATIC, grace=DAY), END + DAY, PolicyOutcome.APPROVE),
        (replace(AUTOMATIC, grace=DAY), END + DAY + timedelta(seconds=1), Cause.RENEWED_EXPIRED),
        (replace(AUTOMATIC, window=timedelta(0)), START, PolicyOutcome.APPROVE),
        (
            replace(AUTOMATIC, window=timedelta(0)),
            START - timedelta(seconds=1),
            Cause.RENEWED_NOT_YET_VALID,
        ),
    ],
)
def test_a_renewal_has_its_time(
    policy: RenewalPolicy, moment: datetime, expected: Cause | PolicyOutcome
) -> None:
    assert cause(policy, GOOD, moment) is expected


def test_the_texts_name_what_would_help() -> None:
    early = evaluate_renewal(AUTOMATIC, GOOD, now=START)
    assert early == Refusal(
        Cause.RENEWAL_TOO_EARLY, "too early to renew: from 2026-12-01T23:59Z on"
    )
    names = evaluate_renewal(AUTOMATIC, CHANGED, now=SOON)
    text = "a renewal keeps the names of the certificate: dns:dc1.example added"
    assert names == Refusal(Cause.RENEWAL_NAMES_CHANGED, text)


def test_what_changed_is_named() -> None:
    assert changed_names(subject=None, added=[], left_out=[]) == ()
    assert changed_names(subject="CN=x", added=["dns:b\u202e"], left_out=["dns:a"]) == (
        "subject CN=x",
        "dns:b<U+202E> added",
        "dns:a left out",
    )


ASKED = Facts(
    approval="manual",
    challenge="one-time",
    challenge_satisfied=False,
    refusals=(),
    open_requests=0,
    max_open_requests=10,
    open_from_address=0,
    max_open_per_address=5,
)


def test_the_ruling_on_a_renewal_stands_for_challenge_and_approval_and_for_nothing_else() -> None:
    assert evaluate(ASKED) == Refusal(Cause.CHALLENGE_MISSING, UNIFORM_TEXT)
    renewal = replace(ASKED, renewal=PolicyOutcome.APPROVE)
    assert evaluate(renewal) is PolicyOutcome.APPROVE
    assert (
        evaluate(replace(renewal, approval="automatic", renewal=PolicyOutcome.ASK_OFFICER))
        is PolicyOutcome.ASK_OFFICER
    )
    for limit in (
        {"refusals": (refuse("key-size", "RSA 1024: at least 2048"),)},
        {"open_requests": 10},
        {"open_from_address": 5},
    ):
        assert isinstance(evaluate(replace(renewal, **limit)), Refusal)
