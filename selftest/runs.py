"""Starts a run, runs it, and stores its results.

Commands and the worker task of the page call these functions. The officer who presses the button,
or the one that a command names, decides on the run's own request, through the use case of every
other decision. A run is recorded before anything is sent, and each step as it ends.
"""

import os
import secrets
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from django.conf import settings
from django.db import IntegrityError, transaction

from accounts.models.people import User
from accounts.permissions import can
from accounts.principals import (
    Evidence,
    Principal,
    PrincipalKind,
    asserted_principal,
    person_principal,
)
from accounts.roles import Verb
from approvals.models.profiles import EnrollmentProfile
from approvals.operations.doorbell import ring_for
from approvals.records.transitions import department_of
from approvals.rules.errors import ApprovalsError
from audit.events import Actor, Event, Subject
from audit.log import record
from ca.x509.errors import CaError
from ca.x509.text import visible
from scep.protocol.requests import BadCertRep
from scep.transport import HttpError, Transport
from selftest.device import Meter, ThrowawayDevice
from selftest.errors import SelfTestRefused, StepFailed
from selftest.models import UNFINISHED, RunKind, RunState, SelfTestRun, SelfTestStep
from selftest.walks import RunEnvironment, Walk, WalkStep

TASK: Final = "selftest.run"
#: Number of runs kept per profile.
KEPT: Final = 200
LOST: Final = "not finished in time: does the default worker run?"
_FAULTS: Final = (StepFailed, HttpError, BadCertRep, ApprovalsError, CaError)

_log = structlog.get_logger(__name__)


def start_run(
    *, profile: EnrollmentProfile, principal: Principal, now: datetime, url: str = ""
) -> SelfTestRun:
    """Record a new run; the caller then runs it, or rings for a worker. Raises SelfTestRefused.

    In a profile for self-tests it is the whole loop and needs an officer; in any other profile
    nothing is requested, decided or issued.
    """
    kind = RunKind.LOOP if profile.for_self_test else RunKind.READING
    officer = principal.user if kind == RunKind.LOOP else None
    if kind == RunKind.LOOP:
        _check_officer(profile, principal)
    close_lost_runs(now=now)
    run = SelfTestRun(
        profile=profile,
        kind=kind,
        url=url or f"{settings.PORTAL_PUBLIC_URL}/scep/{profile.slug}/",
        officer=officer,
        evidence=principal.evidence if officer else "",
        started_by=principal.user if principal.kind is PrincipalKind.PERSON else None,
        asserted_by=principal.name if principal.kind is PrincipalKind.COMMAND else "",
        address=principal.address,
        created_at=now,
    )
    try:
        with transaction.atomic():
            run.save(force_insert=True)
            _record(
                run, Event.SELF_TEST_START, actor=principal.actor, now=now, data={"url": run.url}
            )
    except IntegrityError:
        raise SelfTestRefused(
            f"A self-test of {profile.slug} is running already: wait for its end."
        ) from None
    return run


def ring_for_run(run: SelfTestRun) -> None:
    """Ring for the default worker once the transaction is committed."""
    ring_for(TASK, queue="default", run_id=str(run.pk))


def walk_run(
    run_id: UUID, *, key: RSAPrivateKey, http: Transport, environment: RunEnvironment
) -> SelfTestRun | None:
    """Run a waiting run to its end; returns None if another worker has it.

    Faults are the result of the run, not errors.
    """
    rows = SelfTestRun.objects.filter(pk=run_id, state=RunState.QUEUED)
    if not rows.update(state=RunState.RUNNING, started_at=environment.clock()):
        return None
    run = SelfTestRun.objects.select_related(
        "profile__ca", "profile__department", "officer", "started_by"
    ).get(pk=run_id)
    fault = "broken off, see the log of the process that ran it"
    try:
        fault = _walk(run, key=key, http=http, environment=environment)
    finally:
        _finish(run, fault, now=environment.clock())
    return run


