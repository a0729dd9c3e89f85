"""`./portal demo`: a throw-away device enrolls over real HTTP and shows each step."""

import secrets
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.management.base import CommandError

from pkiportal.management.arguments import secret_from
from pkiportal.management.demo.device import DemoDevice, DemoFault, Outcome
from pkiportal.management.demo.display import Display
from pkiportal.management.portal_command import PortalCommand
from pkiportal.management.profile_facts import nearby_scep_url
from scep.protocol.constants import PKIStatus
from scep.protocol.requests import BadCertRep
from scep.transport import HttpError, fetch

STILL_PENDING = 3
_WAIT_SECONDS = 600


class Command(PortalCommand):
    """Status 0: certificate received and checked; 1: refused or broken; 3: still pending."""

    help = "Enroll a throw-away device and show each step."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add address, name and output folder."""
        parser.add_argument("--url", help="SCEP address; without it the profile's on this portal")
        parser.add_argument(
            "--profile", default="demo", metavar="SLUG", help="enrollment profile (demo)"
        )
        parser.add_argument(
            "--out",
            type=Path,
            metavar="DIR",
            help="write key, certificate and CA certificates there",
        )
        parser.add_argument(
            "--name", metavar="CN", help="common name and DNS name (demo-….example)"
        )
        parser.add_argument(
            "--wait",
            type=float,
            default=_WAIT_SECONDS,
            metavar="SECONDS",
            help="how long to poll (600)",
        )
        parser.add_argument(
            "--challenge-file",
            metavar="F",
            help="holds the challenge in its first line; - is stdin",
        )
        self.add_json(parser)

    def run(self, options: dict[str, Any]) -> None:
        """Enroll, and exit with the status of the result."""
        url = options["url"] or nearby_scep_url(options["profile"])
        name = options["name"] or f"demo-{secrets.token_hex(3)}.example"
        challenge = secret_from(options["challenge_file"]) if options["challenge_file"] else None
        display = Display(self.stdout, is_quiet=options["json"], is_terminal=sys.stdout.isatty())
        try:
            device = DemoDevice(name, make_key(), url=url, http=fetch, display=display)
            if options["out"] is not None:
                device.keep_in(options["out"])
            outcome = device.enroll(challenge=challenge, wait=options["wait"])
        except (HttpError, BadCertRep, DemoFault) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{error.filename or url}: {error.strerror}") from error
        if options["json"]:
            self.say(options, outcome.to_json(), "")
        self._end(outcome)

    def _end(self, outcome: Outcome) -> None:
        if outcome.status is PKIStatus.PENDING:
            self.note(
                f"Still pending: an officer decides on transactionID {outcome.transaction_id}."
            )
            raise SystemExit(STILL_PENDING)
        if outcome.status is PKIStatus.FAILURE:
            raise CommandError(outcome.refusal)


def make_key() -> rsa.RSAPrivateKey:
    """Return a fresh device key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)
