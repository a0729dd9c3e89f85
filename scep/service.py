"""One SCEP message in, one CertRep out: decode, ask the RA, encode (RFC 8894 §3).

Whatever can be answered with a CertRep is; `Malformed` is for bytes that no CertRep can answer. Faults of our own
(database, keys) propagate: they must never look like a refusal, since a device takes a refusal as final.
"""

import os
import re
import threading
import time
from dataclasses import dataclass
from datetime import datetime

from approvals import enrollment, polls, refusals
from approvals.errors import Cause, Refusal
from approvals.lookup import KnownTransaction
from approvals.models import ApprovalMode, EnrollmentProfile, EnrollmentRequest, RenewalMode
from approvals.retrieval import CertificateQuery, get_certificate
from approvals.states import State
from approvals.submission import Submission
from ca.asn1 import Asn1Error
from ca.csr import CertificationRequest, CsrAlgorithmRefused, CsrMalformed, CsrSignatureInvalid, decode_csr
from ca.models import Certificate
from scep.crls import requested_crl
from scep.protocol.capabilities import capabilities
from scep.protocol.certificates import read_issuer_and_serial
from scep.protocol.codec import decode_pki_message, encode_cert_rep
from scep.protocol.constants import FailInfo, MessageType, PKIStatus
from scep.protocol.envelope import open_envelope
from scep.protocol.errors import Malformed, Refused, unreadable
from scep.protocol.messages import CertRep, PKIMessage
from scep.protocol.signed_data import encode_degenerate
from scep.ra_keys import ra_keys
from scep.responses import cert_rep_for, cert_rep_for_fault

WAIT_SECONDS = 3.0
WAIT_STEP = 0.05
_waiters = threading.BoundedSemaphore(8)

_NO_MESSAGE = "not a SCEP message"
#: Numbers, OIDs and quoted bytes within a cause. Causes are counted where they repeat; who could write a new one into
#: each message would fill the log.
_WRITTEN_BY_THE_SENDER = re.compile(r"""b(['"]).*\1|(?<![\w-])(0x[0-9a-f]+|-?\d+(\.\d+)*)\b""")


@dataclass(frozen=True, slots=True)
class Exchange:
    """Where a message came from and when."""

    profile: EnrollmentProfile
    address: str
    client: str
    now: datetime


def ca_capabilities(profile: EnrollmentProfile) -> bytes:
    """Return the GetCACaps body: nothing that is not there (RFC 8894 §3.5.2)."""
    return capabilities(renewal=profile.renewal_mode != RenewalMode.OFF, next_ca=False, legacy=False)


def ca_certificates(profile: EnrollmentProfile) -> bytes:
    """Return the GetCACert body: RA certificate(s), issuing CA, parents, in this order (RFC 8894 §4.2.1.2)."""
    credentials = ra_keys.of(profile.ca)
    chain = [authority.certificate_der for authority in profile.ca.chain()]
    return encode_degenerate([*(credential.certificate_der for credential in credentials[:1]), *chain])


def handle_pki_operation(der: bytes, exchange: Exchange) -> bytes:
    """Answer a PKIOperation message with an encoded CertRep. Raises Malformed, RaNotReady; a refusal is on record."""
    signer = ra_keys.of(exchange.profile.ca)[0]
    try:
        rep = _answer(decode_pki_message(der), exchange)
    except Malformed as malformed:
        _record(_NO_MESSAGE, exchange, {"text": str(malformed)})
        raise
    except Refused as refused:
        _record_fault(refused, exchange)
        fault = cert_rep_for_fault(refused)
        if fault is None:
            raise Malformed(refused.text) from refused
        rep = fault
    return encode_cert_rep(rep, signer=signer, entropy=os.urandom)


def _answer(message: PKIMessage, exchange: Exchange) -> CertRep:
    if message.signer.key_algorithm != "rsa":
        raise Refused(
            FailInfo.BAD_ALG,
            "the certificate that signs the message needs an RSA key: the answer is encrypted to it",
            cause=Cause.SIGNER_ALGORITHM.value,
            reply=message.reply,
        )
    match message.message_type:
        case MessageType.CERT_POLL:
            found = enrollment.get_enrollment(
                profile=exchange.profile,
                transaction_id=message.transaction_id,
                signer_spki_sha256=message.signer.spki_sha256,
                address=exchange.address,
                now=exchange.now,
            )
        case MessageType.PKCS_REQ | MessageType.RENEWAL_REQ:
            found = _submit(message, exchange)
        case MessageType.GET_CERT:
            return cert_rep_for(_get_cert(message, exchange), message)
        case MessageType.GET_CRL:
            return _crl(message, exchange)
        case _:
            raise Refused(FailInfo.BAD_REQUEST, "this messageType is not supported", reply=message.reply)
    return cert_rep_for(_outcome(found, exchange), message)


