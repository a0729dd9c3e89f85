"""A transaction as a walk from lane to lane: its stored messages, and what the log says happened
between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from approvals.models.requests import EnrollmentRequest
from approvals.reading.timeline import Moment, timeline_of
from audit.events import Event
from exchanges.models import Exchange
from inspector.words import wire_name
from scep.protocol.constants import MessageType, PKIStatus

DEVICE, PORTAL, OFFICER, WORKER = range(4)
LANES: Final = ("Device", "Portal", "Officer", "Worker")
#: Units of a lane's picture: the middle of each lane, and its height.
MIDDLES: Final = (50, 150, 250, 350)
HEIGHT: Final = 24
_MOST: Final = 200
_BY_EVENT: Final[dict[str, tuple[int, int, str]]] = {
    Event.REQUEST_SUBMIT: (PORTAL, OFFICER, "The request waits for a decision"),
    Event.REQUEST_APPROVE: (OFFICER, PORTAL, "Approved"),
    Event.REQUEST_REJECT: (OFFICER, PORTAL, "Rejected"),
    Event.REQUEST_REOPEN: (OFFICER, PORTAL, "Opened again"),
    Event.CERTIFICATE_PREPARE: (PORTAL, WORKER, "The certificate is prepared"),
    Event.CERTIFICATE_ISSUE: (WORKER, PORTAL, "The certificate is signed and recorded"),
    Event.CERTIFICATE_ABANDON: (WORKER, PORTAL, "The certificate is given up"),
    Event.CERTIFICATE_DELIVER: (PORTAL, DEVICE, "The device picked the certificate up"),
    Event.CERTIFICATE_REVOKE: (OFFICER, PORTAL, "Revoked"),
    Event.CERTIFICATE_HOLD: (OFFICER, PORTAL, "Put on hold"),
    Event.CERTIFICATE_RELEASE: (OFFICER, PORTAL, "Released from hold"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One arrow. `size` are bytes on the wire, `count` how many like it came one after the
    other.
    """

    at: datetime
    source: int
    target: int
    title: str
    text: str = ""
    size: int = 0
    count: int = 1
    tone: str = ""
    exchange_id: UUID | None = None
    number: int = 0
    since: timedelta = timedelta(0)

    @property
    def x1(self) -> int:
        return MIDDLES[self.source]

    @property
    def x2(self) -> int:
        """Where the arrow ends, short of the middle of its lane by its head."""
        return MIDDLES[self.target] + (-4 if self.target > self.source else 4)

    @property
    def head(self) -> str:
        """The points of the arrow's head."""
        tip, back = (
            MIDDLES[self.target],
            MIDDLES[self.target] + (-9 if self.target > self.source else 9),
        )
        return f"{tip},12 {back},7 {back},17"

    @property
    def lanes(self) -> str:
        """From whom to whom."""
        return (
            LANES[self.source]
            if self.source == self.target
            else f"{LANES[self.source]} → {LANES[self.target]}"
        )

    @property
    def milliseconds(self) -> float:
        """Since the first step."""
        return self.since.total_seconds() * 1000


def walk_of(request: EnrollmentRequest) -> list[Step]:
    """Return the steps of a request in their order; without stored messages those that the log
    knows.
    """
    kept = Exchange.objects.filter(
        profile_id=request.profile_id,
        transaction_id=request.transaction_id,
        signer_spki_sha256=request.signer_spki_sha256,
    ).order_by("id")[:_MOST]
    steps = [step for exchange in _gathered(list(kept)) for step in exchange]
    skipped = {Event.CERTIFICATE_DELIVER} if steps else set()
    steps += [_of_moment(moment) for moment in timeline_of(request) if moment.event not in skipped]
    ordered = sorted(steps, key=lambda step: (step.at, step.source))
    begun = ordered[0].at if ordered else request.submitted_at
    return [
        replace(step, number=number, since=step.at - begun)
        for number, step in enumerate(ordered, 1)
    ]


def _gathered(kept: Sequence[Exchange]) -> list[list[Step]]:
    """Two steps for each exchange; polls that got PENDING one after the other are counted in one
    pair.
    """
    found: list[list[Step]] = []
    before: Exchange | None = None
    for exchange in kept:
        if before is not None and _waits(before) and _waits(exchange):
            found[-1] = [replace(step, count=step.count + 1) for step in found[-1]]
        else:
            found.append(_of_exchange(exchange))
        before = exchange
    return found


def _waits(exchange: Exchange) -> bool:
    return (
        exchange.message_type == MessageType.CERT_POLL and exchange.pki_status == PKIStatus.PENDING
    )


def _of_exchange(exchange: Exchange) -> list[Step]:
    asked = wire_name(exchange.message_type, "type") or "a message"
    said = wire_name(exchange.pki_status, "status") or f"HTTP {exchange.http_status}"
    fail_info = wire_name(exchange.fail_info, "fail")
    tone = {"SUCCESS": "good", "PENDING": ""}.get(said, "bad")
    method = f"{exchange.method} from {exchange.address}"
    answered_at = exchange.received_at + timedelta(microseconds=exchange.took_us)
    answer = f"{said} {fail_info}".strip()
    took = f"answered in {exchange.milliseconds:.1f} ms"
    return [
        Step(
            exchange.received_at,
            DEVICE,
            PORTAL,
            asked,
            method,
            len(exchange.message),
            exchange_id=exchange.pk,
        ),
        Step(
            answered_at,
            PORTAL,
            DEVICE,
            answer,
            f"{exchange.text}, {took}" if exchange.text else took,
            len(exchange.answer),
            tone=tone,
            exchange_id=exchange.pk,
        ),
    ]


def _of_moment(moment: Moment) -> Step:
    source, target, title = _BY_EVENT.get(moment.event, (PORTAL, PORTAL, moment.what))
    by = f"by {moment.who}" if source == OFFICER else ""
    text = ", ".join(filter(None, [by, moment.evidence, moment.comment]))
    return Step(
        moment.at, source, target, title, text, tone=moment.tone if moment.tone != "busy" else ""
    )
