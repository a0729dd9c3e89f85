"""`./portal keys list|block|unblock`: public keys that are never certified."""

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from ca.certificates.key_blocks import block_key, blocked_keys, unblock_key
from ca.models.keys import BlockedKey
from pkiportal.management.arguments import command_principal
from pkiportal.management.output import iso, table
from pkiportal.management.portal_command import PortalCommand


class Command(PortalCommand):
    """The block list: keys known as compromised before a certificate over them was revoked."""

    help = "List, block and unblock public keys."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add action and key."""
        actions = parser.add_subparsers(dest="action", required=True, metavar="list|block|unblock")
        listing = actions.add_parser("list", help="the block list, newest entry first")
        blocking = actions.add_parser("block", help="issue no certificate for this key from now on")
        unblocking = actions.add_parser("unblock", help="take a key off the list")
        for action in (blocking, unblocking):
            action.add_argument("sha256", metavar="SHA256", help="of the SubjectPublicKeyInfo, hex")
        blocking.add_argument(
            "--reason", required=True, metavar="TEXT", help="why; officers read it"
        )
        unblocking.add_argument(
            "--comment", default="", metavar="TEXT", help="why; stands in the log"
        )
        for action in (listing, blocking, unblocking):
            self.add_json(action)

    def run(self, options: dict[str, Any]) -> None:
        """Run one action."""
        match options["action"]:
            case "list":
                rows = [_document(row) for row in blocked_keys()]
                self.say(options, rows, lambda: _as_table(rows))
            case "block":
                entry = block_key(
                    options["sha256"],
                    reason=options["reason"],
                    principal=command_principal(),
                    now=timezone.now(),
                )
                self.say(options, _document(entry), f"{entry.spki_sha256}: blocked")
            case _:
                unblock_key(
                    options["sha256"],
                    comment=options["comment"],
                    principal=command_principal(),
                    now=timezone.now(),
                )
                self.say(
                    options,
                    {"unblocked": options["sha256"]},
                    f"{options['sha256']}: not blocked any longer",
                )


def _document(row: BlockedKey) -> dict[str, Any]:
    return {
        "sha256": row.spki_sha256,
        "reason": row.reason,
        "blocked_at": iso(row.blocked_at),
        "blocked_by": row.blocked_by_name,
    }


def _as_table(rows: list[dict[str, Any]]) -> str:
    lines = [[row["sha256"], row["blocked_at"], row["blocked_by"], row["reason"]] for row in rows]
    return (
        table(["key (SHA-256)", "since", "by", "reason"], lines) if lines else "No key is blocked."
    )
