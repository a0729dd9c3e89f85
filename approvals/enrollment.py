"""Enrollment: what happens to a device's wish for a certificate, through whatever door it comes.

A refusal that has to be remembered is a committed fact with an audit entry and comes back as a `Refusal`; exceptions
are our own faults. The caller opens no transaction: each use case has its own.
"""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from django.db import IntegrityError, transaction

from approvals import challenges
from approvals.doorbell import ring
from approvals.errors import Cause, Refusal
from approvals.limits import open_requests
from approvals.lookup import KnownTransaction, find_transaction, requests_of_key
from approvals.models import (
    ChallengePassword,
    ChallengePolicy,
    EnrollmentProfile,
    EnrollmentRequest,
    EnrollmentTransaction,
    OnDuplicate,
    RequestTerm,
)
from approvals.notifications import notify
from approvals.policy import UNIFORM_TEXT, Facts, Ruling, evaluate, is_address_allowed
from approvals.refusals import record_refusal, refused
from approvals.states import OPEN_STATES, REFUSED_STATES, State
from approvals.submission import Submission
from approvals.verdicts import approve_by_policy
from audit.events import Actor, Event, Personal, Subject
from audit.inserts import insert
from audit.log import record
from ca.csr import CertificationRequest
from ca.models import Certificate
from ca.profiles import CsrReview, check_csr
from ca.store import certificate_by_fingerprint, normalized_terms, resolve_version

_UNKNOWN = Refusal(Cause.UNKNOWN_TRANSACTION, "no such transaction")
WAITING_STATES = OPEN_STATES
_NAMING_ATTRIBUTES = frozenset({"CN", "UID", "emailAddress"})


@dataclass(frozen=True, slots=True)
class Assessment:
    """A submission that has been looked at: what the certificate profile says, and what the challenge is worth."""

    submission: Submission
    review: CsrReview
    redemption: challenges.Redemption
    content_sha256: str
    profile_version_id: int


def submit_enrollment(
    submission: Submission, *, profile: EnrollmentProfile, now: datetime
) -> EnrollmentRequest | Refusal:
    """Answer an enrollment message: the request it opened or repeats, or a refusal.

    Two equal messages at once open one request: the unique constraints decide, the slower one is answered as a repeat.
    """
    for attempt in (1, 2, 3):
        try:
            with transaction.atomic():
                return _submit(submission, profile=profile, now=now)
        except IntegrityError:
            if attempt == 3:
                raise
    raise AssertionError("unreachable: the loop returns or raises")


def get_enrollment(
    *, profile: EnrollmentProfile, transaction_id: str, signer_spki_sha256: bytes, address: str, now: datetime
) -> EnrollmentRequest | KnownTransaction | Refusal:
    """Return the request of a transaction to the key that opened it; unread while it waits.

    Any other key gets exactly the answer of an unknown transaction (RFC 8894 §3.3.3, §4.4); it is logged as what it is.
    """
    known = find_transaction(profile, transaction_id, signer_spki_sha256)
    if known is not None:
        return known if known.state in WAITING_STATES else known.load(profile)
    taken = EnrollmentTransaction.objects.filter(profile_id=profile.pk, transaction_id=transaction_id).first()
    subject = Subject.of("request", taken.request_id) if taken else None
    cause = "poll signed by another key" if taken else _UNKNOWN.cause.value
    record_refusal(profile, cause, address=address, now=now, subject=subject)
    return _UNKNOWN


def _submit(submission: Submission, *, profile: EnrollmentProfile, now: datetime) -> EnrollmentRequest | Refusal:
    refusal = _refuse_signer(submission)
    if refusal is not None:
        return refused(profile, refusal, submission, now=now)
    content = submission.content_sha256().hex()
    known = find_transaction(profile, submission.transaction_id, submission.signer_spki_sha256)
    if known is not None:
        request = known.load(profile)
        if not _may_ask_again(request, submission, content, now=now):
            return _answer_known(request, submission, content, now=now)
    met = _find_by_key(submission, profile=profile, content=content, now=now)
    if isinstance(met, Refusal):
        return refused(profile, met, submission, now=now)
    if met is not None:
        _join_transaction(submission, met, known=known, now=now)
        return met
    return _open(submission, profile=profile, content=content, known=known, now=now)


def _refuse_signer(submission: Submission) -> Refusal | None:
    """A signer with a certificate of ours renews; any other signer must hold the requested key (RFC 8894 §2.3)."""
    if not submission.signer_is_self_issued:
        fingerprint = sha256(submission.signer_certificate_der).digest()
        if certificate_by_fingerprint(fingerprint) is not None:
            return Refusal(Cause.RENEWAL_DISABLED, "renewal is not enabled")
    if submission.signer_spki_sha256 != submission.csr.spki_sha256:
        return Refusal(Cause.SIGNER_KEY, "the message must be signed with the key of the certificate request")
    return None


