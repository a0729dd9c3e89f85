"""`./portal racertificates`: list RA certificates, renew them early, or retire one."""

from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import CommandError
from django.utils import timezone

from ca.models.authorities import CertificateAuthority
from ca.models.certificates import RevocationReason
from pkiportal.management.arguments import authority_named, command_principal
from pkiportal.management.output import table
from pkiportal.management.portal_command import PortalCommand
from pkiportal.management.ra_certificates import ra_documents
from scep.ra.renewal import RaKeyNeeded, give_up, renew_now

#: A possibly stolen key is retired for good: it cannot be put on hold.
_REASONS: Final = [
    reason.value for reason in RevocationReason if reason is not RevocationReason.CERTIFICATE_HOLD
]


class Command(PortalCommand):
    """Renewing makes keys: run it as the user of the web, which renews due ones by itself."""

    help = "List the RA certificates for SCEP, make the next ones now, or give one up."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add action and authority."""
        actions = parser.add_subparsers(dest="action", required=True, metavar="list|renew|retire")
        listing = actions.add_parser("list", help="the RA certificates in use")
        listing.add_argument("--ca", metavar="NAME", help="of this authority only")
        renewing = actions.add_parser(
            "renew", help="make the next RA key now; the signing worker certifies it"
        )
        renewing.add_argument("--ca", metavar="NAME", required=True, help="of this authority")
        retiring = actions.add_parser(
            "retire", help="stop using an RA key and revoke its certificate, at once"
        )
        retiring.add_argument("--ca", metavar="NAME", required=True, help="of this authority")
        retiring.add_argument("--serial", metavar="HEX", required=True, help="as the list shows it")
        retiring.add_argument(
            "--reason",
            choices=_REASONS,
            default=RevocationReason.KEY_COMPROMISE.value,
            help="(keyCompromise)",
        )
        for action in (listing, renewing, retiring):
            self.add_json(action)

    def run(self, options: dict[str, Any]) -> None:
        """Run one action."""
        rows = (
            [authority_named(options["ca"])]
            if options["ca"]
            else CertificateAuthority.objects.order_by("name")
        )
        if options["action"] == "renew":
            for authority in rows:
                renew_now(authority, now=timezone.now())
        if options["action"] == "retire":
            _retire(rows[0], options)
        documents = [document for authority in rows for document in ra_documents(authority)]
        self.say(options, documents, _as_table(documents))


def _retire(authority: CertificateAuthority, options: dict[str, Any]) -> None:
    serial = options["serial"].replace(":", "").lower()
    try:
        give_up(
            authority,
            serial,
            reason=options["reason"],
            principal=command_principal(),
            now=timezone.now(),
        )
    except RaKeyNeeded as error:
        raise CommandError(str(error)) from error


def _as_table(documents: list[dict[str, Any]]) -> str:
    fields = ("ca", "purpose", "serial", "certified_at", "not_after")
    lines = [
        [*(item[field] or "waits" for field in fields), "yes" if item["given_out"] else ""]
        for item in documents
    ]
    headings = ["CA", "purpose", "serial", "certified", "until", "given out"]
    return table(headings, lines) if lines else "There is no RA certificate yet: see createca."
