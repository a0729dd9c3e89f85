"""The states of an enrollment request, as data: one table, read by one function.

PURE. The database repeats the table in a trigger (`approvals.apps`): no other program can take a
step that is not here.
"""

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """The state of an enrollment request."""

    PENDING = "PENDING"  # waits for officers, also between the decisions of a quorum
    APPROVED = "APPROVED"  # decided, nothing prepared yet
    ISSUING = "ISSUING"  # the to-be-signed bytes are on record, a worker signs
    ISSUED = "ISSUED"  # the certificate exists
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    #: Refused after the approval by policy, lint or a barred key; an officer decides again.
    FAILED = "FAILED"


class Step(StrEnum):
    """The step from one state to the next."""

    APPROVE = "approve"
    REJECT = "reject"
    EXPIRE = "expire"
    START = "start"
    UNDO = "undo"
    FAIL = "fail"
    COMPLETE = "complete"
    REOPEN = "reopen"


TRANSITIONS: Mapping[tuple[State, Step], State] = {
    (State.PENDING, Step.APPROVE): State.APPROVED,
    (State.PENDING, Step.REJECT): State.REJECTED,
    (State.PENDING, Step.EXPIRE): State.EXPIRED,
    (State.APPROVED, Step.START): State.ISSUING,
    (State.APPROVED, Step.UNDO): State.PENDING,
    (State.APPROVED, Step.FAIL): State.FAILED,
    (State.ISSUING, Step.COMPLETE): State.ISSUED,
    (
        State.ISSUING,
        Step.FAIL,
    ): State.FAILED,  # its key was barred meanwhile: the prepared certificate is abandoned
    (State.REJECTED, Step.UNDO): State.PENDING,
    (State.REJECTED, Step.REOPEN): State.PENDING,
    (State.EXPIRED, Step.REOPEN): State.PENDING,
    (State.FAILED, Step.REOPEN): State.PENDING,
    (State.FAILED, Step.REJECT): State.REJECTED,
    (State.FAILED, Step.EXPIRE): State.EXPIRED,
}

# A key may have one request in these states per enrollment profile. FAILED counts: an officer will
# decide. So does a REJECTED one whose decision is not in effect yet (`EnrollmentRequest.is_open`).
OPEN_STATES = frozenset({State.PENDING, State.APPROVED, State.ISSUING, State.FAILED})
REFUSED_STATES = frozenset({State.REJECTED, State.EXPIRED})


class StepNotAllowed(Exception):
    """The table has no such step from that state."""

    def __init__(self, state: State, step: Step) -> None:
        super().__init__(f"{step} is not possible: the request is {state}")
        self.state = state
        self.step = step


def next_state(state: State, step: Step) -> State:
    """Return the state after `step`. Raises StepNotAllowed if the table has none."""
    try:
        return TRANSITIONS[state, step]
    except KeyError:
        raise StepNotAllowed(state, step) from None
