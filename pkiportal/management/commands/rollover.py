"""`./portal rollover`: replace one CA by another, in stages."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from approvals.profiles.rollovers import fixed_addresses, needed_shapes, switch_over
from ca.models.authorities import AuthorityRollover, CertificateAuthority
from ca.models.lineage import open_rollover
from ca.signing.authorities import AuthorityRequest
from ca.signing.crl import issue_crl
from ca.signing.rollover import cancel_rollover, publish_rollover, stage_rollover
from pkiportal.management.arguments import USAGE, authority_named, command_principal
from pkiportal.management.output import iso, table
from pkiportal.management.portal_command import PortalCommand
from pkiportal.management.ra_certificates import make_ready

_STAGES = ("staged", "published", "switched", "cancelled")
_DONE = {
    "stage": (
        "Staged: {next} follows {ca}. Nothing changes for devices until `./portal rollover publish "
        "{ca}`."
    ),
    "publish": (
        "Published: devices of {ca} are told of {next}, and get certificates of it if they ask for "
        "them."
    ),
    "switch": "Switched: the profiles of {ca} point to {next}: {profiles}.",
    "cancel": "Cancelled: {ca} stays, {next} is not used.",
}


class Command(PortalCommand):
    """Stage, publish and cancel as the user of the signing worker; switch as the web's user."""

    help = "Let a next CA take the place of a CA, in stages."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the stage, and the authority to be replaced."""
        actions = parser.add_subparsers(
            dest="action", required=True, metavar="list|stage|publish|switch|cancel"
        )
        self.add_json(actions.add_parser("list", help="the rollovers there are and were"))
        staging = actions.add_parser("stage", help="create the next CA")
        publishing = actions.add_parser(
            "publish", help="tell devices of the next CA (GetNextCACert)"
        )
        switching = actions.add_parser(
            "switch", help="let the next CA issue for the profiles of the current one"
        )
        cancelling = actions.add_parser("cancel", help="give up, before the switch")
        for action in (staging, publishing, switching, cancelling):
            action.add_argument("ca", metavar="NAME", help="the current authority")
            self.add_json(action)
        _add_authority(staging)
        publishing.add_argument(
            "--fixed-addresses",
            action="store_true",
            help="publish although certificate profiles name addresses of the current CA",
        )

    def run(self, options: dict[str, Any]) -> None:
        """Run one stage."""
        if options["action"] == "list":
            rows = AuthorityRollover.objects.select_related("ca", "next_ca").order_by("id")
            documents = [_document(rollover) for rollover in rows]
            self.say(options, documents, _as_table(documents))
            return
        ca = authority_named(options["ca"])
        document = getattr(self, f"_{options['action']}")(ca, options)
        text = _DONE[options["action"]].format(
            ca=ca.name, next=document["next"], profiles=", ".join(document["profiles"]) or "none"
        )
        self.say(options, document, text)

    def _stage(self, ca: CertificateAuthority, options: dict[str, Any]) -> dict[str, Any]:
        authority_request = AuthorityRequest(
            name=options["next"],
            subject=options["subject"],
            key_type=options["key"],
            parent=_parent_of(ca, options),
            days=options["days"],
            is_test=ca.is_test,
        )
        rollover = stage_rollover(
            ca, authority_request, principal=command_principal(), now=timezone.now()
        )
        issue_crl(rollover.next_ca, now=timezone.now(), principal=command_principal())
        for is_split in sorted({False, *(shape.is_split for shape in needed_shapes(ca))}):
            if not options["no_ra_key"]:
                make_ready(rollover.next_ca, note=self.note, is_split=is_split)
        for address in fixed_addresses(ca):
            self.note(
                f"{address} would stand in certificates of {rollover.next_ca.name}: write {{ca}} "
                "for the name"
            )
        return _document(rollover)

    def _publish(self, ca: CertificateAuthority, options: dict[str, Any]) -> dict[str, Any]:
        rollover = _open(ca)
        fixed = fixed_addresses(ca)
        if fixed and not options["fixed_addresses"]:
            raise CommandError(
                f"{'; '.join(fixed)}: this address of {ca.name} would stand in certificates of "
                f"{rollover.next_ca.name}; "
                "write {ca} for the name in the certificate profile, or give --fixed-addresses"
            )
        publish_rollover(
            rollover, needed=needed_shapes(ca), principal=command_principal(), now=timezone.now()
        )
        return _document(rollover)

    def _switch(self, ca: CertificateAuthority, options: dict[str, Any]) -> dict[str, Any]:
        rollover = _open(ca)
        changed = switch_over(rollover, principal=command_principal(), now=timezone.now())
        return _document(rollover) | {"profiles": [profile.slug for profile in changed]}

    def _cancel(self, ca: CertificateAuthority, options: dict[str, Any]) -> dict[str, Any]:
        rollover = _open(ca)
        cancel_rollover(rollover, principal=command_principal(), now=timezone.now())
        return _document(rollover)


def _add_authority(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--next", required=True, metavar="NAME", help="name of the next authority, which is made"
    )
    parser.add_argument(
        "--key",
        required=True,
        metavar="TYPE",
        help="rsa:2048, rsa:3072, rsa:4096, ec:p256, ec:p384",
    )
    parser.add_argument("--subject", required=True, help="another one than that of any CA here")
    above = parser.add_mutually_exclusive_group()
    above.add_argument(
        "--parent",
        metavar="NAME",
        help="the authority that signs it (the parent of the current one)",
    )
    above.add_argument("--root", action="store_true", help="make it a root")
    parser.add_argument("--days", type=int, default=3650, help="validity (3650)")
    parser.add_argument(
        "--no-ra-key", action="store_true", help="leave the RA key to the web's user"
    )


def _parent_of(ca: CertificateAuthority, options: dict[str, Any]) -> CertificateAuthority | None:
    if options["root"]:
        return None
    return authority_named(options["parent"]) if options["parent"] else ca.parent


def _open(ca: CertificateAuthority) -> AuthorityRollover:
    rollover = open_rollover(ca)
    if rollover is None:
        raise CommandError(
            f"authority {ca.name!r}: no rollover is open, see `./portal rollover stage`",
            returncode=USAGE,
        )
    return rollover


def _document(rollover: AuthorityRollover) -> dict[str, Any]:
    times = {f"{stage}_at": getattr(rollover, f"{stage}_at") for stage in _STAGES}
    return {
        "ca": rollover.ca.name,
        "next": rollover.next_ca.name,
        "stage": rollover.stage,
        **{name: iso(moment) if moment else None for name, moment in times.items()},
        "next_sha256": rollover.next_ca.certificate_sha256,
        "profiles": [],
    }


def _as_table(documents: list[dict[str, Any]]) -> str:
    fields = ("ca", "next", "stage", *(f"{stage}_at" for stage in _STAGES))
    lines = [[item[field] or "" for field in fields] for item in documents]
    return (
        table(["CA", "next", "stage", *_STAGES], lines)
        if lines
        else "No CA was ever followed by another one."
    )
