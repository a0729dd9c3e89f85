"""The database's clock, for leases and sweeps: workers on several machines agree on it, not on
their own.
"""

from datetime import UTC, datetime

from django.db import connection


def database_now() -> datetime:
    """Return the database's current time, with zone.

    SQLite lives on this machine, so its clock is ours.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            moment: datetime = cursor.fetchone()[0]
            return moment
    return datetime.now(UTC)
