"""Renewal (RFC 8894 §2.3, §2.5): the renewed certificate of a message, and facts about it.

A certificate is the portal's because its bytes are on record, never because of its issuer's name
and its serial number: anyone can write these into a certificate.
"""

from dataclasses import dataclass
from hashlib import sha256

from django.db.models import Q

from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, open_for_key
from approvals.rules.errors import Cause, Refusal
from approvals.rules.policy import RenewalFacts, RenewalPolicy, changed_names
from approvals.rules.states import State
from approvals.rules.submission import Submission
from ca.certificates.store import (
    authority_by_fingerprint,
    certificate_by_fingerprint,
    certificate_by_serial,
    has_certificate_of_key,
    sans_of,
    subject_of,
)
from ca.content.csr_review import CsrReview
from ca.models.certificates import Certificate, CertificateKind
from ca.x509.findings import Finding, info, warn
from ca.x509.name_matching import comparable_general_name, comparable_name
from ca.x509.text import shortened

_NO_DEVICE = Refusal(
    Cause.SIGNER_NO_DEVICE, "the certificate that signs the message is not a device's"
)
_LOOKALIKE = Refusal(
    Cause.SIGNER_LOOKALIKE, "the certificate that signs the message was not issued by this portal"
)
_FOREIGN = Refusal(
    Cause.RENEWAL_FOREIGN_SIGNER,
    "a renewal is signed with the certificate to renew, issued by this portal",
)


@dataclass(frozen=True, slots=True)
class Renewal:
    """The certificate that a message renews, with the facts for the policy."""

    certificate: Certificate
    facts: RenewalFacts

    def findings(self) -> tuple[Finding, ...]:
        """Return the findings for officers."""
        findings = [
            info(
                "renewal",
                f"renews certificate {self.certificate.serial_hex}, {_end(self.certificate)}",
            )
        ]
        findings += [
            warn("renewal-changed", f"differs from the renewed certificate: {text}")
            for text in self.facts.changes
        ]
        if self.facts.is_renewed_already:
            findings.append(
                warn(
                    "renewed-already",
                    "the certificate was renewed before: another request is open or issued",
                )
            )
        return tuple(findings)


def policy_of(profile: EnrollmentProfile) -> RenewalPolicy:
    """Return the renewal policy of a profile."""
    return RenewalPolicy(
        mode=profile.renewal_mode,
        window=profile.renewal_window,
        grace=profile.renewal_grace,
        key_reuse=profile.renewal_key_reuse,
        changed_names=profile.renewal_changed_names,
    )


def find_renewed(
    submission: Submission, *, profile: EnrollmentProfile
) -> Certificate | Refusal | None:
    """Return the certificate that a message renews, None for an enrollment, or a refusal.

    The signature of the message proves the certificate's key; the CSR's own signature proves the
    new one (§7.6).
    """
    der = submission.signer_certificate_der
    lineage = profile.lineage.authorities()
    if der in (authority.certificate_der for ca in lineage for authority in ca.chain()):
        return _NO_DEVICE
    if not submission.signer_is_self_issued:
        fingerprint = sha256(der).digest()
        certificate = certificate_by_fingerprint(fingerprint)
        if certificate is not None:
            return certificate
        if authority_by_fingerprint(fingerprint) is not None:
            return _NO_DEVICE
        claimed = certificate_by_serial(
            submission.signer_issuer_der, submission.signer_serial_der, cas=lineage
        )
        if claimed is not None:
            return _LOOKALIKE
    if submission.is_renewal:
        return _FOREIGN
    return None


def look_at(
    certificate: Certificate,
    submission: Submission,
    review: CsrReview,
    *,
    profile: EnrollmentProfile,
) -> Renewal:
    """Gather the facts for the policy.

    Locks the request that ordered the certificate, so that of two renewals at the same time the
    second sees the first.
    """
    orders = EnrollmentRequest.objects.select_for_update(no_key=True).filter(
        pk=certificate.order_id
    )
    order = orders.values_list("profile_id", flat=True).first()
    taken = open_for_key() | Q(state=State.ISSUED)
    successors = EnrollmentRequest.objects.filter(taken, renews=certificate)
    facts = RenewalFacts(
        is_device=certificate.kind == CertificateKind.ORDERED,
        is_same_profile=order == profile.pk,
        is_same_ca=profile.lineage.knows(certificate.ca_id),
        status=certificate.status,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        is_key_used=has_certificate_of_key(
            submission.csr.spki_sha256, cas=profile.lineage.authorities()
        ),
        changes=_changes(certificate, review),
        is_renewed_already=successors.exists(),
    )
    return Renewal(certificate, facts)


def _changes(certificate: Certificate, review: CsrReview) -> tuple[str, ...]:
    """Compare the names to be issued with those in the certificate, as parsed (RFC 5280 §7.1).

    The whole subjectAltName counts, of every type; one of an unknown type never passes `review`.
    """
    if certificate.kind != CertificateKind.ORDERED:
        return ()
    is_same = comparable_name(subject_of(certificate)) == comparable_name(review.subject)
    old = {comparable_general_name(name): str(name) for name in sans_of(certificate)}
    new = {comparable_general_name(name): str(name) for name in review.sans}
    return changed_names(
        subject=None if is_same else shortened(str(review.subject) or "(empty)"),
        added=[text for name, text in new.items() if name not in old],
        left_out=[text for name, text in old.items() if name not in new],
    )


def _end(certificate: Certificate) -> str:
    return f"valid until {certificate.not_after:%Y-%m-%d %H:%M} UTC"
