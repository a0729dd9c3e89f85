"""Each entry has a number among those of its process, and a deleted one is missed."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
from django.db import connection, connections, transaction

from audit import writers
from audit.canonical import NotCanonical
from audit.events import SYSTEM, Event
from audit.gaps import Gap, Numbering
from audit.log import record, record_repeated
from audit.models import AuditEntry
from audit.writers import ranges
from pkiportal.runtime import starts
from tests.conftest import drop_triggers
from tests.world import now

#: Number, open, lost.
Named = tuple[int, list[list[int]], list[list[int]]]


@pytest.fixture
def fresh_writer(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Count as a process that has written nothing."""
    monkeypatch.setenv(writers.STARTED, "")
    writers.begin()
    yield
    writers.begin()


def note(data: dict[str, Any] | None = None) -> AuditEntry:
    """Record one fact."""
    return record(Event.DATA_SEED, actor=SYSTEM, now=now(), data=data)


def commit() -> AuditEntry:
    """Record one fact in a transaction of its own."""
    with transaction.atomic():
        return note()


def roll_back(number: int = 1) -> None:
    """Record facts in a transaction that fails."""
    with suppress(ValueError), transaction.atomic():
        for _ in range(number):
            note()
        refuse()


def refuse() -> None:
    """Fail, as a use case that finds out too late."""
    raise ValueError("no")


def documents() -> list[dict[str, Any]]:
    """Return the entries as their canonical forms read, in the order of their numbers."""
    rows = AuditEntry.objects.order_by("writer", "writer_seq")
    return [json.loads(bytes(row.canonical)) for row in rows]


def gaps() -> list[tuple[int, int]]:
    """Return what is missing."""
    numbering = Numbering()
    for row in AuditEntry.objects.order_by("id"):
        numbering.add(row.writer, row.writer_seq, json.loads(bytes(row.canonical)))
    return [(gap.first, gap.last) for gap in numbering.gaps()]


def delete(*numbers: int) -> None:
    """Delete entries as the owner of the tables can."""
    drop_triggers()
    AuditEntry.objects.filter(writer_seq__in=numbers).delete()


def test_entries_of_a_process_are_numbered_and_named_after_the_first(fresh_writer: None) -> None:
    entries = [commit() for _ in range(3)]
    assert [(entry.writer, entry.writer_seq) for entry in entries] == [
        (str(entries[0].pk), number) for number in (1, 2, 3)
    ]
    for document in documents():
        assert document["v"] == 2
        assert document["writer"] == str(entries[0].pk)
        assert "open" not in document
        assert "lost" not in document
    assert gaps() == []


def test_a_deleted_entry_is_missing(fresh_writer: None) -> None:
    for _ in range(5):
        commit()
    delete(1, 3, 4)
    assert gaps() == [(1, 1), (3, 4)]


def test_the_last_entries_of_a_process_can_be_deleted_unseen_until_it_writes_again(
    fresh_writer: None,
) -> None:
    for _ in range(3):
        commit()
    delete(2, 3)
    assert gaps() == []
    commit()
    assert gaps() == [(2, 3)]


def test_the_next_entry_names_what_was_rolled_back(fresh_writer: None) -> None:
    commit()
    roll_back(2)
    commit()
    commit()
    assert [document.get("lost") for document in documents()] == [None, [[2, 3]], None]
    assert gaps() == []


def test_what_was_rolled_back_is_named_until_an_entry_that_names_it_commits(
    fresh_writer: None,
) -> None:
    roll_back()
    roll_back()
    commit()
    assert [document.get("lost") for document in documents()] == [[[1, 2]]]
    assert gaps() == []


def test_a_savepoint_that_was_rolled_back_is_named_in_the_same_transaction(
    fresh_writer: None,
) -> None:
    with transaction.atomic():
        note()
        roll_back()
        note()
    assert [document.get("lost") for document in documents()] == [None, [[2, 2]]]
    assert gaps() == []


def test_an_entry_that_cannot_be_written_is_named_though_its_transaction_commits(
    fresh_writer: None,
) -> None:
    with transaction.atomic():
        try:
            note({"share": 0.5})
        except NotCanonical:
            note()
    assert [document.get("lost") for document in documents()] == [[[1, 1]]]
    assert gaps() == []


def test_an_entry_written_while_a_rollback_is_handled_names_it(fresh_writer: None) -> None:
    try:
        with transaction.atomic():
            note()
            refuse()
    except ValueError:
        commit()
    assert [document.get("lost") for document in documents()] == [[[1, 1]]]


