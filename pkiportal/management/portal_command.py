"""The base of all commands: `--json`, one sentence per error, exit status 1 (2: wrong usage)."""

from abc import ABC, abstractmethod
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any, NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor

from approvals.rules.errors import ApprovalsError, Invalid, ServiceMissing
from ca.content.profile_spec import ProfileError
from ca.x509.errors import CaError
from keys.errors import KeyStoreError
from pkiportal.management.output import to_json
from pkiportal.management.profile_options import option_names

_REFUSALS = (ApprovalsError, CaError, KeyStoreError, ProfileError, ImproperlyConfigured)
#: What the settings of a profile are called here, as options: those of the table, and others.
_OPTIONS = option_names() | {
    "challenge": "--challenge",
    "devices": "--devices",
    "secret": "--secret-file",
    "static_challenge": "--secret-file",
}
_INTERRUPTED = 130  # as a shell reports SIGINT


class PortalCommand(BaseCommand, ABC):
    """A door for scripts: subclasses work in `run`; expected errors become one sentence."""

    requires_system_checks = []

    def add_json(self, parser: ArgumentParser) -> None:
        """Add the option for scripts."""
        parser.add_argument(
            "--json", action="store_true", help="print one JSON document and nothing else"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run, and turn expected errors into a sentence on stderr."""
        try:
            self.run(options)
        except _REFUSALS as error:
            raise CommandError(worded(error)) from error
        except (DatabaseError, InterfaceError) as error:
            _explain(error)
        except KeyboardInterrupt:
            self.stderr.write("Interrupted.")
            raise SystemExit(_INTERRUPTED) from None

    @abstractmethod
    def run(self, options: dict[str, Any]) -> None:
        """Do the work. Raises CommandError and the refusals of the use cases."""

    def say(self, options: dict[str, Any], document: Any, text: str | Callable[[], str]) -> None:
        """Print the document for scripts, or the text for people.

        Pass a function for a text that takes long to build.
        """
        if options["json"]:
            self.stdout.write(to_json(document))
        else:
            self.stdout.write(text if isinstance(text, str) else text())

    def note(self, text: str) -> None:
        """Print a note for people, apart from the result."""
        self.stderr.write(text)


def worded(error: Exception) -> str:
    """Return the sentence of a refusal as a command tells it: with options, and with the command
    that helps.
    """
    if isinstance(error, ServiceMissing):
        return f"{error}: ./portal validation set"
    return error.worded(_OPTIONS) if isinstance(error, Invalid) else str(error)


def _explain(error: Exception) -> NoReturn:
    """Describe a database error, and what to do."""
    try:
        executor = MigrationExecutor(connection)
        is_behind = bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    except (DatabaseError, InterfaceError):
        is_behind = False
    if is_behind:
        raise CommandError(
            f"the database {connection.settings_dict['NAME']} is not set up for this version: "
            "run `./portal up` or `./portal migrate` first"
        ) from error
    raise CommandError(
        f"Database error: {' '.join(str(error).split())}. Run `./portal doctor` to find the cause, "
        "then repeat the command."
    ) from error
