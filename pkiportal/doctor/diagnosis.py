"""The checks of the doctor in the order of its report, all functions of `pkiportal.doctor`."""

from collections.abc import Iterator, Sequence
from typing import Final

from django.db import DatabaseError

from pkiportal.doctor import database, disks, life, machine, records
from pkiportal.doctor.check import Check, Clock, Look, first_line
from pkiportal.health import pending_migrations

#: Checks that need no database. A new check is added to one of the two lists.
MACHINE: Final[tuple[Look, ...]] = (
    machine.python,
    machine.folders,
    machine.secrets,
    machine.authority_keys,
    machine.broker,
    machine.transport,
    machine.proxies,
    machine.open_files,
)
#: Checks of a database with all migrations applied.
DATABASE: Final[tuple[Look, ...]] = (
    database.engine,
    database.clock,
    database.system_checks,
    disks.room,
    disks.database_files,
    disks.static_files,
    life.processes,
    life.sweep,
    life.signing,
    life.queues,
    life.crls,
    life.secrets,
    records.authorities,
    records.people,
    records.asserted_decisions,
    records.messages,
    records.open_profiles,
)


def examine(now: Clock, *, more: Sequence[Look] = ()) -> Iterator[Check]:
    """Run all checks, `more` last; `now` is called when clocks are compared. Raises nothing."""
    for look in MACHINE:
        yield from _look(look, now)
    try:
        pending = pending_migrations()
        if pending:
            yield Check(
                "migrations",
                "fail",
                f"{len(pending)} not applied, first {pending[0]}: ./portal migrate",
            )
            return
        yield Check("migrations", "ok", "all applied")
        for look in (*DATABASE, *more):
            yield from _look(look, now)
    except DatabaseError as error:
        yield Check("database", "fail", f"does not answer: {first_line(error)}")


def _look(look: Look, now: Clock) -> Iterator[Check]:
    """Run one check. An unexpected fault becomes a finding, so that the other checks still run.

    Raises DatabaseError.
    """
    try:
        yield from look(now)
    except DatabaseError:
        raise
    except Exception as error:  # noqa: BLE001 - the outermost door of one look
        yield Check(
            look.__name__.strip("_"),
            "fail",
            f"could not be examined: {type(error).__name__}: {error}",
        )
