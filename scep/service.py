"""One SCEP message in, one CertRep out: decode, ask the RA, encode (RFC 8894 §3).

Whatever can be answered with a CertRep is; `Malformed` is for bytes that no CertRep can answer. Faults of our own
(database, keys) propagate: they must never look like a refusal, since a device takes a refusal as final.
"""

import math
import os
import re
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from approvals import enrollment, polls, refusals, reply_passwords, validations
from approvals.errors import Cause, Refusal
from approvals.lookup import KnownTransaction
from approvals.models import (
    ApprovalMode,
    EmptyContentForm,
    EnrollmentProfile,
    EnrollmentRequest,
    RenewalMode,
    ReplyChain,
)
from approvals.retrieval import CertificateQuery, get_certificate
from approvals.states import State
from approvals.submission import Submission
from ca.asn1 import Asn1Error
from ca.authority_models import CertificatesShape
from ca.cms import encode_degenerate
from ca.csr import CertificationRequest, CsrError, CsrMalformed, CsrSignatureInvalid, decode_csr
from ca.lineage import next_answer, shaped
from ca.models import Certificate
from ca.store import crl_of_issuer
from scep.addressees import mistaken_addressee
from scep.errors import TryLater
from scep.notes import Notes
from scep.protocol.capabilities import capabilities
from scep.protocol.certificates import read_issuer_and_serial
from scep.protocol.codec import decode_pki_message, encode_cert_rep
from scep.protocol.constants import EmptyContent, FailInfo, MessageType, PKIStatus
from scep.protocol.envelope import addressed_recipient, answer_cipher, open_envelope
from scep.protocol.errors import NOT_OPENED, UNREADABLE, Malformed, Refused, unreadable
from scep.protocol.messages import CertRep, MessageRules, PasswordKey, PKIMessage
from scep.protocol.signed_data import sign_beside
from scep.ra_keys import RaCredential, RaNotReady, ra_keys
from scep.reply_keys import reply_keys
from scep.responses import Delivery, cert_rep_for, cert_rep_for_fault

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
    notes: Notes = field(default_factory=Notes, compare=False)

    def recipients(self) -> tuple[RaCredential, ...]:
        """Return every RA credential that a message here may be encrypted to. Raises RaNotReady, KeyStoreError."""
        return ra_keys.behind(self.profile.lineage)

    def addressed(self, message: PKIMessage) -> RaCredential | None:
        """Return the one that a message names, or None. A single one is taken for meant, whatever the message says.

        A name that this process does not remember is looked for once more: another process may have made the key.
        """
        recipients = self.recipients()
        named = addressed_recipient(message, recipients)
        if named is None and ra_keys.look_again(self.profile.lineage):
            recipients = self.recipients()
            named = addressed_recipient(message, recipients)
        return recipients[0] if named is None and len(recipients) == 1 else named

    def issuer_meant(self, issuer_der: bytes) -> bytes:
        """Return the name that a GetCert or GetCRL means: of the CA, where the RA's stands instead.

        sscep before 0.10 takes it from the certificate with which it verifies answers, and has no option for another.
        """
        return next((ra.issuer_der for ra in self.recipients() if issuer_der in ra.subjects), issuer_der)

    @property
    def rules(self) -> MessageRules:
        """What the profile makes of messages, now."""
        skew = self.profile.max_clock_skew
        bounds = (self.now - skew, self.now + skew) if skew else None
        return MessageRules(legacy_algorithms=self.profile.legacy_algorithms, signed_between=bounds)


def ca_capabilities(profile: EnrollmentProfile) -> bytes:
    """Return the GetCACaps body: nothing that is not there (RFC 8894 §3.5.2)."""
    renewal = profile.renewal_mode != RenewalMode.OFF
    has_next = profile.lineage.next is not None
    return capabilities(renewal=renewal, next_ca=has_next, legacy=profile.legacy_algorithms)


def ca_certificates(profile: EnrollmentProfile, *, now: datetime) -> bytes:
    """Return the GetCACert body: RA certificate(s), issuing CA, parents, in this order (RFC 8894 §4.2.1.2)."""
    shape = CertificatesShape(profile.ca_certificates)
    ra = ra_keys.offered(profile.ca, shape, now=now)
    return encode_degenerate(shaped(ra.certificates, profile.ca, shape))


