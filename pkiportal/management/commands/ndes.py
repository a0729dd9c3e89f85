"""`./portal ndes list|create|password|disable`: accounts of MDMs that fetch challenges as NDES."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone

from approvals.challenge_orders.ndes import unused
from approvals.challenge_orders.ndes_accounts import (
    NdesAccountOrder,
    create_ndes_account,
    disable_ndes_account,
    replace_password,
)
from approvals.models.ndes import NdesAccount, NdesEncoding
from pkiportal.management.arguments import (
    command_principal,
    duration,
    profile_named,
    unknown,
)
from pkiportal.management.output import iso, table
from pkiportal.management.portal_command import PortalCommand
from pkiportal.management.profile_facts import scep_url


class Command(PortalCommand):
    """The password is created here, printed once, and stored only as a hash."""

    help = "List, make and disable NDES accounts; give one a new password."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add action and account."""
        actions = parser.add_subparsers(
            dest="action", required=True, metavar="list|create|password|disable"
        )
        listing = actions.add_parser("list", help="every account")
        creating = actions.add_parser("create", help="make an account and print its password")
        creating.add_argument("name", metavar="NAME", help="the name to sign in with")
        creating.add_argument(
            "--profile", required=True, metavar="SLUG", help="a profile with one-time challenges"
        )
        creating.add_argument("--owner", required=True, metavar="TEXT", help="its contact")
        creating.add_argument(
            "--network", action="append", default=[], metavar="CIDR", help="may be repeated"
        )
        creating.add_argument(
            "--max-unused", type=int, default=5, metavar="N", help="challenges that may wait (5)"
        )
        creating.add_argument(
            "--lifetime",
            type=duration,
            default=timedelta(minutes=60),
            metavar="TIME",
            help="of a challenge (60m)",
        )
        creating.add_argument(
            "--encoding", choices=NdesEncoding.values, default=NdesEncoding.UTF_16.value
        )
        renewing = actions.add_parser(
            "password", help="give an account a new password and print it"
        )
        disabling = actions.add_parser("disable", help="take an account its right for good")
        for action in (renewing, disabling):
            action.add_argument("name", metavar="NAME")
        for action in (listing, creating, renewing, disabling):
            self.add_json(action)

    def run(self, options: dict[str, Any]) -> None:
        """Run one action."""
        match options["action"]:
            case "list":
                self._list(options)
            case "create":
                self._create(options)
            case "password":
                self._password(options)
            case _:
                self._disable(options)

    def _list(self, options: dict[str, Any]) -> None:
        accounts = NdesAccount.objects.select_related("profile").order_by("name")
        documents = [_document(account) for account in accounts]
        rows = [
            [
                item["name"],
                item["profile"],
                item["owner"],
                f"{item['unused']} of {item['max_unused']}",
            ]
            + (["disabled"] if item["disabled_at"] else [])
            for item in documents
        ]
        headings = ["account", "profile", "owner", "unused", ""]
        self.say(options, documents, table(headings, rows) if rows else "There is no NDES account.")

    def _create(self, options: dict[str, Any]) -> None:
        order = NdesAccountOrder(
            name=options["name"],
            profile=profile_named(options["profile"]),
            owner=options["owner"],
            networks=tuple(options["network"]),
            max_unused=options["max_unused"],
            lifetime=options["lifetime"],
            encoding=options["encoding"],
        )
        account, secret = create_ndes_account(
            order, principal=command_principal(), now=timezone.now()
        )
        self._shown(options, account, secret.reveal())

    def _password(self, options: dict[str, Any]) -> None:
        account = _account_named(options["name"])
        secret = replace_password(account, principal=command_principal(), now=timezone.now())
        self._shown(options, account, secret.reveal())

    def _disable(self, options: dict[str, Any]) -> None:
        account = _account_named(options["name"])
        if not disable_ndes_account(account, principal=command_principal(), now=timezone.now()):
            raise CommandError(f"NDES account {account.name} is disabled already")
        self.say(
            options, _document(account), f"Disabled {account.name}: it gets no challenge any more."
        )

    def _shown(self, options: dict[str, Any], account: NdesAccount, password: str) -> None:
        self.say(options, _document(account) | {"password": password}, password)
        if not options["json"]:
            self.note(f"The password of {account.name} at {_address()}. It cannot be shown again.")


def _document(account: NdesAccount) -> dict[str, Any]:
    return {
        "name": account.name,
        "id": str(account.pk),
        "profile": account.profile.slug,
        "owner": account.owner,
        "admin_url": _address(),
        "scep_url": scep_url(account.profile.slug),
        "networks": list(account.networks),
        "max_unused": account.max_unused,
        "unused": unused(account, now=timezone.now()),
        "lifetime_s": int(account.lifetime.total_seconds()),
        "encoding": str(account.encoding),
        "created_at": iso(account.created_at),
        "disabled_at": iso(account.disabled_at),
    }


def _address() -> str:
    return f"{settings.PORTAL_PUBLIC_URL}/certsrv/mscep_admin/"


def _account_named(name: str) -> NdesAccount:
    account = (
        NdesAccount.objects.select_related("profile__department").filter(name=name.lower()).first()
    )
    if account is None:
        raise unknown("NDES account", name, NdesAccount.objects.values_list("name", flat=True))
    return account
