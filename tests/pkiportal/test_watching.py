"""Warnings for monitors: the result of a write, stuck work, and tasks of an operator."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.core import mail
from django.db import (
    DatabaseError,
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
    transaction,
)
from django.test import Client

from accounts.models.changes import AccountNotice
from accounts.people.notices import MAX_ATTEMPTS
from accounts.roles import Role
from approvals.decisions.decide import approve_request
from approvals.issuance.sweep import sweep
from approvals.models.challenges import Alarm
from approvals.models.operations import Lease, Pulse
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, OutboxMessage
from approvals.operations import pulse
from approvals.operations.alarms import deliver_alarms
from approvals.operations.attention import QUIET, tell_administrators
from approvals.tasks import sign_queue
from ca.models.authorities import CertificateAuthority
from ca.signing.crl import issue_due_crls
from database.availability import is_unavailable, write_fault
from pkiportal import health, watching
from pkiportal.doctor.life import queues
from pkiportal.environment.datafolder import ensure_data_folder
from scep.transport import HttpError
from tests.interop.portal import REPOSITORY
from tests.migrated import copy_migrated_database
from tests.pages import create_requests
from tests.world import (
    Device,
    World,
    create_person,
    create_profile,
    later,
    now,
    principal_of,
    run_worker,
)


class _Cause(Exception):
    def __init__(self, sqlstate: str) -> None:
        self.sqlstate = sqlstate


def of_server(kind: type[DatabaseError], sqlstate: str) -> DatabaseError:
    error = kind(f"sqlstate {sqlstate}")
    error.__cause__ = _Cause(sqlstate)
    return error


@pytest.fixture(autouse=True)
def fresh_beat(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(health, "pending_migrations", list)
    settings.CELERY_BROKER_URL = f"redis+socket://{tmp_path}/none.sock"
    pulse.beat.forget()


@contextmanager
def read_only() -> Iterator[None]:
    """Make the connection read-only, like one to a standby or to a write-protected file."""
    if connection.vendor == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
            yield
            transaction.set_rollback(True)
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = ON")
        yield
        cursor.execute("PRAGMA query_only = OFF")


def test_ready_tells_of_a_database_that_takes_no_writes(world: World) -> None:
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.json()["write"]) == (200, "ok")
    pulse.beat.forget()
    with read_only():
        answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["ready"] is False
    assert "read-only" in answer.json()["reasons"][0]


@pytest.mark.parametrize("free", [0, 1, 4096, 1_000_000, pulse.LEAST_ROOM - 1])
def test_ready_tells_of_a_full_disk(world: World, free: int) -> None:
    with mock.patch("approvals.operations.pulse.room", return_value=free):
        answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["reasons"][0].startswith("the disk of the database is full")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OperationalError("attempt to write a readonly database"), "read-only"),
        (OperationalError("database or disk is full"), "the disk of the database is full"),
        (OperationalError("disk I/O error"), "cannot be written (OperationalError)"),
        (of_server(InternalError, "25006"), "read-only"),
        (of_server(OperationalError, "53100"), "the disk of the database is full"),
        (of_server(DatabaseError, "58030"), "cannot be written (DatabaseError)"),
        (InterfaceError("connection already closed"), "cannot be written (InterfaceError)"),
    ],
)
def test_what_a_write_met_is_told_in_words_and_passes(
    world: World, error: Exception, words: str
) -> None:
    assert words in write_fault(error)
    assert is_unavailable(error)
    with mock.patch("approvals.operations.pulse._upsert", side_effect=error):
        answer = Client().get("/readyz")
    assert (answer.status_code, words in answer.json()["reasons"][0]) == (503, True)


@pytest.mark.parametrize(
    "error",
    [
        of_server(DatabaseError, "42P01"),
        of_server(InternalError, "XX000"),
        ZeroDivisionError(),
        None,
    ],
)
def test_what_is_wrong_for_good_is_no_try_again(error: Exception | None) -> None:
    assert not is_unavailable(error)


def test_a_process_writes_every_ten_seconds_at_most(world: World) -> None:
    moment = [100.0]
    beat = pulse.Beat(clock=lambda: moment[0])
    with mock.patch("approvals.operations.pulse._write", side_effect=["", "full", ""]) as write:
        assert [beat.write("web", now=now()) for _ in range(50)] == [""] * 50
        moment[0] += pulse.EVERY - 0.1
        assert beat.write("web", now=now()) == ""
        moment[0] += 0.2
        assert [beat.write("web", now=now()) for _ in range(9)] == ["full"] * 9
        moment[0] += pulse.EVERY
        assert beat.write("web", now=now()) == ""
    assert write.call_count == 3
    for _ in range(3):
        pulse.beat.forget()
        Client().get("/readyz")
    assert Pulse.objects.count() == 1


def test_a_write_that_waits_for_a_lock_ends_and_the_connection_keeps_its_patience(
    world: World,
) -> None:
    def patience() -> Any:
        statement = (
            "SHOW statement_timeout" if connection.vendor == "postgresql" else "PRAGMA busy_timeout"
        )
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0]

    before = patience()
    timeouts: list[Any] = []
    with mock.patch(
        "approvals.operations.pulse._upsert",
        side_effect=lambda *_, **__: timeouts.append(patience()),
    ):
        assert pulse.Beat().write("web", now=now()) == ""
    assert patience() == before != timeouts[0]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a message", "/scep/routers/?operation=GetCACaps"),
        ("a page", "/account/setup/none"),
        ("REST", "/api/v1/challenges"),
    ],
)
@pytest.mark.parametrize(
    "error",
    [of_server(InternalError, "25006"), OperationalError("attempt to write a readonly database")],
)
def test_every_door_says_try_again_for_a_read_only_database(
    world: World, settings: Any, name: str, path: str, error: Exception
) -> None:
    where = {
        "a message": "scep.views.authority.ca_capabilities",
        "a page": "accounts.views.check_setup_link",
        "REST": "api.authentication.find_token",
    }[name]
    with mock.patch(where, side_effect=error):
        answer = Client(raise_request_exception=False, HTTP_AUTHORIZATION="Bearer x").get(path)
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True), name


@pytest.mark.parametrize(
    "name", ["r1.example", "r2.example", "r3.example", "r4.example", "r5.example"]
)
def test_a_device_at_a_read_only_database_tries_again(
    world: World, unplanned_faults: None, name: str
) -> None:
    device = Device.named(name)
    with read_only(), pytest.raises(HttpError, match="503"):
        device.enroll()


@pytest.fixture
def keyless(world: World) -> Iterator[EnrollmentRequest]:
    """An approved request whose CA has lost its key; `yield` after one attempt."""
    create_person("anna", Role.ADMINISTRATOR)
    Device.named("r1.example").enroll()
    request = EnrollmentRequest.objects.get()
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    with mock.patch(
        "ca.signing.authorities.key_file.load",
        side_effect=__import__("keys.errors").errors.KeyStoreError("gone"),
    ):
        run_worker()
        yield request


def test_a_request_that_was_put_off_stays_a_worry(keyless: EnrollmentRequest) -> None:
    state = Client().get("/readyz").json()
    assert state["attention"] == 1
    assert state["signing"].startswith("Signing failed and is tried again: CA issuing: gone")
    assert any("needs attention" in text for text in state["warnings"])
    EnrollmentRequest.objects.update(quarantined_at=now(), attempts=8)
    assert Client().get("/readyz").json()["attention"] == 1


def test_administrators_hear_of_it_once_and_of_its_end(
    keyless: EnrollmentRequest, settings: Any
) -> None:
    settings.PORTAL_SENDS_MAIL = True
    with mock.patch("approvals.operations.doorbell._breaker.send", return_value=True):
        for _ in range(3):
            sweep(every=timedelta(0))
    assert deliver_alarms(now=now()) == 1
    (message,) = mail.outbox
    assert message.to == ["anna@example.org"]
    assert "1 request needs attention, the first because of: CA issuing: gone" in message.body
    assert "attention=true" in message.body
    EnrollmentRequest.objects.update(last_fault="")
    assert [tell_administrators(now=now()) for _ in range(3)] == [1, 0, 0]
    deliver_alarms(now=now())
    assert "No request needs attention any more." in mail.outbox[-1].body
    EnrollmentRequest.objects.update(last_fault="again")
    assert tell_administrators(now=now()) == 0  # a fault that comes and goes is one story
    assert tell_administrators(now=now() + QUIET + timedelta(seconds=5)) == 1
    assert Alarm.objects.count() == 3


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_the_count_is_of_faults_quarantine_and_refusals_not_of_self_tests(
    world: World, number: int
) -> None:
    rows = create_requests(world.profile, [f"r{index}.example" for index in range(number + 2)])
    for index, row in enumerate(rows[:number]):
        values: dict[str, Any] = {
            "state": "APPROVED",
            "last_fault": "x",
            "quarantined_at": now() if index % 2 else None,
        }
        EnrollmentRequest.objects.filter(pk=row.pk).update(**values)
    assert watching.attention().value == number
    EnrollmentProfile.objects.update(for_self_test=True, is_test=True)
    assert watching.attention().value == 0


@pytest.mark.parametrize("minutes", [2, 10, 59, 600, -55])
def test_a_sweep_that_is_late_or_ahead_is_a_fault(world: World, minutes: int) -> None:
    moment = now() - timedelta(minutes=minutes)
    Lease.objects.create(name="sweep", held_until=moment, last_run_at=moment)
    state = Client().get("/readyz").json()
    assert state["signing"] != "ok"
    assert ("ahead of the clock" if minutes < 0 else "No sweep for") in state["signing"]
    assert state["signing"] in state["warnings"]


@pytest.mark.parametrize("queue", pulse.QUEUES)
@pytest.mark.parametrize("minutes", [2, 30, 90, -40])
def test_a_queue_whose_tasks_are_not_done_shows(world: World, queue: str, minutes: int) -> None:
    sign_queue(of=queue)
    assert Client().get("/readyz").json()["warnings"] == []
    Pulse.objects.filter(name=pulse.queue_name(queue)).update(at=now() - timedelta(minutes=minutes))
    (warning,) = Client().get("/readyz").json()["warnings"]
    assert f"No task of the queue {queue} was done" in warning


def test_the_sweep_asks_each_queue_for_its_sign(world: World) -> None:
    with mock.patch("approvals.issuance.sweep.ring_for") as ring:
        sweep(every=timedelta(0))
    asked = {
        call.kwargs["of"] for call in ring.call_args_list if call.args[0] == "approvals.sign_queue"
    }
    assert asked == set(pulse.QUEUES)


@pytest.mark.parametrize("days", [-3, -2, 2, 30, 400])
def test_signs_of_machines_that_are_gone_are_forgotten(world: World, days: int) -> None:
    Pulse.objects.create(name="web@gone", at=now() - timedelta(days=days))
    pulse.sign_queue("signing", now=now())
    assert pulse.forget_gone(now=now()) == 1
    assert [row.name for row in Pulse.objects.all()] == ["tasks signing"]


@pytest.mark.parametrize("hours", [30, 50, 200, 1000, 9000])
def test_a_crl_that_was_not_replaced_shows(world: World, hours: int) -> None:
    issue_due_crls(now=now())
    CertificateAuthority.objects.update(created_at=now() - timedelta(days=500))
    assert list(watching.crl_faults(now())) == []
    (fault,) = watching.crl_faults(now() + timedelta(days=7, hours=hours))
    assert fault.startswith("CA issuing: CRL ")


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_mails_that_were_not_sent_show(world: World, number: int) -> None:
    rows = create_requests(world.profile, [f"r{index}.example" for index in range(number)])
    OutboxMessage.objects.all().delete()
    for row in rows:
        OutboxMessage.objects.create(
            kind="request-pending",
            request=row,
            created_at=now(),
            attempts=1,
            outcome="not sent: [Errno 111] refused",
        )
    assert watching.mail_fault(now()) == (
        f"{number} notices of the last 24 hours were not sent, the last not sent: [Errno 111] "
        "refused."
    )


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("attempts", [1, MAX_ATTEMPTS])
def test_mails_about_accounts_that_were_not_sent_show(
    world: World, number: int, attempts: int
) -> None:
    """Whether it is due again or given up, an auditor was to read about a password link."""
    for _ in range(number):
        AccountNotice.objects.create(
            address="bob@example.org",
            subject="Account olga: a password link was issued",
            text="root issued it.",
            created_at=now(),
            next_attempt_at=None if attempts == MAX_ATTEMPTS else later(minutes=1),
            attempts=attempts,
            outcome="not sent: [Errno 111] refused",
        )
    sentence = (
        f"{number} notices of the last 24 hours were not sent, the last not sent: [Errno 111] "
        "refused."
    )
    assert sentence in Client().get("/readyz").json()["warnings"]
    assert sentence in [finding.text for finding in queues(now) if finding.state == "warn"]


def test_a_notice_that_was_not_tried_yet_is_no_worry(world: World) -> None:
    AccountNotice.objects.create(
        address="bob@example.org", subject="s", text="t", created_at=now(), next_attempt_at=now()
    )
    assert watching.mail_fault(now()) == ""


@pytest.mark.usefixtures("starts_processes")
@pytest.mark.embedded
def test_a_real_file_that_cannot_grow_is_no_readiness(tmp_path: Path) -> None:
    """The kernel stops all files from growing: SQLite sees the same as on a full disk."""
    ensure_data_folder(tmp_path / "data")
    copy_migrated_database(tmp_path / "data" / "db.sqlite3")
    program = (
        "import resource, django; django.setup()\n"
        "from django.utils import timezone\n"
        "from pkiportal.health import readiness\n"
        "print(readiness(timezone.now())[0])\n"
        "import approvals.operations.pulse; approvals.operations.pulse.beat.forget()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "print(readiness(timezone.now())[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env={
            "DJANGO_SETTINGS_MODULE": "pkiportal.settings",
            "PORTAL_DATA": str(tmp_path / "data"),
            "PORTAL_SECRET_KEY": "x" * 60,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.stdout.startswith("[]\n"), done.stderr
    assert "cannot be written" in done.stdout or "is full" in done.stdout, done.stdout + done.stderr


def test_profiles_are_told_apart(keyless: EnrollmentRequest, world: World) -> None:
    create_profile(world.ca, "laptops")
    assert tell_administrators(now=now()) == 1
    assert Alarm.objects.get().profile == world.profile