def next_ca_certificates(profile: EnrollmentProfile, *, now: datetime) -> bytes | None:
    """Return the GetNextCACert body as the signing worker stored it; None without a next CA (RFC 8894 §4.7).

    The RA signs beside the CA, since a client compares the signer with the RA certificate it knows (jscep). Raises
    RaNotReady while the worker has not signed it in the shape of this profile.
    """
    rollover = profile.lineage.rollover
    if rollover is None:
        return None
    shape = CertificatesShape(profile.ca_certificates)
    answer = next_answer(rollover, shape)
    if answer is None:
        raise RaNotReady(f"CA {rollover.ca.name}: its GetNextCACert answer for {shape} is not signed yet")
    return sign_beside(answer.answer_der, digest="sha256", signer=ra_keys.offered(profile.ca, shape, now=now))


def handle_pki_operation(der: bytes, exchange: Exchange) -> bytes:
    """Answer a PKIOperation message with an encoded CertRep. Raises Malformed, RaNotReady, and TryLater for what may
    be asked again; a refusal is on record.

    The RA certificate that the message is encrypted to signs the answer: it is the one the device knows.
    """
    signer = _default_signer(exchange)
    try:
        message = decode_pki_message(der, exchange.rules)
        signer = exchange.addressed(message) or signer
        rep = _answer(message, exchange)
    except Malformed as malformed:
        exchange.notes.cause, exchange.notes.detail = _NO_MESSAGE, str(malformed)
        _record(_NO_MESSAGE, exchange, {"text": str(malformed)})
        raise
    except Refused as refused:
        _record_fault(refused, exchange)
        fault = cert_rep_for_fault(refused)
        if fault is None:
            raise Malformed(refused.text) from refused
        rep = fault
    empty: EmptyContent = "absent" if exchange.profile.empty_content == EmptyContentForm.ABSENT else "octets"
    return encode_cert_rep(rep, signer=signer, entropy=os.urandom, empty_content=empty)


def _default_signer(exchange: Exchange) -> RaCredential:
    """The credential that GetCACert gives out; while that shape is not ready, the newest there is."""
    profile = exchange.profile
    try:
        return ra_keys.offered(profile.ca, CertificatesShape(profile.ca_certificates), now=exchange.now)
    except RaNotReady:
        return ra_keys.of(profile.ca)[0]


def _answer(message: PKIMessage, exchange: Exchange) -> CertRep:
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
            _require_rsa(message)
            got = _get_cert(message, exchange)
            if isinstance(got, Refusal):
                exchange.notes.of_refusal(got)
            return cert_rep_for(got, message, _delivery(got, exchange))
        case MessageType.GET_CRL:
            _require_rsa(message)
            return _crl(message, exchange)
        case _:
            raise Refused(FailInfo.BAD_REQUEST, "this messageType is not supported", reply=message.reply)
    answer, password_key = _outcome(found, message, exchange)
    if isinstance(answer, Refusal):
        exchange.notes.of_refusal(answer)
    return cert_rep_for(answer, message, _delivery(answer, exchange, password_key))


def _require_rsa(message: PKIMessage) -> None:
    """Nothing in these messages could encrypt the answer to another key (RFC 8894 §3.1)."""
    if message.signer.key_algorithm != "rsa":
        raise Refused(
            FailInfo.BAD_ALG,
            "the certificate that signs the message needs an RSA key: the answer is encrypted to it",
            cause=Cause.SIGNER_ALGORITHM.value,
            reply=message.reply,
        )


def _delivery(
    answer: Certificate | Refusal | None, exchange: Exchange, password_key: PasswordKey | None = None
) -> Delivery:
    profile = exchange.profile
    if not isinstance(answer, Certificate) or profile.reply_chain == ReplyChain.LEAF:
        return Delivery(rules=exchange.rules, password_key=password_key)
    issuer = profile.ca if answer.ca_id == profile.ca_id else answer.ca
    chain = tuple(authority.certificate_der for authority in issuer.chain())
    return Delivery(chain, exchange.rules, password_key)


