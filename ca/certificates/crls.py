"""CRLs: when a new one is due, and which one is published."""

from datetime import datetime, timedelta

from django.db.models import F, Q

from ca.certificates.store import is_named
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import CertificateStatus
from ca.models.crls import CrlIssue
from database import moments

#: What a CRL names. What was given up is on it, since a signature over its bytes may exist.
LISTED_STATUSES = (
    CertificateStatus.REVOKED,
    CertificateStatus.ON_HOLD,
    CertificateStatus.ABANDONED,
)
#: How long a worker may take over a CRL before another one makes a new one.
CRL_LEASE = timedelta(seconds=60)


def outdate_crl(ca_id: int) -> None:
    """Note that the newest CRL does not say everything any more, in the transaction of what it does
    not say.

    Locks the authority's row: a CRL is made before this transaction or after it.
    """
    CertificateAuthority.objects.filter(pk=ca_id).update(
        revocation_version=F("revocation_version") + 1
    )


def crl_is_due(ca: CertificateAuthority, *, now: datetime) -> bool:
    """Return whether a new CRL is wanted: none yet, something revoked or released since, or half of
    its life over.

    `ca` is as just read. One that was begun within CRL_LEASE counts as there; one that becomes
    valid later is of no use to relying parties, and was made under a clock that was ahead
    (`database.moments`).
    """
    there = Q(der__isnull=False) | moments.within("created_at", now=now, span=CRL_LEASE)
    newest = CrlIssue.objects.filter(there, ca=ca).defer("der").order_by("-number").first()
    if newest is None or newest.revocation_version < ca.revocation_version:
        return True
    if moments.is_ahead(newest.this_update, now=now):
        return True
    return now >= newest.this_update + (newest.next_update - newest.this_update) / 2


def latest_crl(ca: CertificateAuthority) -> CrlIssue | None:
    """Return the published CRL of an authority, its bytes not yet read, or None."""
    return (
        CrlIssue.objects.filter(ca=ca, der__isnull=False).defer("der").order_by("-number").first()
    )


def crl_of_issuer(issuer_der: bytes) -> bytes | None:
    """Return the published CRL of the authority with this name, DER, or None; of several the newest
    that has one.
    """
    for authority in CertificateAuthority.objects.order_by("-pk"):
        if is_named(authority, issuer_der):
            crl = latest_crl(authority)
            if crl is not None:
                return crl.crl_der
    return None
