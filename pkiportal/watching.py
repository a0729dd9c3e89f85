"""Warnings for monitors and the doctor: sentences with a subject; none while all is well."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from accounts.models.changes import AccountNotice
from approvals.models.challenges import Alarm
from approvals.models.operations import Lease
from approvals.models.requests import OutboxMessage
from approvals.operations import pulse
from approvals.operations.attention import in_need, signing_fault
from approvals.reading.queue import Count, count, duration, signing_health
from ca.authorities.expiry import deadlines_of
from ca.models.authorities import CertificateAuthority
from database.ids import since
from database.moments import TOLERANCE

#: A sweep is due every few seconds; after this long, no worker is alive or reaches the database.
SWEEP_LATE: Final = timedelta(seconds=60)
_MAILS_SINCE: Final = timedelta(hours=24)


def worries(now: datetime) -> list[str]:
    """Return problems for an operator, in words. Reads only. Raises DatabaseError."""
    sentences = [sweep_fault(now), signing_health(now).sentence, attention_sentence(attention())]
    sentences += [*queue_faults(now), *crl_faults(now), mail_fault(now)]
    return [sentence for sentence in sentences if sentence]


def swept_at() -> datetime | None:
    """Return the time of the last sweep, None before the first."""
    return Lease.objects.filter(name="sweep").values_list("last_run_at", flat=True).first()


def sweep_fault(now: datetime) -> str:
    """Return the fault of the sweep, or "". Before the first sweep nothing is late."""
    moment = swept_at()
    if moment is None:
        return ""
    if moment > now + TOLERANCE:
        return (
            f"The last sweep lies {duration(moment - now)} ahead of the clock: a clock was set "
            "back."
        )
    if now - moment > SWEEP_LATE:
        return (
            f"No sweep for {duration(now - moment)}: no worker lives, or none reaches the database."
        )
    return ""


def signing_sentence(now: datetime) -> str:
    """Return the obstacle between approved requests and their certificates, or ""."""
    fault = signing_fault()
    stuck = f"Signing failed and is tried again: {fault}" if fault else ""
    return signing_health(now).sentence or stuck or sweep_fault(now)


def attention() -> Count:
    """Count requests that need attention: faulty, in quarantine, refused, or held up."""
    return count(in_need())


def attention_sentence(number: Count) -> str:
    """Return the number as a sentence, "" for zero."""
    needing = "request needs" if number.value == 1 else "requests need"
    return f"{number} {needing} attention: page Queue, needs attention." if number.value else ""


def queue_faults(now: datetime) -> Iterator[str]:
    """Queues with unfinished tasks: no or a stuck worker, or a broker that delivers no tasks."""
    signs = pulse.signs(now=now)
    for queue in pulse.QUEUES:
        sign = signs.get(pulse.queue_name(queue))
        if sign is None or sign.is_fresh:
            continue
        age = f"for {duration(sign.age)}" if sign.age > timedelta(0) else "by this clock"
        why = "its worker is away or stuck, or the broker hands out nothing"
        yield f"No task of the queue {queue} was done {age}: {why}."


def crl_faults(now: datetime) -> Iterator[str]:
    """CRLs that were not replaced in time."""
    for ca in CertificateAuthority.objects.order_by("name"):
        for deadline in deadlines_of(ca, now=now):
            if deadline.about == "crl" and (
                deadline.state == "fail" or now - ca.created_at > SWEEP_LATE * 5
            ):
                yield f"CA {ca.name}: {deadline.text}."


def mail_fault(now: datetime) -> str:
    """Return how many mails of the last day the mail server refused, as a sentence; "" for none.

    They include mails to officers, alarms, and those about accounts: auditors must learn of every
    password link.
    """
    failed = {
        "pk__gte": since(now - _MAILS_SINCE),
        "attempts__gt": 0,
        "outcome__startswith": "not sent",
    }
    outcomes: list[str] = []
    for mails in (OutboxMessage.objects, Alarm.objects, AccountNotice.objects):
        outcomes += mails.filter(**failed).order_by("pk").values_list("outcome", flat=True)[:1000]
    return (
        f"{len(outcomes)} notices of the last 24 hours were not sent, the last {outcomes[-1]}."
        if outcomes
        else ""
    )
