"""`./portal secrets`: compare this machine's shared secrets, or accept a changed one."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from pkiportal.environment.fingerprints import Comparison, accept, compare, names
from pkiportal.management.arguments import command_principal
from pkiportal.management.output import iso, table
from pkiportal.management.portal_command import PortalCommand


class Command(PortalCommand):
    """Shows no secret: only fingerprints are compared."""

    help = (
        "Compare this machine's secrets with the others'; accept one that was changed on all of "
        "them."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add action and secret."""
        actions = parser.add_subparsers(dest="action", required=True, metavar="list|accept")
        listing = actions.add_parser("list", help="each secret that this user may read")
        accepting = actions.add_parser(
            "accept", help="after a change on every machine: this one is right from now on"
        )
        accepting.add_argument("name", choices=sorted(names()), metavar="NAME")
        for action in (listing, accepting):
            self.add_json(action)

    def run(self, options: dict[str, Any]) -> None:
        """Run one action; print the recorded fingerprints afterwards."""
        if options["action"] == "accept":
            try:
                accept(options["name"], principal=command_principal(), now=timezone.now())
            except LookupError as error:
                raise CommandError(str(error)) from error
        comparisons = compare()
        self.say(options, [_document(item) for item in comparisons], _as_table(comparisons))


def _document(item: Comparison) -> dict[str, Any]:
    recorded_at = iso(item.recorded_at)
    return {
        "name": item.name,
        "outcome": item.outcome,
        "machine": item.machine,
        "recorded_at": recorded_at,
    }


def _as_table(comparisons: list[Comparison]) -> str:
    lines = [
        [item.name, item.outcome, item.machine, item.recorded_at or ""] for item in comparisons
    ]
    return table(["secret", "outcome", "recorded by", "recorded"], lines)
