"""The one mutator of an enrollment request: a step of the table, with its audit entry.

A step is a conditional UPDATE.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from accounts.models.people import department_ref
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.records.refusal_numbers import keep_number, number_of_request
from approvals.rules.errors import AlreadyDecided
from approvals.rules.states import OPEN_STATES, REFUSED_STATES, State, Step, next_state
from audit.events import Actor, DepartmentRef, Event, Subject
from audit.log import record
from database.statements import update

EVENT_OF: Mapping[Step, Event] = {
    Step.APPROVE: Event.REQUEST_APPROVE,
    Step.REJECT: Event.REQUEST_REJECT,
    Step.EXPIRE: Event.REQUEST_EXPIRE,
    Step.START: Event.CERTIFICATE_PREPARE,
    Step.UNDO: Event.REQUEST_UNDO,
    Step.FAIL: Event.REQUEST_FAIL,
    Step.COMPLETE: Event.CERTIFICATE_ISSUE,
    Step.REOPEN: Event.REQUEST_REOPEN,
}


def advance(
    request: EnrollmentRequest,
    step: Step,
    *,
    actor: Actor,
    now: datetime,
    data: Mapping[str, object] | None = None,
    **changes: Any,
) -> None:
    """Take one step of the table, in the caller's transaction, and record it.

    The row must still be as `request` was read (state and version), else AlreadyDecided and nothing
    changes; a step the table does not have raises StepNotAllowed. `request` carries the new values
    afterwards.
    """
    before = State(request.state)
    after = next_state(before, step)
    changes["state"] = after
    if after not in OPEN_STATES:
        changes.setdefault("finished_at", now)
    as_read = {"id": request.pk, "state": before, "version": request.version}
    if update(EnrollmentRequest, where=as_read, changes=changes, count_up="version") != 1:
        raise AlreadyDecided(
            "Another officer was faster: this request has changed. Nothing was done twice."
        )
    request.version += 1
    for name, value in changes.items():
        setattr(request, name, value)
    number = number_of_request(request.pk) if after in REFUSED_STATES else ""
    entry = record(
        EVENT_OF[step],
        actor=actor,
        now=now,
        subject=Subject.of("request", request.pk, request.version),
        data={
            "from": before.value,
            "to": after.value,
            "round": request.round,
            **(data or {}),
            **({"number": number} if number else {}),
        },
        department=department_of(request.profile),
    )
    if number:
        keep_number(number, request.profile, now=now, entry=entry, request_id=request.pk)


def department_of(profile: EnrollmentProfile) -> DepartmentRef:
    """Return the department whose auditors find entries about this profile."""
    return department_ref(profile.department)
