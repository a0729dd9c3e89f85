"""The writes when a request opens: request, search terms, transaction, used challenge.

Everything happens in the caller's transaction; the unique constraints decide between equal messages
at the same time.
"""

from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from accounts.network.addresses import network_of
from approvals.challenges import onetime
from approvals.challenges.eligibility import ListMatch, use_listing
from approvals.enrollment.look_up import KnownTransaction
from approvals.enrollment.renewals import Renewal
from approvals.models.challenges import ChallengePassword
from approvals.models.profiles import ChallengePolicy, EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, EnrollmentTransaction, RequestTerm
from approvals.records.name_conflicts import NameCheck, keep_names
from approvals.records.profile_versions import enrollment_profile_of
from approvals.records.transitions import department_of
from approvals.rules.bindings import names_of
from approvals.rules.errors import Overtaken
from approvals.rules.submission import Submission
from audit.events import Actor, Event, Personal, Subject
from audit.log import record
from ca.certificates.profile_versions import label_of
from ca.certificates.search_terms import normalized_terms
from ca.content.csr_review import CsrReview
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import Certificate
from ca.x509.csr import CertificationRequest
from ca.x509.findings import Finding
from database.statements import insert


@dataclass(frozen=True, slots=True)
class AssessedSubmission:
    """A checked submission: the findings of the certificate profile, and its authorization."""

    submission: Submission
    review: CsrReview
    redemption: onetime.ChallengeResult
    content_sha256: str
    profile_version_id: int
    issuer: CertificateAuthority
    renewal: Renewal | None = None
    listing: ListMatch | None = None
    names: NameCheck = field(default_factory=lambda: NameCheck({}))

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """The findings for which the request is refused."""
        return tuple(
            item
            for item in (*self.review.findings, *self.names.findings)
            if item.severity == "refuse"
        )

    @property
    def needs_officer(self) -> bool:
        """Whether no policy approves it alone."""
        names = (item.severity == "officer" for item in self.names.findings)
        return bool(self.review.needs_officer) or any(names)

    def findings(self) -> list[Finding]:
        """Return all findings, those for officers first."""
        renewal = self.renewal.findings() if self.renewal else ()
        remarks = [
            *self.review.findings,
            *self.names.findings,
            *renewal,
            *([self.listing.finding()] if self.listing else ()),
        ]
        return sorted(remarks, key=lambda item: item.severity != "officer")


def write_request(
    assessment: AssessedSubmission, *, profile: EnrollmentProfile, now: datetime
) -> EnrollmentRequest:
    """Insert a request with its search terms and audit entry, in the caller's transaction."""
    submission, review = assessment.submission, assessment.review
    csr = submission.csr
    request = EnrollmentRequest(
        profile=profile,
        ca=assessment.issuer,
        profile_version_id=assessment.profile_version_id,
        enrollment_profile_version_id=profile.current_id,
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
        findings=[
            {"severity": item.severity, "code": item.code, "text": item.text}
            for item in assessment.findings()
        ],
        transaction_id=submission.transaction_id,
        renews=assessment.renewal.certificate if assessment.renewal else None,
        address=submission.address,
        network=network_of(submission.address),
        client=submission.client[:200],
        challenge=_proof(assessment, profile),
        submitted_at=now,
        expires_at=now + profile.request_ttl,
    )
    insert(request)
    _add_terms(request, submission)
    keep_names(request, assessment.names)
    _record_submission(request, submission, now=now)
    return request


def _proof(assessment: AssessedSubmission, profile: EnrollmentProfile) -> str:
    """Return the kind of challenge that authorizes this request; a renewal needs none."""
    redemption = assessment.redemption
    is_awaited = redemption.is_awaited and assessment.renewal is None
    return profile.challenge if redemption.satisfied or is_awaited else ChallengePolicy.NONE


def _add_terms(request: EnrollmentRequest, submission: Submission) -> None:
    terms = [
        submission.transaction_id,
        submission.address,
        request.csr_spki_sha256,
        sha256(submission.signer_certificate_der).hexdigest(),
        *names_of(submission.csr),
    ]
    insert(*(RequestTerm(request=request, term=term) for term in normalized_terms(terms)))


def _record_submission(
    request: EnrollmentRequest, submission: Submission, *, now: datetime
) -> None:
    version = label_of(request.profile_version_id)
    record(
        Event.REQUEST_SUBMIT,
        actor=Actor(
            kind="device", identifier=request.signer_spki_sha256, address=submission.address
        ),
        now=now,
        subject=Subject.of("request", request.pk, 1),
        data={
            "profile": request.profile.slug,
            "csr_sha256": request.csr_sha256,
            "subject": request.subject,
            "names": request.names,
            "transaction_id": submission.transaction_id,
            "certificate_profile": version.profile,
            "profile_version": version.number,
            "profile_sha256": version.spec_sha256,
            **_enrollment_profile(request),
            "ca": request.ca.name,
            "client": Personal(submission.client[:200]),
            **({"renews": request.renews.serial_hex} if request.renews else {}),
        },
        department=department_of(request.profile),
    )


def _enrollment_profile(request: EnrollmentRequest) -> dict[str, object]:
    met = enrollment_profile_of(request)
    if met is None:
        return {}
    return {
        "enrollment_profile_version": met["version"],
        "enrollment_profile_sha256": met["digest"],
    }


def use_up(assessment: AssessedSubmission, request: EnrollmentRequest, *, now: datetime) -> None:
    """Record and consume the authorization of a request: a challenge, or a place on a list."""
    redemption, listing = assessment.redemption, assessment.listing
    if listing is not None and listing.device is not None:
        use_listing(listing.device, request=request, now=now)
    if redemption.challenge is not None:
        _redeem(redemption.challenge, request, now=now)
    if redemption.static is not None:
        onetime.note_static_use(redemption.static, request=request)


def _redeem(challenge: ChallengePassword, request: EnrollmentRequest, *, now: datetime) -> None:
    """Use up the challenge; if a parallel message was faster, raise, so that all is retried."""
    if not onetime.redeem(challenge, request=request, now=now):
        raise Overtaken("a parallel message used the challenge")
    record(
        Event.CHALLENGE_REDEEM,
        actor=Actor(kind="device", identifier=request.signer_spki_sha256, address=request.address),
        now=now,
        subject=Subject.of("challenge", challenge.pk),
        data={"request": str(request.pk)},
        department=department_of(request.profile),
    )


def join_transaction(
    submission: Submission,
    request: EnrollmentRequest,
    *,
    known: KnownTransaction | None,
    renewed: Certificate | None,
    now: datetime,
) -> None:
    """Point the transaction of a message to this request."""
    if known is not None:
        EnrollmentTransaction.objects.filter(pk=known.transaction_pk).update(request=request)
        return
    transaction_row = EnrollmentTransaction(
        profile_id=request.profile_id,
        transaction_id=submission.transaction_id,
        signer_spki_sha256=submission.signer_spki_sha256.hex(),
        renews=renewed,
        request=request,
        opened_at=now,
    )
    insert(transaction_row)


def _common_name(csr: CertificationRequest) -> str:
    return next(
        (attribute.value for attribute in csr.subject.attributes if attribute.oid == "2.5.4.3"), ""
    )
