"""Broken brokers, databases and keys, and simultaneous actions: late, but never wrong."""

import queue
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
from celery import Celery
from django.db import connection
from kombu.simple import SimpleQueue

from accounts.models.people import User
from accounts.roles import Role
from approvals import tasks
from approvals.decisions.decide import approve_request, reject_request
from approvals.decisions.retry import retry_request
from approvals.issuance.issue import issue_certificates
from approvals.issuance.sweep import sweep
from approvals.models.decisions import Decision
from approvals.models.requests import EnrollmentRequest
from approvals.operations import doorbell
from approvals.records.due import MAX_ATTEMPTS
from approvals.rules.errors import AlreadyDecided, AlreadyVoted
from approvals.rules.states import State
from audit.models import AuditEntry
from ca.models.certificates import Certificate
from database.caches import Cache
from pkiportal.doctor.invariants import check_invariants
from scep.protocol.constants import PKIStatus
from tests.pages import create_requests
from tests.world import Device, World, create_person, now, principal_of, run_worker

Broker = Callable[[str], Celery]
Committed = Callable[..., AbstractContextManager[Any]]
_EVERY = timedelta(0)
_RACES = 12


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    """Let this process ring at another broker, as a web process does, with a fresh breaker."""

    def at(url: str) -> Celery:
        app = Celery("portal-of-the-test", set_as_current=False)
        app.config_from_object("django.conf:settings", namespace="CELERY")
        app.conf.update(broker_url=url)
        monkeypatch.setattr(doorbell, "current_app", app)
        monkeypatch.setattr(doorbell, "_breaker", doorbell.Breaker())
        if url == "memory://":
            taken(app)
        return app

    return at


def taken(app: Celery) -> list[dict[str, Any]]:
    """Take the arguments of all tasks out of the signing queue."""
    statements: list[dict[str, Any]] = []
    with app.connection_for_read() as link, SimpleQueue(link.default_channel, "signing") as waiting:
        while True:
            try:
                message = waiting.get(block=False)
            except queue.Empty:
                return statements
            message.ack()
            statements.append(message.payload[1])


def enrolled(*names: str) -> list[EnrollmentRequest]:
    """Let devices with recorded keys of their own enroll."""
    for number, name in enumerate(names, start=1):
        assert (
            Device.named(name, f"device-{number}").enroll(dns_names=[name]).status
            is PKIStatus.PENDING
        )
    return list(EnrollmentRequest.objects.order_by("id"))


def approve(request: EnrollmentRequest, officer: User) -> Decision:
    """Approve as a signed-in officer."""
    return approve_request(
        request_id=request.pk, principal=principal_of(officer), comment="", now=now()
    )


def make_due() -> None:
    """Let leases and delays run out."""
    EnrollmentRequest.objects.filter(state__in=[State.APPROVED, State.ISSUING]).update(
        lease_until=None, next_attempt_at=now() - timedelta(seconds=1)
    )


def assert_everything_holds(*, issued: int) -> None:
    """The invariants hold, and so many requests have their certificate."""
    findings = check_invariants(at_rest=True)
    assert findings.violations == ()
    assert findings.checked["issued"] == issued