def test_the_first_of_a_repeat_that_another_process_recorded_is_named(fresh_writer: None) -> None:
    commit()
    for _ in range(2):
        record_repeated(Event.MESSAGE_REFUSE, actor=SYSTEM, now=now(), cause="x")
    commit()
    assert gaps() == []


def test_several_entries_may_name_the_same_number_since_each_may_be_lost(
    fresh_writer: None,
) -> None:
    roll_back()
    with transaction.atomic():
        note()
        note()
    commit()
    assert [document.get("lost") for document in documents()] == [[[1, 1]], [[1, 1]], None]


def test_commits_that_nothing_hooks_into_do_not_matter_to_the_numbers(fresh_writer: None) -> None:
    with transaction.atomic():
        transaction.on_commit(lambda: None)
        note()
        with transaction.atomic():
            note()
    commit()
    assert [document["writer_seq"] for document in documents()] == [1, 2, 3]
    assert gaps() == []


@pytest.mark.postgresql
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
def test_an_entry_names_the_numbers_of_transactions_that_are_still_open(
    fresh_writer: None,
) -> None:
    taken, finish = threading.Event(), threading.Event()

    def take_long(*, fail: bool) -> None:
        with suppress(ValueError), closing(connections["default"]), transaction.atomic():
            note()
            taken.set()
            assert finish.wait(20)
            if fail:
                refuse()

    for fail in (False, True):
        taken.clear()
        finish.clear()
        thread = threading.Thread(target=take_long, kwargs={"fail": fail})
        thread.start()
        assert taken.wait(20)
        commit()
        assert gaps() == []  # as after a crash here
        finish.set()
        thread.join()
        commit()
    assert [document.get("open") for document in documents()] == [
        None,
        [[1, 1]],
        None,
        [[4, 4]],
        None,
    ]
    assert documents()[-1]["lost"] == [[4, 4]]
    assert gaps() == []
    delete(1)
    assert gaps() == [(1, 1)]


def read(*entries: Named) -> list[Gap]:
    """Return the gaps between entries of one writer."""
    numbering = Numbering()
    for number, still_open, lost in entries:
        numbering.add("w", number, {"open": still_open, "lost": lost})
    return list(numbering.gaps())


def test_what_a_crash_took_away_is_named_open_by_all_that_came_later() -> None:
    crashed: list[Named] = [(1, [], []), (3, [[2, 2]], []), (5, [[2, 2], [4, 4]], [])]
    assert read(*crashed) == []
    assert read(*crashed, (6, [[4, 4]], [])) == [Gap("w", 2, 2)]
    assert read(*reversed(crashed), (6, [[4, 4]], [])) == [Gap("w", 2, 2)]


def test_numbers_that_no_process_can_have_given_do_not_keep_the_reader_busy() -> None:
    assert read((2**53 - 1, [], [])) == [Gap("w", 1, 2**53 - 2)]
    assert read((2, [[1, 2**53 - 1]], [[1, 2**53 - 1]])) == []


def test_entries_of_version_1_have_no_number() -> None:
    numbering = Numbering()
    numbering.add("", None, {"v": 1, "id": "x"})
    assert list(numbering.gaps()) == []


def test_a_start_entry_is_the_first_of_its_process_and_names_its_children(
    fresh_writer: None,
) -> None:
    commit()
    starts.note_start("web", now=now())
    start = AuditEntry.objects.get(event=Event.PROCESS_START)
    assert (start.writer, start.writer_seq) == (str(start.pk), 1)
    assert commit().writer == start.writer
    writers.begin_as_child()
    child = commit()
    name, _, digits = child.writer.partition("/")
    assert (name, len(digits), child.writer_seq) == (start.writer, 8, 1)


@pytest.mark.usefixtures("starts_processes")
def test_a_forked_child_counts_on_its_own(fresh_writer: None) -> None:
    parent = commit()
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        try:
            commit()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert commit().writer_seq == 2
    other = AuditEntry.objects.exclude(writer=parent.writer).get()
    assert (other.writer, other.writer_seq) == (str(other.pk), 1)
    assert gaps() == []


def test_ranges_are_in_order() -> None:
    assert ranges([5, 1, 2, 3]) == [[1, 3], [5, 5]]
    assert ranges([]) == []


def test_threads_share_the_numbers(fresh_writer: None) -> None:
    def write() -> None:
        try:
            for _ in range(20):
                commit()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [document["writer_seq"] for document in documents()] == list(range(1, 81))
    assert len({document["writer"] for document in documents()}) == 1
    assert gaps() == []
