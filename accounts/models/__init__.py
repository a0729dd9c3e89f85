"""The tables of people. Code imports the modules; this file imports them for Django."""

from accounts.models import (  # noqa: F401
    changes,
    departments,
    people,
    sessions,
)
