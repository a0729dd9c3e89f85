"""`./portal createprofile`: an enrollment profile together with its certificate profile."""

import re
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone

from approvals.models.profiles import VALIDATED, ApprovalMode, ChallengePolicy
from approvals.profiles.manage import ProfileRequest, create_enrollment_profile
from approvals.profiles.settings import GUESSED, RENEWAL, SCEP
from ca.content.profile_spec import AUTHORITY_NAME, SAN_KINDS, ProfileSpec
from pkiportal.management.arguments import (
    USAGE,
    authority_named,
    command_principal,
    device_group_named,
    secret_from,
    words,
)
from pkiportal.management.portal_command import PortalCommand
from pkiportal.management.profile_facts import profile_document
from pkiportal.management.profile_options import add_option, add_section, settings_in
from pkiportal.management.service_options import add_service_options, service_order

_KIND = re.compile(r"([a-z]+):(.+)", re.DOTALL)


class Command(PortalCommand):
    """Creates both kinds of profile under one name."""

    help = "Create an enrollment profile and its certificate profile."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the policy of the profile."""
        parser.add_argument("slug", metavar="SLUG", help="its SCEP address ends in /scep/SLUG/")
        parser.add_argument("--ca", required=True, metavar="NAME", help="the authority that issues")
        parser.add_argument("--approval", required=True, choices=ApprovalMode.values)
        parser.add_argument("--challenge", required=True, choices=ChallengePolicy.values)
        parser.add_argument(
            "--secret-file",
            metavar="F",
            help=(
                "holds the static challenge, or the secret shared with the service, in its first "
                "line; - is stdin"
            ),
        )
        _add_content(parser)
        parser.add_argument(
            "--devices", metavar="GROUP", help="expected devices, instead of a challenge"
        )
        for field in ("unlisted", "networks", "name_conflicts"):
            add_option(parser, field)
        parser.add_argument("--name", default="", help="what people read instead of the slug")
        parser.add_argument(
            "--crl-url", metavar="URL", help="address of the CRL, put into certificates"
        )
        parser.add_argument(
            "--ca-issuers-url",
            metavar="URL",
            help="address of the CA certificate, put into certificates",
        )
        _add_decisions(parser)
        add_option(parser, "is_default")
        add_service_options(parser)
        for section in (RENEWAL, SCEP, GUESSED):
            add_section(parser, section)
        self.add_json(parser)

    def run(self, options: dict[str, Any]) -> None:
        """Create both, or say which setting cannot be."""
        request = ProfileRequest(
            slug=options["slug"],
            ca=authority_named(options["ca"]),
            spec=_spec(options),
            approval=options["approval"],
            challenge=options["challenge"],
            static_challenge=_static_challenge(options),
            eligibility=device_group_named(options["devices"]) if options["devices"] else None,
            name=options["name"],
            allow_asserted_decisions=options["allow_asserted_decisions"],
            settings=settings_in(options),
            service=service_order(options, options["challenge"])
            if options["challenge"] in VALIDATED
            else None,
        )
        profile = create_enrollment_profile(
            request, principal=command_principal(), now=timezone.now()
        )
        document = profile_document(profile)
        self.say(options, document, f"Created {profile.slug}: {document['scep_url']}")


def _add_decisions(parser: ArgumentParser) -> None:
    decided = parser.add_mutually_exclusive_group()
    decided.add_argument(
        "--allow-asserted-decisions",
        action="store_true",
        help=(
            "take decisions by command on behalf of an officer, who is named and not authenticated"
        ),
    )
    decided.add_argument(
        "--signed-in-officers-only",
        action="store_true",
        help="take decisions from pages only; this is the default",
    )
    add_option(parser, "refuse_after_account_change")


def _add_content(parser: ArgumentParser) -> None:
    parser.add_argument("--days", type=int, default=365, help="validity of certificates (365)")
    parser.add_argument(
        "--usage",
        type=words,
        metavar="WORDS",
        help="extended key usages: client-auth,server-auth,…",
    )
    parser.add_argument(
        "--san-pattern",
        action="append",
        default=[],
        metavar="KIND:REGEX",
        help="names allowed; may be repeated",
    )
    parser.add_argument(
        "--multi-valued-rdns",
        action="store_true",
        help="a relative name of the subject may have several attributes, as SN+unstructuredName",
    )


def _spec(options: dict[str, Any]) -> ProfileSpec:
    patterns = _patterns(options["san_pattern"])
    settings: dict[str, Any] = {
        "validity_days": options["days"],
        "multi_valued_rdns": options["multi_valued_rdns"],
    }
    settings["crl_url"] = _own_address(options["crl_url"], f"{AUTHORITY_NAME}.crl")
    settings["ca_issuers_url"] = _own_address(options["ca_issuers_url"], f"{AUTHORITY_NAME}.cer")
    if options["usage"] is not None:
        settings["extended_key_usages"] = options["usage"]
    if patterns:
        settings |= {"san_patterns": patterns, "san_kinds": tuple(patterns)}
    return ProfileSpec(**settings)


def _own_address(option: str | None, name: str) -> str:
    """Return the address of the option, or this portal's own.

    RFC 5280 §8 wants plain http here; a portal that speaks only TLS has no such address.
    """
    if option is not None:
        return option
    address: str = settings.PORTAL_PUBLIC_URL
    return f"{address}/ca/{name}" if address.startswith("http://") else ""


def _patterns(texts: list[str]) -> dict[str, tuple[str, ...]]:
    """Parse KIND:REGEX; without a kind it applies to DNS names."""
    patterns: dict[str, tuple[str, ...]] = {}
    for text in texts:
        match = _KIND.fullmatch(text)
        kind, pattern = (match[1], match[2]) if match else ("dns", text)
        if kind not in SAN_KINDS:
            raise CommandError(
                f"--san-pattern {text!r}: {kind} is not a kind of name, allowed are "
                f"{', '.join(SAN_KINDS)}",
                returncode=USAGE,
            )
        patterns[kind] = (*patterns.get(kind, ()), pattern)
    return patterns


def _static_challenge(options: dict[str, Any]) -> str | None:
    is_static = options["challenge"] == ChallengePolicy.STATIC
    needs_secret = is_static or options["challenge"] in VALIDATED
    if needs_secret != (options["secret_file"] is not None):
        raise CommandError(
            "--secret-file F goes with --challenge static, webhook or intune, and these need it",
            returncode=USAGE,
        )
    return secret_from(options["secret_file"]) if is_static else None
