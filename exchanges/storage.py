"""Stores messages with their answers, within limits that no sender can exceed.

Of a self-test profile everything is kept, of other profiles only refusals; while an administrator
has recording switched on, everything. An ordinary message costs one look at a clock and into a
dictionary, and writes nothing.
"""

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import Error, transaction

from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, EnrollmentTransaction
from approvals.rules.errors import Cause
from database import moments
from database.caches import register
from exchanges.models import Exchange, KeptFor, Recording

#: Number of messages kept per profile and reason, and their maximum age.
NEWEST: Final = {KeptFor.SELF_TEST: 4_000, KeptFor.REFUSAL: 200, KeptFor.RECORDING: 5_000}
KEPT: Final = timedelta(days=14)
#: Messages of anonymous senders that one process keeps per profile and minute, so that no sender
#: can keep a disk busy. A run of the self-test that waits as long as it may for its worker sends
#: some 300 messages.
A_MINUTE: Final = {KeptFor.SELF_TEST: 600, KeptFor.REFUSAL: 30}
#: Maximum age, in seconds, of the switches that a process has read.
FRESH_SECONDS: Final = 5.0
#: pkiStatus FAILURE in the column of an exchange (RFC 8894 §3.2.1.3).
PKI_FAILURE: Final = 2
_TIDY_EVERY: Final = 20

_log = structlog.get_logger(__name__)


class ExchangeRecorder:
    """Decides which messages are kept: the recording switches and recent counts of this process.

    There is one per process.
    """

    def __init__(self, fresh: float = FRESH_SECONDS) -> None:
        self._fresh = fresh
        self._lock = threading.Lock()
        self._spans: dict[int, tuple[datetime, datetime]] = {}
        self._read_at = float("-inf")
        self._lately: dict[int, deque[float]] = defaultdict(deque)
        self._kept = 0

    def reason(
        self, profile: EnrollmentProfile, *, now: datetime, is_refused: bool
    ) -> KeptFor | None:
        """Return the reason to keep a message of this profile, or None."""
        reason = KeptFor.SELF_TEST if profile.for_self_test else KeptFor.REFUSAL
        if reason is KeptFor.REFUSAL:
            if self._is_recording(profile, now):
                return KeptFor.RECORDING
            if not is_refused:
                return None
        return reason if self._has_room(profile, A_MINUTE[reason]) else None

    def keep(self, profile: EnrollmentProfile, reason: KeptFor, **facts: Any) -> None:
        """Store one exchange. If the database refuses it, the device is answered all the same."""
        try:
            with transaction.atomic():
                Exchange.objects.create(profile=profile, kept_for=reason, **facts)
                self._kept += 1
                if self._kept % _TIDY_EVERY == 0:
                    tidy(profile, reason)
        except Error as error:
            _log.warning(
                "exchange.not_kept", profile=profile.slug, fault=f"{type(error).__name__}: {error}"
            )

    def forget(self) -> None:
        """Read the switches again next time, and reset the counts."""
        with self._lock:
            self._read_at = float("-inf")
            self._lately.clear()

    def _is_recording(self, profile: EnrollmentProfile, now: datetime) -> bool:
        if time.monotonic() - self._read_at > self._fresh:
            self._read_switches()
        started, until = self._spans.get(profile.pk, (now, now))
        return now < until and not moments.is_ahead(
            started, now=now
        )  # begun under a clock that was ahead: over

    def _read_switches(self) -> None:
        """Read all switches; if the database does not answer, keep the old ones.

        The device has its answer already.
        """
        try:
            with transaction.atomic():
                rows = Recording.objects.values_list("profile_id", "until", "started_at")
                self._spans = {profile: (started, until) for profile, until, started in rows}
        except Error as error:
            _log.warning("recordings.not_read", fault=f"{type(error).__name__}: {error}")
        self._read_at = time.monotonic()

    def _has_room(self, profile: EnrollmentProfile, most: int) -> bool:
        moment = time.monotonic()
        with self._lock:
            times = self._lately[profile.pk]
            while times and times[0] < moment - 60:
                times.popleft()
            if len(times) >= most:
                return False
            times.append(moment)
            return True


recorder = ExchangeRecorder()
register("recordings", recorder.forget)


def tidy(profile: EnrollmentProfile, reason: str) -> int:
    """Delete the oldest exchanges above the limit of a profile and reason; returns how many."""
    rows = Exchange.objects.filter(profile=profile, kept_for=reason)
    newest = NEWEST[KeptFor(reason)]
    beyond = rows.order_by("-pk").values_list("pk", flat=True)[newest : newest + 1].first()
    return rows.filter(pk__lte=beyond).delete()[0] if beyond else 0


def drop_rejections(requests: Sequence[EnrollmentRequest]) -> "Counter[UUID]":
    """Delete stored answers that told the devices of these requests why they were rejected.

    Returns how many of each request. Runs in the caller's transaction. Other refusals stay: those
    of the same key for other causes, and those in transactions of other requests.
    """
    dropped: Counter[UUID] = Counter()
    for request in requests:
        led = EnrollmentTransaction.objects.filter(request=request)
        rows = Exchange.objects.filter(
            profile=request.profile_id,
            transaction_id__in={
                request.transaction_id,
                *led.values_list("transaction_id", flat=True),
            },
            signer_spki_sha256=request.signer_spki_sha256,
            pki_status=PKI_FAILURE,
            cause=Cause.REJECTED.value,
        )
        dropped[request.pk] += rows.delete()[0]
    return dropped


def prune(*, now: datetime) -> int:
    """Delete exchanges above the limits of age and number, in all profiles; returns how many."""
    deleted = Exchange.objects.filter(received_at__lt=now - KEPT).delete()[0]
    groups = Exchange.objects.order_by().values_list("profile_id", "kept_for").distinct()
    profiles = EnrollmentProfile.objects.in_bulk([profile for profile, _ in groups])
    return deleted + sum(tidy(profiles[profile], reason) for profile, reason in groups)
