"""`./portal racertificates`: list the RA certificates, or make the next ones before they are due."""

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from ca.models import CertificateAuthority
from pkiportal.management.arguments import authority_named
from pkiportal.management.output import table
from pkiportal.management.portal_command import PortalCommand
from pkiportal.management.ra_certificates import ra_documents
from scep.ra_renewal import renew_now


class Command(PortalCommand):
    """Renewing makes keys: run it as the user of the web, which renews by itself what is due."""

    help = "List the RA certificates for SCEP, or make the next ones now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what to do, and for which authority."""
        actions = parser.add_subparsers(dest="action", required=True, metavar="list|renew")
        listing = actions.add_parser("list", help="the RA certificates in use")
        listing.add_argument("--ca", metavar="NAME", help="of this authority only")
        renewing = actions.add_parser("renew", help="make the next RA key now; the signing worker certifies it")
        renewing.add_argument("--ca", metavar="NAME", required=True, help="of this authority")
        for action in (listing, renewing):
            self.add_json(action)

    def run(self, options: dict[str, Any]) -> None:
        """Do the one thing."""
        rows = [authority_named(options["ca"])] if options["ca"] else CertificateAuthority.objects.order_by("name")
        if options["action"] == "renew":
            for authority in rows:
                renew_now(authority, now=timezone.now())
        found = [document for authority in rows for document in ra_documents(authority)]
        self.say(options, found, _as_table(found))


def _as_table(found: list[dict[str, Any]]) -> str:
    fields = ("ca", "purpose", "serial", "certified_at", "not_after")
    lines = [[*(item[field] or "waits" for field in fields), "yes" if item["given_out"] else ""] for item in found]
    headings = ["CA", "purpose", "serial", "certified", "until", "given out"]
    return table(headings, lines) if lines else "There is no RA certificate yet: see createca."
