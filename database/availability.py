"""Tells temporary faults of the database: it is away, read-only, or full.

Then the right answer is "try again".
"""

from typing import Final

from django.db import Error, InterfaceError, OperationalError

#: SQLSTATE of PostgreSQL: read-only transaction (a standby after a failover), connections,
#: resources, operators, the disk. psycopg files some of them under classes other than
#: OperationalError.
_PASSING: Final = ("25006", "08", "53", "57P", "58")
_READ_ONLY: Final = ("25006",)


def is_unavailable(error: BaseException | None) -> bool:
    """Return whether the database cannot work now, as opposed to a wrong statement."""
    if isinstance(error, (OperationalError, InterfaceError)):
        return True
    return isinstance(error, Error) and _state(error).startswith(_PASSING)


def write_fault(error: Exception) -> str:
    """Describe a failed write to operators."""
    text = " ".join(str(error).split())
    if _state(error).startswith(_READ_ONLY) or "readonly database" in text:
        return (
            "the database is read-only and stores nothing: connect the portal to the primary "
            "server, or mount the disk of the database writable"
        )
    if _state(error).startswith("53100") or "is full" in text:
        return "the disk of the database is full and stores nothing: free some space"
    return f"the database cannot be written ({type(error).__name__}): ./portal doctor"


def _state(error: BaseException) -> str:
    return str(getattr(error.__cause__, "sqlstate", "") or "")
