"""The log: append-only, in the transaction of its facts, sealed without personal values."""

import hashlib
from datetime import datetime, timedelta
from unittest import mock

import pytest
from django.core.checks import run_checks
from django.db import DatabaseError, IntegrityError, connection, transaction

from audit import log
from audit.apps import TRIGGERS
from audit.canonical import leaf_hash
from audit.events import SYSTEM, Actor, DepartmentRef, Event, Personal, Subject
from audit.log import NotInTransaction, close_minutes, commitment, record, record_repeated
from audit.models import AuditEntry, AuditPrivateValue, RepeatedEvent
from ca.apps import TRIGGERS as CA_TRIGGERS
from database.ids import uuid7
from database.triggers import check, install
from tests.world import now

ALICE = Actor(kind="user", identifier="17", name="Alice", address="192.0.2.7")


@pytest.fixture
def entry(db: None) -> AuditEntry:
    """One fact with personal values."""
    with transaction.atomic():
        return record(
            Event.REQUEST_REJECT,
            actor=ALICE,
            now=now(),
            subject=Subject.of("request", "r1", 2),
            data={"comment": Personal("ask Bob"), "number": 1},
            department=DepartmentRef("north", "Head office/North"),
        )


def test_the_leaf_covers_the_canonical_bytes(entry: AuditEntry) -> None:
    stored = AuditEntry.objects.get()
    assert bytes(stored.leaf_hash) == leaf_hash(bytes(stored.canonical))
    assert f'"id":"{stored.pk}"'.encode() in bytes(stored.canonical)
    assert b'"seq":2' in bytes(stored.canonical)
    assert (stored.department, stored.department_path) == ("north", "Head office/North")
    assert b'"department":{"path":"Head office/North","slug":"north"}' in bytes(stored.canonical)


def test_personal_values_stand_in_the_log_as_commitments_only(entry: AuditEntry) -> None:
    canonical = bytes(entry.canonical)
    for text in (b"Alice", b"192.0.2.7", b"ask Bob"):
        assert text not in canonical
    private = {value.path: value for value in AuditPrivateValue.objects.all()}
    assert set(private) == {"actor.name", "actor.address", "data.comment"}
    comment = private["data.comment"]
    assert entry.data["comment"] == {"c": commitment(bytes(comment.salt), comment.value)}
    assert hashlib.sha256(bytes(comment.salt) + b"ask Bob").hexdigest().encode() in canonical


def test_erasing_a_personal_value_leaves_the_entry_as_it_was(entry: AuditEntry) -> None:
    before = bytes(AuditEntry.objects.get().canonical)
    AuditPrivateValue.objects.filter(path="data.comment").delete()
    assert bytes(AuditEntry.objects.get().canonical) == before


