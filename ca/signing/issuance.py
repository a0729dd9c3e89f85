"""Prepare, sign, record: write down the bytes, sign exactly those, record the result.

`docs/internals/issuance-cycle.md` tells why in this order. Only the signing worker runs this code;
web code never reaches it.
"""

import os
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from django.conf import settings

from audit.events import SYSTEM, Event, Subject
from audit.log import record
from ca.certificates.crls import outdate_crl
from ca.certificates.search_terms import add_certificate_terms
from ca.content.builder import (
    CertificateContent,
    ServiceUsages,
    assemble_certificate,
    build_service_tbs,
    build_tbs,
    new_serial_number,
    validity,
)
from ca.content.csr_review import ProfileSpec
from ca.content.linting import lint_tbs
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import Certificate, CertificateKind, CertificateStatus
from ca.models.keys import ServiceKey, ServicePurpose
from ca.signing.authorities import SERIAL_ENTROPY, issuer_facts, open_key
from ca.x509.csr import CertificationRequest
from ca.x509.errors import CertificateRefused, RecordMismatch
from ca.x509.general_names import GeneralName
from ca.x509.names import DistinguishedName
from database.statements import insert, update


@dataclass(frozen=True, slots=True)
class CertificateOrder:
    """The RA's order: everything that may go into the certificate, fully decided.

    Nothing is taken from elsewhere.
    """

    order_id: UUID
    ca: CertificateAuthority
    spec: ProfileSpec
    profile_version_id: int
    subject: DistinguishedName
    sans: tuple[GeneralName, ...]
    csr: CertificationRequest


def prepare_certificate(order: CertificateOrder, *, now: datetime) -> Certificate:
    """Build and lint the to-be-signed bytes; returns an unsaved Certificate.

    Raises CertificateRefused for a finding of the lint, AuthorityUnusable if the CA could not sign.
    """
    issuer = issuer_facts(order.ca.certificate_der)
    open_key(order.ca, now=now)
    spec = order.spec.for_authority(order.ca.name)
    not_before, not_after = validity(spec, issuer, now)
    serial_number = new_serial_number(os.urandom(SERIAL_ENTROPY))
    content = CertificateContent(
        spec=spec,
        issuer=issuer,
        subject=order.subject,
        sans=order.sans,
        spki_der=order.csr.spki_der,
        serial_number=serial_number,
        not_before=not_before,
        not_after=not_after,
    )
    tbs = build_tbs(content)
    findings = lint_tbs(tbs, content=content)
    if findings:
        raise CertificateRefused(tuple(finding.text for finding in findings))
    return Certificate(
        ca=order.ca,
        order_id=order.order_id,
        serial_hex=f"{serial_number:x}",
        subject=str(order.subject),
        names=[f"{name.kind}:{name.value}" for name in order.sans],
        profile_version_id=order.profile_version_id,
        spki_sha256=order.csr.spki_sha256.hex(),
        not_before=not_before,
        not_after=not_after,
        tbs=tbs,
        tbs_sha256=sha256(tbs).hexdigest(),
        prepared_at=now,
    )


def store_prepared(certificate: Certificate, *, now: datetime) -> None:
    """Reserve the serial number and fix the bytes, in the caller's transaction.

    From here on a signature may exist.
    """
    insert(certificate)
    record(
        Event.CERTIFICATE_PREPARE,
        actor=SYSTEM,
        now=now,
        subject=Subject.of("certificate", certificate.pk),
        data=_facts(certificate),
    )


def sign_prepared(certificate: Certificate, *, now: datetime) -> bytes:
    """Sign the stored bytes, outside any transaction; equal bytes give an equal certificate.

    Returns DER.
    """
    key = open_key(certificate.ca, now=now)
    algorithm = key.signature_algorithm
    return assemble_certificate(
        certificate.tbs_der, algorithm, key.sign(certificate.tbs_der, algorithm)
    )


