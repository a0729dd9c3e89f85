"""Challenge passwords that encrypt answers, for devices whose key cannot decrypt.

See RFC 8894 §3.1. A poll contains no challenge, so the CSR of the request is stored for it
(`approvals.records.stored_csrs`). A newer message with a challenge replaces the stored CSR: the
device knows best which challenge it used last, and its key signed both.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from approvals.models.requests import EnrollmentRequest
from approvals.records.refusals import record_refusal
from approvals.records.stored_csrs import keep_csr, kept_csr, shorten
from approvals.rules.errors import Cause, Refusal
from approvals.rules.states import REFUSED_STATES, State
from approvals.rules.submission import Submission
from audit.events import Subject
from ca.x509.csr import decode_csr

_GONE = Refusal(
    Cause.ANSWER_KEY_GONE,
    "the password that encrypts the answer is not kept any more: send the certificate request "
    "again, not a poll",
)
#: After an answer was sent: a device that lost it polls again within minutes.
KEPT_AFTER_DELIVERY = timedelta(hours=24)
#: In addition to the officers' time: for signing, and for a device that is switched off.
KEPT_AFTER_EXPIRY = timedelta(days=7)


def keep_password(request: EnrollmentRequest, submission: Submission, *, now: datetime) -> None:
    """Store the CSR of a message for later answers, in the caller's transaction.

    Nothing is stored for a refused request.
    """
    if (State(request.state) in REFUSED_STATES and not request.is_open) or kept_csr(
        request.pk, now=now
    ) == submission.csr.der:
        return
    until = request.expires_at + KEPT_AFTER_EXPIRY if request.is_open else now + KEPT_AFTER_DELIVERY
    keep_csr(request, submission.csr.der, until=max(until, now + KEPT_AFTER_DELIVERY))


def take_password(request: EnrollmentRequest, *, address: str, now: datetime) -> str | Refusal:
    """Return the challenge password of a request's newest message, or a recorded refusal.

    After the first delivery it is kept for a day; then a device sends its request again, challenge
    included.
    """
    der = kept_csr(request.pk, now=now)
    password = (
        decode_csr(der, accepts_sha1=True).challenge_password if der else None
    )  # SHA-1: as when it came
    if password is None:
        number = record_refusal(
            request.profile,
            _GONE.cause.value,
            address=address,
            now=now,
            subject=Subject.of("request", request.pk),
            data={"text": _GONE.text},
        )
        return replace(_GONE, number=number)
    shorten(request.pk, until=now + KEPT_AFTER_DELIVERY)
    return password
