"""What is written down when a request opens: the request, its search terms, its transaction, the challenge used up.

Everything happens in the caller's transaction; the unique constraints decide between equal messages at once.
"""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from django.db import IntegrityError

from approvals import challenges
from approvals.lookup import KnownTransaction
from approvals.models import (
    ChallengePassword,
    ChallengePolicy,
    EnrollmentProfile,
    EnrollmentRequest,
    EnrollmentTransaction,
    RequestTerm,
)
from approvals.renewals import Renewal
from approvals.submission import Submission
from audit.events import Actor, Event, Personal, Subject
from audit.inserts import insert
from audit.log import record
from ca.csr import CertificationRequest
from ca.models import Certificate
from ca.profiles import CsrReview
from ca.store import normalized_terms

_NAMING_ATTRIBUTES = frozenset({"CN", "UID", "emailAddress"})


@dataclass(frozen=True, slots=True)
class Assessment:
    """A submission that has been looked at: what the certificate profile says, and what gives it the right to ask."""

    submission: Submission
    review: CsrReview
    redemption: challenges.Redemption
    content_sha256: str
    profile_version_id: int
    renewal: Renewal | None = None


def write_request(assessment: Assessment, *, profile: EnrollmentProfile, now: datetime) -> EnrollmentRequest:
    """Insert a request with its search terms and its entry, in the caller's transaction."""
    submission, review = assessment.submission, assessment.review
    csr = submission.csr
    findings = [*review.findings, *(assessment.renewal.findings() if assessment.renewal else ())]
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
        findings=[{"severity": item.severity, "code": item.code, "text": item.text} for item in findings],
        transaction_id=submission.transaction_id,
        renews=assessment.renewal.certificate if assessment.renewal else None,
        address=submission.address,
        client=submission.client[:200],
        challenge=profile.challenge if assessment.redemption.satisfied else ChallengePolicy.NONE,
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
        *names_of(submission.csr),
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
            "subject": request.subject,
            "names": request.names,
            "transaction_id": submission.transaction_id,
            "profile_version": request.profile_version_id,
            "client": Personal(submission.client[:200]),
            **({"renews": request.renews.serial_hex} if request.renews else {}),
        },
    )


def redeem(challenge: ChallengePassword, request: EnrollmentRequest, *, now: datetime) -> None:
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


def join_transaction(
    submission: Submission,
    request: EnrollmentRequest,
    *,
    known: KnownTransaction | None,
    renewed: Certificate | None,
    now: datetime,
) -> None:
    """Let the transaction of a message point to this request from now on."""
    if known is not None:
        EnrollmentTransaction.objects.filter(pk=known.transaction_pk).update(request=request)
        return
    opened = EnrollmentTransaction(
        profile_id=request.profile_id,
        transaction_id=submission.transaction_id,
        signer_spki_sha256=submission.signer_spki_sha256.hex(),
        renews=renewed,
        request=request,
        opened_at=now,
    )
    insert(opened)


def _common_name(csr: CertificationRequest) -> str:
    return next((attribute.value for attribute in csr.subject.attributes if attribute.oid == "2.5.4.3"), "")


def names_of(csr: CertificationRequest) -> list[str]:
    """Every name the requester claims: in the subject, and alternative names."""
    in_subject = [attribute.value for attribute in csr.subject.attributes if attribute.name in _NAMING_ATTRIBUTES]
    return in_subject + [name.value for name in csr.requested_sans]