STATEMENTS = [
    "UPDATE audit_auditentry SET event = 'request:approve'",
    "UPDATE audit_auditentry SET data = '{}'",
    "DELETE FROM audit_auditentry",
    "UPDATE audit_auditprivatevalue SET value = 'ask Charlie'",
    "REPLACE INTO audit_auditentry SELECT * FROM audit_auditentry",
    "INSERT OR REPLACE INTO audit_auditentry SELECT * FROM audit_auditentry",
    "TRUNCATE audit_auditentry CASCADE",
    (
        "INSERT INTO audit_auditentry SELECT * FROM audit_auditentry ON CONFLICT (id) DO UPDATE "
        "SET "
        "event = 'x'"
    ),
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_l17_the_database_refuses_to_change_the_log(entry: AuditEntry, statement: str) -> None:
    before = list(AuditEntry.objects.values_list("canonical", "event", "data"))
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert list(AuditEntry.objects.values_list("canonical", "event", "data")) == before


def test_l17_a_failed_append_fails_the_action(entry: AuditEntry) -> None:
    def approve() -> None:
        with transaction.atomic():
            AuditPrivateValue.objects.filter(path="actor.name").delete()
            record(
                Event.REQUEST_APPROVE,
                actor=ALICE,
                now=now(),
                subject=Subject.of("request", "r1", 2),
            )

    with pytest.raises(IntegrityError):
        approve()
    assert AuditPrivateValue.objects.filter(path="actor.name").exists()
    assert AuditEntry.objects.count() == 1


def test_a_fact_outside_of_a_transaction_is_refused() -> None:
    assert not connection.in_atomic_block
    with pytest.raises(NotInTransaction, match="request:approve"):
        record(Event.REQUEST_APPROVE, actor=SYSTEM, now=now())


def test_what_repeats_within_a_minute_is_one_entry_and_a_count(db: None) -> None:
    start = now().replace(second=1)
    for second in range(5):
        record_repeated(
            Event.MESSAGE_REFUSE,
            actor=Actor(kind="device", address="192.0.2.1"),
            now=start + timedelta(seconds=second),
            cause="challenge wrong",
            subject=Subject.of("request", "r1"),
            department=DepartmentRef("lab", "Lab"),
        )
    record_repeated(
        Event.MESSAGE_REFUSE,
        actor=Actor(kind="device", address="192.0.2.2"),
        now=start,
        cause="challenge wrong",
    )
    assert AuditEntry.objects.count() == 2
    assert close_minutes(now=start + timedelta(seconds=50)) == 0
    assert close_minutes(now=start.replace(second=0, microsecond=0) + timedelta(seconds=179)) == 0
    assert close_minutes(now=start + timedelta(minutes=3)) == 1
    closing = AuditEntry.objects.order_by("-id")[0]
    assert (closing.data["repeated"], closing.data["cause"], closing.subject_id) == (
        4,
        "challenge wrong",
        "r1",
    )
    assert (closing.department, closing.department_path) == ("lab", "Lab")
    assert not RepeatedEvent.objects.exists()
    assert close_minutes(now=start + timedelta(minutes=3)) == 0


def test_ids_sort_by_the_time_they_were_made() -> None:
    ids = [uuid7() for _ in range(500)]
    assert len(set(ids)) == 500
    assert {identifier.version for identifier in ids} == {7}
    assert [identifier.int >> 80 for identifier in ids] == sorted(
        identifier.int >> 80 for identifier in ids
    )


def test_a_missing_trigger_is_named_and_made_again(db: None) -> None:
    assert check(TRIGGERS, using="default") == []
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("DROP TRIGGER audit_auditentry_append_only ON audit_auditentry")
        else:
            cursor.execute("DROP TRIGGER audit_auditentry_append_only_1")
    faults = check(TRIGGERS, using="default")
    assert [fault.id for fault in faults] == ["audit.E001"]
    assert "audit_auditentry_append_only" in faults[0].msg
    install(TRIGGERS, using="default")
    assert check(TRIGGERS, using="default") == []


def test_every_app_keeps_its_triggers_and_the_check_names_one_that_is_gone(db: None) -> None:
    assert run_checks(databases=["default"], tags=["database"]) == []
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("DROP TRIGGER ca_certificate_no_delete ON ca_certificate")
        else:
            cursor.execute("DROP TRIGGER ca_certificate_no_delete_1")
    assert [fault.id for fault in run_checks(databases=["default"], tags=["database"])] == [
        "audit.E001"
    ]
    assert run_checks(tags=["database"]) == []
    install(CA_TRIGGERS, using="default")


def test_the_slower_of_two_processes_that_see_a_repeat_first_only_counts(db: None) -> None:
    """The second one finds the row made between its look and its own attempt."""
    actor, start = Actor(kind="device", address="192.0.2.1"), now().replace(second=1)
    record_repeated(Event.MESSAGE_REFUSE, actor=actor, now=start, cause="challenge wrong")
    count = log._count
    with mock.patch.object(log, "_count", side_effect=[False, True]) as counted:
        record_repeated(Event.MESSAGE_REFUSE, actor=actor, now=start, cause="challenge wrong")
    assert counted.call_count == 2
    assert count(*counted.call_args.args)
    assert RepeatedEvent.objects.get().count == 1
    assert AuditEntry.objects.get() == RepeatedEvent.objects.get().first_entry


def test_a_first_occurrence_that_cannot_be_recorded_fails_its_action(db: None) -> None:
    actor = Actor(kind="device", address="192.0.2.1")
    with (
        mock.patch.object(log, "record", side_effect=IntegrityError("no such column")),
        pytest.raises(IntegrityError),
    ):
        record_repeated(Event.MESSAGE_REFUSE, actor=actor, now=now(), cause="challenge wrong")


def test_what_is_counted_while_a_minute_is_being_closed_is_in_its_count(db: None) -> None:
    actor, start = Actor(kind="device", address="192.0.2.1"), now().replace(second=1)
    record_repeated(Event.MESSAGE_REFUSE, actor=actor, now=start, cause="challenge wrong")
    look = log._minutes_over

    def look_and_be_overtaken(moment: datetime) -> list[int]:
        row = look(moment)
        record_repeated(Event.MESSAGE_REFUSE, actor=actor, now=start, cause="challenge wrong")
        return row

    with mock.patch.object(log, "_minutes_over", look_and_be_overtaken):
        assert close_minutes(now=start + timedelta(minutes=3)) == 1
    assert AuditEntry.objects.latest("id").data["repeated"] == 1


def test_a_minute_that_another_process_closed_is_closed_once(db: None) -> None:
    actor, start = Actor(kind="device", address="192.0.2.1"), now().replace(second=1)
    for _ in range(2):
        record_repeated(Event.MESSAGE_REFUSE, actor=actor, now=start, cause="challenge wrong")
    stale = list(RepeatedEvent.objects.values_list("pk", flat=True))
    RepeatedEvent.objects.all().delete()
    with mock.patch("audit.log._minutes_over", return_value=stale):
        assert close_minutes(now=start + timedelta(minutes=3)) == 0
    assert AuditEntry.objects.count() == 1
