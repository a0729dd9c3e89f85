"""Whether a fault of the database passes: it is away, takes no writes, or has no room.

Then "try again" is right.
"""

from typing import Final

from django.db import Error, InterfaceError, OperationalError

#: SQLSTATE of PostgreSQL: read-only transaction (a standby after a failover), connections, room,
#: operators, the disk. psycopg files some of them under other classes than OperationalError.
_PASSING: Final = ("25006", "08", "53", "57P", "58")
_READ_ONLY: Final = ("25006",)


def is_unavailable(error: BaseException | None) -> bool:
    """Return whether an error says that the database cannot work now, rather than that a statement
    was wrong.
    """
    if isinstance(error, (OperationalError, InterfaceError)):
        return True
    return isinstance(error, Error) and _state(error).startswith(_PASSING)


def write_fault(error: Exception) -> str:
    """Return in words for operators why a write failed."""
    text = " ".join(str(error).split())
    if _state(error).startswith(_READ_ONLY) or "readonly database" in text:
        return (
            "the database is read-only (a standby, or a disk mounted so): nothing can be remembered"
        )
    if _state(error).startswith("53100") or "is full" in text:
        return "the disk of the database is full: nothing can be remembered"
    return f"the database takes no writes: {type(error).__name__}"


def _state(error: BaseException) -> str:
    return str(getattr(error.__cause__, "sqlstate", "") or "")
