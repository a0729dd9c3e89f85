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
    """How many approvals a request has in its round, how many it needs, and whether the viewer has
    voted in it.
    """

    count: int
    needed: int
    is_mine: bool

    @property
    def short(self) -> str:
        """Return "1/2"; empty where one officer is enough."""
        return f"{self.count}/{self.needed}" if self.needed > 1 else ""

    def __str__(self) -> str:
        return f"{self.count} of {self.needed} approvals"


def votes_on(
    requests: Iterable[EnrollmentRequest], viewer: User | None = None
) -> dict[UUID, Votes]:
    """Return the votes on each of `requests` that waits for a decision, by its key; one query at
    most.
    """
    waiting = [request for request in requests if request.state == State.PENDING]
    asked = [request.pk for request in waiting if request.profile.required_approvals > 1]
    officers: dict[UUID, list[UUID | None]] = defaultdict(list)
    if asked:
        rows = Decision.objects.filter(
            request__in=asked, round=F("request__round"), verdict=Verdict.APPROVE
        )
        for request_id, officer_id in rows.values_list("request_id", "officer_id"):
            officers[request_id].append(officer_id)
    mine = viewer.pk if viewer else None
    return {
        request.pk: Votes(
            count=len(officers[request.pk]),
            needed=request.profile.required_approvals,
            is_mine=mine is not None and mine in officers[request.pk],
        )
        for request in waiting
    }