def _crl(message: PKIMessage, exchange: Exchange) -> CertRep:
    """A CRL is public, so any signer gets it; no transaction is opened (RFC 8894 §3.3.4)."""
    issuer, _ = _named_inside(message, exchange)  # the serial number decides nothing
    crl = crl_of_issuer(exchange.issuer_meant(issuer))
    if crl is None:
        raise Refused(FailInfo.BAD_CERT_ID, "there is no CRL of this issuer here", reply=message.reply)
    cipher = answer_cipher(message, exchange.rules)
    return CertRep(
        reply=message.reply,
        status=PKIStatus.SUCCESS,
        crls=(crl,),
        recipient=message.signer,
        content_cipher=cipher,
    )


def _named_inside(message: PKIMessage, exchange: Exchange) -> tuple[bytes, bytes]:
    """Issuer and serial number in a GetCert or GetCRL; empty ones, which name nothing, where they cannot be read.

    Nothing shows that the sender knows what is inside, so an answer of its own for that would read out any captured
    envelope: with the right blocks around them, its octets are lengths, and one value of each makes it readable.
    """
    try:
        return read_issuer_and_serial(_open(message, exchange))
    except Asn1Error:
        exchange.notes.detail = NOT_OPENED
    except Refused as refused:
        if refused.text != UNREADABLE:
            raise
        exchange.notes.detail = refused.cause
    return b"", b""


def _open(message: PKIMessage, exchange: Exchange) -> bytes:
    """Decrypt the envelope of a message.

    Whether to look for a mistaken addressee is decided by what everybody can read, and before anything is decrypted. A
    look-up after a failure would take time, and tell the sender by the time how far the decryption came: a CBC oracle.
    """
    recipients, mistaken = exchange.recipients(), ""
    if addressed_recipient(message, recipients) is None:
        mistaken = mistaken_addressee(message, exchange.profile)
    try:
        return open_envelope(message, recipients=recipients, entropy=os.urandom, rules=exchange.rules)
    except Refused as refused:
        if refused.text == UNREADABLE and mistaken:
            refused.cause = f"encrypted to {mistaken}: an RA certificate of CA {exchange.profile.ca.name} is needed"
        raise


def _submit(message: PKIMessage, exchange: Exchange) -> EnrollmentRequest | Refusal:
    content = _open(message, exchange)
    addressed = exchange.addressed(message)
    submission = Submission(
        csr=_decode_csr(content, message, exchange),
        transaction_id=message.transaction_id,
        signer_spki_sha256=message.signer.spki_sha256,
        signer_certificate_der=message.signer.der,
        signer_is_self_issued=message.signer.is_self_issued,
        address=exchange.address,
        client=exchange.client,
        is_password_needed=message.signer.key_algorithm != "rsa",
        is_renewal=message.message_type is MessageType.RENEWAL_REQ,
        signer_issuer_der=message.signer.issuer_der,
        signer_serial_der=message.signer.serial_der,
        addressed_ca=addressed.ca_id if addressed else None,
    )
    exchange.notes.subject = submission.shown_name
    found = enrollment.submit_enrollment(submission, profile=exchange.profile, now=exchange.now)
    if isinstance(found, Refusal) and found.retry_after is not None:
        exchange.notes.of_refusal(found)
        raise TryLater(found.cause, max(1, math.ceil(found.retry_after.total_seconds())))
    if isinstance(found, EnrollmentRequest) and _is_automatic(found, exchange.profile):
        _wait_for_worker(found)
    return found


def _is_automatic(request: EnrollmentRequest, profile: EnrollmentProfile) -> bool:
    if request.renews_id is not None:
        return profile.renewal_mode == RenewalMode.AUTOMATIC
    return profile.approval == ApprovalMode.AUTOMATIC


def _get_cert(message: PKIMessage, exchange: Exchange) -> Certificate | Refusal:
    issuer, serial = _named_inside(message, exchange)
    query = CertificateQuery(
        issuer_der=exchange.issuer_meant(issuer),
        serial_der=serial,
        signer_spki_sha256=message.signer.spki_sha256,
        signer_certificate_der=message.signer.der,
        address=exchange.address,
        detail=exchange.notes.detail,
    )
    return get_certificate(query, profile=exchange.profile, now=exchange.now)


