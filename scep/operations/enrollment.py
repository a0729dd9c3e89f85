"""PKCSReq, RenewalReq and CertPoll: ask the RA, and wait a moment where a machine decides."""

import math
import threading
import time
from hashlib import sha256

from approvals.enrollment import answers, polls, reply_passwords, submit
from approvals.enrollment.look_up import KnownTransaction
from approvals.models.profiles import ApprovalMode, EnrollmentProfile, RenewalMode
from approvals.models.requests import EnrollmentRequest
from approvals.records import refusals, validation_gate
from approvals.rules.errors import Refusal
from approvals.rules.states import State
from approvals.rules.submission import Submission
from ca.models.certificates import Certificate
from ca.x509.csr import CertificationRequest, decode_csr
from ca.x509.errors import CsrError, CsrMalformed, CsrSignatureInvalid
from scep.errors import TryLater
from scep.operations.context import MessageContext, opened
from scep.protocol.constants import FailInfo, MessageType
from scep.protocol.errors import NOT_OPENED, Refused, Unreadable
from scep.protocol.messages import PasswordKey, PKIMessage
from scep.ra.reply_keys import reply_keys

WAIT_SECONDS = 3.0
WAIT_STEP = 0.05
_waiters = threading.BoundedSemaphore(8)


def poll(
    message: PKIMessage, context: MessageContext
) -> EnrollmentRequest | KnownTransaction | Refusal:
    """Return what a CertPoll asks for."""
    return answers.get_enrollment(
        profile=context.profile,
        transaction_id=message.transaction_id,
        signer_spki_sha256=message.signer.spki_sha256,
        address=context.address,
        now=context.now,
    )


def enroll(message: PKIMessage, context: MessageContext) -> EnrollmentRequest | Refusal:
    """Submit the request in a PKCSReq or RenewalReq. Raises Refused, and TryLater where a limit is
    reached.
    """
    content = opened(message, context)
    addressed = context.addressed(message)
    submission = Submission(
        csr=_decode_csr(content, message, context),
        transaction_id=message.transaction_id,
        signer_spki_sha256=message.signer.spki_sha256,
        signer_certificate_der=message.signer.der,
        signer_is_self_issued=message.signer.is_self_issued,
        address=context.address,
        client=context.client,
        is_password_needed=message.signer.key_algorithm != "rsa",
        is_renewal=message.message_type is MessageType.RENEWAL_REQ,
        signer_issuer_der=message.signer.issuer_der,
        signer_serial_der=message.signer.serial_der,
        addressed_ca=addressed.ca_id if addressed else None,
    )
    context.notes.subject = submission.shown_name
    result = submit.submit_enrollment(submission, profile=context.profile, now=context.now)
    if isinstance(result, Refusal) and result.retry_after is not None:
        context.notes.of_refusal(result)
        raise TryLater(result.cause, max(1, math.ceil(result.retry_after.total_seconds())))
    if isinstance(result, EnrollmentRequest) and _is_automatic(result, context.profile):
        _wait_for_worker(result)
    return result


def _is_automatic(request: EnrollmentRequest, profile: EnrollmentProfile) -> bool:
    if request.renews_id is not None:
        return profile.renewal_mode == RenewalMode.AUTOMATIC
    return profile.approval == ApprovalMode.AUTOMATIC


def _decode_csr(
    content: bytes, message: PKIMessage, context: MessageContext
) -> CertificationRequest:
    try:
        return decode_csr(content, accepts_sha1=context.profile.legacy_algorithms)
    except CsrError as error:
        is_signer = sha256(error.spki_der).digest() == message.signer.spki_sha256
        if not is_signer and not error.is_proven:
            raise Unreadable(
                message.reply, cause=str(error) if error.spki_der else NOT_OPENED
            ) from None
        # Two proofs that the sender of the message made the request in it, and may know what is
        # wrong with it. Its key signed the message too: CBC garbles every other block of what is
        # changed in a captured envelope, so that no key of an attacker fits into one. Or its own
        # signature has held, and the fault is in what that covers.
        if isinstance(error, CsrMalformed):
            raise Refused(FailInfo.BAD_REQUEST, str(error), reply=message.reply) from None
        if isinstance(error, CsrSignatureInvalid):
            text = "the signature of the certificate request is wrong"
            raise Refused(FailInfo.BAD_MESSAGE_CHECK, text, reply=message.reply) from None
        raise Refused(FailInfo.BAD_ALG, str(error), reply=message.reply) from None


def outcome(
    result: EnrollmentRequest | KnownTransaction | Refusal,
    message: PKIMessage,
    context: MessageContext,
) -> tuple[Certificate | Refusal | None, PasswordKey | None]:
    """Return what the device is told now, None for PENDING, and the key that encrypts it where it
    is not the signer's.
    """
    if isinstance(result, Refusal):
        return result, None
    if isinstance(result, KnownTransaction):
        polls.note(result.request_id, address=context.address, now=context.now)
        return None, None
    answer = answers.answer_of(result, now=context.now)
    if answer is None and not result.was_opened_now:
        polls.note(result.pk, address=context.address, now=context.now)
    if isinstance(answer, Refusal):
        return refusals.told_again(result, answer, now=context.now), None
    if answer is None:
        return None, None
    password_key = None
    if message.signer.key_algorithm != "rsa":
        password = reply_passwords.take_password(result, address=context.address, now=context.now)
        if isinstance(password, Refusal):
            return password, None
        password_key = reply_keys.of(message.signer.spki_sha256, password)
    refusals.record_delivery(result, address=context.address, now=context.now)
    return answer, password_key


def _wait_for_worker(request: EnrollmentRequest) -> None:
    """Wait a moment for the worker, so that an automatic profile answers SUCCESS at once.

    At most a few exchanges wait at a time; the others answer PENDING at once.
    """
    if not _waiters.acquire(blocking=False):
        return
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while _is_in_work(request) and time.monotonic() < deadline:
            time.sleep(WAIT_STEP)
            request.refresh_from_db(
                fields=["state", "certificate", "reason", "effective_at", "next_attempt_at"]
            )
    finally:
        _waiters.release()


def _is_in_work(request: EnrollmentRequest) -> bool:
    return request.state in (State.APPROVED, State.ISSUING) or validation_gate.is_moving(request)
