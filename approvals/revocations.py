"""An officer takes a certificate's validity away, or gives it back. Pages, commands and the API are doors to this.

Each is one transaction: permission, the status, the CRL out of date, the audit entry. The bell of the signing worker
rings after the commit, and beat rings every 30 seconds in case it was not heard.
"""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from accounts.models import User
from accounts.permissions import can
from accounts.roles import Verb
from approvals.doorbell import ring_for_crls
from approvals.errors import NotPermitted
from approvals.models import EnrollmentRequest, Evidence
from approvals.verdicts import Voice
from audit.events import Personal
from ca.errors import NotRevocable
from ca.models import Certificate, CertificateKind
from ca.revocation import Witness, release, revoke

MAX_COMMENT = 1000


def revoke_certificate(
    *,
    certificate_id: UUID,
    voice: Voice,
    reason: str,
    comment: str,
    now: datetime,
    invalidity_date: datetime | None = None,
) -> Certificate:
    """Revoke a certificate for good, or put it on hold (reason certificateHold). Names of reasons as in RFC 5280.

    Raises NotPermitted, and of the CA RevocationReasonUnknown, NotRevocable, AlreadyRevoked.
    """
    with transaction.atomic():
        certificate, witness = _load(certificate_id, voice, comment)
        revoke(certificate, reason=reason, witness=witness, now=now, invalidity_date=invalidity_date)
        ring_for_crls()
    return certificate


def release_hold(*, certificate_id: UUID, voice: Voice, comment: str, now: datetime) -> Certificate:
    """Make a certificate on hold good again.

    Raises NotPermitted, and of the CA NotOnHold, AlreadyRevoked, NotRevocable.
    """
    with transaction.atomic():
        certificate, witness = _load(certificate_id, voice, comment)
        release(certificate, witness=witness, now=now)
        ring_for_crls()
    return certificate


def _load(certificate_id: UUID, voice: Voice, comment: str) -> tuple[Certificate, Witness]:
    if voice.officer is None or not can(voice.officer, Verb.CERTIFICATE_REVOKE):
        raise _not_yours()
    certificate = Certificate.objects.defer("tbs", "der").filter(pk=certificate_id).first()
    if certificate is None:
        raise _not_yours()
    if certificate.kind == CertificateKind.SERVICE:
        raise NotRevocable("This is a certificate of the portal itself: without it no device could ask for anything.")
    order = _order_of(certificate, voice.officer)
    if voice.evidence == Evidence.ASSERTED and not order.profile.allow_asserted_decisions:
        raise NotPermitted(f"Profile {order.profile.slug} takes decisions from signed-in officers only.")
    facts = {"evidence": voice.evidence.value, "comment": Personal(comment.strip()[:MAX_COMMENT])}
    department = order.profile.department
    return certificate, Witness(voice.actor(), department.slug if department else "", facts)


def _order_of(certificate: Certificate, officer: User) -> EnrollmentRequest:
    """The request that ordered it: its department decides who may revoke."""
    rows = EnrollmentRequest.objects.select_related("profile__department").defer("csr")
    order = rows.filter(pk=certificate.order_id).first()
    if order is None or not can(officer, Verb.CERTIFICATE_REVOKE, order):
        raise _not_yours()
    return order


def _not_yours() -> NotPermitted:
    return NotPermitted("There is no such certificate, or it is not yours to revoke.")
