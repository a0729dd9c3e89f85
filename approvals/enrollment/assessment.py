"""The facts about a new request, and the ruling of the policy."""

from datetime import datetime

from approvals.challenges import lockouts, onetime
from approvals.challenges.eligibility import ListMatch, find_listed
from approvals.enrollment import renewals
from approvals.enrollment.attempt import Attempt
from approvals.enrollment.limits import is_known_network, open_requests
from approvals.enrollment.open_request import AssessedSubmission
from approvals.models.profiles import ChallengePolicy, Unlisted
from approvals.rules.errors import Cause, Refusal
from approvals.rules.policy import (
    UNIFORM_TEXT,
    Facts,
    PolicyOutcome,
    evaluate,
    evaluate_renewal,
    unreserved,
)

#: For a used challenge. Leaving it out has the same effect, so repeating it gains nothing.
_NO_MATTER_IN_A_RENEWAL = (
    Cause.CHALLENGE_MISSING,
    Cause.CHALLENGE_USED,
    Cause.CHALLENGE_EXPIRED,
    Cause.CHALLENGE_WITHDRAWN,
)


def check_presented_challenge(
    attempt: Attempt, *, now: datetime
) -> onetime.ChallengeResult | Refusal:
    """Check the challenge; return a temporary refusal while none is checked.

    A renewal needs none, and clients repeat the one they enrolled with: an unchecked one counts as
    none.
    """
    submission, profile = attempt.submission, attempt.profile
    password = submission.csr.challenge_password
    has_one = profile.challenge != ChallengePolicy.NONE and password is not None
    end = (
        lockouts.lock_end(profile, submission.address, password or "", now=now) if has_one else None
    )
    if end is not None and attempt.renewed is None:
        return Refusal(Cause.CHALLENGE_LOCKED, UNIFORM_TEXT, retry_after=end - now)
    if end is not None:
        return onetime.ChallengeResult(satisfied=False)
    redemption = onetime.check_challenge(profile, submission, now=now)
    if attempt.renewed is not None and redemption.cause in _NO_MATTER_IN_A_RENEWAL:
        return onetime.ChallengeResult(satisfied=False)
    return redemption


def listing_of(attempt: Attempt, *, now: datetime) -> ListMatch | None:
    """Return the result of the list of expected devices.

    A renewal has shown a certificate and is on no list.
    """
    group = attempt.profile.eligibility
    return (
        find_listed(group, attempt.submission, now=now)
        if group and attempt.renewed is None
        else None
    )


def rule(
    assessment: AssessedSubmission, attempt: Attempt, *, now: datetime
) -> PolicyOutcome | Refusal:
    renewal, listing = assessment.renewal, assessment.listing
    submission, profile = attempt.submission, attempt.profile
    if listing is not None and listing.cause is not None and profile.unlisted == Unlisted.REFUSE:
        return Refusal(listing.cause, UNIFORM_TEXT)
    result = (
        evaluate_renewal(renewals.policy_of(profile), renewal.facts, now=now) if renewal else None
    )
    if isinstance(result, Refusal):
        return result
    number = open_requests.count(profile)
    facts = Facts(
        approval=profile.approval,
        challenge=profile.challenge,
        challenge_satisfied=assessment.redemption.satisfied,
        challenge_awaited=assessment.redemption.is_awaited,
        refusals=assessment.refusals,
        needs_officer=assessment.needs_officer,
        open_requests=number,
        max_open_requests=profile.max_open_requests,
        open_from_address=open_requests.count(profile, submission.address),
        max_open_per_address=profile.max_open_per_address,
        has_list=listing is not None,
        is_listed_by_name=listing is not None and listing.is_named,
        renewal=result,
        is_known_transaction=attempt.known is not None,
        is_known_network=_may_use_reserve(attempt, number),
    )
    return evaluate(facts)


def _may_use_reserve(attempt: Attempt, open_number: int) -> bool:
    """Whether the reserve for known networks is open to this; asked only if the rest is used up."""
    if attempt.renewed is not None:
        return True
    is_needed = open_number >= unreserved(attempt.profile.max_open_requests)
    return is_needed and is_known_network(attempt.profile, attempt.submission.address)
