"""Caps on open requests, counted cheaply: a cap protects the queue and need not be exact.

Counts are at most `FRESH_SECONDS` old, plus the requests that this process opened since. Addresses
are counted by network.
"""

from accounts.network.addresses import network_of
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.rules.states import OPEN_STATES, State
from database.caches import Cache, register

FRESH_SECONDS = 5.0
_KEPT = 4096
_OPEN = sorted(OPEN_STATES)


class OpenCounter:
    """Open requests per (profile, network); the network "" stands for the whole profile.

    One per process.
    """

    def __init__(self, fresh: float = FRESH_SECONDS) -> None:
        self._counts: Cache[tuple[int, str], int] = Cache(most=_KEPT, seconds=fresh)

    def count(self, profile: EnrollmentProfile, address: str = "") -> int:
        """Return the number of open requests of the profile, or of one address's network in it."""
        network = network_of(address)
        key = (profile.pk, network)
        cached = self._counts.get(key)
        if cached is not None:
            return cached
        limit = max(profile.max_open_requests, profile.max_open_per_address) + 1
        number = _count(profile, network, limit, state__in=_OPEN)
        if profile.undo_window:  # two queries, since no index serves both at once
            unsettled = {"state": State.REJECTED, "next_attempt_at__isnull": False}
            number += _count(profile, network, limit, **unsettled)
        return self._counts.put(key, number)

    def opened(self, profile: EnrollmentProfile, address: str) -> None:
        """Count a request that this process just opened."""
        for key in ((profile.pk, ""), (profile.pk, network_of(address))):
            self._counts.change(key, lambda number: number + 1)

    def forget(self) -> None:
        """Count again next time."""
        self._counts.clear()


def _count(profile: EnrollmentProfile, network: str, limit: int, **wanted: object) -> int:
    rows = EnrollmentRequest.objects.filter(profile_id=profile.pk, **wanted)
    if network:
        rows = rows.filter(network=network)
    return rows.order_by()[:limit].count()


open_requests = OpenCounter()
register("open requests", open_requests.forget)


def is_known_network(profile: EnrollmentProfile, address: str) -> bool:
    """Return whether the profile has issued a certificate to the network of this address before."""
    rows = EnrollmentRequest.objects.filter(
        profile_id=profile.pk, network=network_of(address), state=State.ISSUED
    )
    return rows.order_by().exists()