def _may_ask_again(request: EnrollmentRequest, submission: Submission, content: str, *, now: datetime) -> bool:
    """Return whether a known transaction may open a new request instead of getting the answer of the old one.

    After a refusal: once `refused_ttl` has passed, or at once with a fresh one-time challenge. After issuance: for
    other content, or with a fresh one-time challenge when the certificate is not valid any more.
    """
    state = State(request.state)
    if state in REFUSED_STATES:
        finished = request.finished_at or request.submitted_at
        if finished + request.profile.refused_ttl <= now:
            return True
        return _has_fresh_one_time(request.profile, submission, now=now)
    if state is State.ISSUED:
        if request.content_sha256 != content:
            return True
        certificate = request.certificate
        expired_or_revoked = certificate is None or not certificate.is_deliverable(now)
        return expired_or_revoked and _has_fresh_one_time(request.profile, submission, now=now)
    return False


def _has_fresh_one_time(profile: EnrollmentProfile, submission: Submission, *, now: datetime) -> bool:
    if profile.challenge != ChallengePolicy.ONE_TIME:
        return False
    return challenges.check_challenge(
        profile, submission.csr.challenge_password, names=_names(submission.csr), now=now
    ).satisfied


def _answer_known(
    request: EnrollmentRequest, submission: Submission, content: str, *, now: datetime
) -> EnrollmentRequest | Refusal:
    if request.content_sha256 == content:
        return request
    refusal = Refusal(
        Cause.OTHER_CONTENT, "this transaction is open for another request: use a new transactionID or wait for its end"
    )
    return refused(request.profile, refusal, submission, now=now, request=request)


def _find_by_key(
    submission: Submission, *, profile: EnrollmentProfile, content: str, now: datetime
) -> EnrollmentRequest | Refusal | None:
    """Meet the open request or the valid certificate of this key again, under whatever transactionID it came."""
    for request in requests_of_key(profile, submission.csr.spki_sha256):
        if State(request.state) in OPEN_STATES:
            if request.content_sha256 == content:
                return request
            return Refusal(Cause.KEY_HAS_REQUEST, "this key has an open request for other names")
        if request.content_sha256 == content and _deliverable(request.certificate, now):
            match profile.on_duplicate:
                case OnDuplicate.REDELIVER:
                    return request
                case OnDuplicate.FAIL:
                    return Refusal(Cause.KEY_HAS_CERTIFICATE, "this key has a valid certificate already")
    return None


def _deliverable(certificate: Certificate | None, now: datetime) -> bool:
    return certificate is not None and certificate.is_deliverable(now)


def _open(
    submission: Submission,
    *,
    profile: EnrollmentProfile,
    content: str,
    known: KnownTransaction | None,
    now: datetime,
) -> EnrollmentRequest | Refusal:
    if not is_address_allowed(submission.address, profile.networks):
        return refused(profile, Refusal(Cause.NETWORK, UNIFORM_TEXT), submission, now=now)
    redemption = challenges.check_challenge(
        profile, submission.csr.challenge_password, names=_names(submission.csr), now=now
    )
    if redemption.cause is not None:
        return refused(profile, Refusal(redemption.cause, UNIFORM_TEXT), submission, now=now)
    version_id = profile.certificate_profile.current_id
    if version_id is None:
        raise LookupError(f"certificate profile {profile.certificate_profile.slug} has no version")
    review = check_csr(submission.csr, resolve_version(version_id))
    ruling = evaluate(_facts(submission, profile, review, satisfied=redemption.satisfied))
    if isinstance(ruling, Refusal):
        return refused(profile, ruling, submission, now=now)
    assessment = Assessment(submission, review, redemption, content, version_id)
    request = _write_request(assessment, profile=profile, now=now)
    if redemption.challenge is not None:
        _redeem(redemption.challenge, request, now=now)
    _join_transaction(submission, request, known=known, now=now)
    open_requests.opened(profile, submission.address)
    if ruling is Ruling.APPROVE:
        approve_by_policy(request, now=now)
        ring([request.pk])
    else:
        notify("request-pending", request, now=now)
    return request


def _facts(submission: Submission, profile: EnrollmentProfile, review: CsrReview, *, satisfied: bool) -> Facts:
    return Facts(
        approval=profile.approval,
        challenge=profile.challenge,
        challenge_satisfied=satisfied,
        refusals=tuple(finding.text for finding in review.findings if finding.severity == "refuse"),
        open_requests=open_requests.count(profile),
        max_open_requests=profile.max_open_requests,
        open_from_address=open_requests.count(profile, submission.address),
        max_open_per_address=profile.max_open_per_address,
    )


