"""`./portal tokens list|create|revoke`: credentials of programs for the REST door."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from accounts.models.people import ApiToken, User
from accounts.roles import Verb
from accounts.tokens import API_VERBS, TokenInvalid, TokenOrder, create_token, revoke_token
from pkiportal.management.arguments import (
    command_principal,
    department_named,
    duration,
    profile_named,
    unknown,
)
from pkiportal.management.output import iso, table
from pkiportal.management.portal_command import PortalCommand


class Command(PortalCommand):
    """A token belongs to a person and never has more rights than that person."""

    help = "List, make and revoke API tokens."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the action."""
        actions = parser.add_subparsers(dest="action", required=True, metavar="list|create|revoke")
        listing = actions.add_parser("list", help="every token, newest first")
        creating = actions.add_parser("create", help="make a token and print it")
        creating.add_argument("name", metavar="NAME", help="which program has it")
        creating.add_argument("--owner", required=True, metavar="USER", help="whose rights it has")
        creating.add_argument(
            "--scope",
            action="append",
            required=True,
            choices=[verb.value for verb in API_VERBS],
            help="may be repeated",
        )
        creating.add_argument(
            "--expires", type=duration, default=timedelta(days=90), metavar="TIME", help="90d"
        )
        creating.add_argument(
            "--profile", action="append", default=[], metavar="SLUG", help="only for these profiles"
        )
        creating.add_argument("--department", metavar="SLUG", help="only there")
        creating.add_argument(
            "--network", action="append", default=[], metavar="CIDR", help="only from there"
        )
        revoking = actions.add_parser("revoke", help="make a token worthless at once")
        revoking.add_argument("prefix", metavar="PREFIX", help="the ten digits after pkip_")
        for action in (listing, creating, revoking):
            self.add_json(action)

    def run(self, options: dict[str, Any]) -> None:
        """Run one action."""
        match options["action"]:
            case "list":
                self._list(options)
            case "create":
                self._create(options)
            case _:
                self._revoke(options)

    def _list(self, options: dict[str, Any]) -> None:
        rows = ApiToken.objects.select_related("owner", "department").order_by("-id")
        documents = [_document(row) for row in rows]
        cells = [
            [
                item["prefix"],
                item["name"],
                item["owner"],
                " ".join(item["scopes"]),
                item["expires_at"],
                item["state"],
            ]
            for item in documents
        ]
        headings = ["prefix", "name", "owner", "scopes", "expires", "state"]
        self.say(options, documents, table(headings, cells) if cells else "There is no API token.")

    def _create(self, options: dict[str, Any]) -> None:
        order = TokenOrder(
            owner=_owner(options["owner"]),
            name=options["name"],
            scopes=[Verb(scope) for scope in options["scope"]],
            lifetime=options["expires"],
            department=department_named(options["department"]),
            profiles=[profile_named(slug).slug for slug in options["profile"]],
            networks=options["network"],
        )
        try:
            token, text = create_token(order, principal=command_principal(), now=timezone.now())
        except TokenInvalid as error:
            raise CommandError(str(error)) from error
        self.say(options, _document(token) | {"token": text}, text)
        if not options["json"]:
            self.note(f"Good until {iso(token.expires_at)}. It cannot be shown again.")

    def _revoke(self, options: dict[str, Any]) -> None:
        prefix = options["prefix"].removeprefix("pkip_").partition("_")[0]
        token = ApiToken.objects.select_related("owner", "department").filter(prefix=prefix).first()
        if token is None:
            raise CommandError(f"token {prefix!r}: not known, see `./portal tokens list`")
        if not revoke_token(token, principal=command_principal(), now=timezone.now()):
            raise CommandError(f"token {prefix} is revoked already")
        self.say(
            options,
            _document(token),
            f"Revoked {token.name} ({token.prefix}): it opens nothing any more.",
        )


def _document(token: ApiToken) -> dict[str, Any]:
    return {
        "id": str(token.pk),
        "prefix": token.prefix,
        "name": token.name,
        "owner": token.owner.username,
        "scopes": list(token.scopes),
        "profiles": list(token.profiles),
        "department": token.department.slug if token.department else None,
        "networks": list(token.networks),
        "created_at": iso(token.created_at),
        "expires_at": iso(token.expires_at),
        "last_used_at": iso(token.last_used_at),
        "revoked_at": iso(token.revoked_at),
        "state": _state(token),
    }


def _state(token: ApiToken) -> str:
    if token.revoked_at is not None:
        return "revoked"
    return "expired" if token.expires_at <= timezone.now() else "active"


def _owner(name: str) -> User:
    owner = User.objects.filter(username=name, is_active=True).first()
    if owner is None:
        raise unknown(
            "user", name, User.objects.filter(is_active=True).values_list("username", flat=True)
        )
    return owner
