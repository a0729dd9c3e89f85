"""Caps on open requests, counted cheaply: a cap protects the queue and need not be exact.

Counts are at most `FRESH_SECONDS` old, plus the requests that this process opened since. Addresses
are counted by network.
"""

import time
from collections import OrderedDict

from accounts.network.addresses import network_of
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.rules.states import OPEN_STATES, State

FRESH_SECONDS = 5.0
_KEPT = 4096
_OPEN = sorted(OPEN_STATES)


class OpenCounter:
    """Open requests per (profile, network); the network "" stands for the whole profile.

    One per process.
    """

    def __init__(self, fresh: float = FRESH_SECONDS) -> None:
        self._fresh = fresh
        self._counts: OrderedDict[tuple[int, str], tuple[float, int]] = OrderedDict()

    def count(self, profile: EnrollmentProfile, address: str = "") -> int:
        """Return the number of open requests of the profile, or of one address's network in it."""
        network = network_of(address)
        key = (profile.pk, network)
        known = self._counts.get(key)
        if known is not None and time.monotonic() - known[0] < self._fresh:
            return known[1]
        rows = EnrollmentRequest.objects.filter(profile_id=profile.pk, state__in=_OPEN)
        if network:
            rows = rows.filter(network=network)
        limit = max(profile.max_open_requests, profile.max_open_per_address)
        number = rows.order_by()[: limit + 1].count()
        self._counts[key] = (time.monotonic(), number)
        self._counts.move_to_end(key)
        if len(self._counts) > _KEPT:
            self._counts.popitem(last=False)
        return number

    def opened(self, profile: EnrollmentProfile, address: str) -> None:
        """Count a request that this process just opened."""
        for key in ((profile.pk, ""), (profile.pk, network_of(address))):
            known = self._counts.get(key)
            if known is not None:
                self._counts[key] = (known[0], known[1] + 1)

    def forget(self) -> None:
        """Count again next time."""
        self._counts.clear()


open_requests = OpenCounter()


def is_known_network(profile: EnrollmentProfile, address: str) -> bool:
    """Return whether the profile has issued a certificate to the network of this address before."""
    rows = EnrollmentRequest.objects.filter(
        profile_id=profile.pk, network=network_of(address), state=State.ISSUED
    )
    return rows.order_by().exists()
