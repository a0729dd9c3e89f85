"""Whether a message repeats a known request, by its transaction or by its key."""

from datetime import datetime

from approvals.challenges import lockouts, onetime
from approvals.enrollment.attempt import Attempt
from approvals.enrollment.look_up import (
    requests_of_key,
)
from approvals.models.profiles import ChallengePolicy, OnDuplicate
from approvals.models.requests import EnrollmentRequest
from approvals.records import validation_gate
from approvals.records.refusal_numbers import number_of_request
from approvals.records.refusals import facts_of, record_refusal, refused
from approvals.rules.errors import Cause, Refusal
from approvals.rules.states import REFUSED_STATES, State
from approvals.rules.submission import Submission
from audit.events import Subject
from ca.models.certificates import Certificate
from database import moments


def may_ask_again(request: EnrollmentRequest, attempt: Attempt, *, now: datetime) -> bool:
    """Return whether a known transaction may open a new request instead of getting its answer.

    After a refusal: once `refused_ttl` has passed, or at once with a fresh one-time challenge or,
    with a validation service, with a different challenge. After issuance: for other content or the
    next CA, or with a fresh one-time challenge when the certificate is not valid any more.
    """
    state, submission = State(request.state), attempt.submission
    if request.is_open:
        return False
    if state in REFUSED_STATES:
        finished = request.finished_at or request.submitted_at
        ttl = request.profile.refused_ttl
        if moments.is_over(finished + ttl, now=now, span=ttl):
            return True
        if validation_gate.is_another_challenge(request, submission.csr.challenge_password):
            return True
        return _has_fresh_one_time(request, submission, now=now)
    if state is State.ISSUED:
        if not attempt.is_same(request):
            return True
        certificate = request.certificate
        expired_or_revoked = certificate is None or not certificate.is_deliverable(now)
        return expired_or_revoked and _has_fresh_one_time(request, submission, now=now)
    return False


def _has_fresh_one_time(
    request: EnrollmentRequest, submission: Submission, *, now: datetime
) -> bool:
    """Whether a known transaction brought a new one-time challenge.

    The one that opened the request is only repeated; any other invalid one counts as failed, as in
    a new transaction, though the device gets the known answer.
    """
    profile, password = request.profile, submission.csr.challenge_password or ""
    if profile.challenge != ChallengePolicy.ONE_TIME:
        return False
    if lockouts.lock_end(profile, submission.address, password, now=now) is not None:
        return False
    redemption = onetime.check_challenge(profile, submission, now=now)
    is_repeated = (
        redemption.presented is not None and redemption.presented.redeemed_by_id == request.pk
    )
    if redemption.cause not in (None, Cause.CHALLENGE_MISSING) and not is_repeated:
        subject = Subject.of("request", request.pk)
        lockouts.note_failure(
            profile, submission.address, cause=redemption.cause, now=now, presented=password
        )
        data: dict[str, object] = {"number": number_of_request(request.pk), **facts_of(submission)}
        record_refusal(
            profile,
            redemption.cause.value,
            address=submission.address,
            now=now,
            subject=subject,
            data=data,
        )
    return redemption.satisfied


def answer_known(
    request: EnrollmentRequest, attempt: Attempt, *, now: datetime
) -> EnrollmentRequest | Refusal:
    if attempt.is_same(request):
        return request
    refusal = Refusal(
        Cause.OTHER_CONTENT,
        "this transaction is open for another request: use a new transactionID or wait for its end",
    )
    return refused(request.profile, refusal, attempt.submission, now=now, request=request)


def find_by_key(attempt: Attempt, *, now: datetime) -> EnrollmentRequest | Refusal | None:
    """Return the open request or the valid certificate of this key, under any transactionID.

    A renewal matches only a renewal of the same certificate: it never repeats the enrollment before
    it.
    """
    for request in requests_of_key(attempt.profile, attempt.submission.csr.spki_sha256):
        is_same = attempt.is_same(request) and attempt.may_meet(request)
        if request.is_open:
            if is_same:
                return request
            return Refusal(Cause.KEY_HAS_REQUEST, _open_request_text(request, attempt))
        if is_same and _deliverable(request.certificate, now):
            match attempt.profile.on_duplicate:
                case OnDuplicate.REDELIVER:
                    return request
                case OnDuplicate.FAIL:
                    return Refusal(
                        Cause.KEY_HAS_CERTIFICATE, "this key has a valid certificate already"
                    )
    return None


def _open_request_text(request: EnrollmentRequest, attempt: Attempt) -> str:
    if request.content_sha256 != attempt.content:
        return "this key has an open request for other names"
    if attempt.goes_ahead_of(request):
        return f"this key has an open request at CA {request.ca.name}: wait for its end"
    return "this key has an open request that does not renew this certificate"


def _deliverable(certificate: Certificate | None, now: datetime) -> bool:
    return certificate is not None and certificate.is_deliverable(now)