def _crl(message: PKIMessage, exchange: Exchange) -> CertRep:
    """A CRL is public, so any signer gets it; no transaction is opened (RFC 8894 §3.3.4)."""
    content = open_envelope(message, recipients=ra_keys.of(exchange.profile.ca), entropy=os.urandom)
    try:
        crl = requested_crl(content)
    except Asn1Error:
        raise unreadable(message.reply) from None
    if crl is None:
        raise Refused(FailInfo.BAD_CERT_ID, "there is no CRL of this issuer here", reply=message.reply)
    return CertRep(reply=message.reply, status=PKIStatus.SUCCESS, crls=(crl,), recipient=message.signer)


def _submit(message: PKIMessage, exchange: Exchange) -> EnrollmentRequest | Refusal:
    content = open_envelope(message, recipients=ra_keys.of(exchange.profile.ca), entropy=os.urandom)
    submission = Submission(
        csr=_decode_csr(content, message),
        transaction_id=message.transaction_id,
        signer_spki_sha256=message.signer.spki_sha256,
        signer_certificate_der=message.signer.der,
        signer_is_self_issued=message.signer.is_self_issued,
        address=exchange.address,
        client=exchange.client,
        is_renewal=message.message_type is MessageType.RENEWAL_REQ,
        signer_issuer_der=message.signer.issuer_der,
        signer_serial_der=message.signer.serial_der,
    )
    found = enrollment.submit_enrollment(submission, profile=exchange.profile, now=exchange.now)
    if isinstance(found, EnrollmentRequest) and _is_automatic(found, exchange.profile):
        _wait_for_worker(found)
    return found


def _is_automatic(request: EnrollmentRequest, profile: EnrollmentProfile) -> bool:
    if request.renews_id is not None:
        return profile.renewal_mode == RenewalMode.AUTOMATIC
    return profile.approval == ApprovalMode.AUTOMATIC


def _get_cert(message: PKIMessage, exchange: Exchange) -> Certificate | Refusal:
    content = open_envelope(message, recipients=ra_keys.of(exchange.profile.ca), entropy=os.urandom)
    try:
        issuer, serial = read_issuer_and_serial(content)
    except Asn1Error:
        raise unreadable(message.reply) from None
    query = CertificateQuery(
        issuer_der=issuer,
        serial_der=serial,
        signer_spki_sha256=message.signer.spki_sha256,
        signer_certificate_der=message.signer.der,
        address=exchange.address,
    )
    return get_certificate(query, profile=exchange.profile, now=exchange.now)


def _decode_csr(content: bytes, message: PKIMessage) -> CertificationRequest:
    try:
        return decode_csr(content)
    except CsrMalformed:
        raise unreadable(message.reply) from None
    except CsrSignatureInvalid:
        raise Refused(
            FailInfo.BAD_MESSAGE_CHECK, "the signature of the certificate request is wrong", reply=message.reply
        ) from None
    except CsrAlgorithmRefused as error:
        raise Refused(FailInfo.BAD_ALG, str(error), reply=message.reply) from None


def _outcome(found: EnrollmentRequest | KnownTransaction | Refusal, exchange: Exchange) -> Certificate | Refusal | None:
    if isinstance(found, Refusal):
        return found
    if isinstance(found, KnownTransaction):
        polls.note(found.request_id, address=exchange.address, now=exchange.now)
        return None
    answer = enrollment.answer_of(found, now=exchange.now)
    if isinstance(answer, Certificate):
        refusals.record_delivery(found, address=exchange.address, now=exchange.now)
    elif answer is None:
        polls.note(found.pk, address=exchange.address, now=exchange.now)
    return answer


def _wait_for_worker(request: EnrollmentRequest) -> None:
    """Give the worker a moment, so that an automatic profile answers SUCCESS in the same exchange.

    At most a few exchanges wait at a time; the others answer PENDING at once.
    """
    if not _waiters.acquire(blocking=False):
        return
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while request.state in (State.APPROVED, State.ISSUING) and time.monotonic() < deadline:
            time.sleep(WAIT_STEP)
            request.refresh_from_db(fields=["state", "certificate"])
    finally:
        _waiters.release()


def _record_fault(refused: Refused, exchange: Exchange) -> None:
    data: dict[str, object] = {
        "text": refused.text,
        "fail_info": refused.fail_info.name,
        "transaction_id": refused.reply.transaction_id if refused.reply else "",
    }
    cause = _WRITTEN_BY_THE_SENDER.sub("…", refused.cause)
    _record(cause, exchange, data | ({"detail": refused.cause} if refused.cause not in (cause, refused.text) else {}))


def _record(cause: str, exchange: Exchange, data: dict[str, object]) -> None:
    refusals.refuse_message(exchange.profile, cause=cause, address=exchange.address, now=exchange.now, data=data)
