"""`./portal createchallenge`: one-time challenges, printed once."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from approvals.challenges import ChallengeOrder, create_challenges
from pkiportal.management.arguments import command_actor, duration, profile_named
from pkiportal.management.output import iso
from pkiportal.management.portal_command import PortalCommand


class Command(PortalCommand):
    """The clear texts go to stdout and are kept nowhere."""

    help = "Make one-time challenges for a profile and print them; they cannot be shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the profile, how many, for how long and for whom."""
        parser.add_argument("slug", metavar="SLUG", help="the enrollment profile")
        parser.add_argument("--count", type=int, default=1, metavar="N", help="how many (1)")
        parser.add_argument(
            "--expires", type=duration, default=timedelta(hours=1), metavar="TIME", help="90s, 30m, 1h, 7d (1h)"
        )
        parser.add_argument("--subject", default="", metavar="NAME", help="bind to this common name")
        self.add_json(parser)

    def run(self, options: dict[str, Any]) -> None:
        """Make and print them."""
        profile = profile_named(options["slug"])
        order = ChallengeOrder(profile, options["count"], options["expires"], options["subject"])
        try:
            made = create_challenges(order, actor=command_actor(), user=None, now=timezone.now())
        except ValueError as error:
            raise CommandError(str(error)) from error
        document = [
            {
                "challenge": secret.reveal(),
                "id": str(challenge.pk),
                "profile": profile.slug,
                "subject": challenge.subject,
                "expires_at": iso(challenge.expires_at),
            }
            for challenge, secret in made
        ]
        self.say(options, document, "\n".join(secret.reveal() for _, secret in made))
        if not options["json"]:
            self.note(f"Each works once, until {iso(made[0][0].expires_at)}. They cannot be shown again.")
