"""`./portal migrate`: Django's, without the look at the database before it."""

import os
from collections.abc import Sequence
from typing import Any

from django.core.management.commands.migrate import Command as Migrate


class Command(Migrate):
    """Migrates also where triggers are missing or of an earlier version: it is what makes them
    again.
    """

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate; a database file that this makes is for its owner alone, as one that `up` makes
        is.
        """
        before = os.umask(0o077)
        try:
            super().handle(*args, **options)
        finally:
            os.umask(before)

    def check(self, *args: Any, databases: Sequence[str] | None = None, **kwargs: Any) -> None:
        """Check everything but the database."""
        super().check(*args, **kwargs)
