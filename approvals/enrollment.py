"""Enrollment: what happens to a device's wish for a certificate, through whatever door it comes.

A refusal that has to be remembered is a committed fact with an audit entry and comes back as a `Refusal`; exceptions
are our own faults. The caller opens no transaction: each use case has its own.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from django.db import IntegrityError, transaction

from approvals import challenges, lockouts, renewals, validations
from approvals.barred_keys import refuse_key
from approvals.doorbell import ring, ring_for_validations
from approvals.eligibility import Listing, find_listed
from approvals.errors import Cause, Refusal
from approvals.limits import is_known_network, open_requests
from approvals.lookup import KnownTransaction, find_transaction, newest_transaction, requests_of_key
from approvals.models import (
    ChallengePolicy,
    EnrollmentProfile,
    EnrollmentRequest,
    EnrollmentTransaction,
    OnDuplicate,
    Unlisted,
)
from approvals.name_conflicts import check_names_in_use
from approvals.notifications import notify
from approvals.opening import Assessment, join_transaction, use_up, write_request
from approvals.policy import (
    UNIFORM_TEXT,
    Facts,
    Ruling,
    evaluate,
    evaluate_renewal,
    is_address_allowed,
    unreserved,
)
from approvals.refusal_numbers import number_of_request
from approvals.refusals import facts_of, record_refusal, refused
from approvals.reply_passwords import keep_password
from approvals.states import OPEN_STATES, REFUSED_STATES, State
from approvals.submission import Submission
from approvals.verdicts import approve_by_policy
from audit import moments
from audit.events import Subject
from ca.admission import review_csr
from ca.models import Certificate, CertificateAuthority
from ca.store import resolve_version

#: Of a challenge that was one. Leaving it out would serve as well, so whoever repeats it gains nothing.
_NO_MATTER_IN_A_RENEWAL = (
    Cause.CHALLENGE_MISSING,
    Cause.CHALLENGE_USED,
    Cause.CHALLENGE_EXPIRED,
    Cause.CHALLENGE_WITHDRAWN,
)
_UNKNOWN = Refusal(Cause.UNKNOWN_TRANSACTION, "no such transaction")
#: A certificate of ours signs for another key; any other signer must hold the requested one (RFC 8894 §2.3).
_OTHER_KEY = Refusal(Cause.SIGNER_KEY, "the message must be signed with the key of the certificate request")
_NO_PASSWORD = Refusal(
    Cause.ANSWER_WITHOUT_KEY,
    "an EC key cannot decrypt the answer: put a challengePassword into the request, or use an RSA key",
)
WAITING_STATES = OPEN_STATES


@dataclass(frozen=True, slots=True)
class _Wish:
    """A submission at a profile, the certificate it renews, if any, and its transaction as known before."""

    submission: Submission
    profile: EnrollmentProfile
    content: str
    renewed: Certificate | None
    known: KnownTransaction | None

    @property
    def issuer(self) -> CertificateAuthority:
        return self.profile.lineage.issuer_for(self.submission.addressed_ca)

    def is_same(self, request: EnrollmentRequest) -> bool:
        """Whether a request asks for the same: content, and the next CA where that is meant."""
        return request.content_sha256 == self.content and not self.goes_ahead_of(request)

    def goes_ahead_of(self, request: EnrollmentRequest) -> bool:
        """Whether this asks the next CA for what the current one was asked for (RFC 8894 §5, figure 9)."""
        return request.ca_id != self.issuer.pk and self.profile.lineage.is_ahead(self.issuer)

    def may_meet(self, request: EnrollmentRequest) -> bool:
        return self.renewed is None or request.renews_id == self.renewed.pk


def submit_enrollment(
    submission: Submission, *, profile: EnrollmentProfile, now: datetime
) -> EnrollmentRequest | Refusal:
    """Answer an enrollment message: the request it opened or repeats, or a refusal.

    Two equal messages at once open one request: the unique constraints decide, the slower one is answered as a repeat.
    """
    for attempt in (1, 2, 3):
        try:
            with transaction.atomic():
                found = _submit(submission, profile=profile, now=now)
                if submission.is_password_needed and isinstance(found, EnrollmentRequest):
                    keep_password(found, submission, now=now)
                return found
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
    known = newest_transaction(profile, transaction_id, signer_spki_sha256)
    if known is not None:
        return known if known.state in WAITING_STATES else known.load(profile)
    taken = EnrollmentTransaction.objects.filter(profile_id=profile.pk, transaction_id=transaction_id).first()
    subject = Subject.of("request", taken.request_id) if taken else None
    cause = "poll signed by another key" if taken else _UNKNOWN.cause.value
    data: dict[str, object] = {"text": _UNKNOWN.text, "transaction_id": transaction_id}
    number = record_refusal(profile, cause, address=address, now=now, subject=subject, data=data)
    return replace(_UNKNOWN, number=number, detail=cause if taken else "")


def _submit(submission: Submission, *, profile: EnrollmentProfile, now: datetime) -> EnrollmentRequest | Refusal:
    renewed = renewals.find_renewed(submission, profile=profile)
    if isinstance(renewed, Refusal):
        return refused(profile, renewed, submission, now=now)
    unfit = _refuse_signer(submission, renewed) or refuse_key(submission)
    if unfit is not None:
        return refused(profile, unfit, submission, now=now, renewed=renewed)
    content = submission.content_sha256().hex()
    known = find_transaction(profile, submission.transaction_id, submission.signer_spki_sha256, renewed=renewed)
    wish = _Wish(submission, profile, content, renewed, known)
    if known is not None:
        request = known.load(profile)
        if not _may_ask_again(request, wish, now=now):
            return _answer_known(request, wish, now=now)
    met = _find_by_key(wish, now=now)
    if isinstance(met, Refusal):
        return refused(profile, met, submission, now=now, renewed=renewed)
    if met is not None:
        join_transaction(submission, met, known=known, renewed=renewed, now=now)
        return met
    return _open(wish, now=now)


def _refuse_signer(submission: Submission, renewed: Certificate | None) -> Refusal | None:
    if renewed is None and submission.signer_spki_sha256 != submission.csr.spki_sha256:
        return _OTHER_KEY
    if submission.is_password_needed and submission.csr.challenge_password is None:
        return _NO_PASSWORD
    return None


def _may_ask_again(request: EnrollmentRequest, wish: _Wish, *, now: datetime) -> bool:
    """Return whether a known transaction may open a new request instead of getting the answer of the old one.

    After a refusal: once `refused_ttl` has passed, or at once with a fresh one-time challenge or, where a service knows
    the challenges, with another one than before. After issuance: for other content or the next CA, or with a fresh
    one-time challenge when the certificate is not valid any more.
    """
    state, submission = State(request.state), wish.submission
    if state in REFUSED_STATES:
        finished = request.finished_at or request.submitted_at
        ttl = request.profile.refused_ttl
        if moments.is_over(finished + ttl, now=now, span=ttl):
            return True
        if validations.is_another_challenge(request, submission.csr.challenge_password):
            return True
        return _has_fresh_one_time(request, submission, now=now)
    if state is State.ISSUED:
        if not wish.is_same(request):
            return True
        certificate = request.certificate
        expired_or_revoked = certificate is None or not certificate.is_deliverable(now)
        return expired_or_revoked and _has_fresh_one_time(request, submission, now=now)
    return False


def _has_fresh_one_time(request: EnrollmentRequest, submission: Submission, *, now: datetime) -> bool:
    """Whether a new one-time challenge came in a known transaction. The one that opened the request is only repeated;
    any other that opens nothing has failed as in a new transaction, though the device reads the answer it knows."""
    profile, presented = request.profile, submission.csr.challenge_password or ""
    if profile.challenge != ChallengePolicy.ONE_TIME:
        return False
    if lockouts.lock_end(profile, submission.address, presented, now=now) is not None:
        return False
    redemption = challenges.check_challenge(profile, submission, now=now)
    is_repeated = redemption.presented is not None and redemption.presented.redeemed_by_id == request.pk
    if redemption.cause not in (None, Cause.CHALLENGE_MISSING) and not is_repeated:
        subject = Subject.of("request", request.pk)
        lockouts.note_failure(profile, submission.address, cause=redemption.cause, now=now, presented=presented)
        data: dict[str, object] = {"number": number_of_request(request.pk), **facts_of(submission)}
        record_refusal(profile, redemption.cause.value, address=submission.address, now=now, subject=subject, data=data)
    return redemption.satisfied


def _answer_known(request: EnrollmentRequest, wish: _Wish, *, now: datetime) -> EnrollmentRequest | Refusal:
    if wish.is_same(request):
        return request
    refusal = Refusal(
        Cause.OTHER_CONTENT, "this transaction is open for another request: use a new transactionID or wait for its end"
    )
    return refused(request.profile, refusal, wish.submission, now=now, request=request)


def _find_by_key(wish: _Wish, *, now: datetime) -> EnrollmentRequest | Refusal | None:
    """Meet the open request or the valid certificate of this key again, under whatever transactionID it came.

    A renewal meets only a renewal of the same certificate: it is never a repeat of the enrollment before it.
    """
    for request in requests_of_key(wish.profile, wish.submission.csr.spki_sha256):
        is_same = wish.is_same(request) and wish.may_meet(request)
        if State(request.state) in OPEN_STATES:
            if is_same:
                return request
            return Refusal(Cause.KEY_HAS_REQUEST, _open_request_text(request, wish))
        if is_same and _deliverable(request.certificate, now):
            match wish.profile.on_duplicate:
                case OnDuplicate.REDELIVER:
                    return request
                case OnDuplicate.FAIL:
                    return Refusal(Cause.KEY_HAS_CERTIFICATE, "this key has a valid certificate already")
    return None


def _open_request_text(request: EnrollmentRequest, wish: _Wish) -> str:
    if request.content_sha256 != wish.content:
        return "this key has an open request for other names"
    if wish.goes_ahead_of(request):
        return f"this key has an open request at CA {request.ca.name}: wait for its end"
    return "this key has an open request that does not renew this certificate"


def _deliverable(certificate: Certificate | None, now: datetime) -> bool:
    return certificate is not None and certificate.is_deliverable(now)


def _open(wish: _Wish, *, now: datetime) -> EnrollmentRequest | Refusal:
    submission, profile, renewed = wish.submission, wish.profile, wish.renewed
    if not is_address_allowed(submission.address, profile.networks):
        return refused(profile, Refusal(Cause.NETWORK, UNIFORM_TEXT), submission, now=now, renewed=renewed)
    redemption = _check_challenge(wish, now=now)
    if isinstance(redemption, Refusal):
        return refused(profile, redemption, submission, now=now)
    if redemption.cause is not None:
        if redemption.cause is Cause.CHALLENGE_USED and _was_overtaken(wish):
            raise IntegrityError("a parallel message of this device was faster: looked at again as its repeat")
        presented = submission.csr.challenge_password or ""
        lockouts.note_failure(profile, submission.address, cause=redemption.cause, now=now, presented=presented)
        challenge = redemption.presented.pk if redemption.presented else None
        refusal = Refusal(redemption.cause, UNIFORM_TEXT, challenge=challenge)
        return refused(profile, refusal, submission, now=now, renewed=renewed)
    version_id = profile.certificate_profile.current_id
    if version_id is None:
        raise LookupError(f"certificate profile {profile.certificate_profile.slug} has no version")
    review = review_csr(submission.csr, resolve_version(version_id))
    renewal = renewals.look_at(renewed, submission, review, profile=profile) if renewed else None
    listing = _listing(wish, now=now)
    content, issuer = wish.content, wish.issuer
    names = check_names_in_use(submission.csr, review, profile=profile, renewed=renewed, now=now)
    assessment = Assessment(submission, review, redemption, content, version_id, issuer, renewal, listing, names)
    ruling = _rule(assessment, wish, now=now)
    if isinstance(ruling, Refusal):
        return refused(profile, ruling, submission, now=now, renewed=renewed)
    request = write_request(assessment, profile=profile, now=now)
    request.was_opened_now = True
    use_up(assessment, request, now=now)
    join_transaction(submission, request, known=wish.known, renewed=renewed, now=now)
    open_requests.opened(profile, submission.address)
    _follow(ruling, wish, request, now=now)
    return request


def _follow(ruling: Ruling, wish: _Wish, request: EnrollmentRequest, *, now: datetime) -> None:
    """Let somebody know of a request that has just opened: the signing worker, whoever asks a service, or officers."""
    if ruling is Ruling.APPROVE:
        approve_by_policy(request, now=now)
        ring([request.pk])
    elif validations.is_validated_elsewhere(request):
        _await_validation(wish, request, now=now)
    else:
        notify("request-pending", request, now=now)


def _await_validation(wish: _Wish, request: EnrollmentRequest, *, now: datetime) -> None:
    """Let a worker ask whoever knows the challenge; officers hear of the request once it is confirmed."""
    csr = wish.submission.csr
    validations.open_validation(
        request, profile=wish.profile, csr_der=csr.der, challenge=csr.challenge_password or "", now=now
    )
    ring_for_validations([request.pk])


def _check_challenge(wish: _Wish, *, now: datetime) -> challenges.Redemption | Refusal:
    """Return what the challenge is worth, or a refusal for a while where none is checked now.

    A renewal needs none, and clients repeat the one they enrolled with: what is not checked then stands for none.
    """
    submission, profile = wish.submission, wish.profile
    presented = submission.csr.challenge_password
    has_one = profile.challenge != ChallengePolicy.NONE and presented is not None
    end = lockouts.lock_end(profile, submission.address, presented or "", now=now) if has_one else None
    if end is not None and wish.renewed is None:
        return Refusal(Cause.CHALLENGE_LOCKED, UNIFORM_TEXT, retry_after=end - now)
    if end is not None:
        return challenges.Redemption(satisfied=False)
    redemption = challenges.check_challenge(profile, submission, now=now)
    if wish.renewed is not None and redemption.cause in _NO_MATTER_IN_A_RENEWAL:
        return challenges.Redemption(satisfied=False)
    return redemption


def _listing(wish: _Wish, *, now: datetime) -> Listing | None:
    """Return what the list of expected devices says. A renewal has shown a certificate and is on no list."""
    group = wish.profile.eligibility
    return find_listed(group, wish.submission, now=now) if group and wish.renewed is None else None


def _was_overtaken(wish: _Wish) -> bool:
    """Whether the same message, sent at the same time, has opened the transaction since this one looked for it."""
    submission = wish.submission
    signer = submission.signer_spki_sha256
    found = find_transaction(wish.profile, submission.transaction_id, signer, renewed=wish.renewed)
    return wish.known is None and found is not None


def _rule(assessment: Assessment, wish: _Wish, *, now: datetime) -> Ruling | Refusal:
    renewal, listing = assessment.renewal, assessment.listing
    submission, profile = wish.submission, wish.profile
    if listing is not None and listing.cause is not None and profile.unlisted == Unlisted.REFUSE:
        return Refusal(listing.cause, UNIFORM_TEXT)
    said = evaluate_renewal(renewals.policy_of(profile), renewal.facts, now=now) if renewal else None
    if isinstance(said, Refusal):
        return said
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
        renewal=said,
        is_known_transaction=wish.known is not None,
        is_known_network=_may_use_reserve(wish, number),
    )
    return evaluate(facts)


def _may_use_reserve(wish: _Wish, open_number: int) -> bool:
    """Whether the places kept for known networks are open to this; asked only where the others are taken."""
    if wish.renewed is not None:
        return True
    is_needed = open_number >= unreserved(wish.profile.max_open_requests)
    return is_needed and is_known_network(wish.profile, wish.submission.address)


def answer_of(request: EnrollmentRequest, *, now: datetime) -> Certificate | Refusal | None:
    """Return what a requester is told: the certificate, a refusal, or None for "not yet" (RFC 8894 §3.3.2)."""
    match State(request.state):
        case State.ISSUED:
            certificate = request.certificate
            if validations.is_validated_elsewhere(request) and validations.holds_back(request.pk):
                return None
            if certificate is not None and certificate.is_deliverable(now):
                return certificate
            return Refusal(Cause.CERTIFICATE_UNAVAILABLE, "the certificate of this request is revoked or expired")
        case State.REJECTED:
            if not moments.is_over(request.effective_at, now=now, span=request.profile.undo_window):
                return None
            return Refusal(Cause.REJECTED, request.reason or "rejected by an officer")
        case State.EXPIRED:
            return Refusal(Cause.EXPIRED, "the request expired before anyone decided: ask again")
        case State.WITHDRAWN:
            return Refusal(Cause.WITHDRAWN, "the request was withdrawn")
        case _:
            return None
