"""`./portal validation set|show|test`: services that check challenges for profiles."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from approvals.models.validations import ServiceKind, ValidationService
from approvals.profiles.manage import set_service
from approvals.validation.services import host_of, probe
from pkiportal.management.arguments import USAGE, command_principal, profile_named
from pkiportal.management.output import table
from pkiportal.management.portal_command import PortalCommand
from pkiportal.management.service_options import (
    add_service_options,
    service_document,
    service_order,
)


class Command(PortalCommand):
    """Secrets come from files or standard input, and are never printed."""

    help = "Set, list and test the services that profiles ask about challenges."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add action and profile."""
        actions = parser.add_subparsers(dest="action", required=True, metavar="set|list|test")
        change = actions.add_parser("set", help="let a profile ask this service from now on")
        change.add_argument("slug", metavar="SLUG", help="the enrollment profile")
        change.add_argument("--kind", required=True, choices=ServiceKind.values)
        change.add_argument(
            "--secret-file",
            metavar="F",
            help="the secret in its first line, - is stdin; none: the one on record stays",
        )
        add_service_options(change)
        listing = actions.add_parser("list", help="every service with what was last heard of it")
        trial = actions.add_parser("test", help="call it from here, without any request")
        trial.add_argument("slug", metavar="SLUG", help="the enrollment profile")
        for action in (change, listing, trial):
            self.add_json(action)

    def run(self, options: dict[str, Any]) -> None:
        """Run one action."""
        {"set": self._set, "list": self._list, "test": self._test}[options["action"]](options)

    def _set(self, options: dict[str, Any]) -> None:
        profile = profile_named(options["slug"])
        order = service_order(options, options["kind"])
        service = set_service(profile, order, principal=command_principal(), now=timezone.now())
        text = (
            f"{profile.slug} asks {host_of(service)} from now on. Try it: ./portal validation test "
            f"{profile.slug}"
        )
        self.say(options, service_document(service), text)

    def _list(self, options: dict[str, Any]) -> None:
        services = ValidationService.objects.select_related("profile").order_by("profile__slug")
        documents = [service_document(service) for service in services]
        rows = [
            [
                item["profile"],
                item["kind"],
                item["host"],
                item["last_answer_at"],
                item["last_fault"],
            ]
            + ([] if item["in_use"] else ["not in use"])
            for item in documents
        ]
        headings = ["profile", "kind", "asks", "last answer", "last fault", ""]
        self.say(
            options, documents, table(headings, rows) if rows else "No profile asks a service."
        )

    def _test(self, options: dict[str, Any]) -> None:
        profile = profile_named(options["slug"])
        service = (
            ValidationService.objects.select_related("profile__department")
            .filter(pk=profile.pk)
            .first()
        )
        if service is None:
            raise CommandError(
                f"{profile.slug} asks no service: ./portal validation set", returncode=USAGE
            )
        works, text = probe(service, principal=command_principal(), now=timezone.now())
        if not works:
            raise CommandError(f"{host_of(service)}: {text}")
        self.say(
            options,
            {"profile": profile.slug, "works": works, "text": text},
            f"{host_of(service)}: {text}",
        )
