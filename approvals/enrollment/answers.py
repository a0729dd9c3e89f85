"""Answers to a waiting device: the certificate, a refusal, or PENDING."""

from dataclasses import replace
from datetime import datetime

from approvals.enrollment.look_up import (
    KnownTransaction,
    newest_transaction,
)
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, EnrollmentTransaction
from approvals.records import validation_gate
from approvals.records.refusals import record_refusal
from approvals.rules.errors import Cause, Refusal
from approvals.rules.states import OPEN_STATES, State
from audit.events import Subject
from ca.models.certificates import Certificate
from database import moments

_UNKNOWN = Refusal(Cause.UNKNOWN_TRANSACTION, "no such transaction")


WAITING_STATES = OPEN_STATES


def get_enrollment(
    *,
    profile: EnrollmentProfile,
    transaction_id: str,
    signer_spki_sha256: bytes,
    address: str,
    now: datetime,
) -> EnrollmentRequest | KnownTransaction | Refusal:
    """Return the request of a transaction to the key that opened it; unread while it waits.

    Any other key gets exactly the answer of an unknown transaction (RFC 8894 §3.3.3, §4.4); the log
    has the real cause.
    """
    current = newest_transaction(profile, transaction_id, signer_spki_sha256)
    if current is not None:
        return current if current.state in WAITING_STATES else current.load(profile)
    transactions = EnrollmentTransaction.objects.filter(
        profile_id=profile.pk, transaction_id=transaction_id
    ).first()
    subject = Subject.of("request", transactions.request_id) if transactions else None
    cause = "poll signed by another key" if transactions else _UNKNOWN.cause.value
    data: dict[str, object] = {"text": _UNKNOWN.text, "transaction_id": transaction_id}
    number = record_refusal(profile, cause, address=address, now=now, subject=subject, data=data)
    return replace(_UNKNOWN, number=number, detail=cause if transactions else "")


def answer_of(request: EnrollmentRequest, *, now: datetime) -> Certificate | Refusal | None:
    """Return the certificate, a refusal, or None for PENDING (RFC 8894 §3.3.2)."""
    match State(request.state):
        case State.ISSUED:
            certificate = request.certificate
            if validation_gate.is_validated_elsewhere(request) and validation_gate.holds_back(
                request.pk
            ):
                return None
            if certificate is not None and certificate.is_deliverable(now):
                return certificate
            return Refusal(
                Cause.CERTIFICATE_UNAVAILABLE,
                "the certificate of this request is revoked or expired",
            )
        case State.REJECTED:
            if request.is_open and not moments.is_over(
                request.effective_at, now=now, span=request.profile.undo_window
            ):
                return None
            return Refusal(Cause.REJECTED, request.reason or "rejected by an officer")
        case State.EXPIRED:
            return Refusal(Cause.EXPIRED, "the request expired before anyone decided: ask again")
        case _:
            return None
