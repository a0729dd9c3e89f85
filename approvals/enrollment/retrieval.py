"""GetCert (RFC 8894 §2.6, §3.3.4): a certificate again, for its holder.

No transaction is stored: clients use one constant transactionID for it.
"""

from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.records.refusals import record_pickup, record_refusal
from approvals.records.validation_gate import holds_back
from approvals.rules.errors import Cause, Refusal
from audit.events import Subject
from ca.certificates.store import certificate_by_fingerprint, certificate_by_serial, subject_of
from ca.models.certificates import Certificate
from ca.x509.name_matching import comparable_name

_TEXT = "no such certificate"


@dataclass(frozen=True, slots=True)
class CertificateQuery:
    """The requested certificate, by complete Name and INTEGER, and the signer of the message."""

    issuer_der: bytes = field(repr=False)
    serial_der: bytes
    signer_spki_sha256: bytes
    signer_certificate_der: bytes = field(repr=False)
    address: str
    detail: str = ""  # why the message names no certificate, for the log


def get_certificate(
    query: CertificateQuery, *, profile: EnrollmentProfile, now: datetime
) -> Certificate | Refusal:
    """Return a valid certificate of this profile to its holder, recorded; others learn nothing.

    Its holder signs with its key, or with another valid certificate of the same profile and
    subject.
    """
    certificate = certificate_by_serial(
        query.issuer_der, query.serial_der, cas=profile.lineage.authorities()
    )
    if certificate is None or not _is_of(certificate, profile):
        return _refuse(Cause.CERTIFICATE_UNKNOWN, query, profile=profile, now=now)
    if not _is_holder(query, certificate, profile=profile, now=now):
        return _refuse(
            Cause.CERTIFICATE_FOREIGN, query, profile=profile, now=now, certificate=certificate
        )
    if not certificate.is_deliverable(now) or holds_back(certificate.order_id):
        return _refuse(
            Cause.CERTIFICATE_UNAVAILABLE, query, profile=profile, now=now, certificate=certificate
        )
    signer = query.signer_spki_sha256.hex()
    record_pickup(certificate, profile=profile, signer=signer, address=query.address, now=now)
    return certificate


def _is_of(certificate: Certificate, profile: EnrollmentProfile) -> bool:
    return EnrollmentRequest.objects.filter(pk=certificate.order_id, profile_id=profile.pk).exists()


def _is_holder(
    query: CertificateQuery, certificate: Certificate, *, profile: EnrollmentProfile, now: datetime
) -> bool:
    if query.signer_spki_sha256.hex() == certificate.spki_sha256:
        return True
    signer = certificate_by_fingerprint(sha256(query.signer_certificate_der).digest())
    if signer is None or not signer.is_deliverable(now) or not _is_of(signer, profile):
        return False
    return comparable_name(subject_of(signer)) == comparable_name(subject_of(certificate))


def _refuse(
    cause: Cause,
    query: CertificateQuery,
    *,
    profile: EnrollmentProfile,
    now: datetime,
    certificate: Certificate | None = None,
) -> Refusal:
    subject = Subject.of("certificate", certificate.pk) if certificate else None
    data: dict[str, object] = {"text": _TEXT, **({"detail": query.detail} if query.detail else {})}
    number = record_refusal(
        profile, cause.value, address=query.address, now=now, subject=subject, data=data
    )
    return Refusal(cause, _TEXT, query.detail, number=number)
