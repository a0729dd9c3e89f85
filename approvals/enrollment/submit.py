"""Submit: a decoded enrollment message opens a request, repeats one, or is refused.

A refusal to be remembered is a committed fact with an audit entry and is returned as a `Refusal`;
exceptions are faults of the portal. The caller opens no transaction: each use case has its own.
"""

from datetime import datetime

from django.db import IntegrityError, transaction

from approvals.challenges import lockouts, onetime
from approvals.enrollment import renewals
from approvals.enrollment.assessment import check_presented_challenge, listing_of, rule
from approvals.enrollment.attempt import Attempt
from approvals.enrollment.limits import open_requests
from approvals.enrollment.look_up import (
    find_transaction,
)
from approvals.enrollment.open_request import (
    AssessedSubmission,
    join_transaction,
    use_up,
    write_request,
)
from approvals.enrollment.repeats import answer_known, find_by_key, may_ask_again
from approvals.enrollment.reply_passwords import keep_password
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.operations.doorbell import ring, ring_for_validations
from approvals.records import validation_gate
from approvals.records.barred_keys import refuse_key
from approvals.records.decision_documents import approve_by_policy
from approvals.records.name_conflicts import check_names_in_use
from approvals.records.notifications import notify
from approvals.records.refusals import refused
from approvals.rules.errors import Cause, Overtaken, Refusal
from approvals.rules.policy import (
    UNIFORM_TEXT,
    PolicyOutcome,
    is_address_allowed,
)
from approvals.rules.submission import Submission
from ca.certificates.admission import review_csr
from ca.certificates.profile_versions import resolve_version
from ca.models.certificates import Certificate

#: A certificate of the portal signs for another key; any other signer must hold the requested one
#: (RFC 8894 §2.3).
_OTHER_KEY = Refusal(
    Cause.SIGNER_KEY, "the message must be signed with the key of the certificate request"
)
#: Messages of one device may arrive at the same time: the overtaken one is tried again as a repeat.
_TRIES = 3
_NO_PASSWORD = Refusal(
    Cause.ANSWER_WITHOUT_KEY,
    "an EC key cannot decrypt the answer: put a challengePassword into the request, or use an RSA "
    "key",
)


def submit_enrollment(
    submission: Submission, *, profile: EnrollmentProfile, now: datetime
) -> EnrollmentRequest | Refusal:
    """Answer an enrollment message: the request it opened or repeats, or a refusal.

    Two equal messages at the same time open one request: the unique constraints decide, the slower
    one is answered as a repeat.
    """
    for _ in range(_TRIES - 1):
        try:
            return _submit_once(submission, profile=profile, now=now)
        except (IntegrityError, Overtaken):
            continue
    return _submit_once(submission, profile=profile, now=now)


def _submit_once(
    submission: Submission, *, profile: EnrollmentProfile, now: datetime
) -> EnrollmentRequest | Refusal:
    with transaction.atomic():
        answer = _submit(submission, profile=profile, now=now)
        if submission.is_password_needed and isinstance(answer, EnrollmentRequest):
            keep_password(answer, submission, now=now)
        return answer


def _submit(
    submission: Submission, *, profile: EnrollmentProfile, now: datetime
) -> EnrollmentRequest | Refusal:
    renewed = renewals.find_renewed(submission, profile=profile)
    if isinstance(renewed, Refusal):
        return refused(profile, renewed, submission, now=now)
    unfit = _refuse_signer(submission, renewed) or refuse_key(submission)
    if unfit is not None:
        return refused(profile, unfit, submission, now=now, renewed=renewed)
    content = submission.content_sha256().hex()
    known = find_transaction(
        profile, submission.transaction_id, submission.signer_spki_sha256, renewed=renewed
    )
    attempt = Attempt(submission, profile, content, renewed, known)
    if known is not None:
        request = known.load(profile)
        if not may_ask_again(request, attempt, now=now):
            return answer_known(request, attempt, now=now)
    met = find_by_key(attempt, now=now)
    if isinstance(met, Refusal):
        return refused(profile, met, submission, now=now, renewed=renewed)
    if met is not None:
        join_transaction(submission, met, known=known, renewed=renewed, now=now)
        return met
    return _open(attempt, now=now)


