"""`./portal bench`: the cost of a reply in CPU time, relative to bare OpenSSL.

It counts all server processes and the database. It starts its own portal in a throw-away folder,
checks every answer and that every request left its audit entry and its notice, and prints ratios
within this one run: absolute times of a shared machine mean little.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from argparse import SUPPRESS, ArgumentParser
from pathlib import Path
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone

from accounts.models.people import RoleAssignment, User
from accounts.principals import asserted_principal
from accounts.roles import Role
from approvals.decisions.batch import decide_many
from approvals.models.decisions import Verdict
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, OutboxMessage
from approvals.profiles.manage import ProfileRequest, create_enrollment_profile
from approvals.rules.states import State
from audit.models import AuditEntry
from ca.content.csr_review import ProfileSpec
from ca.signing.authorities import AuthorityRequest, create_authority
from ca.signing.service_keys import certify_service_keys
from pkiportal.management.arguments import command_principal
from pkiportal.management.load.bench_load import (
    AnswerWrong,
    BareCosts,
    Target,
    bare_costs,
    cpu_seconds,
    make_devices,
    send_all,
    settle,
)
from pkiportal.management.portal_command import PortalCommand
from scep.client import ScepClient
from scep.protocol.constants import PKIStatus
from scep.ra.keys import ensure_ra_key

_WARM_UP: Final = 40
_START_WITHIN: Final = 90.0
#: CPU seconds of each, and how many a second.
_Measured = tuple[float, float]


class Cost(NamedTuple):
    """CPU seconds of one kind of work, how many a second, and what bare OpenSSL takes for it."""

    what: str
    cpu: float
    rate: float
    floor: float
    operations: str


class Command(PortalCommand):
    """Measure PENDING replies, polls, issuance and delivery."""

    help = "Measure the CPU time of each reply, as ratios to bare OpenSSL operations, in one run."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the size of the run."""
        parser.add_argument("--requests", type=int, default=400, help="devices that enroll (400)")
        parser.add_argument("--concurrency", type=int, default=4, help="connections at a time (4)")
        parser.add_argument("--inside", type=int, help=SUPPRESS)  # the command calls itself
        self.add_json(parser)

    def run(self, options: dict[str, Any]) -> None:
        """Start a portal and measure it from another process, as a deployed portal runs."""
        if options["inside"]:
            return self._measure(options)
        if not 10 <= options["requests"] <= 20_000:
            raise CommandError(f"--requests {options['requests']}: between 10 and 20000")
        folder = tempfile.mkdtemp(prefix="portal-bench-")
        try:
            raise SystemExit(_run_with_a_portal(folder, options))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _measure(self, options: dict[str, Any]) -> None:
        profile = _create_profile()
        url = f"{settings.PORTAL_PUBLIC_URL}/scep/{profile.slug}/".replace("localhost", "127.0.0.1")
        ca = ScepClient(url).get_ca_cert()
        target = Target(url, ca.signing_ders, options["concurrency"])
        devices = make_devices(options["requests"] + _WARM_UP, ca.encryption_der)
        warm, measured = devices[:_WARM_UP], devices[_WARM_UP:]
        servers = [options["inside"], *_postgresql()]
        send_all([(device, device.request) for device in warm], target, expect=PKIStatus.PENDING)
        send_all([(device, device.poll) for device in warm], target, expect=PKIStatus.PENDING)

        settle(servers)

        def cost(what: str, expect: PKIStatus) -> tuple[float, float]:
            before = cpu_seconds(servers)
            messages = [(device, getattr(device, what)) for device in measured]
            seconds = send_all(messages, target, expect=expect)
            return (cpu_seconds(servers) - before) / len(measured), len(measured) / seconds

        bare = bare_costs()
        pending = cost("request", PKIStatus.PENDING)
        poll = cost("poll", PKIStatus.PENDING)
        _check_rows(profile, len(devices))
        issue = _issue(profile, servers)
        settle(servers)
        delivery = cost("poll", PKIStatus.SUCCESS)
        rows = _costs(bare, pending=pending, poll=poll, issue=issue, delivery=delivery)
        self._print([*rows, _in_all(rows)], options)

    def _print(self, rows: list[Cost], options: dict[str, Any]) -> None:
        document = {
            "database": connection.vendor,
            "requests": options["requests"],
            "results": [
                {
                    "what": what,
                    "cpu_ms": round(cpu * 1000, 3),
                    "bare_ms": round(floor * 1000, 3),
                    "ratio": round(cpu / floor, 2),
                    "per_second": round(rate, 1),
                }
                for what, cpu, rate, floor, _ in rows
            ],
        }
        lines = [
            (
                f"{options['requests']} devices, {connection.vendor}; CPU of all server processes "
                "and "
                "the database"
            )
        ]
        lines.append(
            f"{'':28}{'CPU ms':>8}{'bare ms':>9}{'ratio':>7}{'per s':>8}  bare OpenSSL operations "
            "(RSA-2048)"
        )
        for what, cpu, rate, floor, operations in rows:
            rate_text = f"{rate:8.0f}" if rate else f"{'':8}"
            lines.append(
                f"{what:28}{cpu * 1000:8.2f}{floor * 1000:9.2f}{cpu / floor:7.1f}{rate_text}  "
                f"{operations}"
            )
        self.say(options, document, "\n".join(lines))