def close_lost_runs(*, now: datetime) -> int:
    """Fail runs that should have ended long ago, so that a dead worker blocks no later run.

    Returns how many.
    """
    lost = [
        run
        for run in SelfTestRun.objects.filter(state__in=UNFINISHED).select_related(
            "profile__department"
        )
        if run.is_lost(now)
    ]
    for run in lost:
        _finish(run, LOST, now=now)
    return len(lost)


def _check_officer(profile: EnrollmentProfile, principal: Principal) -> None:
    if principal.user is None or not can(principal.user, Verb.REQUEST_DECIDE, profile):
        raise SelfTestRefused(
            "The self-test needs the decision of an RA officer, and you are none: let an officer "
            "press the button, or "
            "run `./portal selftest --officer NAME`."
        )
    if principal.evidence == Evidence.ASSERTED and not profile.allow_asserted_decisions:
        raise SelfTestRefused(
            f"Profile {profile.slug} takes decisions from signed-in officers only: use the page."
        )


def _walk(
    run: SelfTestRun, *, key: RSAPrivateKey, http: Transport, environment: RunEnvironment
) -> str:
    """Run the steps until one fails; returns the fault, or ""."""
    name = f"selftest-{secrets.token_hex(4)}.invalid"
    device = ThrowawayDevice.new(
        name, key, Meter(http), url=run.url, entropy=os.urandom, now=environment.clock()
    )
    walk = Walk(run, device, environment)
    steps = walk.reading() if run.officer is None else walk.loop(_officer_of(run, run.officer))
    return _take(steps, run, device.meter)


def _officer_of(run: SelfTestRun, officer: User) -> Principal:
    """The officer in whose name the run decides, known as it was when the run was ordered."""
    if run.evidence == Evidence.ASSERTED:
        return asserted_principal(run.asserted_by, officer)
    return person_principal(officer, address=run.address)


def _take(steps: Iterable[WalkStep], run: SelfTestRun, meter: Meter) -> str:
    begun = time.perf_counter()
    for number, (name, step) in enumerate(steps, 1):
        at = time.perf_counter()
        try:
            text, fault = step(), ""
        except _FAULTS as error:
            text = fault = visible(str(error)) or type(error).__name__
        messages, sent, received = meter.take()
        SelfTestStep.objects.create(
            run=run,
            number=number,
            name=name,
            passed=not fault,
            begun_us=round((at - begun) * 1e6),
            took_us=round((time.perf_counter() - at) * 1e6),
            messages=messages,
            sent_bytes=sent,
            received_bytes=received,
            text=visible(text)[:500],
        )
        if fault:
            return f"{name}: {fault}"[:500]
    return ""


def _finish(run: SelfTestRun, fault: str, *, now: datetime) -> None:
    with transaction.atomic():
        run.state, run.fault, run.finished_at = (
            (RunState.FAILED if fault else RunState.PASSED),
            fault,
            now,
        )
        rows = SelfTestRun.objects.filter(pk=run.pk, state__in=UNFINISHED)
        if not rows.update(state=run.state, fault=fault, finished_at=now):
            return
        data = {"result": str(run.state), "fault": fault, "steps": run.steps.count()}
        _record(run, Event.SELF_TEST_FINISH, actor=Actor(kind="system"), now=now, data=data)
        old = (
            SelfTestRun.objects.filter(profile_id=run.profile_id)
            .order_by("-id")
            .values_list("pk", flat=True)
        )
        SelfTestRun.objects.filter(pk__in=list(old[KEPT : KEPT + 50])).delete()
    _log.info("selftest.finished", profile=run.profile.slug, result=str(run.state), fault=fault)


def _record(
    run: SelfTestRun, event: Event, *, actor: Actor, now: datetime, data: dict[str, object]
) -> None:
    record(
        event,
        actor=actor,
        now=now,
        subject=Subject.of("self-test", run.pk),
        data={"profile": run.profile.slug, "kind": str(run.kind), **data},
        department=department_of(run.profile),
    )
