"""`./portal createchallenge`: one-time challenges, printed once."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.utils import timezone

from approvals.challenges.onetime import ChallengeOrder, create_challenges
from pkiportal.management.arguments import (
    command_principal,
    device_group_named,
    duration,
    maker_named,
    profile_named,
)
from pkiportal.management.output import iso
from pkiportal.management.portal_command import PortalCommand


class Command(PortalCommand):
    """Prints the clear texts to stdout; they are stored nowhere."""

    help = "Make one-time challenges for a profile and print them; they cannot be shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add profile, number, lifetime and binding."""
        parser.add_argument("slug", metavar="SLUG", help="the enrollment profile")
        parser.add_argument("--count", type=int, default=1, metavar="N", help="how many (1)")
        parser.add_argument(
            "--expires",
            type=duration,
            default=timedelta(hours=1),
            metavar="TIME",
            help="90s, 30m, 1h, 7d (1h)",
        )
        _add_bindings(parser)
        parser.add_argument(
            "--for",
            default="",
            dest="created_for",
            metavar="TEXT",
            help="its purpose, for officers",
        )
        parser.add_argument(
            "--officer",
            metavar="NAME",
            help="who asked for it; will not be able to approve its use",
        )
        self.add_json(parser)

    def run(self, options: dict[str, Any]) -> None:
        """Create and print them."""
        profile = profile_named(options["slug"])
        order = ChallengeOrder(
            profile,
            count=options["count"],
            lifetime=options["expires"],
            subject=options["subject"],
            subject_dn=options["subject_dn"],
            serial_number=options["serial_number"],
            sans=options["san"],
            networks=options["network"],
            group=device_group_named(options["devices"]) if options["devices"] else None,
            created_for=options["created_for"],
        )
        officer = maker_named(options["officer"])
        created = create_challenges(order, principal=command_principal(officer), now=timezone.now())
        document = [
            {
                "challenge": secret.reveal(),
                "id": str(challenge.pk),
                "profile": profile.slug,
                "subject": challenge.subject,
                "bound_to": list(challenge.phrases()),
                "expires_at": iso(challenge.expires_at),
            }
            for challenge, secret in created
        ]
        self.say(options, document, "\n".join(secret.reveal() for _, secret in created))
        if not options["json"]:
            self.note(
                f"Each works once, until {iso(created[0][0].expires_at)}. They cannot be shown "
                "again."
            )


def _add_bindings(parser: ArgumentParser) -> None:
    parser.add_argument("--subject", default="", metavar="NAME", help="bind to this common name")
    parser.add_argument(
        "--subject-dn",
        default="",
        metavar="DN",
        help="bind to this whole subject: CN=r1,O=Example",
    )
    parser.add_argument(
        "--serial-number", default="", metavar="TEXT", help="bind to this serialNumber"
    )
    parser.add_argument(
        "--san",
        action="append",
        default=[],
        metavar="KIND:NAME",
        help="bind to alternative names; may be repeated",
    )
    parser.add_argument(
        "--network", action="append", default=[], metavar="CIDR", help="bind; may be repeated"
    )
    parser.add_argument(
        "--devices", metavar="GROUP", help="bind to the expected devices of this group"
    )