def _costs(
    bare: BareCosts, *, pending: _Measured, poll: _Measured, issue: _Measured, delivery: _Measured
) -> list[Cost]:
    private, public = bare.private, bare.public
    return [
        Cost("PENDING reply", *pending, 2 * private + 3 * public, "decrypt, sign, 3 verify"),
        Cost("CertPoll, PENDING", *poll, private + public, "sign, verify"),
        Cost("decision and signature", *issue, private, "sign"),
        Cost("CertPoll, SUCCESS", *delivery, private + 2 * public, "sign, verify, encrypt"),
    ]


def _in_all(rows: list[Cost]) -> Cost:
    counted = [row for row in rows if row.what != "CertPoll, PENDING"]
    total, bare = sum(row.cpu for row in counted), sum(row.floor for row in counted)
    return Cost(
        "issued certificate, in all", total, 0.0, bare, "request, decision, signature, delivery"
    )


def _run_with_a_portal(folder: str, options: dict[str, Any]) -> int:
    """Start `up` on a free port in its own folder, run the measurement, stop `up`.

    Returns the exit status.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    manage = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py")]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")}
    log = Path(folder).with_suffix(".log")
    with log.open("wb") as output:
        portal = subprocess.Popen(  # noqa: S603 - our own command
            [*manage, "up", "--data", folder, "--bind", f"127.0.0.1:{port}"],
            env=clean,
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + _START_WITHIN
        while b"The portal is running" not in log.read_bytes():
            if portal.poll() is not None or time.monotonic() > deadline:
                raise CommandError(f"the portal to measure did not start: {log.read_text()[-500:]}")
            time.sleep(0.2)
        size = [
            "--requests",
            str(options["requests"]),
            "--concurrency",
            str(options["concurrency"]),
        ]
        inside = ["bench", "--inside", str(portal.pid), "--data", folder, *size]
        arguments = [*manage, *inside, *(["--json"] if options["json"] else [])]
        return subprocess.run(arguments, env=clean, check=False).returncode  # noqa: S603 - our own command
    finally:
        portal.terminate()
        portal.wait(30)
        log.unlink(missing_ok=True)


def _create_profile() -> EnrollmentProfile:
    """A test CA and profile with a name of their own, so that a database may be measured twice."""
    name, now, principal = f"bench-{secrets.token_hex(4)}", timezone.now(), command_principal()
    authority_request = AuthorityRequest(
        name=name, subject=f"CN={name}", key_type="rsa:2048", is_test=True
    )
    ca = create_authority(authority_request, principal=principal, now=now)
    ensure_ra_key(ca, now=now)
    certify_service_keys(now=now)
    request = ProfileRequest(
        slug=name,
        ca=ca,
        spec=ProfileSpec(),
        approval="manual",
        challenge="none",
        allow_asserted_decisions=True,
    )
    profile = create_enrollment_profile(request, principal=principal, now=now)
    EnrollmentProfile.objects.filter(pk=profile.pk).update(
        max_open_requests=10**6, max_open_per_address=10**6
    )
    return profile


def _check_rows(profile: EnrollmentProfile, count: int) -> None:
    """Check that every reply left a request, its audit entry and its notice.

    Only then the measurement covers the whole work.
    """
    requests = EnrollmentRequest.objects.filter(profile=profile)
    ids = [str(pk) for pk in requests.values_list("pk", flat=True)]
    entries = sum(
        AuditEntry.objects.filter(
            event="request:submit", subject_kind="request", subject_id__in=ids[start : start + 500]
        ).count()
        for start in range(0, len(ids), 500)
    )
    notices = OutboxMessage.objects.filter(request__profile=profile, kind="request-pending").count()
    if not len(ids) == entries == notices == count:
        raise AnswerWrong(
            f"{count} replies, but {len(ids)} requests, {entries} audit entries, {notices} notices"
        )


def _issue(profile: EnrollmentProfile, servers: list[int]) -> tuple[float, float]:
    """Approve all requests and wait for the worker; returns CPU seconds, certificates per second.

    This process takes the decisions; its CPU time counts too.
    """
    officer = User.objects.create_user(f"bench-{secrets.token_hex(4)}")
    RoleAssignment.objects.create(user=officer, role=Role.OFFICER)
    ids = list(EnrollmentRequest.objects.filter(profile=profile).values_list("pk", flat=True))
    principal = asserted_principal("bench", officer)
    before, started = cpu_seconds(servers) + time.process_time(), time.monotonic()
    results = decide_many(
        items=[(pk, None) for pk in ids],
        verdict=Verdict.APPROVE,
        principal=principal,
        comment="",
        now=timezone.now(),
    )
    if not all(result.done for result in results):
        raise AnswerWrong(next(result.text for result in results if not result.done))
    used = time.process_time()
    while EnrollmentRequest.objects.filter(profile=profile, state=State.ISSUED).count() < len(ids):
        if time.monotonic() - started > 120:
            raise AnswerWrong("not everything was signed within two minutes")
        time.sleep(0.1)
    spent = cpu_seconds(servers) + used - before
    return spent / len(ids), len(ids) / (time.monotonic() - started)


def _postgresql() -> list[int]:
    """Return the server process of a PostgreSQL on this machine; empty for SQLite.

    SQLite works inside the portal's processes.
    """
    if connection.vendor != "postgresql":
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = cursor.fetchone()[0]
    stat = Path(f"/proc/{backend}/stat")
    if not stat.exists():
        raise CommandError(
            "the PostgreSQL server runs on another machine: its CPU time cannot be read"
        )
    return [int(stat.read_text().rpartition(")")[2].split()[1])]