def _write_request(assessment: Assessment, *, profile: EnrollmentProfile, now: datetime) -> EnrollmentRequest:
    submission, review = assessment.submission, assessment.review
    csr = submission.csr
    request = EnrollmentRequest(
        profile=profile,
        ca=profile.ca,
        profile_version_id=assessment.profile_version_id,
        csr=csr.stored_der,
        csr_sha256=sha256(csr.stored_der).hexdigest(),
        csr_spki_sha256=csr.spki_sha256.hex(),
        signer_spki_sha256=submission.signer_spki_sha256.hex(),
        signer_certificate=submission.signer_certificate_der,
        content_sha256=assessment.content_sha256,
        subject=str(review.subject)[:1000],
        common_name=_common_name(csr)[:255],
        names=[f"{name.kind}:{name.value}" for name in review.sans],
        key_description=str(csr.key),
        findings=[{"severity": item.severity, "code": item.code, "text": item.text} for item in review.findings],
        transaction_id=submission.transaction_id,
        address=submission.address,
        client=submission.client[:200],
        challenge=profile.challenge,
        submitted_at=now,
        expires_at=now + profile.request_ttl,
    )
    insert(request)
    _add_terms(request, submission)
    _record_submission(request, submission, now=now)
    return request


def _add_terms(request: EnrollmentRequest, submission: Submission) -> None:
    words = [
        submission.transaction_id,
        submission.address,
        request.csr_spki_sha256,
        sha256(submission.signer_certificate_der).hexdigest(),
        *_names(submission.csr),
    ]
    insert(*(RequestTerm(request=request, term=term) for term in normalized_terms(words)))


def _record_submission(request: EnrollmentRequest, submission: Submission, *, now: datetime) -> None:
    record(
        Event.REQUEST_SUBMIT,
        actor=Actor(kind="device", identifier=request.signer_spki_sha256, address=submission.address),
        now=now,
        subject=Subject.of("request", request.pk, 1),
        data={
            "profile": request.profile.slug,
            "csr_sha256": request.csr_sha256,
            "received_csr_sha256": sha256(submission.csr.der).hexdigest(),
            "subject": request.subject,
            "names": request.names,
            "transaction_id": submission.transaction_id,
            "profile_version": request.profile_version_id,
            "client": Personal(submission.client[:200]),
        },
    )


def _redeem(challenge: ChallengePassword, request: EnrollmentRequest, *, now: datetime) -> None:
    """Use up the challenge; where a parallel message was faster, the whole attempt is undone and looked at again."""
    if not challenges.redeem(challenge, request=request, now=now):
        raise IntegrityError("challenge redeemed by a parallel message")
    record(
        Event.CHALLENGE_REDEEM,
        actor=Actor(kind="device", identifier=request.signer_spki_sha256, address=request.address),
        now=now,
        subject=Subject.of("challenge", challenge.pk),
        data={"request": str(request.pk)},
    )


def _join_transaction(
    submission: Submission, request: EnrollmentRequest, *, known: KnownTransaction | None, now: datetime
) -> None:
    """Let the transaction of a message point to this request from now on."""
    if known is not None:
        EnrollmentTransaction.objects.filter(pk=known.transaction_pk).update(request=request)
        return
    opened = EnrollmentTransaction(
        profile_id=request.profile_id,
        transaction_id=submission.transaction_id,
        signer_spki_sha256=submission.signer_spki_sha256.hex(),
        request=request,
        opened_at=now,
    )
    insert(opened)


def answer_of(request: EnrollmentRequest, *, now: datetime) -> Certificate | Refusal | None:
    """Return what a requester is told: the certificate, a refusal, or None for "not yet" (RFC 8894 §3.3.2)."""
    match State(request.state):
        case State.ISSUED:
            certificate = request.certificate
            if certificate is not None and certificate.is_deliverable(now):
                return certificate
            return Refusal(Cause.CERTIFICATE_UNAVAILABLE, "the certificate of this request is revoked or expired")
        case State.REJECTED:
            if request.effective_at is not None and request.effective_at > now:
                return None
            return Refusal(Cause.REJECTED, request.reason or "rejected by an officer")
        case State.EXPIRED:
            return Refusal(Cause.EXPIRED, "the request expired before anyone decided: ask again")
        case State.WITHDRAWN:
            return Refusal(Cause.WITHDRAWN, "the request was withdrawn")
        case _:
            return None


def _common_name(csr: CertificationRequest) -> str:
    return next((attribute.value for attribute in csr.subject.attributes if attribute.oid == "2.5.4.3"), "")


def _names(csr: CertificationRequest) -> list[str]:
    """Every name the requester claims: in the subject, and alternative names."""
    in_subject = [attribute.value for attribute in csr.subject.attributes if attribute.name in _NAMING_ATTRIBUTES]
    return in_subject + [name.value for name in csr.requested_sans]
