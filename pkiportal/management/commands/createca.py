"""`./portal createca`: create a certification authority, ready for SCEP.

Run as the user of the signing worker.
"""

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from ca.signing.authorities import AuthorityRequest, create_authority
from ca.signing.crl import issue_crl
from pkiportal.management.arguments import authority_named, command_principal
from pkiportal.management.output import iso
from pkiportal.management.portal_command import PortalCommand
from pkiportal.management.ra_certificates import make_ready


class Command(PortalCommand):
    """Creates key, certificate, and the RA key for SCEP."""

    help = "Create a certification authority, root or issuing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add name, key and subject."""
        parser.add_argument("name", metavar="NAME", help="lower-case letters, digits, hyphens")
        parser.add_argument(
            "--key",
            required=True,
            metavar="TYPE",
            help="rsa:2048, rsa:3072, rsa:4096, ec:p256, ec:p384",
        )
        parser.add_argument(
            "--subject", required=True, help='for example "CN=Example Issuing CA,O=Example"'
        )
        parser.add_argument(
            "--parent", metavar="NAME", help="the authority that signs it; without one it is a root"
        )
        parser.add_argument("--days", type=int, default=3650, help="validity (3650)")
        parser.add_argument(
            "--no-ra-key",
            action="store_true",
            help="leave the RA key for SCEP to the web's user, who makes it when asked",
        )
        parser.add_argument(
            "--test", action="store_true", help="mark it, and the profiles that use it, as a test"
        )
        self.add_json(parser)

    def run(self, options: dict[str, Any]) -> None:
        """Create the authority, then its RA key."""
        authority_request = AuthorityRequest(
            name=options["name"],
            subject=options["subject"],
            key_type=options["key"],
            parent=authority_named(options["parent"]) if options["parent"] else None,
            days=options["days"],
            is_test=options["test"],
        )
        authority = create_authority(
            authority_request, principal=command_principal(), now=timezone.now()
        )
        issue_crl(authority, now=timezone.now(), principal=command_principal())
        is_ready = not options["no_ra_key"] and make_ready(authority, note=self.note)
        document = {
            "name": authority.name,
            "subject": authority.subject,
            "key": authority.key_type,
            "parent": authority_request.parent.name if authority_request.parent else None,
            "not_before": iso(authority.not_before),
            "not_after": iso(authority.not_after),
            "sha256": authority.certificate_sha256,
            "test": authority.is_test,
            "scep_ready": is_ready,
        }
        text = (
            f"Created {authority.name}: {authority.subject}, {authority.key_type}, until "
            f"{iso(authority.not_after)}"
        )
        self.say(options, document, text)
