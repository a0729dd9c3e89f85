"""Approvals of the current round, for profiles that want more than one officer."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import F

from accounts.models.people import User
from approvals.models.decisions import Decision, Verdict
from approvals.models.requests import EnrollmentRequest
from approvals.rules.states import State


@dataclass(frozen=True, slots=True)
class Votes:
    """The approvals of a request in its round, the number needed, and the viewer's own vote."""

    count: int
    needed: int
    is_mine: bool

    @property
    def short(self) -> str:
        """Return "1/2"; "" if one officer is enough."""
        return f"{self.count}/{self.needed}" if self.needed > 1 else ""

    def __str__(self) -> str:
        return f"{self.count} of {self.needed} approvals"


def votes_on(
    requests: Iterable[EnrollmentRequest], viewer: User | None = None
) -> dict[UUID, Votes]:
    """Return the votes on each of the waiting `requests`, by key; one query at most."""
    waiting = [request for request in requests if request.state == State.PENDING]
    keys = [request.pk for request in waiting if request.profile.required_approvals > 1]
    officers: dict[UUID, list[UUID | None]] = defaultdict(list)
    if keys:
        rows = Decision.objects.filter(
            request__in=keys, round=F("request__round"), verdict=Verdict.APPROVE
        )
        for request_id, officer_id in rows.values_list("request_id", "officer_id"):
            officers[request_id].append(officer_id)
    viewer_id = viewer.pk if viewer else None
    return {
        request.pk: Votes(
            count=len(officers[request.pk]),
            needed=request.profile.required_approvals,
            is_mine=viewer_id is not None and viewer_id in officers[request.pk],
        )
        for request in waiting
    }
