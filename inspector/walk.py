"""The message trace of a transaction: its stored messages, and the log's facts between them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from approvals.models.requests import EnrollmentRequest
from approvals.reading.timeline import TimelineEntry, timeline_of
from audit.events import Event
from exchanges.models import Exchange
from inspector.words import wire_name
from scep.protocol.constants import MessageType, PKIStatus

DEVICE, PORTAL, OFFICER, WORKER = range(4)
LANES: Final = ("Device", "Portal", "Officer", "Worker")
#: Units of the picture: the middle of each lane, and its height.
MIDDLES: Final = (50, 150, 250, 350)
HEIGHT: Final = 24
_MOST: Final = 200
_BY_EVENT: Final[dict[str, tuple[int, int, str]]] = {
    Event.REQUEST_SUBMIT: (PORTAL, OFFICER, "The request waits for a decision"),
    Event.REQUEST_APPROVE: (OFFICER, PORTAL, "Approved"),
    Event.REQUEST_REJECT: (OFFICER, PORTAL, "Rejected"),
    Event.REQUEST_REOPEN: (OFFICER, PORTAL, "Opened again"),
    Event.REQUEST_UNDO: (OFFICER, PORTAL, "Decision taken back"),
    Event.CERTIFICATE_PREPARE: (PORTAL, WORKER, "The certificate is prepared"),
    Event.CERTIFICATE_ISSUE: (WORKER, PORTAL, "The certificate is signed and recorded"),
    Event.CERTIFICATE_ABANDON: (WORKER, PORTAL, "The certificate is given up"),
    Event.CERTIFICATE_DELIVER: (PORTAL, DEVICE, "The device picked the certificate up"),
    Event.CERTIFICATE_REVOKE: (OFFICER, PORTAL, "Revoked"),
    Event.CERTIFICATE_HOLD: (OFFICER, PORTAL, "Put on hold"),
    Event.CERTIFICATE_RELEASE: (OFFICER, PORTAL, "Released from hold"),
}


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One arrow. `size` is in bytes on the wire, `count` the number of equal steps in a row."""

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
        """The end of the arrow, which leaves room for its head."""
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
        """The lanes of sender and receiver."""
        return (
            LANES[self.source]
            if self.source == self.target
            else f"{LANES[self.source]} → {LANES[self.target]}"
        )

    @property
    def milliseconds(self) -> float:
        """Since the first step."""
        return self.since.total_seconds() * 1000


def walk_of(request: EnrollmentRequest) -> list[TraceStep]:
    """Return the steps of a request in order; without stored messages, those in the log."""
    stored = Exchange.objects.filter(
        profile_id=request.profile_id,
        transaction_id=request.transaction_id,
        signer_spki_sha256=request.signer_spki_sha256,
    ).order_by("id")[:_MOST]
    steps = [step for exchange in _gathered(list(stored)) for step in exchange]
    skipped = {Event.CERTIFICATE_DELIVER} if steps else set()
    steps += [_of_moment(moment) for moment in timeline_of(request) if moment.event not in skipped]
    ordered = sorted(steps, key=lambda step: (step.at, step.source))
    begun = ordered[0].at if ordered else request.submitted_at
    return [
        replace(step, number=number, since=step.at - begun)
        for number, step in enumerate(ordered, 1)
    ]


def _gathered(stored: Sequence[Exchange]) -> list[list[TraceStep]]:
    """Two steps for each exchange; consecutive polls answered with PENDING become one pair."""
    groups: list[list[TraceStep]] = []
    before: Exchange | None = None
    for exchange in stored:
        if before is not None and _waits(before) and _waits(exchange):
            groups[-1] = [replace(step, count=step.count + 1) for step in groups[-1]]
        else:
            groups.append(_of_exchange(exchange))
        before = exchange
    return groups


def _waits(exchange: Exchange) -> bool:
    return (
        exchange.message_type == MessageType.CERT_POLL and exchange.pki_status == PKIStatus.PENDING
    )


def _of_exchange(exchange: Exchange) -> list[TraceStep]:
    sent_name = wire_name(exchange.message_type, "type") or "a message"
    answer_name = wire_name(exchange.pki_status, "status") or f"HTTP {exchange.http_status}"
    fail_info = wire_name(exchange.fail_info, "fail")
    tone = {"SUCCESS": "good", "PENDING": ""}.get(answer_name, "bad")
    method = f"{exchange.method} from {exchange.address}"
    answered_at = exchange.received_at + timedelta(microseconds=exchange.took_us)
    answer = f"{answer_name} {fail_info}".strip()
    took = f"answered in {exchange.milliseconds:.1f} ms"
    return [
        TraceStep(
            exchange.received_at,
            DEVICE,
            PORTAL,
            sent_name,
            method,
            len(exchange.message),
            exchange_id=exchange.pk,
        ),
        TraceStep(
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


def _of_moment(moment: TimelineEntry) -> TraceStep:
    source, target, title = _BY_EVENT.get(moment.event, (PORTAL, PORTAL, moment.what))
    by = f"by {moment.who}" if source == OFFICER else ""
    comment = "comment erased" if moment.is_comment_erased else moment.comment
    text = ", ".join(filter(None, [by, moment.evidence, comment]))
    return TraceStep(
        moment.at, source, target, title, text, tone=moment.tone if moment.tone != "busy" else ""
    )