def _refuse_signer(submission: Submission, renewed: Certificate | None) -> Refusal | None:
    if renewed is None and submission.signer_spki_sha256 != submission.csr.spki_sha256:
        return _OTHER_KEY
    if submission.is_password_needed and submission.csr.challenge_password is None:
        return _NO_PASSWORD
    return None


def _open(attempt: Attempt, *, now: datetime) -> EnrollmentRequest | Refusal:
    submission, profile, renewed = attempt.submission, attempt.profile, attempt.renewed
    if not is_address_allowed(submission.address, profile.networks):
        return refused(
            profile, Refusal(Cause.NETWORK, UNIFORM_TEXT), submission, now=now, renewed=renewed
        )
    redemption = check_presented_challenge(attempt, now=now)
    if isinstance(redemption, Refusal):
        return refused(profile, redemption, submission, now=now)
    if redemption.cause is not None:
        return _refuse_challenge(attempt, redemption, redemption.cause, now=now)
    version_id = profile.certificate_profile.current_id
    if version_id is None:
        raise LookupError(f"certificate profile {profile.certificate_profile.slug} has no version")
    review = review_csr(submission.csr, resolve_version(version_id))
    renewal = renewals.look_at(renewed, submission, review, profile=profile) if renewed else None
    listing = listing_of(attempt, now=now)
    content, issuer = attempt.content, attempt.issuer
    names = check_names_in_use(submission.csr, review, profile=profile, renewed=renewed, now=now)
    assessment = AssessedSubmission(
        submission, review, redemption, content, version_id, issuer, renewal, listing, names
    )
    ruling = rule(assessment, attempt, now=now)
    if isinstance(ruling, Refusal):
        return refused(profile, ruling, submission, now=now, renewed=renewed)
    request = write_request(assessment, profile=profile, now=now)
    request.was_opened_now = True
    use_up(assessment, request, now=now)
    join_transaction(submission, request, known=attempt.known, renewed=renewed, now=now)
    open_requests.opened(profile, submission.address)
    _follow(ruling, attempt, request, now=now)
    return request


def _refuse_challenge(
    attempt: Attempt, redemption: onetime.ChallengeResult, cause: Cause, *, now: datetime
) -> Refusal:
    """Count the failed challenge and refuse.

    Raises Overtaken if a parallel message of this device has just used the challenge.
    """
    submission, profile = attempt.submission, attempt.profile
    if cause is Cause.CHALLENGE_USED and _was_overtaken(attempt):
        raise Overtaken("a parallel message of this device was faster")
    password = submission.csr.challenge_password or ""
    lockouts.note_failure(profile, submission.address, cause=cause, now=now, presented=password)
    challenge = redemption.presented.pk if redemption.presented else None
    refusal = Refusal(cause, UNIFORM_TEXT, challenge=challenge)
    return refused(profile, refusal, submission, now=now, renewed=attempt.renewed)


def _follow(
    ruling: PolicyOutcome, attempt: Attempt, request: EnrollmentRequest, *, now: datetime
) -> None:
    """Notify the signing worker, the validation worker or the officers of a new request."""
    if ruling is PolicyOutcome.APPROVE:
        approve_by_policy(request, now=now)
        ring([request.pk])
    elif validation_gate.is_validated_elsewhere(request):
        _await_validation(attempt, request, now=now)
    else:
        notify("request-pending", request, now=now)


def _await_validation(attempt: Attempt, request: EnrollmentRequest, *, now: datetime) -> None:
    """Let a worker ask the service about the challenge.

    Officers are notified once the challenge is confirmed.
    """
    csr = attempt.submission.csr
    validation_gate.open_validation(
        request,
        profile=attempt.profile,
        csr_der=csr.der,
        challenge=csr.challenge_password or "",
        now=now,
    )
    ring_for_validations([request.pk])


def _was_overtaken(attempt: Attempt) -> bool:
    """Whether the same message, sent in parallel, opened the transaction since the look-up."""
    submission = attempt.submission
    signer = submission.signer_spki_sha256
    newest = find_transaction(
        attempt.profile, submission.transaction_id, signer, renewed=attempt.renewed
    )
    return attempt.known is None and newest is not None
