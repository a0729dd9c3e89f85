"""`./portal grants`: write permissions as PostgreSQL statements. Prints only."""

from argparse import ArgumentParser
from typing import Any

from pkiportal.management.database_roles import statements
from pkiportal.management.portal_command import PortalCommand


class Command(PortalCommand):
    """Needs no database: the statements follow from the tables of this version."""

    help = "Print the SQL that gives the database roles their rights."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the format."""
        self.add_json(parser)

    def run(self, options: dict[str, Any]) -> None:
        """Print the statements, each ended by a semicolon."""
        lines = statements()
        heading = (
            "-- Run as a superuser in the portal's database, again after each ./portal migrate.\n"
        )
        self.say(
            options,
            {"statements": lines},
            heading + "\n".join(f"{statement};" for statement in lines),
        )
