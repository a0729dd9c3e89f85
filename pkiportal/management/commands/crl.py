"""`./portal crl`: list CRLs, or issue one at once."""

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from ca.certificates.crls import crl_is_due, latest_crl
from ca.models.authorities import CertificateAuthority
from ca.models.crls import CrlIssue
from ca.signing.crl import issue_crl
from pkiportal.management.arguments import authority_named, command_principal
from pkiportal.management.output import iso, table
from pkiportal.management.portal_command import PortalCommand


class Command(PortalCommand):
    """Issuing opens the CA key: run it as the user of the signing worker.

    The worker issues due CRLs by itself.
    """

    help = "List certificate revocation lists, or issue one now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add action and authority."""
        actions = parser.add_subparsers(dest="action", required=True, metavar="list|issue")
        listing = actions.add_parser("list", help="the published CRL of each authority")
        issuing = actions.add_parser("issue", help="issue a CRL now, due or not")
        for action in (listing, issuing):
            action.add_argument("--ca", metavar="NAME", help="of this authority only")
            self.add_json(action)

    def run(self, options: dict[str, Any]) -> None:
        """Run one action."""
        rows = (
            [authority_named(options["ca"])]
            if options["ca"]
            else CertificateAuthority.objects.order_by("name")
        )
        if options["action"] == "issue":
            for authority in rows:
                issue_crl(
                    authority,
                    now=timezone.now(),
                    principal=command_principal(),
                    even_if_not_due=True,
                )
        documents = [_document(authority, latest_crl(authority)) for authority in rows]
        self.say(options, documents, _as_table(documents))


def _as_table(documents: list[dict[str, Any]]) -> str:
    fields = ("ca", "number", "entries", "this_update", "next_update")
    lines = [
        [*(item[field] for field in fields), "yes" if item["is_due"] else ""] for item in documents
    ]
    headings = ["CA", "number", "entries", "this update", "next update", "due"]
    return table(headings, lines) if lines else "There is no authority: see createca."


def _document(authority: CertificateAuthority, issue: CrlIssue | None) -> dict[str, Any]:
    authority.refresh_from_db(fields=["revocation_version"])
    return {
        "ca": authority.name,
        "number": issue.number if issue else None,
        "entries": issue.entries if issue else None,
        "this_update": iso(issue.this_update) if issue else None,
        "next_update": iso(issue.next_update) if issue else None,
        "sha256": issue.sha256 if issue else None,
        "is_due": crl_is_due(authority, now=timezone.now()),
    }
