"""Turns approved requests into certificates: prepare, sign, record, a batch at a time.

Runs in the signing worker. A task may be delivered twice, late or not at all; a worker may die at
any point. Three things make that harmless: the version (`approvals.records.due`), the stored
to-be-signed bytes and deterministic signatures (`ca.signing.issuance`).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import structlog
from django.db import DatabaseError, transaction
from django.db.models import F

from approvals.models.requests import EnrollmentRequest
from approvals.operations.doorbell import ring_for_validations
from approvals.records.barred_keys import key_faults
from approvals.records.decision_documents import DecisionInvalid, verify_decisions
from approvals.records.due import LEASE, MAX_ATTEMPTS, backoff, free, is_due
from approvals.records.notifications import notify
from approvals.records.transitions import advance, department_of
from approvals.records.validation_gate import is_validated_elsewhere
from approvals.rules.errors import AlreadyDecided
from approvals.rules.states import State, Step
from audit.events import SYSTEM, Event, Subject
from audit.log import record
from ca.certificates.admission import review_csr
from ca.certificates.profile_versions import resolve_version
from ca.models.certificates import Certificate, CertificateStatus
from ca.signing.issuance import (
    CertificateOrder,
    abandon_prepared,
    prepare_certificate,
    record_issued,
    sign_prepared,
    store_prepared,
)
from ca.x509.csr import read_stored_csr
from ca.x509.errors import CaError, CertificateRefused
from database.clock import database_now
from keys.errors import KeyStoreError

SIGNING_TIME = 10.0  # seconds; a slow key leaves the rest to the next task

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class BatchResult:
    """The result of a batch."""

    issued: list[UUID] = field(default_factory=list)
    skipped: list[UUID] = field(default_factory=list)
    failed: list[UUID] = field(default_factory=list)


@dataclass(slots=True)
class _Work:
    request: EnrollmentRequest
    certificate: Certificate
    der: bytes = b""


def issue_certificates(request_ids: Sequence[UUID]) -> BatchResult:
    """Take the due requests through prepare, sign and record; the others are skipped.

    A whole batch shares its transactions, see `_in_one_or_each`.
    """
    result = BatchResult()
    rows = list(
        EnrollmentRequest.objects.filter(
            pk__in=list(request_ids), state__in=[State.APPROVED, State.ISSUING]
        )
        .select_related("profile__department", "profile_version", "ca__parent", "validation")
        .prefetch_related("decisions")
        .order_by("id")
    )
    now = (
        database_now()
    )  # after the rows: a lease that another worker takes meanwhile must not look too long
    due = [
        request
        for request in rows
        if _is_free(request, now) and not _is_worn_out(request, now, result)
    ]
    works = [
        work for request in due if (work := _prepare(request, now=now, result=result)) is not None
    ]
    leased = _in_one_or_each(works, lambda work: _take(work, now=now), result)
    signed = _sign_in_time(leased, result=result)
    finished = database_now()
    faults = key_faults(
        [work.request for work in signed]
    )  # again: a key may be revoked while its bytes are on record
    allowed = [work for work in signed if not faults[work.request.pk]]
    recorded = _in_one_or_each(allowed, lambda work: _record(work, now=finished), result)
    result.issued.extend(work.request.pk for work in recorded)
    for work in signed:
        if fault := faults[work.request.pk]:
            _fail(work.request, fault, now=finished, result=result, prepared=work.certificate)
    result.skipped.extend(set(request_ids) - {*result.issued, *result.failed})
    return result


def _is_free(request: EnrollmentRequest, now: datetime) -> bool:
    paused = request.profile.paused_at is not None or request.ca.paused_at is not None
    return is_due(request, now=now) and not paused


def _is_worn_out(request: EnrollmentRequest, now: datetime, result: BatchResult) -> bool:
    """Quarantine a request after MAX_ATTEMPTS workers were killed while working on it.

    Attempts that end in an exception are counted by `_postpone` and never get here.
    """
    if request.attempts < MAX_ATTEMPTS:
        return False
    _postpone(
        request,
        f"{request.attempts} attempts ended without a word: the worker died",
        now=now,
        result=result,
    )
    return True


def _prepare(request: EnrollmentRequest, *, now: datetime, result: BatchResult) -> _Work | None:
    """Find the recorded bytes of a request, or build them outside any transaction (it is slow)."""
    try:
        if State(request.state) is State.ISSUING:
            return _Work(request, _prepared_before(request))
        verify_decisions(request)
        return _Work(request, prepare_certificate(_order(request), now=now))
    except (CertificateRefused, DecisionInvalid) as error:
        _fail(request, str(error), now=now, result=result)
    except (CaError, KeyStoreError) as error:
        _postpone(request, str(error), now=now, result=result)
    except Exception as error:  # noqa: BLE001 - the outermost door of one request: nothing of it may hold up the others
        _postpone(request, f"{type(error).__name__}: {error}", now=now, result=result)
    return None


def _prepared_before(request: EnrollmentRequest) -> Certificate:
    return (
        Certificate.objects.select_related("ca")
        .exclude(status=CertificateStatus.ABANDONED)
        .get(order_id=request.pk)
    )


def _order(request: EnrollmentRequest) -> CertificateOrder:
    """Rebuild the approved order from the stored request; a difference to the record is refused."""
    spec = resolve_version(request.profile_version_id)
    csr = read_stored_csr(request.csr_der)
    checked = review_csr(csr, spec)
    if checked.refused:
        raise CertificateRefused(checked.refusals)
    if [f"{name.kind}:{name.value}" for name in checked.sans] != list(request.names):
        raise CertificateRefused(
            ("the names of the certificate request are not the approved ones",)
        )
    return CertificateOrder(
        order_id=request.pk,
        ca=request.ca,
        spec=spec,
        profile_version_id=request.profile_version_id,
        subject=checked.subject,
        sans=tuple(checked.sans),
        csr=csr,
    )


def _in_one_or_each(
    works: Sequence[_Work], step: Callable[[_Work], bool], result: BatchResult
) -> list[_Work]:
    """Do `step` for all in one transaction; if that fails, for each in its own.

    Returns the works for which it was true. Batch or each: batches of 50 issue about 3,000
    certificates a second, single requests about 290. But one bad row (a constraint, a trigger, a
    record that does not match) aborts the transaction of all, and the same batch would fail again
    with every delivery of the task. So a failed batch is repeated row by row, and only the bad one
    is postponed. That is sound because `step` writes to the database and to the two objects only:
    the rollback undoes the former, `before` restores the latter. Without that, `request.version`
    would be one ahead of the row, and each single UPDATE would match nothing. A step must not sign
    or send, since that cannot be undone; a ring waits for the commit.
    """
    if not works:
        return []
    before = [(vars(work.request).copy(), vars(work.certificate).copy()) for work in works]
    try:
        with transaction.atomic():
            return [work for work in works if step(work)]
    except (DatabaseError, CaError) as error:
        for work, (request, certificate) in zip(works, before, strict=True):
            vars(work.request).update(request)
            vars(work.certificate).update(certificate)
        if len(works) == 1:
            _postpone(
                works[0].request,
                f"{type(error).__name__}: {error}",
                now=database_now(),
                result=result,
            )
            return []
        return [item for work in works for item in _in_one_or_each([work], step, result)]


def _take(work: _Work, *, now: datetime) -> bool:
    """Take the lease and fix the bytes; False when another worker has it.

    The version decides, not the lease: see `approvals.records.due`.
    """
    request = work.request
    attempts = request.attempts + 1
    changes = {
        "lease_until": now + LEASE,
        "attempts": attempts,
        "next_attempt_at": now + LEASE + backoff(attempts),
    }
    if State(request.state) is State.APPROVED:
        facts = {"tbs_sha256": work.certificate.tbs_sha256, "serial": work.certificate.serial_hex}
        try:
            advance(request, Step.START, actor=SYSTEM, now=now, data=facts, **changes)
        except AlreadyDecided:
            return False
        store_prepared(work.certificate, now=now)
        return True
    rows = EnrollmentRequest.objects.filter(
        free(now=now), pk=request.pk, state=State.ISSUING, version=request.version
    )
    is_taken = rows.update(version=F("version") + 1, **changes) == 1
    request.version += is_taken
    request.attempts = attempts
    return is_taken


def _sign_in_time(works: Sequence[_Work], *, result: BatchResult) -> list[_Work]:
    """Sign, one at least, until SIGNING_TIME is over; release the leases of the rest."""
    end = time.monotonic() + SIGNING_TIME
    signed: list[_Work] = []
    for count, work in enumerate(works):
        if count and time.monotonic() > end:
            _give_back(works[count:])
            break
        if _sign(work, result=result):
            signed.append(work)
    return signed


def _give_back(works: Sequence[_Work]) -> None:
    now = database_now()
    for work in works:
        leased = EnrollmentRequest.objects.filter(
            pk=work.request.pk, version=work.request.version, state=State.ISSUING
        )
        leased.update(
            lease_until=None,
            next_attempt_at=now,
            attempts=F("attempts") - 1,
            version=F("version") + 1,
        )


def _sign(work: _Work, *, result: BatchResult) -> bool:
    try:
        work.der = sign_prepared(work.certificate, now=database_now())
    except Exception as error:  # noqa: BLE001 - as in _prepare
        fault = (
            str(error)
            if isinstance(error, CaError | KeyStoreError)
            else f"{type(error).__name__}: {error}"
        )
        _postpone(work.request, fault, now=database_now(), result=result)
        return False
    return True


def _record(work: _Work, *, now: datetime) -> bool:
    """Store the certificate and finish the request; False when another worker has done so."""
    facts = {"serial": work.certificate.serial_hex, "certificate": str(work.certificate.pk)}
    try:
        advance(
            work.request,
            Step.COMPLETE,
            actor=SYSTEM,
            now=now,
            data=facts,
            certificate=work.certificate,
            lease_until=None,
            next_attempt_at=None,
            last_fault="",
        )
    except AlreadyDecided:
        return False
    record_issued(work.certificate, work.der, now=now)
    if is_validated_elsewhere(
        work.request
    ):  # the validation service may want to know before the device
        ring_for_validations([work.request.pk])
    return True


def _fail(
    request: EnrollmentRequest,
    reason: str,
    *,
    now: datetime,
    result: BatchResult,
    prepared: Certificate | None = None,
) -> None:
    """Refuse after the approval: return the request to the officers, abandon the prepared bytes."""
    try:
        with transaction.atomic():
            advance(
                request,
                Step.FAIL,
                actor=SYSTEM,
                now=now,
                data={"reason": reason},
                last_fault=reason[:500],
                lease_until=None,
                next_attempt_at=None,
                round=request.round + 1,
                expires_at=max(request.expires_at, now + request.profile.request_ttl),
            )
            if prepared is not None:
                abandon_prepared(prepared, reason=reason, now=now)
            notify("request-failed", request, now=now)
    except AlreadyDecided:
        return
    result.failed.append(request.pk)


def _postpone(
    request: EnrollmentRequest, fault: str, *, now: datetime, result: BatchResult
) -> None:
    """Record a fault of the portal and retry later; after MAX_ATTEMPTS an officer must act.

    The device keeps PENDING.
    """
    _log.warning("issuance.fault", request=str(request.pk), fault=fault, attempts=request.attempts)
    with transaction.atomic():
        fresh = EnrollmentRequest.objects.select_for_update(of=("self",), no_key=True).get(
            pk=request.pk
        )
        if State(fresh.state) not in (State.APPROVED, State.ISSUING):
            return
        attempts = max(fresh.attempts, request.attempts) + (State(fresh.state) is State.APPROVED)
        quarantined = now if attempts >= MAX_ATTEMPTS else None
        EnrollmentRequest.objects.filter(pk=fresh.pk, version=fresh.version).update(
            version=F("version") + 1,
            attempts=attempts,
            last_fault=fault[:500],
            lease_until=None,
            next_attempt_at=now + backoff(attempts),
            quarantined_at=quarantined,
        )
        if not fresh.last_fault or quarantined:
            fresh.profile = request.profile
            record(
                Event.REQUEST_ATTENTION,
                actor=SYSTEM,
                now=now,
                subject=Subject.of("request", fresh.pk, fresh.version + 1),
                data={
                    "fault": fault[:500],
                    "attempts": attempts,
                    "quarantined": quarantined is not None,
                },
                department=department_of(request.profile),
            )
            notify("request-attention", fresh, now=now)
    result.failed.append(request.pk)
