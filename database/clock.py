"""The database's clock, for leases and sweeps: workers on several machines agree on it."""

from datetime import UTC, datetime

from django.db import connection


def database_now() -> datetime:
    """Return the database's current time, with zone.

    SQLite runs on this machine, so its clock is the portal's.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            moment: datetime = cursor.fetchone()[0]
            return moment
    return datetime.now(UTC)
