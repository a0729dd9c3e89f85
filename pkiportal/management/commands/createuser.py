"""`./portal createuser`: a person who signs in."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.utils import timezone

from accounts.people.manage import NewPerson, create_person
from accounts.people.password_links import LinkNotIssued, issue_link
from accounts.roles import Role
from pkiportal.management.arguments import command_principal, department_named, secret_from_stdin
from pkiportal.management.people_facts import link_document, link_text
from pkiportal.management.portal_command import PortalCommand


class Command(PortalCommand):
    """People set their password through a link; one set by a script is marked as set by command."""

    help = "Create a user with roles, and issue the link that sets the password."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the name, the roles and their departments."""
        parser.add_argument("name", metavar="NAME", help="the name to sign in with")
        parser.add_argument(
            "--role", action="append", required=True, choices=Role.values, help="may be repeated"
        )
        parser.add_argument("--email", default="")
        parser.add_argument(
            "--full-name", default="", metavar="NAME", help="what people read instead of the name"
        )
        parser.add_argument("--department", metavar="SLUG", help="the roles count only there")
        parser.add_argument(
            "--password-stdin",
            action="store_true",
            help=(
                "instead of the link: read the password from the first line of stdin; decisions "
                "are marked"
            ),
        )
        self.add_json(parser)

    def run(self, options: dict[str, Any]) -> None:
        """Create the person."""
        person = NewPerson(
            username=options["name"],
            password=secret_from_stdin() if options["password_stdin"] else "",
            roles=tuple(Role(role) for role in dict.fromkeys(options["role"])),
            email=options["email"],
            full_name=options["full_name"],
            department=department_named(options["department"]),
        )
        now = timezone.now()
        try:
            user = create_person(person, principal=command_principal(), now=now)
        except ValidationError as error:
            raise CommandError(f"user {options['name']!r}: {' '.join(error.messages)}") from error
        document = {
            "name": user.username,
            "id": str(user.pk),
            "roles": [role.value for role in person.roles],
            "email": user.email,
            "department": options["department"],
        }
        where = f" in {options['department']}" if options["department"] else ""
        text = f"Created {user.username}: {', '.join(document['roles'])}{where}"
        if person.password:
            self.say(
                options,
                document | {"password_link": None, "mailed_to": None, "expires_at": None},
                text,
            )
            return
        try:
            link = issue_link(user, principal=command_principal(), now=now)
        except LinkNotIssued as refusal:
            raise CommandError(
                f"{text}. {refusal}: ./portal users setup-link {user.username}"
            ) from refusal
        self.say(options, document | link_document(link), f"{text}\n{link_text(link)}")