@contextmanager
def silent_broker() -> Iterator[tuple[str, socket.socket]]:
    """A broker that takes connections and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        server.setblocking(False)
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0", server


def connections_of(server: socket.socket) -> int:
    """How many have connected since the last look."""
    number = 0
    while True:
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return number
        number += 1


def test_a_dead_broker_delays_a_certificate_until_the_sweep_rings(
    world: World, broker: Broker, django_capture_on_commit_callbacks: Committed, tmp_path: Path
) -> None:
    first, second = enrolled("r1.example", "r2.example")
    app = broker(f"redis+socket://{tmp_path}/missing.sock")
    with mock.patch.object(app, "send_task", wraps=app.send_task) as attempts:
        for request in (first, second):
            with django_capture_on_commit_callbacks(execute=True):
                approve(request, world.alice)
    assert attempts.call_count == 1  # the breaker spares the second click the attempt
    app = broker("memory://")
    assert sweep(every=_EVERY).rung == 2
    for arguments in taken(app):
        tasks.issue_certificates(**arguments)
    assert_everything_holds(issued=2)


def test_a_silent_broker_holds_one_click_for_a_second_and_the_next_not_at_all(
    world: World, broker: Broker, django_capture_on_commit_callbacks: Committed
) -> None:
    first, second = enrolled("r1.example", "r2.example")
    with silent_broker() as (url, server):
        broker(url)
        started = time.monotonic()
        with django_capture_on_commit_callbacks(execute=True):
            approve(first, world.alice)
        assert time.monotonic() - started < 2
        assert connections_of(server) == 1
        with django_capture_on_commit_callbacks(execute=True):
            approve(second, world.alice)
        assert connections_of(server) == 0
    assert run_worker().issued == [first.pk, second.pk]


def test_the_breaker_lets_another_attempt_through_after_a_while(
    broker: Broker, tmp_path: Path
) -> None:
    app = broker(f"redis+socket://{tmp_path}/missing.sock")
    breaker = doorbell.Breaker(quiet=0.0)
    with mock.patch.object(app, "send_task", wraps=app.send_task) as attempts:
        assert not breaker.send("approvals.issue_certificates", queue="signing", request_ids=[])
        assert not breaker.send("approvals.issue_certificates", queue="signing", request_ids=[])
    assert attempts.call_count == 2


def test_a_bell_that_no_worker_heard_for_a_minute_is_not_rung_any_more(
    world: World, broker: Broker, django_capture_on_commit_callbacks: Committed
) -> None:
    (request,) = enrolled("r1.example")
    app = broker("memory://")
    with mock.patch.object(app, "send_task", wraps=app.send_task) as bells:
        with django_capture_on_commit_callbacks(execute=True):
            approve(request, world.alice)
        assert sweep(every=_EVERY).rung == 1
    assert [call.kwargs["expires"] for call in bells.call_args_list] == [doorbell.EXPIRES] * 2
    assert len(taken(app)) == 2


def test_tasks_that_come_twice_too_early_and_in_any_order_make_one_certificate_each(
    world: World, broker: Broker, django_capture_on_commit_callbacks: Committed
) -> None:
    requests = enrolled("r1.example", "r2.example", "r3.example")
    app = broker("memory://")
    tasks.issue_certificates(request_ids=[str(request.pk) for request in requests])
    assert Certificate.objects.filter(kind="ordered").count() == 0
    for request in requests:
        with django_capture_on_commit_callbacks(execute=True):
            approve(request, world.alice)
    one, two, three = taken(app)
    for arguments in (three, one, one, three, two, one, three):
        tasks.issue_certificates(**arguments)
    assert_everything_holds(issued=3)


@pytest.mark.usefixtures("transactional_db")
def test_a_database_that_refuses_to_record_one_certificate_records_it_later_under_the_same_serial(
    world: World,
) -> None:
    good, bad, other = enrolled("r1.example", "r2.example", "r3.example")
    for request in (good, bad, other):
        approve(request, world.alice)
    with refused_by_trigger("r2.example"):
        assert run_worker().issued == [good.pk, other.pk]
        prepared = Certificate.objects.get(order_id=bad.pk)
        request = EnrollmentRequest.objects.get(pk=bad.pk)
        assert (request.state, prepared.status) == (State.ISSUING, "PREPARED")
        assert "the disk is full" in request.last_fault
        assert Device.named("r2.example", "device-2").poll().status is PKIStatus.PENDING
    assert run_worker().issued == []  # not before its delay is over
    make_due()
    assert run_worker().issued == [bad.pk]
    issued = Certificate.objects.get(order_id=bad.pk)
    assert (issued.pk, issued.serial_hex, issued.tbs_sha256) == (
        prepared.pk,
        prepared.serial_hex,
        prepared.tbs_sha256,
    )
    assert_everything_holds(issued=3)


@contextmanager
def refused_by_trigger(name: str) -> Iterator[None]:
    """The database refuses to store the certificate with this name in its subject."""
    is_it = f"NEW.status = 'ISSUED' AND NEW.subject LIKE '%{name}%'"
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(
                f"CREATE TRIGGER refuse_one BEFORE UPDATE ON ca_certificate WHEN {is_it} "
                "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
            )
        else:
            cursor.execute(
                "CREATE FUNCTION refuse_one() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN IF {is_it.replace('%', '%%')} THEN RAISE 'the disk is full'; END IF; "
                "RETURN NEW; END $$",
                [],
            )
            cursor.execute(
                "CREATE TRIGGER refuse_one BEFORE UPDATE ON ca_certificate FOR EACH ROW EXECUTE "
                "FUNCTION refuse_one()"
            )
    yield
    with connection.cursor() as cursor:
        cursor.execute(
            "DROP TRIGGER refuse_one" + (" ON ca_certificate" * (connection.vendor != "sqlite"))
        )
        if connection.vendor != "sqlite":
            cursor.execute("DROP FUNCTION refuse_one()")


@pytest.mark.parametrize("fault", ["missing", "passphrase"])
def test_a_key_that_cannot_be_used_waits_for_an_officer_who_lets_the_worker_try_again(
    world: World, settings: Any, fault: str
) -> None:
    (request,) = enrolled("r1.example")
    approve(request, world.alice)
    key = Path(settings.CA_KEY_FOLDER) / "issuing.pem"
    right = settings.CA_PASSPHRASE
    if fault == "missing":
        key.rename(key.with_suffix(".away"))
    else:
        settings.CA_PASSPHRASE = lambda: b"not the passphrase"
    for attempt in range(1, MAX_ATTEMPTS + 1):
        make_due()
        with mock.patch("keys.file._cache", Cache(most=1)):
            assert run_worker().failed == [request.pk]
        request.refresh_from_db()
        assert (request.state, request.attempts) == (State.APPROVED, attempt)
        assert "issuing" in request.last_fault
        assert Device.named("r1.example", "device-1").poll().status is PKIStatus.PENDING
    assert request.quarantined_at is not None
    assert sweep(every=_EVERY).rung == 0
    if fault == "missing":
        key.with_suffix(".away").rename(key)
    settings.CA_PASSPHRASE = right
    assert run_worker().skipped == [request.pk]
    retry_request(request_id=request.pk, principal=principal_of(world.alice), now=now())
    assert run_worker().issued == [request.pk]
    assert Device.named("r1.example", "device-1").poll().status is PKIStatus.SUCCESS
    assert_everything_holds(issued=1)


def test_a_request_that_workers_die_of_waits_for_an_officer_and_then_has_its_first_serial(
    world: World,
) -> None:
    (request,) = enrolled("r1.example")
    approve(request, world.alice)
    with mock.patch("approvals.issuance.issue.sign_prepared", side_effect=KeyboardInterrupt):
        for _ in range(MAX_ATTEMPTS):
            make_due()
            with pytest.raises(KeyboardInterrupt):
                run_worker()
    prepared = Certificate.objects.get(kind="ordered")
    make_due()
    assert run_worker().failed == [request.pk]
    request.refresh_from_db()
    assert (request.state, request.attempts) == (State.ISSUING, MAX_ATTEMPTS)
    assert request.quarantined_at is not None
    assert "the worker died" in request.last_fault
    retry_request(request_id=request.pk, principal=principal_of(world.alice), now=now())
    assert run_worker().issued == [request.pk]
    assert Certificate.objects.get(kind="ordered").serial_hex == prepared.serial_hex
    assert_everything_holds(issued=1)


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Make the calls in threads that start together; returns their results or exceptions."""
    gate = threading.Barrier(len(calls))
    results: list[object] = [None] * len(calls)

    def run(number: int, call: Callable[[], object]) -> None:
        gate.wait()
        try:
            results[number] = call()
        except (AlreadyDecided, AlreadyVoted) as error:
            results[number] = error
        finally:
            connection.close()

    threads = [
        threading.Thread(target=run, args=(number, call)) for number, call in enumerate(calls)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def steps_of(request: EnrollmentRequest) -> list[str]:
    """The states that the log says a request went to."""
    entries = AuditEntry.objects.filter(
        subject_kind="request", subject_id=str(request.pk)
    ).order_by("id")
    return [entry.data["to"] for entry in entries if "to" in entry.data]


def pending(world: World, prefix: str) -> list[EnrollmentRequest]:
    """Insert requests to race for."""
    return create_requests(
        world.profile, [f"{prefix}-{number}.example" for number in range(_RACES)]
    )


@pytest.mark.usefixtures("transactional_db")
@pytest.mark.parametrize("are_same", [False, True])
def test_two_clicks_on_approve_at_the_same_moment_are_one_decision(
    world: World, are_same: bool
) -> None:
    bob = world.alice if are_same else create_person("bob", Role.OFFICER)
    for request in pending(world, "twice"):
        results = at_once(partial(approve, request, world.alice), partial(approve, request, bob))
        assert Counter(isinstance(result, Decision) for result in results) == {True: 1, False: 1}
        assert request.decisions.count() == 1
        assert steps_of(request) == [State.APPROVED]


@pytest.mark.usefixtures("transactional_db")
def test_approve_and_reject_at_the_same_moment_have_one_outcome(world: World) -> None:
    bob = create_person("bob", Role.OFFICER)
    for request in pending(world, "split"):
        reject = partial(
            reject_request,
            request_id=request.pk,
            principal=principal_of(bob),
            comment="wrong site",
            now=now(),
        )
        yes, no = at_once(partial(approve, request, world.alice), reject)
        assert isinstance(yes, Decision) != isinstance(no, Decision)
        expected = State.APPROVED if isinstance(yes, Decision) else State.REJECTED
        assert steps_of(request) == [expected]
        assert list(
            EnrollmentRequest.objects.filter(pk=request.pk).values_list("state", flat=True)
        ) == [expected]
        assert request.decisions.count() == 1


@pytest.mark.usefixtures("transactional_db")
def test_an_approval_at_the_moment_of_expiry_counts_or_does_not(world: World) -> None:
    for request in pending(world, "late"):
        EnrollmentRequest.objects.filter(pk=request.pk).update(
            expires_at=now() - timedelta(seconds=1)
        )
        decided, _ = at_once(partial(approve, request, world.alice), partial(sweep, every=_EVERY))
        if not isinstance(decided, Decision):
            assert steps_of(request) == [State.EXPIRED]
            assert request.decisions.count() == 0
        else:
            assert steps_of(request) == [State.APPROVED]


@pytest.mark.usefixtures("transactional_db")
def test_two_workers_with_the_same_task_make_one_certificate_each(world: World) -> None:
    requests = enrolled(*(f"r{number}.example" for number in range(1, 9)))
    keys: Sequence[UUID] = [request.pk for request in requests]
    for request in requests:
        approve(request, world.alice)
    at_once(partial(issue_certificates, keys), partial(issue_certificates, keys[::-1]))
    make_due()
    run_worker()
    assert_everything_holds(issued=8)
