"""`./portal createprofile`: an enrollment profile together with its certificate profile."""

import re
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone

from approvals.models.profiles import (
    VALIDATED,
    ApprovalMode,
    ChallengePolicy,
    ChangedNames,
    EmptyContentForm,
    NameConflicts,
    RenewalMode,
    ReplyChain,
    Unlisted,
)
from approvals.profiles.manage import (
    GuessLimits,
    ProfileRequest,
    ProtocolSwitches,
    create_enrollment_profile,
)
from approvals.rules.policy import RENEWAL_WINDOW, RenewalPolicy
from ca.content.profile_spec import AUTHORITY_NAME, SAN_KINDS, ProfileSpec
from ca.models.authorities import CertificatesShape
from pkiportal.management.arguments import (
    USAGE,
    authority_named,
    command_principal,
    count,
    device_group_named,
    duration,
    duration_or_none,
    secret_from,
    words,
)
from pkiportal.management.portal_command import PortalCommand
from pkiportal.management.profile_facts import profile_document
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
        _add_eligibility(parser)
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
        parser.add_argument(
            "--default",
            action="store_true",
            help="SCEP addresses that name no profile lead to this one",
        )
        add_service_options(parser)
        _add_renewal(parser)
        _add_switches(parser)
        _add_guess_limits(parser)
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
            unlisted=options["unlisted"],
            networks=options["network"],
            name_conflicts=options["name_conflicts"],
            name=options["name"],
            allow_asserted_decisions=options["allow_asserted_decisions"],
            refuse_after_account_change=options["refuse_after_account_change"],
            switches=ProtocolSwitches(
                legacy_algorithms=options["legacy_algorithms"],
                reply_chain=options["reply_chain"],
                empty_content=options["empty_content"],
                max_clock_skew=options["max_clock_skew"],
            ),
            is_default=options["default"],
            ca_certificates=options["ca_certificates"],
            service=service_order(options, options["challenge"])
            if options["challenge"] in VALIDATED
            else None,
            renewal=_renewal(options),
            guesses=GuessLimits(
                per_address=options["max_failed_per_address"],
                per_profile=options["max_failed"],
                exempt_networks=options["never_lock"],
            ),
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
    parser.add_argument(
        "--refuse-after-account-change",
        action="store_true",
        help=(
            "refuse decisions soon after another person set the officer's password or granted a "
            "role"
        ),
    )


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


def _add_eligibility(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--devices", metavar="GROUP", help="expected devices, instead of a challenge"
    )
    parser.add_argument(
        "--unlisted",
        choices=Unlisted.values,
        default=Unlisted.REFUSE,
        help="what others get (refuse)",
    )
    parser.add_argument(
        "--network", action="append", default=[], metavar="CIDR", help="may be repeated"
    )
    parser.add_argument(
        "--name-conflicts",
        choices=NameConflicts.values,
        default=NameConflicts.OFFICER,
        help="what a name gets that waits, or is active, with another key (officer)",
    )


def _add_renewal(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--renewal",
        choices=RenewalMode.values,
        default=RenewalMode.OFF,
        help="who says yes when a device renews with its certificate (off)",
    )
    parser.add_argument(
        "--renewal-window",
        type=duration_or_none,
        default=RENEWAL_WINDOW,
        metavar="TIME",
        help=(
            "how long before the end of a certificate it may be renewed, as 30d; 0: at any time "
            "(30d)"
        ),
    )
    parser.add_argument(
        "--renewal-grace",
        type=duration_or_none,
        default=timedelta(0),
        metavar="TIME",
        help="how long after its end it may still be renewed, as 7d (0)",
    )
    parser.add_argument(
        "--renewal-key-reuse", action="store_true", help="a renewal may keep its key"
    )
    parser.add_argument(
        "--renewal-changed-names",
        choices=ChangedNames.values,
        default=ChangedNames.REFUSE,
        help="what a renewal gets that asks for other names (refuse)",
    )


def _add_switches(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--ca-certificates",
        choices=CertificatesShape.values,
        default=CertificatesShape.RA_CHAIN,
        help="what GetCACert answers, in this order (ra+chain)",
    )
    parser.add_argument(
        "--legacy-algorithms",
        action="store_true",
        help="accept SHA-1 and 3DES; never MD5 or DES (SHA-2 and AES only)",
    )
    parser.add_argument(
        "--reply-chain",
        choices=ReplyChain.values,
        default=ReplyChain.LEAF,
        help="what devices are handed: their certificate, or that and its CAs (leaf)",
    )
    parser.add_argument(
        "--empty-content",
        choices=EmptyContentForm.values,
        default=EmptyContentForm.OCTETS,
        help="how an answer without a certificate says so (octets)",
    )
    parser.add_argument(
        "--max-clock-skew",
        type=duration,
        metavar="TIME",
        help=(
            "how far the clock of a device may be off, as 10m; without it signingTime is not "
            "looked at"
        ),
    )


def _add_guess_limits(parser: ArgumentParser) -> None:
    limits = GuessLimits()
    parser.add_argument(
        "--max-failed-per-address",
        type=count,
        default=limits.per_address,
        metavar="N",
        help=(
            "failed challenges in 10 minutes that lock an address for 15; 0: never "
            f"({limits.per_address})"
        ),
    )
    parser.add_argument(
        "--max-failed",
        type=count,
        default=limits.per_profile,
        metavar="N",
        help=(
            f"the same of all addresses together; then the profile is locked ({limits.per_profile})"
        ),
    )
    parser.add_argument(
        "--never-lock",
        action="append",
        default=[],
        metavar="CIDR",
        help="network that is never locked, as that of an MDM's proxy; may be repeated",
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


def _renewal(options: dict[str, Any]) -> RenewalPolicy:
    return RenewalPolicy(
        mode=options["renewal"],
        window=options["renewal_window"],
        grace=options["renewal_grace"],
        key_reuse=options["renewal_key_reuse"],
        changed_names=options["renewal_changed_names"],
    )


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
