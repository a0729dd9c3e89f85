"""`./portal profiles list`."""

from argparse import ArgumentParser
from typing import Any

from approvals.models.profiles import EnrollmentProfile
from pkiportal.management.output import table
from pkiportal.management.portal_command import PortalCommand
from pkiportal.management.profile_facts import profile_document


class Command(PortalCommand):
    """Lists the enrollment addresses."""

    help = "List the enrollment profiles with their SCEP addresses."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the action."""
        actions = parser.add_subparsers(dest="action", required=True, metavar="list")
        self.add_json(actions.add_parser("list", help="every enrollment profile"))

    def run(self, options: dict[str, Any]) -> None:
        """List them by slug."""
        profiles = [
            profile_document(row)
            for row in EnrollmentProfile.objects.select_related("ca").order_by("slug")
        ]
        rows = [
            [item["slug"], item["scep_url"], item["approval"], item["challenge"], item["ca"]]
            + (["paused"] if item["paused"] else [])
            for item in profiles
        ]
        headings = ["profile", "SCEP address", "approval", "challenge", "CA", ""]
        self.say(
            options,
            profiles,
            table(headings, rows) if rows else "There is no profile: see createprofile.",
        )
