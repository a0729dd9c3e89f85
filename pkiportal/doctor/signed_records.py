"""The invariants of what is signed: certificates, serial numbers, CRLs, and the journal of an
outside signer (I2 to I5 and I10 of `pkiportal.doctor.invariants`).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db.models import Count

from approvals.models.requests import EnrollmentRequest
from audit.events import Event
from audit.models import AuditEntry
from ca.certificates.crls import LISTED_STATUSES, latest_crl
from ca.content.crl_linting import lint_crl
from ca.content.issuers import IssuerFacts
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import Certificate, CertificateKind
from ca.models.crls import CrlIssue
from pkiportal.doctor.violations import CHUNK, Violation, chunks


def certificates(checked: Counter[str]) -> Iterator[Violation]:
    """Look at each certificate, and at the log of its making (I2, I5)."""
    issuers: dict[int, x509.Certificate] = {}
    rows = Certificate.objects.select_related("ca").order_by("id")
    for chunk in chunks(rows.iterator(chunk_size=CHUNK)):
        orders = [one.order_id for one in chunk if one.kind == CertificateKind.ORDERED]
        request_ids = set(
            EnrollmentRequest.objects.filter(pk__in=orders).values_list("pk", flat=True)
        )
        counts = _told([one.pk for one in chunk])
        for certificate in chunk:
            checked["certificates"] += 1
            subject = f"certificate {certificate.serial_hex}"
            if certificate.kind == CertificateKind.ORDERED:
                if certificate.order_id not in request_ids:
                    yield Violation("I2", subject, "no request ordered it")
                yield from _making_of(certificate, counts)
            if certificate.ca_id not in issuers:
                issuers[certificate.ca_id] = x509.load_der_x509_certificate(
                    certificate.ca.certificate_der
                )
            for fault in _faults_of(certificate, issuers[certificate.ca_id]):
                yield Violation("I5", subject, fault)


def _making_of(
    certificate: Certificate, counts: Mapping[tuple[str, str], int]
) -> Iterator[Violation]:
    for event, expected in (
        (Event.CERTIFICATE_PREPARE, 1),
        (Event.CERTIFICATE_ISSUE, int(certificate.der is not None)),
    ):
        number = counts.get((str(certificate.pk), event.value), 0)
        if number != expected:
            subject = f"certificate {certificate.serial_hex}"
            yield Violation("I2", subject, f"{number} log entries {event}, {expected} expected")


def _told(certificates: Sequence[UUID]) -> Counter[tuple[str, str]]:
    """Return the number of audit entries by certificate and event."""
    entries = AuditEntry.objects.filter(
        subject_kind="certificate", subject_id__in=[str(key) for key in certificates]
    )
    events = (Event.CERTIFICATE_PREPARE.value, Event.CERTIFICATE_ISSUE.value)
    return Counter(entries.filter(event__in=events).values_list("subject_id", "event"))


def _faults_of(certificate: Certificate, issuer: x509.Certificate) -> Iterator[str]:
    if sha256(certificate.tbs_der).hexdigest() != certificate.tbs_sha256:
        yield "the prepared bytes do not have their digest"
    if certificate.der is None:
        return
    der = certificate.certificate_der
    if sha256(der).hexdigest() != certificate.der_sha256:
        yield "the certificate does not have its digest"
    try:
        signed = x509.load_der_x509_certificate(der)
        signed.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature) as error:
        yield f"not a certificate of CA {certificate.ca.name} ({type(error).__name__})"
        return
    if signed.tbs_certificate_bytes != certificate.tbs_der:
        yield "the signed bytes are not the prepared ones"
    if f"{signed.serial_number:x}" != certificate.serial_hex:
        yield f"the certificate says serial number {signed.serial_number:x}"
    spki = signed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if sha256(spki).hexdigest() != certificate.spki_sha256:
        yield "the key is not the one on record"


def serials() -> Iterator[Violation]:
    """Look for serial numbers that a CA gave twice (I3)."""
    doubled = (
        Certificate.objects.values("ca__name", "serial_hex")
        .annotate(number=Count("id"))
        .filter(number__gt=1)
    )
    for row in doubled:
        yield Violation(
            "I3",
            f"certificate {row['serial_hex']}",
            f"{row['number']} times in CA {row['ca__name']}",
        )


def crls(checked: Counter[str], *, at_rest: bool) -> Iterator[Violation]:
    """Look at the published CRL of each CA (I10)."""
    for ca in CertificateAuthority.objects.order_by("id"):
        subject = f"CRL of CA {ca.name}"
        issue = latest_crl(ca)
        if (issue.revocation_version if issue else 0) != ca.revocation_version:
            if at_rest:
                yield Violation(
                    "I10",
                    subject,
                    "a certificate was revoked or released, and no CRL came after it",
                )
        elif issue is not None:
            checked["CRLs"] += 1
            for fault in _faults_of_crl(issue, ca):
                yield Violation("I10", subject, fault)


def _faults_of_crl(issue: CrlIssue, ca: CertificateAuthority) -> Iterator[str]:
    if sha256(issue.crl_der).hexdigest() != issue.sha256:
        yield "it does not have its digest"
    issuer = IssuerFacts.from_certificate(ca.certificate_der)
    faults = lint_crl(issue.crl_der, issuer=issuer, number=issue.number)
    if faults:
        yield from (finding.text for finding in faults)
        return
    listed = {f"{entry.serial_number:x}" for entry in x509.load_der_x509_crl(issue.crl_der)}
    rows = Certificate.objects.filter(ca=ca, status__in=LISTED_STATUSES)
    revoked = dict(rows.values_list("serial_hex", "not_after"))
    yield from (
        f"it names {serial}, which is not revoked" for serial in sorted(listed - revoked.keys())
    )
    for serial in sorted(revoked.keys() - listed):
        if revoked[serial] >= issue.this_update:
            yield f"it does not name {serial}, which is revoked"


def journal_of(journal: Path, checked: Counter[str]) -> Iterator[Violation]:
    """Look for signatures of the journal that are over nothing on record (I4)."""
    signed = {
        words[0].lower() for line in journal.read_text().splitlines() if (words := line.split())
    }
    checked["journal"] = len(signed)
    for chunk in chunks(iter(sorted(signed))):
        digests: set[str | None] = set()
        for model in (Certificate, CrlIssue):
            digests |= set(
                model.objects.filter(tbs_sha256__in=chunk).values_list("tbs_sha256", flat=True)
            )
        for digest in chunk:
            if digest not in digests:
                yield Violation(
                    "I4",
                    f"signature over {digest}",
                    "no certificate or CRL with these bytes is on record",
                )