def _decode_csr(content: bytes, message: PKIMessage, exchange: Exchange) -> CertificationRequest:
    try:
        return decode_csr(content, accepts_sha1=exchange.profile.legacy_algorithms)
    except CsrError as error:
        is_signer = sha256(error.spki_der).digest() == message.signer.spki_sha256
        if not is_signer and not error.is_proven:
            raise unreadable(message.reply, cause=str(error) if error.spki_der else NOT_OPENED) from None
        # Two proofs that the sender of the message made the request in it, and may know what is wrong with it. Its key
        # signed the message too: CBC garbles every other block of what is changed in a captured envelope, so that no
        # key of an attacker fits into one. Or its own signature has held, and the fault is in what that covers.
        if isinstance(error, CsrMalformed):
            raise Refused(FailInfo.BAD_REQUEST, str(error), reply=message.reply) from None
        if isinstance(error, CsrSignatureInvalid):
            text = "the signature of the certificate request is wrong"
            raise Refused(FailInfo.BAD_MESSAGE_CHECK, text, reply=message.reply) from None
        raise Refused(FailInfo.BAD_ALG, str(error), reply=message.reply) from None


def _outcome(
    found: EnrollmentRequest | KnownTransaction | Refusal, message: PKIMessage, exchange: Exchange
) -> tuple[Certificate | Refusal | None, PasswordKey | None]:
    if isinstance(found, Refusal):
        return found, None
    if isinstance(found, KnownTransaction):
        polls.note(found.request_id, address=exchange.address, now=exchange.now)
        return None, None
    answer = enrollment.answer_of(found, now=exchange.now)
    if answer is None and not found.was_opened_now:
        polls.note(found.pk, address=exchange.address, now=exchange.now)
    if isinstance(answer, Refusal):
        return refusals.told_again(found, answer, now=exchange.now), None
    if answer is None:
        return None, None
    password_key = None
    if message.signer.key_algorithm != "rsa":
        password = reply_passwords.take_password(found, address=exchange.address, now=exchange.now)
        if isinstance(password, Refusal):
            return password, None
        password_key = reply_keys.of(message.signer.spki_sha256, password)
    refusals.record_delivery(found, address=exchange.address, now=exchange.now)
    return answer, password_key


def _wait_for_worker(request: EnrollmentRequest) -> None:
    """Give the worker a moment, so that an automatic profile answers SUCCESS in the same exchange.

    At most a few exchanges wait at a time; the others answer PENDING at once.
    """
    if not _waiters.acquire(blocking=False):
        return
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while _is_in_work(request) and time.monotonic() < deadline:
            time.sleep(WAIT_STEP)
            request.refresh_from_db(fields=["state", "certificate", "reason", "effective_at"])
    finally:
        _waiters.release()


def _is_in_work(request: EnrollmentRequest) -> bool:
    return request.state in (State.APPROVED, State.ISSUING) or validations.is_moving(request)


def _record_fault(refused: Refused, exchange: Exchange) -> None:
    data: dict[str, object] = {
        "text": refused.text,
        "fail_info": refused.fail_info.spelled,
        "transaction_id": refused.reply.transaction_id if refused.reply else "",
    }
    # Counted as one cause whatever was inside: a new one takes longer to write than a repeated one.
    notes = exchange.notes
    cause = UNREADABLE if refused.text == UNREADABLE else _WRITTEN_BY_THE_SENDER.sub("…", refused.cause)
    detail = notes.detail or (refused.cause if refused.cause not in (cause, refused.text) else "")
    refused.number = _record(cause, exchange, data | ({"detail": detail} if detail else {}))
    notes.cause, notes.detail, notes.number = cause, detail or refused.text, refused.number


def _record(cause: str, exchange: Exchange, data: dict[str, object]) -> str:
    profile, address = exchange.profile, exchange.address
    return refusals.refuse_message(profile, cause=cause, address=address, now=exchange.now, data=data)
