"""Asks validation services about challenges, decides by their answers, reports outcomes.

Runs in the default worker, which opens no CA key. The service is asked outside of any transaction;
its answer is one transaction with everything that belongs to it. A task may be delivered twice,
late or not at all: the claim (one conditional UPDATE) lets one worker ask, and the lease of a dead
worker ends. A service may be asked twice.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import F

from accounts.principals import PORTAL
from approvals.challenges.lockouts import note_failure
from approvals.models.profiles import ApprovalMode, ChallengePolicy
from approvals.models.requests import EnrollmentRequest
from approvals.models.validations import (
    UNDECIDED,
    ReportState,
    Validation,
    ValidationService,
    ValidationState,
)
from approvals.operations.doorbell import ring, ring_for_validations
from approvals.records.barred_keys import key_fault
from approvals.records.decision_documents import approve_by_policy, open_questions, reject_by_policy
from approvals.records.notifications import notify
from approvals.records.stored_csrs import discard_csr, kept_csr
from approvals.records.transitions import department_of
from approvals.records.validation_gate import LEASE, backoff, due
from approvals.rules.errors import Cause
from approvals.rules.states import State
from approvals.validation.messages import Outcome, Question, ServiceAnswer, ServiceVerdict
from approvals.validation.services import (
    ServiceClient,
    client_of,
    host_of,
    note_answer,
    note_fault,
    probe,
    service_of,
)
from audit.events import SYSTEM, Event, Personal, Subject
from audit.log import record, record_repeated
from ca.x509.csr import decode_csr
from database.clock import database_now
from outbound.errors import NoAnswer

BUDGET: Final = 10.0  # seconds of one task; the remaining requests are rung for again
TELL_OFFICERS_AT: Final = 4  # attempts: about ten seconds of silence
_NOT_ASKED: Final = "no service is set: ./portal validation set"

_log = structlog.get_logger(__name__)


class CsrNotKept(NoAnswer):
    """There is nothing left to ask the service about; its silence is no fault of the service."""

    def __init__(self) -> None:
        super().__init__(
            "the certificate request is not kept any more: the device has to ask again"
        )


@dataclass(frozen=True, slots=True)
class _Work:
    """One claimed validation, with the service of its profile, if any."""

    validation: Validation
    request: EnrollmentRequest
    service: ValidationService | None

    @property
    def host(self) -> str:
        return host_of(self.service) if self.service else ""


def validate_requests(request_ids: Sequence[UUID]) -> int:
    """Do the due work for these requests; returns how many were handled.

    A service that does not answer is asked once per task: the others of its profile stay due.
    """
    end = time.monotonic() + BUDGET
    silent: set[int] = set()
    done = 0
    for request_id in request_ids:
        if time.monotonic() > end:
            break
        work = _claim(request_id, silent, now=database_now())
        if work is None:
            continue
        if not (_ask(work) if work.validation.state in UNDECIDED else _report(work)):
            silent.add(work.request.profile_id)
        done += 1
    return done


def probe_services() -> int:
    """Run the ordered tests of services; returns how many."""
    services = list(
        ValidationService.objects.filter(probe_due_at__isnull=False).select_related(
            "profile__department"
        )
    )
    for service in services:
        probe(service, principal=PORTAL, now=database_now())
    return len(services)


def _claim(request_id: UUID, silent: set[int], *, now: datetime) -> _Work | None:
    """Take the lease of a due validation; None if it is leased or its service is silent."""
    related = (
        "request__profile__department",
        "request__profile_version",
        "request__ca",
        "request__certificate",
    )
    validation = Validation.objects.filter(due(now), pk=request_id).select_related(*related).first()
    if validation is None or validation.request.profile_id in silent:
        return None
    claim = Validation.objects.filter(
        pk=request_id,
        attempts=validation.attempts,
        state=validation.state,
        report=validation.report,
    )
    if claim.update(lease_until=now + LEASE, attempts=F("attempts") + 1) != 1:
        return None
    validation.attempts += 1
    service = service_of(validation.request.profile)
    is_known = (
        service is not None and service.kind == validation.kind
    )  # the profile may use another kind by now
    return _Work(validation, validation.request, service if is_known else None)


# ------------------------------------------------------------------------------------------- asking


def _ask(work: _Work) -> bool:
    """Ask about one challenge and decide; returns False if the service did not answer."""
    now = database_now()
    try:
        client, question = _client(work), _question(work, now=now)
        _record_asked(work, now=now)
        answer = client.validate(question, now=now)
    except NoAnswer as error:
        _postpone(work, error, now=database_now())
        return isinstance(error, CsrNotKept)
    _settle(work, answer, now=database_now())
    return True


def _client(work: _Work) -> ServiceClient:
    if work.service is None:
        raise NoAnswer(_NOT_ASKED)
    return client_of(work.service, work.request.profile)


def _record_asked(work: _Work, *, now: datetime) -> None:
    with transaction.atomic():
        Validation.objects.filter(pk=work.request.pk, asked_at__isnull=True).update(asked_at=now)
        record_repeated(
            Event.VALIDATION_ASK,
            actor=SYSTEM,
            now=now,
            cause=f"asked {work.host}",
            subject=Subject.of("request", work.request.pk),
            data={"service": work.host},
            department=department_of(work.request.profile),
        )


def _question(work: _Work, *, now: datetime) -> Question:
    """Build the question from the CSR as received, the only place that still has its challenge."""
    request = work.request
    der = kept_csr(request.pk, now=now)
    if der is None:
        raise CsrNotKept
    return Question(
        request_id=str(request.pk),
        profile=request.profile.slug,
        transaction_id=request.transaction_id,
        csr_der=der,
        challenge=decode_csr(der, accepts_sha1=True).challenge_password
        or "",  # SHA-1: as when it came
        csr_sha256=request.csr_sha256,
        spki_sha256=request.csr_spki_sha256,
        subject=request.subject,
        names=tuple(request.names),
        key=request.key_description,
        address=request.address,
        submitted_at=request.submitted_at,
    )


def _settle(work: _Work, answer: ServiceAnswer, *, now: datetime) -> None:
    """Store the answer and its consequences, in one transaction; nothing if the lease was lost."""
    reports = work.service is not None and work.service.reports
    is_denied = answer.verdict is ServiceVerdict.DENY
    with transaction.atomic():
        request = _locked(work.request)
        changes = {
            "state": ValidationState.DENIED if is_denied else ValidationState.ALLOWED,
            "answered_at": now,
            "answered_by": work.host[:255],
            "code": answer.code[:64],
            "reason": answer.reason[:300],
            "wants_officer": answer.verdict is ServiceVerdict.ASK,
            "report": ReportState.OWED if reports else ReportState.NONE,
            "next_attempt_at": now if reports else None,
            "lease_until": None,
            "attempts": 0,
            "fault": "",
            "unreachable_since": None,
        }
        if not _change(work, changes):
            return
        _note_answer(work, now=now)
        if not reports:
            _release(request)
        _record_answer(request, answer, work.host, now=now)
        if State(request.state) is State.PENDING:
            _follow(request, answer, now=now)


def _follow(request: EnrollmentRequest, answer: ServiceAnswer, *, now: datetime) -> None:
    """Decide by policy if the profile allows it; else notify the officers."""
    if answer.verdict is ServiceVerdict.DENY:
        facts = {"cause": "challenge denied by the validation service", "code": answer.code}
        reject_by_policy(request, data=facts, now=now)
        if (
            request.challenge == ChallengePolicy.WEBHOOK
        ):  # Intune's challenges are encrypted: guessing is impossible
            note_failure(request.profile, request.address, cause=Cause.CHALLENGE_WRONG, now=now)
        ring_for_validations([request.pk])
    elif fault := key_fault(request):
        reject_by_policy(request, data={"cause": fault}, now=now)
        ring_for_validations([request.pk])
    elif _may_pass(request, answer):
        approve_by_policy(request, now=now)
        ring([request.pk])
    else:
        notify("request-pending", request, now=now)


def _may_pass(request: EnrollmentRequest, answer: ServiceAnswer) -> bool:
    """Whether the policy approves alone: service and profile allow it, and no finding objects."""
    is_automatic = request.profile.approval == ApprovalMode.AUTOMATIC
    return answer.verdict is ServiceVerdict.ALLOW and is_automatic and not open_questions(request)


def _record_answer(
    request: EnrollmentRequest, answer: ServiceAnswer, host: str, *, now: datetime
) -> None:
    record(
        Event.VALIDATION_DENY if answer.verdict is ServiceVerdict.DENY else Event.VALIDATION_ALLOW,
        actor=SYSTEM,
        now=now,
        subject=Subject.of("request", request.pk),
        data={
            "service": host,
            "answer": answer.verdict.value,
            "code": answer.code,
            "comment": Personal(answer.reason),
        },
        department=department_of(request.profile),
    )


def _postpone(work: _Work, error: NoAnswer, *, now: datetime) -> None:
    """Note that there was no answer and try again later. The device keeps PENDING."""
    request, validation, fault = work.request, work.validation, str(error)
    if work.service is not None and not isinstance(error, CsrNotKept):
        note_fault(work.service, fault, now=now)
    _log.warning("validation.no_answer", request=str(request.pk), service=work.host, fault=fault)
    is_asking = validation.state in UNDECIDED
    changes: dict[str, object] = {
        "fault": fault[:300],
        "lease_until": None,
        "next_attempt_at": now + backoff(validation.attempts),
        "unreachable_since": validation.unreachable_since or now,
    }
    if is_asking:
        changes["state"] = ValidationState.UNREACHABLE
    with transaction.atomic():
        if not _change(work, changes):
            return
        record_repeated(
            Event.VALIDATION_NO_ANSWER,
            actor=SYSTEM,
            now=now,
            cause=fault,
            subject=Subject.of("request", request.pk),
            data={"service": work.host},
            department=department_of(request.profile),
        )
        if is_asking and validation.attempts == TELL_OFFICERS_AT:
            notify("request-unvalidated", request, now=now)


# ---------------------------------------------------------------------------------------- reporting


def _report(work: _Work) -> bool:
    """Report the outcome to the service; returns False if it was not accepted."""
    now = database_now()
    try:
        _client(work).report(_question(work, now=now), _outcome(work), now=now)
    except CsrNotKept as error:
        _end_report(work, ReportState.GIVEN_UP, fault=str(error), now=database_now())
        return True
    except NoAnswer as error:
        _postpone(work, error, now=database_now())
        return False
    _end_report(work, ReportState.SENT, now=database_now())
    return True


def _outcome(work: _Work) -> Outcome:
    request, certificate = work.request, work.request.certificate
    if certificate is None:
        reason = work.validation.reason or work.validation.code
        return Outcome(
            reason=reason if work.validation.state == ValidationState.DENIED else request.reason
        )
    return Outcome(
        certificate_der=certificate.certificate_der,
        serial_hex=certificate.serial_hex,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        authority=request.ca.name,
    )


def _end_report(work: _Work, outcome: ReportState, *, now: datetime, fault: str = "") -> None:
    request = work.request
    changes: dict[str, object] = {
        "report": outcome,
        "next_attempt_at": None,
        "lease_until": None,
        "fault": fault,
    }
    if outcome is ReportState.SENT:
        changes["unreachable_since"] = None
        _note_answer(work, now=now)
    with transaction.atomic():
        if not _change(work, changes):
            return
        _release(request)
        record(
            Event.VALIDATION_REPORT,
            actor=SYSTEM,
            now=now,
            subject=Subject.of("request", request.pk),
            data={"service": work.host, "outcome": request.state.lower(), "report": outcome.value},
            department=department_of(request.profile),
        )


def _note_answer(work: _Work, *, now: datetime) -> None:
    if work.service is not None:
        note_answer(work.service, now=now)


def _release(request: EnrollmentRequest) -> None:
    """Delete the CSR, unless its challenge encrypts the answer to a device that cannot decrypt."""
    if request.key_description.startswith("RSA "):
        discard_csr(request.pk)


def _locked(request: EnrollmentRequest) -> EnrollmentRequest:
    rows = EnrollmentRequest.objects.select_for_update(of=("self",), no_key=True)
    return rows.select_related("profile__department", "profile_version", "ca").get(pk=request.pk)


def _change(work: _Work, changes: Mapping[str, object]) -> bool:
    """Update the validation if the claim still holds: no other worker has counted an attempt."""
    validation = work.validation
    claim = Validation.objects.filter(
        pk=validation.pk,
        attempts=validation.attempts,
        state=validation.state,
        report=validation.report,
    )
    return claim.update(**changes) == 1
