"""What monitors and the doctor are told to worry about: sentences, each with its subject; none
while all is well.
"""

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

#: A sweep is due each few seconds; after this long none of the workers lives or reaches the
#: database.
SWEEP_LATE: Final = timedelta(seconds=60)
_MAILS_SINCE: Final = timedelta(hours=24)


def worries(now: datetime) -> list[str]:
    """Return what needs an operator, in words. Reads only. Raises DatabaseError."""
    sentences = [sweep_fault(now), signing_health(now).sentence, attention_sentence(attention())]
    sentences += [*queue_faults(now), *crl_faults(now), mail_fault(now)]
    return [sentence for sentence in sentences if sentence]


def swept_at() -> datetime | None:
    """Return when the last sweep began; None before the first."""
    return Lease.objects.filter(name="sweep").values_list("last_run_at", flat=True).first()


def sweep_fault(now: datetime) -> str:
    """Return why the sweep cannot be as it should, empty where it is; before the first one nothing
    is late.
    """
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
    """Return what stands between approved requests and their certificates; empty if nothing."""
    fault = signing_fault()
    stuck = f"Signing failed and is tried again: {fault}" if fault else ""
    return signing_health(now).sentence or stuck or sweep_fault(now)


def attention() -> Count:
    """Return how many requests need attention: with a fault, in quarantine, refused before signing,
    or held up.
    """
    return count(in_need())


def attention_sentence(number: Count) -> str:
    """Return the number as a sentence, empty for none."""
    needing = "request needs" if number.value == 1 else "requests need"
    return f"{number} {needing} attention: page Queue, needs attention." if number.value else ""


def queue_faults(now: datetime) -> Iterator[str]:
    """Queues whose tasks are not done: the worker is away or stuck, or the broker takes tasks and
    hands out none.
    """
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
    """Return how many mails of the last day the mail server did not take; empty for none.

    Those to officers, alarms, and those about accounts: a password link that no auditor hears of is
    a worry too.
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
