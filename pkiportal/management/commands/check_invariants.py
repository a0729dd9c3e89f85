"""`./portal check_invariants`: check the records; safe while the portal runs."""

from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from pkiportal.doctor.invariants import check_invariants
from pkiportal.management.portal_command import PortalCommand


class Command(PortalCommand):
    """Exit status 1 when a rule is broken."""

    help = "Check requests, decisions, certificates, challenges and the log against each other."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the strictness."""
        parser.add_argument(
            "--at-rest",
            action="store_true",
            help="nothing may be on its way to a signature at this moment",
        )
        parser.add_argument(
            "--journal",
            type=Path,
            metavar="FILE",
            help="a record of the key's signatures, one a line, SHA-256 of the signed bytes first",
        )
        self.add_json(parser)

    def run(self, options: dict[str, Any]) -> None:
        """Check, print, and end with status 1 where a rule is broken."""
        try:
            findings = check_invariants(at_rest=options["at_rest"], journal=options["journal"])
        except OSError as error:
            raise CommandError(f"{options['journal']}: cannot be read: {error.strerror}") from error
        document = {
            "checked": findings.checked,
            "violations": [asdict(item) for item in findings.violations],
        }
        looked = (
            ", ".join(f"{number} {name}" for name, number in findings.checked.items())
            or "nothing there"
        )
        lines = [f"Checked: {looked}"]
        lines += [f"{item.invariant} {item.subject}: {item.text}" for item in findings.violations]
        lines.append(
            f"{len(findings.violations)} violations"
            if findings.violations
            else "Everything is as it must be."
        )
        self.say(options, document, "\n".join(lines))
        if findings.violations:
            raise SystemExit(1)
