"""An officer revokes a certificate, puts it on hold, or releases it.

Pages, commands and the API are doors to this. Each is one transaction: permission, the status, the
CRL outdated, the audit entry. The bell of the signing worker rings after the commit; if it is lost,
the sweep rings every 30 seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from accounts.models.people import User
from accounts.people.changes import recent_changes
from accounts.permissions import can
from accounts.principals import Evidence, Principal
from accounts.roles import Verb
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.operations.doorbell import ring_for_crls
from approvals.records.decision_documents import change_facts, refuse_changed_account
from approvals.records.transitions import department_of
from approvals.rules.errors import NotPermitted
from audit.events import Personal
from ca.certificates.revocation import Witness, release, revoke
from ca.models.certificates import Certificate, CertificateKind, CertificateStatus, RevocationReason
from ca.x509.errors import NotRevocable

MAX_COMMENT = 1000
#: More than any lineage has; a limit for the walk, not a rule.
MAX_SUCCESSORS: Final = 1000
_VALID: Final = (CertificateStatus.ISSUED, CertificateStatus.ON_HOLD)


@dataclass(frozen=True, slots=True)
class Revocation:
    """A revoked certificate, and the result for its successors."""

    certificate: Certificate
    successors: tuple[Certificate, ...] = ()  # revoked with it
    left: tuple[Certificate, ...] = ()  # still valid: of another department than the officer's


def revoke_certificate(
    *,
    certificate_id: UUID,
    principal: Principal,
    reason: str,
    comment: str,
    now: datetime,
    invalidity_date: datetime | None = None,
) -> Certificate:
    """Revoke a certificate for good, or put it on hold (reason certificateHold).

    Names of reasons as in RFC 5280. Raises NotPermitted, and the CA's RevocationReasonUnknown,
    NotRevocable, AlreadyRevoked.
    """
    with transaction.atomic():
        certificate, witness, _ = _load(certificate_id, principal, comment, now=now)
        revoke(
            certificate, reason=reason, witness=witness, now=now, invalidity_date=invalidity_date
        )
        ring_for_crls()
    return certificate


def revoke_compromised(
    *, certificate_id: UUID, principal: Principal, comment: str, now: datetime
) -> Revocation:
    """Revoke a certificate for keyCompromise together with its successors, in one transaction.

    A thief of the key may have renewed with it. Each certificate gets its audit entry; successors
    of other departments than the officer's stay valid and are returned as `left`. Raises the errors
    of `revoke_certificate`.
    """
    with transaction.atomic():
        certificate = revoke_certificate(
            certificate_id=certificate_id,
            principal=principal,
            reason=RevocationReason.KEY_COMPROMISE,
            comment=comment,
            now=now,
        )
        following = successors_of(certificate, now=now)
        revoked = [
            item
            for item in following
            if _revoke_successor(item, certificate, principal, comment, now)
        ]
    return Revocation(
        certificate, tuple(revoked), tuple(item for item in following if item not in revoked)
    )


def successors_of(certificate: Certificate, *, now: datetime) -> Sequence[Certificate]:
    """Return the valid certificates that a thief of this one's key may hold.

    They are its renewals, in any number of steps, certificates over the same key, and their
    renewals.
    """
    visited = {certificate.pk}
    successors: list[Certificate] = []
    layer = [certificate]
    while layer and len(visited) <= MAX_SUCCESSORS:
        renewed = EnrollmentRequest.objects.filter(renews__in=layer, certificate__isnull=False)
        follows = Q(pk__in=renewed.values("certificate_id")) | Q(
            spki_sha256__in=[item.spki_sha256 for item in layer]
        )
        rows = Certificate.objects.defer("tbs", "der").filter(
            follows, kind=CertificateKind.ORDERED, der__isnull=False
        )
        layer = list(rows.exclude(pk__in=visited).order_by("id")[:MAX_SUCCESSORS])
        visited.update(item.pk for item in layer)
        successors += [item for item in layer if item.status in _VALID and item.not_after >= now]
    return successors


def _revoke_successor(
    successor: Certificate,
    certificate: Certificate,
    principal: Principal,
    comment: str,
    now: datetime,
) -> bool:
    """Revoke one successor; False if the officer may not revoke it."""
    try:
        own, witness, _ = _load(successor.pk, principal, comment, now=now)
    except NotPermitted:
        return False
    facts = {**witness.facts, "successor_of": certificate.serial_hex}
    revoke(
        own, reason=RevocationReason.KEY_COMPROMISE, witness=replace(witness, facts=facts), now=now
    )
    return True


def release_hold(
    *, certificate_id: UUID, principal: Principal, comment: str, now: datetime
) -> Certificate:
    """Make a certificate on hold good again.

    A profile's demands on the officer (a session, no recent change of the account) apply to a
    release only: a revocation is never delayed. Raises NotPermitted, and the CA's NotOnHold,
    AlreadyRevoked, NotRevocable.
    """
    with transaction.atomic():
        certificate, witness, profile = _load(certificate_id, principal, comment, now=now)
        if principal.evidence == Evidence.ASSERTED and not profile.allow_asserted_decisions:
            raise NotPermitted(
                f"Profile {profile.slug} takes decisions from signed-in officers only."
            )
        refuse_changed_account(profile, principal, now=now)
        release(certificate, witness=witness, now=now)
        ring_for_crls()
    return certificate


def _load(
    certificate_id: UUID, principal: Principal, comment: str, *, now: datetime
) -> tuple[Certificate, Witness, EnrollmentProfile]:
    if principal.user is None or not can(principal.user, Verb.CERTIFICATE_REVOKE):
        raise _not_yours()
    certificate = Certificate.objects.defer("tbs", "der").filter(pk=certificate_id).first()
    if certificate is None:
        raise _not_yours()
    if certificate.kind == CertificateKind.SERVICE:
        raise NotRevocable(
            "This is a certificate of the portal itself: without it no device could ask for "
            "anything."
        )
    order = _order_of(certificate, principal.user)
    facts: dict[str, object] = {
        "evidence": principal.evidence.value,
        "comment": Personal(comment.strip()[:MAX_COMMENT]),
    }
    facts |= change_facts(recent_changes(principal.user, now=now))
    return (
        certificate,
        Witness(principal, department_of(order.profile), facts),
        order.profile,
    )


def _order_of(certificate: Certificate, officer: User) -> EnrollmentRequest:
    """Return the request that ordered it: its department decides who may revoke."""
    rows = EnrollmentRequest.objects.select_related("profile__department").defer("csr")
    order = rows.filter(pk=certificate.order_id).first()
    if order is None or not can(officer, Verb.CERTIFICATE_REVOKE, order):
        raise _not_yours()
    return order


def _not_yours() -> NotPermitted:
    return NotPermitted("There is no such certificate, or it is not yours to revoke.")
