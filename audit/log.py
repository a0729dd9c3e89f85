"""The only way into the log: `record` a fact in the transaction of its cause."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import Q

from audit.canonical import CanonicalValue, canonical_json, leaf_hash
from audit.events import NO_DEPARTMENT, Actor, DepartmentRef, Event, Personal, Subject
from audit.models import AuditEntry, AuditPrivateValue, RepeatedEvent
from audit.writers import Place, numbered
from database.ids import uuid7
from database.statements import insert, update

FORMAT_VERSION = 2
CLOSE_AFTER = timedelta(minutes=2)
_SALT_BYTES = 16
#: Facts that the counting entry copies from the first one.
_KEPT_IN_SUMMARY = ("cause", "number", "profile")

Data = Mapping[str, object]


class NotInTransaction(RuntimeError):
    """A fact may only be recorded in the transaction of its cause."""


def record(
    event: Event,
    *,
    actor: Actor,
    now: datetime,
    subject: Subject | None = None,
    data: Data | None = None,
    department: DepartmentRef = NO_DEPARTMENT,
) -> AuditEntry:
    """Append one entry. Raises NotInTransaction outside `atomic`, NotCanonical for bad data.

    A failure to append propagates, so that the action fails with its entry.
    """
    if not connection.in_atomic_block:
        raise NotInTransaction(
            f"{event}: an audit entry belongs into the transaction of what it tells of"
        )
    entry_id = uuid7()
    private: dict[str, tuple[bytes, str]] = {}
    facts = {
        "event": event.value,
        "actor": _commit_all(_actor_data(actor), "actor", private),
        "department": _department_data(department),
        "data": _commit_all(data or {}, "data", private),
        **({"subject": _subject_data(subject)} if subject else {}),
    }
    with numbered(entry_id) as place:
        entry = _row(entry_id, facts, place, now=now)
        insert(entry)
    insert(*_private_values(entry, private))
    return entry


def _private_values(
    entry: AuditEntry, private: dict[str, tuple[bytes, str]]
) -> list[AuditPrivateValue]:
    return [
        AuditPrivateValue(entry=entry, path=path, salt=salt, value=value)
        for path, (salt, value) in private.items()
    ]


def _row(entry_id: UUID, facts: Mapping[str, Any], place: Place, *, now: datetime) -> AuditEntry:
    """An entry: its canonical form, and columns that say the same."""
    canonical = canonical_json(
        {
            **facts,
            "v": FORMAT_VERSION,
            "id": str(entry_id),
            "at": timestamp(now),
            "writer": place.writer,
            "writer_seq": place.number,
            **({"open": place.open} if place.open else {}),
            **({"lost": place.lost} if place.lost else {}),
        }
    )
    subject = facts.get("subject") or {"kind": "", "id": "", "seq": None}
    department = facts["department"] or {"slug": "", "path": ""}
    return AuditEntry(
        id=entry_id,
        at=now,
        event=facts["event"],
        actor_kind=facts["actor"]["kind"],
        actor_id=facts["actor"]["id"],
        subject_kind=subject["kind"],
        subject_id=subject["id"],
        subject_seq=subject["seq"],
        department=department["slug"],
        department_path=department["path"],
        data=facts["data"],
        writer=place.writer,
        writer_seq=place.number,
        canonical=canonical,
        leaf_hash=leaf_hash(canonical),
    )


def record_repeated(  # noqa: PLR0913 - as `record`, and the cause
    event: Event,
    *,
    actor: Actor,
    now: datetime,
    cause: str,
    subject: Subject | None = None,
    data: Data | None = None,
    department: DepartmentRef = NO_DEPARTMENT,
) -> AuditEntry | None:
    """Record an event that may repeat without end: one entry a minute, the rest is counted.

    Returns the entry of the first, None for a counted one. Occurrences with the same event,
    subject, address and cause count together. `close_minutes` writes the count.
    """
    key = _repeat_key(event, subject, actor.address, cause)
    minute = _minute(now)
    if _count(key, minute):
        return None
    try:
        with transaction.atomic():
            facts = {**(data or {}), "cause": cause}
            entry = record(
                event, actor=actor, now=now, subject=subject, data=facts, department=department
            )
            insert(RepeatedEvent(key=key, minute=minute, first_entry=entry))
            return entry
    except IntegrityError:  # another process was first: its entry stands, ours is rolled back
        if not _count(key, minute):
            raise
        return None


def first_of_minute(
    event: Event, *, actor: Actor, now: datetime, cause: str, subject: Subject | None = None
) -> AuditEntry | None:
    """Return the entry of the first such occurrence in this minute; None if it is closed."""
    rows = RepeatedEvent.objects.filter(
        key=_repeat_key(event, subject, actor.address, cause), minute=_minute(now)
    )
    repeated = rows.select_related("first_entry").first()
    return repeated.first_entry if repeated else None


def close_minutes(*, now: datetime) -> int:
    """Write one entry with the count of each repeated event of past minutes; returns how many.

    A minute is closed CLOSE_AFTER its end, when all counting transactions have committed.
    """
    written = 0
    for key in _minutes_over(now):
        with transaction.atomic():
            rows = RepeatedEvent.objects.select_for_update(of=("self",)).select_related(
                "first_entry"
            )
            repeated = rows.filter(pk=key).first()
            if repeated is None:
                continue
            repeated.delete()
            if repeated.count:
                first = repeated.first_entry
                record(
                    Event(first.event),
                    actor=_actor_of(first),
                    now=now,
                    subject=_subject_of(first),
                    data={
                        **{key: first.data[key] for key in _KEPT_IN_SUMMARY if key in first.data},
                        "first_entry": str(first.pk),
                        "repeated": repeated.count,
                        "minute": timestamp(repeated.minute),
                    },
                    department=DepartmentRef(first.department, first.department_path),
                )
                written += 1
    return written


def _repeat_key(event: Event, subject: Subject | None, address: str, cause: str) -> str:
    where = f"{subject.kind}:{subject.identifier}" if subject else ""
    return hashlib.sha256("\x00".join((event.value, where, address, cause)).encode()).hexdigest()


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _count(key: str, minute: datetime) -> bool:
    return (
        update(RepeatedEvent, where={"key": key, "minute": minute}, changes={}, count_up="count")
        == 1
    )


def _minutes_over(now: datetime) -> list[int]:
    past = Q(minute__lte=now - CLOSE_AFTER - timedelta(minutes=1))
    over = RepeatedEvent.objects.filter(
        past | Q(minute__gt=now + CLOSE_AFTER)
    )  # counted under a clock that was ahead
    return list(over.order_by("minute").values_list("pk", flat=True)[:500])


def timestamp(moment: datetime) -> str:
    """Return the canonical text of a moment: UTC, microseconds, `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def commitment(salt: bytes, value: str) -> str:
    """Return the commitment to a personal value: hex SHA-256 over salt and UTF-8 text.

    `audit.models` explains the commitments.
    """
    return hashlib.sha256(salt + value.encode("utf-8")).hexdigest()


def _actor_of(entry: AuditEntry) -> Actor:
    """Return the actor of an entry, with name and address unless erased."""
    private = dict(
        entry.private_values.filter(path__startswith="actor.").values_list("path", "value")
    )
    name, address = private.get("actor.name", ""), private.get("actor.address", "")
    return Actor(kind=entry.actor_kind, identifier=entry.actor_id, name=name, address=address)


def _subject_of(entry: AuditEntry) -> Subject | None:
    return (
        Subject(kind=entry.subject_kind, identifier=entry.subject_id)
        if entry.subject_kind
        else None
    )


def _subject_data(subject: Subject) -> dict[str, CanonicalValue]:
    return {"kind": subject.kind, "id": subject.identifier, "seq": subject.sequence}


def _department_data(department: DepartmentRef) -> dict[str, CanonicalValue] | None:
    return {"slug": department.slug, "path": department.path} if department.slug else None


def _actor_data(actor: Actor) -> Data:
    personal = {"name": actor.name, "address": actor.address, "on_behalf_of": actor.on_behalf_of}
    return {
        "kind": actor.kind,
        "id": actor.identifier,
        **{key: Personal(value) for key, value in personal.items() if value},
    }


def _commit_all(
    data: Data, path: str, private: dict[str, tuple[bytes, str]]
) -> dict[str, CanonicalValue]:
    return dict(_committed(data, path, private))


def _committed(
    data: Data, path: str, private: dict[str, tuple[bytes, str]]
) -> Iterator[tuple[str, CanonicalValue]]:
    for key, value in data.items():
        if isinstance(value, Personal):
            salt = os.urandom(_SALT_BYTES)
            private[f"{path}.{key}"] = (salt, value.value)
            yield key, {"c": commitment(salt, value.value)}
        else:
            yield key, value  # type: ignore[misc]  # canonical_json refuses what has no canonical form, by name
