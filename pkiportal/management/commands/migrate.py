"""`./portal migrate`: Django's, without checking the database before it."""

import os
from collections.abc import Sequence
from typing import Any

from django.core.management.commands.migrate import Command as Migrate


class Command(Migrate):
    """Migrates also with missing or outdated triggers: this command makes them again."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate. A new database file is readable for its owner only, as with `up`."""
        before = os.umask(0o077)
        try:
            super().handle(*args, **options)
        finally:
            os.umask(before)

    def check(self, *args: Any, databases: Sequence[str] | None = None, **kwargs: Any) -> None:
        """Check everything but the database."""
        super().check(*args, **kwargs)
