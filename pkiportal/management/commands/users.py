"""`./portal users list|show|roles|disable|enable|setup-link`: people, with audit entries."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction
from django.utils import timezone

from accounts.models.changes import AccountChange
from accounts.models.people import Department, RoleAssignment, User
from accounts.people.changes import sentence_of
from accounts.people.manage import (
    LastAdministrator,
    RoleUnchanged,
    grant_role,
    revoke_role,
    switch_account,
)
from accounts.people.password_links import LinkNotIssued, has_open_link, issue_link
from accounts.principals import Principal
from accounts.roles import Role
from pkiportal.management.arguments import USAGE, command_principal, department_named, unknown
from pkiportal.management.output import facts, iso, table
from pkiportal.management.people_facts import link_document, link_text
from pkiportal.management.portal_command import PortalCommand

_CHANGES = 20


class Command(PortalCommand):
    """The operating-system user acts; an administrator given with --by is recorded as asserted."""

    help = (
        "List and show people, change their roles, switch accounts off and on, issue password "
        "links."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add action and person."""
        actions = parser.add_subparsers(
            dest="action", required=True, metavar="list|show|roles|disable|enable|setup-link"
        )
        listing = actions.add_parser("list", help="every account with its roles")
        showing = actions.add_parser("show", help="one account, and changes that others made to it")
        roles = actions.add_parser("roles", help="grant roles and take them away")
        roles.add_argument(
            "--grant", action="append", default=[], choices=Role.values, help="may be repeated"
        )
        roles.add_argument(
            "--revoke", action="append", default=[], choices=Role.values, help="may be repeated"
        )
        roles.add_argument(
            "--department",
            metavar="SLUG",
            help="the roles of this department; without it: everywhere",
        )
        disabling = actions.add_parser(
            "disable", help="end sign-in, sessions and tokens of an account at once"
        )
        enabling = actions.add_parser("enable", help="let an account sign in again")
        linking = actions.add_parser(
            "setup-link", help="issue the link by which the person sets their password"
        )
        for action in (showing, roles, disabling, enabling, linking):
            action.add_argument("name", metavar="NAME", help="the name to sign in with")
        for action in (roles, disabling, enabling, linking):
            action.add_argument(
                "--by",
                metavar="NAME",
                help="on behalf of this administrator: asserted, not authenticated",
            )
        for action in (listing, showing, roles, disabling, enabling, linking):
            self.add_json(action)

    def run(self, options: dict[str, Any]) -> None:
        """Run one action."""
        match options["action"]:
            case "list":
                self._list(options)
            case "show":
                self._show(options)
            case "roles":
                self._roles(options)
            case "setup-link":
                self._link(options)
            case _:
                self._switch(options, is_active=options["action"] == "enable")

    def _list(self, options: dict[str, Any]) -> None:
        people = User.objects.prefetch_related("role_assignments__department").order_by("username")
        documents = [_document(user) for user in people]
        rows = [
            [
                item["name"],
                item["full_name"],
                ", ".join(item["roles"]),
                "yes" if item["active"] else "no",
                item["last_sign_in"],
            ]
            for item in documents
        ]
        self.say(
            options,
            documents,
            lambda: table(("Name", "Person", "Roles", "Active", "Last sign-in"), rows),
        )

    def _show(self, options: dict[str, Any]) -> None:
        user = _person_named(options["name"])
        changes = AccountChange.objects.filter(user=user).order_by("-at", "-pk")[:_CHANGES]
        document = _document(user) | {
            "has_password": user.has_usable_password(),
            "open_link": has_open_link(user, now=timezone.now()),
            "changes": [sentence_of(change) for change in changes],
        }
        pairs = [
            (name.replace("_", " "), value) for name, value in document.items() if name != "changes"
        ]
        self.say(
            options,
            document,
            facts([*pairs, *(("change", change) for change in document["changes"])]),
        )

    def _roles(self, options: dict[str, Any]) -> None:
        user, principal = _person_named(options["name"]), _principal(options)
        now = timezone.now()
        department = department_named(options["department"])
        if not options["grant"] and not options["revoke"]:
            raise CommandError("name a role with --grant or --revoke", returncode=USAGE)
        try:
            with transaction.atomic():
                for role in dict.fromkeys(options["grant"]):
                    grant_role(user, Role(role), department, principal=principal, now=now)
                for role in dict.fromkeys(options["revoke"]):
                    revoke_role(user, Role(role), department, principal=principal, now=now)
        except (RoleUnchanged, LastAdministrator) as refusal:
            raise CommandError(str(refusal)) from refusal
        document = _document(_person_named(user.username))
        self.say(options, document, f"{user.username}: {', '.join(document['roles']) or 'no role'}")

    def _switch(self, options: dict[str, Any], *, is_active: bool) -> None:
        user = _person_named(options["name"])
        state = "on" if is_active else "off"
        try:
            has_changed = switch_account(
                user, is_active=is_active, principal=_principal(options), now=timezone.now()
            )
        except LastAdministrator as refusal:
            raise CommandError(str(refusal)) from refusal
        if not has_changed:
            raise CommandError(f"user {user.username!r}: the account is switched {state} already")
        self.say(options, _document(user), f"{user.username}: the account is switched {state}")

    def _link(self, options: dict[str, Any]) -> None:
        user = _person_named(options["name"])
        try:
            link = issue_link(user, principal=_principal(options), now=timezone.now())
        except LinkNotIssued as refusal:
            raise CommandError(str(refusal)) from refusal
        self.say(options, {"name": user.username, **link_document(link)}, link_text(link))


def _principal(options: dict[str, Any]) -> Principal:
    """Return the operating-system user, on behalf of the administrator if one is named."""
    name = options["by"]
    if not name:
        return command_principal()
    administrators = User.objects.filter(
        is_active=True,
        role_assignments__role=Role.ADMINISTRATOR,
        role_assignments__department__isnull=True,
    )
    administrator = administrators.filter(username=name).first()
    if administrator is None:
        raise unknown("administrator", name, administrators.values_list("username", flat=True))
    return command_principal(administrator)


def _person_named(name: str) -> User:
    user = (
        User.objects.prefetch_related("role_assignments__department").filter(username=name).first()
    )
    if user is None:
        raise unknown("user", name, User.objects.values_list("username", flat=True))
    return user


def _document(user: User) -> dict[str, Any]:
    return {
        "name": user.username,
        "id": str(user.pk),
        "full_name": user.full_name,
        "email": user.email,
        "active": user.is_active,
        "roles": [_role(assignment) for assignment in user.role_assignments.all()],
        "last_sign_in": iso(user.last_login),
    }


def _role(assignment: RoleAssignment) -> str:
    department: Department | None = assignment.department
    return f"{assignment.role} in {department.slug}" if department else str(assignment.role)
