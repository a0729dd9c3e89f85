"""`./portal seed`: many rows for load tests.

They are real CSRs and certificates of a test CA.
"""

import time
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any, Final

from django.core.management.base import CommandError
from django.utils import timezone

from approvals.models.profiles import ApprovalMode, ChallengePolicy, EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.profiles.manage import ProfileRequest, create_enrollment_profile
from approvals.reading.queue import without_self_tests
from ca.content.profile_spec import ProfileSpec
from ca.models.authorities import CertificateAuthority
from ca.signing.authorities import AuthorityRequest, create_authority
from pkiportal.management.arguments import command_principal
from pkiportal.management.load.seed_rows import Plan, seed
from pkiportal.management.portal_command import PortalCommand

NAME: Final = "seed"
_AT_MOST: Final = 5_000_000


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) > _AT_MOST:
        raise ArgumentTypeError(f"{text!r}: a number from 0 to {_AT_MOST} is needed")
    return int(text)


class Command(PortalCommand):
    """All seeded rows belong to the profile and CA `seed`, which are marked as tests."""

    help = "Fill the database with rows for load tests."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the numbers."""
        parser.add_argument(
            "--requests", type=_count, default=0, metavar="N", help="pending requests"
        )
        parser.add_argument(
            "--certificates",
            type=_count,
            default=0,
            metavar="N",
            help="issued requests, certificates",
        )
        parser.add_argument(
            "--yes", action="store_true", help="also next to requests of real devices"
        )
        self.add_json(parser)

    def run(self, options: dict[str, Any]) -> None:
        """Seed, unless the database holds requests of real devices."""
        if (
            not options["yes"]
            and without_self_tests(EnrollmentRequest.objects.exclude(profile__slug=NAME)).exists()
        ):
            raise CommandError(
                "this database holds requests of real devices: add --yes to put seeded rows "
                "next to them"
            )
        started = time.monotonic()
        plan = Plan(_profile(), options["requests"], options["certificates"], timezone.now())
        for count in seed(plan, principal=command_principal()):
            if not options["json"]:
                self.stdout.write(f"{count} of {plan.requests + plan.certificates}")
                self.stdout.flush()
        seconds = round(time.monotonic() - started, 1)
        document = {
            "requests": plan.requests,
            "certificates": plan.certificates,
            "profile": NAME,
            "seconds": seconds,
        }
        text = (
            f"Seeded {plan.requests} pending requests and {plan.certificates} certificates in "
            f"{seconds} s."
        )
        self.say(options, document, text)


def _profile() -> EnrollmentProfile:
    """Return the profile of seeded rows; it is created with its test CA on first use."""
    profile = (
        EnrollmentProfile.objects.select_related("ca__parent", "certificate_profile")
        .filter(slug=NAME)
        .first()
    )
    if profile is not None:
        if not profile.is_test:
            raise CommandError(
                f"profile {NAME!r}: it is there, but not of a test CA; seeded rows need that name"
            )
        return profile
    now, principal = timezone.now(), command_principal()
    authority = CertificateAuthority.objects.filter(
        name=NAME, is_test=True
    ).first() or create_authority(
        AuthorityRequest(NAME, "CN=Seeded test CA,O=Example", key_type="ec:p256", is_test=True),
        principal=principal,
        now=now,
    )
    profile_request = ProfileRequest(
        slug=NAME,
        ca=authority,
        spec=ProfileSpec(),
        approval=ApprovalMode.MANUAL,
        challenge=ChallengePolicy.NONE,
        name="Seeded for load tests",
    )
    return create_enrollment_profile(profile_request, principal=principal, now=now)