def record_issued(certificate: Certificate, der: bytes, *, now: datetime) -> None:
    """Store a signed certificate, in the caller's transaction.

    Raises RecordMismatch unless its bytes are the prepared ones and its signature is the CA's.
    Recording the same certificate twice changes nothing.
    """
    _check_signed(certificate, der)
    fingerprint = sha256(der).hexdigest()
    as_prepared = {"id": certificate.pk, "status": CertificateStatus.PREPARED}
    signed = {
        "der": der,
        "der_sha256": fingerprint,
        "issued_at": now,
        "status": CertificateStatus.ISSUED,
    }
    if not update(Certificate, where=as_prepared, changes=signed):
        return
    certificate.der, certificate.der_sha256, certificate.issued_at = der, fingerprint, now
    certificate.status = CertificateStatus.ISSUED
    bare_names = [name.partition(":")[2] for name in certificate.names]
    add_certificate_terms(
        certificate,
        [
            certificate.serial_hex,
            fingerprint,
            certificate.spki_sha256,
            *bare_names,
            *_common_names(certificate),
        ],
    )
    record(
        Event.CERTIFICATE_ISSUE,
        actor=SYSTEM,
        now=now,
        subject=Subject.of("certificate", certificate.pk),
        data={**_facts(certificate), "der_sha256": fingerprint},
    )


def abandon_prepared(certificate: Certificate, *, reason: str, now: datetime) -> None:
    """Give up a certificate whose bytes are recorded, in the caller's transaction.

    It is never delivered. A signature may exist, so the next CRL names the serial number. Raises
    RecordMismatch unless it is prepared.
    """
    outdate_crl(certificate.ca_id)
    as_prepared = {"id": certificate.pk, "status": CertificateStatus.PREPARED}
    if not update(Certificate, where=as_prepared, changes={"status": CertificateStatus.ABANDONED}):
        raise RecordMismatch(f"certificate {certificate.serial_hex} is not being signed any more")
    certificate.status = CertificateStatus.ABANDONED
    record(
        Event.CERTIFICATE_ABANDON,
        actor=SYSTEM,
        now=now,
        subject=Subject.of("certificate", certificate.pk),
        data={**_facts(certificate), "reason": reason},
    )


def prepare_service_certificate(
    service: ServiceKey, csr: CertificationRequest, *, now: datetime
) -> Certificate:
    """Build the certificate of one of the portal's own keys; returns an unsaved Certificate."""
    issuer = issuer_facts(service.ca.certificate_der)
    serial_number = new_serial_number(os.urandom(SERIAL_ENTROPY))
    period = validity(ProfileSpec(validity_days=settings.PORTAL_RA_LIFE.days), issuer, now)
    tbs = build_service_tbs(
        issuer=issuer,
        subject=csr.subject,
        spki_der=csr.spki_der,
        serial_number=serial_number,
        period=period,
        usages=_USAGES[ServicePurpose(service.purpose)],
    )
    return Certificate(
        ca=service.ca,
        kind=CertificateKind.SERVICE,
        order_id=service.pk,
        serial_hex=f"{serial_number:x}",
        subject=str(csr.subject),
        spki_sha256=csr.spki_sha256.hex(),
        not_before=period[0],
        not_after=period[1],
        tbs=tbs,
        tbs_sha256=sha256(tbs).hexdigest(),
        prepared_at=now,
    )


_USAGES: Final[dict[ServicePurpose, ServiceUsages]] = {
    ServicePurpose.RA: ServiceUsages(),
    ServicePurpose.RA_SIGNING: ServiceUsages(("digital-signature",)),
    ServicePurpose.RA_ENCRYPTION: ServiceUsages(("key-encipherment",)),
    ServicePurpose.CONFIGURATION: ServiceUsages(
        ("digital-signature",), ("email-protection",)
    ),  # CMS as in mail
}


def _check_signed(certificate: Certificate, der: bytes) -> None:
    signed = x509.load_der_x509_certificate(der)
    if signed.tbs_certificate_bytes != certificate.tbs_der:
        raise RecordMismatch(
            f"certificate {certificate.serial_hex}: the signed bytes are not the prepared ones"
        )
    issuer = x509.load_der_x509_certificate(certificate.ca.certificate_der)
    try:
        signed.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        raise RecordMismatch(
            f"certificate {certificate.serial_hex}: the signature is not the CA's"
        ) from None


def _facts(certificate: Certificate) -> dict[str, object]:
    """Return the facts for the log when a certificate is prepared and when it is issued."""
    return {
        "order": str(certificate.order_id),
        "ca": certificate.ca.name,
        "serial": certificate.serial_hex,
        "tbs_sha256": certificate.tbs_sha256,
    }


def _common_names(certificate: Certificate) -> list[str]:
    parsed = x509.load_der_x509_certificate(certificate.certificate_der).subject
    return [
        str(attribute.value)
        for attribute in parsed.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    ]
