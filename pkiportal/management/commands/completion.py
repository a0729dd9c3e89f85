"""`./portal completion`: a script with which bash or zsh completes commands and options."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from pkiportal.management.completion import SHELLS, completion


class Command(BaseCommand):
    """Asks no database: an administrator's shell may read it on any machine."""

    help = "Print the script with which bash or zsh completes commands and options."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the shell."""
        parser.add_argument("shell", choices=SHELLS, help="which shell reads it")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the script."""
        self.stdout.write(completion(options["shell"]))
