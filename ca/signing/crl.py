"""Full CRLs (RFC 5280 §5): reserve a number, sign, lint, store.

Only the signing worker and commands run this. A CRL is due when a certificate was revoked, put on
hold or released since the newest one, and when half of that one's life is over. A CRL stored with
its bytes is published. A worker may die at any point: the last CRL stays published, and after
CRL_LEASE the next run makes another one with a higher number.
"""

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Q

from accounts.principals import PORTAL, Principal
from audit.events import SYSTEM, Event, Subject
from audit.log import record
from ca.certificates.crls import LISTED_STATUSES, crl_is_due, latest_crl
from ca.content.builder import RevokedEntry, assemble_certificate, build_crl_tbs
from ca.content.crl_linting import lint_crl
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import Certificate, CertificateStatus
from ca.models.crls import CrlIssue
from ca.signing.authorities import issuer_facts, open_key
from ca.x509.errors import CaError, CrlRefused
from keys.errors import KeyStoreError

_log = structlog.get_logger(__name__)

KEPT_CRLS: Final = 10


def issue_due_crls(*, now: datetime) -> list[CrlIssue]:
    """Issue due CRLs, also for paused authorities.

    An authority that cannot sign is logged and does not delay the others.
    """
    issued: list[CrlIssue] = []
    for ca in CertificateAuthority.objects.filter(not_before__lte=now, not_after__gte=now).order_by(
        "id"
    ):
        if not crl_is_due(ca, now=now):
            continue
        try:
            issue = issue_crl(ca, now=now)
        except (CaError, KeyStoreError) as error:
            _log.warning("crl.not_issued", ca=ca.name, fault=str(error))
            continue
        if issue is not None:
            issued.append(issue)
            prune_crls(ca, now=now)
    return issued


def prune_crls(ca: CertificateAuthority, *, now: datetime) -> int:
    """Drop the bytes of long replaced CRLs; returns how many.

    The newest KEPT_CRLS of an authority stay whatever their age. Number, times, digest and audit
    entries always stay.
    """
    published = CrlIssue.objects.filter(ca=ca, der__isnull=False)
    newest = published.order_by("-number").values_list("pk", flat=True)[:KEPT_CRLS]
    old = published.filter(created_at__lt=now - settings.PORTAL_CRL_KEEP).exclude(
        pk__in=list(newest)
    )
    with transaction.atomic():
        numbers = sorted(old.values_list("number", flat=True))
        if not numbers:
            return 0
        pruned = published.filter(number__in=numbers).update(der=None, pruned_at=now)
        record(
            Event.CRL_PRUNE,
            actor=SYSTEM,
            now=now,
            subject=Subject.of("authority", ca.name),
            data={"crls": pruned, "first_number": numbers[0], "last_number": numbers[-1]},
        )
    return pruned


def issue_crl(
    ca: CertificateAuthority,
    *,
    now: datetime,
    principal: Principal = PORTAL,
    even_if_not_due: bool = False,
) -> CrlIssue | None:
    """Issue a CRL; returns None if another worker makes it or has made it.

    Raises AuthorityUnusable, KeyStoreError, CrlRefused; then nothing new is published.
    """
    issuer = issuer_facts(ca.certificate_der)
    key = open_key(ca, now=now)
    reserved = _reserve(ca, now=now, even_if_not_due=even_if_not_due)
    if reserved is None:
        return None
    issue, entries = reserved
    tbs = build_crl_tbs(
        issuer=issuer,
        number=issue.number,
        this_update=issue.this_update,
        next_update=issue.next_update,
        entries=entries,
    )
    CrlIssue.objects.filter(pk=issue.pk).update(tbs_sha256=sha256(tbs).hexdigest())
    der = assemble_certificate(tbs, key.signature_algorithm, key.sign(tbs, key.signature_algorithm))
    findings = lint_crl(der, issuer=issuer, number=issue.number)
    if findings:
        raise CrlRefused("; ".join(finding.text for finding in findings))
    _store(issue, der, principal=principal, now=now)
    return issue


def _reserve(
    ca: CertificateAuthority, *, now: datetime, even_if_not_due: bool
) -> tuple[CrlIssue, list[RevokedEntry]] | None:
    """Reserve a number and read the content, under the lock that revocations take too."""
    with transaction.atomic():
        locked = CertificateAuthority.objects.select_for_update(of=("self",), no_key=True).get(
            pk=ca.pk
        )
        if not even_if_not_due and not crl_is_due(locked, now=now):
            return None
        newest = (
            CrlIssue.objects.filter(ca=ca)
            .order_by("-number")
            .values_list("number", flat=True)
            .first()
            or 0
        )
        this_update = now.replace(microsecond=0)
        life: timedelta = settings.PORTAL_CRL_LIFE
        entries = _entries(locked, now=now, life=life)
        issue = CrlIssue.objects.create(
            ca=locked,
            number=max(newest + 1, int(now.timestamp())),
            revocation_version=locked.revocation_version,
            this_update=this_update,
            next_update=this_update + life,
            entries=len(entries),
            created_at=now,
        )
        return issue, entries


def _entries(ca: CertificateAuthority, *, now: datetime, life: timedelta) -> list[RevokedEntry]:
    """Return everything revoked, on hold or abandoned.

    An entry leaves the list only when its certificate has expired, a CRL made after that has named
    it, and one life of a CRL has passed since (RFC 5280 §3.3).
    """
    rows = Certificate.objects.filter(ca=ca, status__in=LISTED_STATUSES)
    before = latest_crl(ca)
    if before is not None:
        rows = rows.filter(Q(not_after__gte=now - life) | Q(not_after__gte=before.this_update))
    fields = (
        "serial_hex",
        "status",
        "revoked_at",
        "prepared_at",
        "revocation_reason",
        "invalidity_date",
    )
    return [
        RevokedEntry(
            serial_number=int(serial, 16),
            # An abandoned certificate never worked: it is bad since the day its bytes were fixed.
            revoked_at=prepared_at if status == CertificateStatus.ABANDONED else revoked_at,
            reason=reason,
            invalidity_date=invalidity_date,
        )
        for serial, status, revoked_at, prepared_at, reason, invalidity_date in rows.values_list(
            *fields
        )
    ]


def _store(issue: CrlIssue, der: bytes, *, principal: Principal, now: datetime) -> None:
    digest = sha256(der).hexdigest()
    with transaction.atomic():
        CrlIssue.objects.filter(pk=issue.pk, der__isnull=True).update(der=der, sha256=digest)
        issue.der, issue.sha256 = der, digest
        record(
            Event.CRL_ISSUE,
            actor=principal.actor,
            now=now,
            subject=Subject.of("authority", issue.ca.name),
            data={
                "number": issue.number,
                "entries": issue.entries,
                "sha256": digest,
                "this_update": f"{issue.this_update:%Y-%m-%dT%H:%M:%SZ}",
                "next_update": f"{issue.next_update:%Y-%m-%dT%H:%M:%SZ}",
            },
        )
