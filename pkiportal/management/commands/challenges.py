"""`./portal challenges`: one-time challenges from lists, and their use; static ones."""

from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any, Final

from django.core.management.base import CommandError
from django.utils import timezone

from approvals.challenges.lists import ListedChallenge, make_list, read_list, write_list
from approvals.challenges.onetime import withdraw_challenge
from approvals.challenges.static import current, reveal_static, set_static
from approvals.models.challenges import ChallengePassword, StaticChallenge
from pkiportal.management.arguments import (
    command_principal,
    content_of,
    duration,
    duration_or_none,
    identifier,
    maker_named,
    profile_named,
    secret_from,
)
from pkiportal.management.output import facts, iso, table
from pkiportal.management.portal_command import PortalCommand

_EVERY: Final = 500  # rows between two progress messages
_MAX_LISTED: Final = 1000


class Command(PortalCommand):
    """Secrets go to stdout, once; everything else to stderr."""

    help = (
        "List and show challenges, make them from a list, withdraw them; rotate and reveal static "
        "ones."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the actions."""
        actions = parser.add_subparsers(
            dest="action", required=True, metavar="list|show|make|withdraw|rotate|reveal"
        )
        listing = actions.add_parser(
            "list", help=f"one-time challenges, newest first, at most {_MAX_LISTED:,}"
        )
        listing.add_argument("--profile", metavar="SLUG")
        showing = actions.add_parser(
            "show", help="one challenge: who made it, for what, and what came of it"
        )
        showing.add_argument("id", metavar="ID")
        _add_make(
            actions.add_parser(
                "make", help="make one-time challenges from a CSV list; prints CSV, once"
            )
        )
        withdrawing = actions.add_parser(
            "withdraw", help="make one-time challenges worthless before they are used"
        )
        withdrawing.add_argument("ids", nargs="+", metavar="ID")
        rotating = actions.add_parser("rotate", help="set the static challenge of a profile")
        rotating.add_argument("slug", metavar="SLUG")
        rotating.add_argument(
            "--secret-file", required=True, metavar="F", help="its first line; - is stdin"
        )
        rotating.add_argument(
            "--overlap",
            type=duration_or_none,
            default=timedelta(0),
            metavar="TIME",
            help="the old one is taken on (0)",
        )
        revealing = actions.add_parser(
            "reveal", help="print the static challenge of a profile; the log says who did"
        )
        revealing.add_argument("slug", metavar="SLUG")
        for action in (listing, showing, withdrawing, rotating):
            self.add_json(action)

    def run(self, options: dict[str, Any]) -> None:
        """Run one action."""
        getattr(self, f"_{options['action']}")(options, timezone.now())

    def _list(self, options: dict[str, Any], now: datetime) -> None:
        rows = ChallengePassword.objects.select_related("profile", "created_by", "group").order_by(
            "-id"
        )
        if options["profile"]:
            rows = rows.filter(profile=profile_named(options["profile"]))
        documents = [_document(row, now) for row in rows[:_MAX_LISTED]]
        lines = [
            [row["id"], row["state"], row["profile"], row["bound_to"], row["expires_at"]]
            for row in documents
        ]
        headings = ["challenge", "state", "profile", "bound to", "expires"]
        self.say(
            options,
            documents,
            lambda: table(headings, lines) if lines else "No challenge was made yet.",
        )

    def _show(self, options: dict[str, Any], now: datetime) -> None:
        key = identifier(options["id"], of="challenge")
        rows = ChallengePassword.objects.select_related(
            "profile", "created_by", "group", "redeemed_by__certificate"
        )
        row = rows.filter(pk=key).first()
        static = (
            StaticChallenge.objects.select_related("profile", "created_by").filter(pk=key).first()
        )
        if row is None and static is None:
            raise CommandError(f"challenge {key}: not known")
        document = _document(row, now) if row else _static_document(static, now) if static else {}
        self.say(options, document, facts(list(document.items())))

    def _make(self, options: dict[str, Any], now: datetime) -> None:
        profile, user = profile_named(options["slug"]), maker_named(options["officer"])
        orders = read_list(
            content_of(options["file"]), profile=profile, lifetime=options["expires"]
        )
        created = make_list(
            orders, principal=command_principal(user), now=now, progress=self._progress(len(orders))
        )
        self._print(created)

    def _print(self, created: list[ListedChallenge]) -> None:
        self.stdout.write(write_list(created).decode("utf-8-sig").replace("\r\n", "\n"), ending="")
        self.note(f"{len(created)} challenges made. They cannot be shown again.")

    def _progress(self, total: int) -> Any:
        def say(done: int) -> None:
            if done % _EVERY == 0 and done < total:
                self.note(f"{done:,} of {total:,}")

        return say

    def _withdraw(self, options: dict[str, Any], now: datetime) -> None:
        keys = [identifier(text, of="challenge") for text in options["ids"]]
        for key in keys:
            withdraw_challenge(challenge_id=key, principal=command_principal(), now=now)
        self.say(
            options,
            [{"id": str(key), "state": "withdrawn"} for key in keys],
            f"Withdrawn: {len(keys)}.",
        )

    def _rotate(self, options: dict[str, Any], now: datetime) -> None:
        profile, text = profile_named(options["slug"]), secret_from(options["secret_file"])
        row = set_static(
            profile, text, principal=command_principal(), now=now, overlap=options["overlap"]
        )
        until = now + options["overlap"] if options["overlap"] else None
        document = {"id": str(row.pk), "profile": profile.slug, "old_until": iso(until)}
        old = (
            f"the one before is taken until {iso(until)}"
            if until
            else "the one before opens nothing any more"
        )
        self.say(options, document, f"The static challenge of {profile.slug} is set; {old}.")

    def _reveal(self, options: dict[str, Any], now: datetime) -> None:
        profile = profile_named(options["slug"])
        row = current(profile)
        if row is None:
            raise CommandError(
                f"profile {profile.slug}: no static challenge is set, see `./portal challenges "
                "rotate`"
            )
        self.stdout.write(
            reveal_static(challenge_id=row.pk, principal=command_principal(), now=now).reveal()
        )


def _add_make(parser: ArgumentParser) -> None:
    parser.add_argument("slug", metavar="SLUG", help="the enrollment profile")
    parser.add_argument("file", metavar="FILE", help="CSV; - is standard input")
    parser.add_argument(
        "--expires", type=duration, default=timedelta(days=7), metavar="TIME", help="(7d)"
    )
    parser.add_argument(
        "--officer", metavar="NAME", help="who asked for it; cannot approve what uses them"
    )


def _document(row: ChallengePassword, now: datetime) -> dict[str, Any]:
    request = row.redeemed_by
    certificate = request.certificate if request else None
    return {
        "id": str(row.pk),
        "kind": "one-time",
        "profile": row.profile.slug,
        "state": row.state_at(now),
        "bound_to": list(row.phrases()),
        "created_at": iso(row.created_at),
        "created_by": row.created_by.username if row.created_by else None,
        "run_by": row.created_by_name or None,
        "origin": row.origin,
        "created_for": row.created_for,
        "expires_at": iso(row.expires_at),
        "redeemed_at": iso(row.redeemed_at),
        "redeemed_from": request.address if request else None,
        "request": str(request.pk) if request else None,
        "serial": certificate.serial_hex if certificate else None,
        "withdrawn_at": iso(row.withdrawn_at),
    }


def _static_document(row: StaticChallenge, now: datetime) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "kind": "static",
        "profile": row.profile.slug,
        "state": "taken" if row.is_taken_at(now) else "over",
        "created_at": iso(row.created_at),
        "created_by": row.created_by.username if row.created_by else None,
        "run_by": row.created_by_name or None,
        "origin": row.origin,
        "retires_at": iso(row.retires_at),
        "requests": row.uses.count(),
    }
