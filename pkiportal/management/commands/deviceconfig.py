"""`./portal deviceconfig`: the text to paste into a device, or Apple's profile as a file."""

import base64
import os
from argparse import ArgumentParser
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from approvals.device_setup.configurations.clients import APPLE, CLIENTS
from approvals.device_setup.configurations.facts import Configuration, NotExpressible
from approvals.device_setup.setup import (
    ConfigurationTarget,
    WantedNames,
    check_address,
    check_wanted,
    configuration_facts,
    create_configuration_challenge,
    signed_mobileconfig,
)
from approvals.models.profiles import EnrollmentProfile
from database.encryption import Secret
from pkiportal.management.arguments import (
    command_principal,
    duration,
    officer_named,
    profile_named,
)
from pkiportal.management.portal_command import PortalCommand

_PRIVATE = 0o600


class Command(PortalCommand):
    """With `--challenge new` the output holds a secret: a file is created with mode 0600."""

    help = (
        "Print what to paste into a device so that it enrolls, or write Apple's configuration "
        "profile."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add profile, client, device names, challenge and output file."""
        parser.add_argument("slug", metavar="PROFILE", help="the enrollment profile")
        parser.add_argument(
            "client", metavar="CLIENT", choices=sorted(CLIENTS), help=", ".join(sorted(CLIENTS))
        )
        parser.add_argument("--cn", default="", metavar="NAME", help="common name of the device")
        parser.add_argument(
            "--organization", default="", metavar="NAME", help="organization in its subject"
        )
        parser.add_argument(
            "--san",
            action="append",
            default=[],
            metavar="KIND:NAME",
            help="alternative name; may be repeated",
        )
        parser.add_argument(
            "--challenge", choices=["new"], help="make a one-time challenge and put it in"
        )
        parser.add_argument(
            "--expires",
            type=duration,
            default=timedelta(hours=1),
            metavar="TIME",
            help="life of the challenge (1h)",
        )
        parser.add_argument(
            "--officer",
            metavar="NAME",
            help="who asked for it; will not be able to approve its use",
        )
        parser.add_argument(
            "--out", type=Path, metavar="FILE", help="write there instead of printing"
        )
        self.add_json(parser)

    def run(self, options: dict[str, Any]) -> None:
        """Check the names, create the challenge, write."""
        profile, client = profile_named(options["slug"]), CLIENTS[options["client"]]
        check_address(profile, client)
        names = check_wanted(
            profile, WantedNames(options["cn"], options["organization"], tuple(options["san"]))
        )
        secret = None
        if options["challenge"]:
            secret = _challenge(
                ConfigurationTarget(profile, client, names, options["expires"]), options["officer"]
            )
        facts = configuration_facts(profile, names, secret)
        try:
            configuration = client.render(facts)
        except NotExpressible as error:
            raise CommandError(str(error)) from error
        document = _document(profile, client.slug, configuration)
        content = f"{configuration.as_text()}\n".encode()
        if client.slug == APPLE:
            content, signed = signed_mobileconfig(profile, facts, now=timezone.now())
            document |= {"mobileconfig": base64.b64encode(content).decode(), "signed": signed}
            if not signed:
                self.note(
                    "Not signed yet: the portal's key is certified by the signing worker, within "
                    "seconds."
                )
        self._write(options, document, content)
        for warning in configuration.warnings:
            self.note(warning)

    def _write(self, options: dict[str, Any], document: dict[str, Any], content: bytes) -> None:
        out: Path | None = options["out"]
        if out is not None:
            try:
                descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
            except OSError as error:
                raise CommandError(f"{out}: {error.strerror}") from error
            document["file"] = str(out)
        if out is None and options["client"] == APPLE and not options["json"]:
            raise CommandError("a configuration profile is a file: say where with --out FILE")
        self.say(options, document, f"wrote {out}" if out else content.decode().rstrip("\n"))


def _challenge(recipient: ConfigurationTarget, officer_name: str | None) -> Secret:
    officer = officer_named(officer_name) if officer_name else None
    principal = command_principal(officer)
    return create_configuration_challenge(recipient, principal=principal, now=timezone.now())


def _document(
    profile: EnrollmentProfile, client: str, configuration: Configuration
) -> dict[str, Any]:
    return {
        "profile": profile.slug,
        "client": client,
        "steps": [
            {"title": step.title, "text": step.text, "fields": dict(step.fields)}
            for step in configuration.steps
        ],
        "compare": [
            {"authority": item.authority, "digest": item.digest, "text": item.text}
            for item in configuration.compare
        ],
        "warnings": list(configuration.warnings),
    }
