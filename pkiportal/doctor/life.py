"""Signs of life: processes, the sweep, queues, CRLs, mails, and the secrets machines share."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from django.db.models import Q

from approvals.models.operations import Lease
from approvals.operations import pulse
from approvals.reading.queue import duration, signing_health
from ca.certificates.crls import LISTED_STATUSES, crl_is_due, latest_crl
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import Certificate
from database.moments import TOLERANCE
from pkiportal import watching
from pkiportal.doctor.check import Check, Clock, State
from pkiportal.environment.fingerprints import compare

#: Every process writes a sign of life about every ten seconds.
_ALIVE: Final = timedelta(seconds=60)
_DUTIES: Final = {
    "signing": "nothing is signed",
    "default": "no mail is sent",
    "web": "devices get no answer",
}
#: The longest lease.
_LONGEST_LEASE: Final = timedelta(minutes=10)
_CRL_GRACE: Final = timedelta(minutes=5)


def processes(now: Clock) -> Iterator[Check]:
    """The newest sign of life of each required kind of process."""
    signs = pulse.signs(now=now()).values()
    for kind, duty in _DUTIES.items():
        ages = [abs(sign.age) for sign in signs if sign.name.startswith(f"{kind}@")]
        if not ages:
            yield Check(
                "processes", "warn", f"{kind} has never run with this database: ./portal up"
            )
        elif min(ages) > _ALIVE:
            state: State = "warn" if kind == "web" else "fail"
            yield Check(
                "processes", state, f"{kind} gave no sign of life for {duration(min(ages))}: {duty}"
            )
        else:
            yield Check("processes", "ok", f"{kind} gave a sign of life {duration(min(ages))} ago")


def sweep(now: Clock) -> Iterator[Check]:
    """The age of the last sweep, and leases that end impossibly far ahead."""
    moment, fault = watching.swept_at(), watching.sweep_fault(now())
    if fault:
        yield Check("sweep", "fail", fault)
    elif moment is None:
        yield Check("sweep", "warn", "none has run with this database: ./portal up")
    else:
        yield Check("sweep", "ok", f"the last one began {duration(now() - moment)} ago")
    for lease in Lease.objects.filter(held_until__gt=now() + _LONGEST_LEASE + TOLERANCE).order_by(
        "name"
    ):
        text = (
            f"{lease.name} is leased {duration(lease.held_until - now())} ahead: a clock was set "
            "back"
        )
        yield Check("sweep", "fail", text)


def signing(now: Clock) -> Iterator[Check]:
    """Whether approved requests become certificates, and which ones do not."""
    sentence = signing_health(now()).sentence
    yield Check("signing", "fail" if sentence else "ok", sentence or "nothing approved lies about")
    attention = watching.attention_sentence(watching.attention())
    if attention:
        yield Check("attention", "warn", attention)


def queues(now: Clock) -> Iterator[Check]:
    """Queues with unfinished tasks, and unsent mails."""
    faults = list(watching.queue_faults(now()))
    yield from (Check("queues", "fail", fault) for fault in faults)
    if not faults:
        yield Check("queues", "ok", "tasks that go through the broker are done")
    fault = watching.mail_fault(now())
    if fault:
        yield Check("mail", "warn", fault)


def crls(now: Clock) -> Iterator[Check]:
    """CRLs that are overdue: past half of their life, or older than a revocation."""
    for ca in CertificateAuthority.objects.filter(
        not_before__lte=now(), not_after__gte=now()
    ).order_by("name"):
        newest = latest_crl(ca)
        if newest is None:
            is_late = ca.created_at < now() - _CRL_GRACE
        elif newest.revocation_version < ca.revocation_version:
            late = Q(revoked_at__gt=newest.created_at, revoked_at__lt=now() - _CRL_GRACE)
            is_late = Certificate.objects.filter(late, ca=ca, status__in=LISTED_STATUSES).exists()
        else:
            is_late = crl_is_due(ca, now=now() - _CRL_GRACE) and crl_is_due(ca, now=now())
        if is_late:
            text = "a CRL is due and was not made: see crl.not_issued in the log of `signing`"
            yield Check(f"authority {ca.name}", "fail", text)


def secrets(_: Clock) -> Iterator[Check]:
    """Whether this machine has the secrets of the portal's set-up."""
    for item in compare():
        if item.outcome == "same":
            yield Check("secret", "ok", f"{item.name} is the one on record")
        elif item.outcome == "new":
            yield Check(
                "secret",
                "ok",
                f"{item.name} is not on record yet: the next process that starts records it",
            )
        else:
            text = (
                f"{item.name} is another one than on {item.machine}, where it was recorded: copy "
                "it from there, or "
                "from the backup; if it was changed on every machine: ./portal secrets accept "
                f"{item.name}"
            )
            yield Check("secret", "fail", text)
