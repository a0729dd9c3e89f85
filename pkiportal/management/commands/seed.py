"""`./portal seed`: many rows for load tests.

Real CSRs and certificates of a test CA, wanted by nobody.
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
from ca.authorities.manage import AuthorityRequest, create_authority
from ca.content.profile_spec import ProfileSpec
from ca.models.authorities import CertificateAuthority
from pkiportal.management.arguments import command_actor, command_principal
from pkiportal.management.load.seed_rows import Plan, seed
from pkiportal.management.portal_command import PortalCommand

NAME: Final = "seed"
_AT_MOST: Final = 5_000_000


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) > _AT_MOST:
        raise ArgumentTypeError(f"{text!r}: a number from 0 to {_AT_MOST} is needed")
    return int(text)


class Command(PortalCommand):
    """Everything seeded hangs on the profile and CA `seed`, which are marked as tests."""

    help = "Fill the database with rows for load tests."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take how many."""
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
            "--yes", action="store_true", help="also beside requests of real devices"
        )
        self.add_json(parser)

    def run(self, options: dict[str, Any]) -> None:
        """Seed, unless the database is somebody's."""
        if (
            not options["yes"]
            and without_self_tests(EnrollmentRequest.objects.exclude(profile__slug=NAME)).exists()
        ):
            raise CommandError(
                "this database holds requests of real devices: add --yes to put seeded rows beside "
                "them"
            )
        started = time.monotonic()
        plan = Plan(_profile(), options["requests"], options["certificates"], timezone.now())
        for done in seed(plan, actor=command_actor()):
            if not options["json"]:
                self.stdout.write(f"{done} of {plan.requests + plan.certificates}")
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
    """Return the profile of seeded rows; made at the first time, with a test CA of its own."""
    found = (
        EnrollmentProfile.objects.select_related("ca__parent", "certificate_profile")
        .filter(slug=NAME)
        .first()
    )
    if found is not None:
        if not found.is_test:
            raise CommandError(
                f"profile {NAME!r}: it is there, but not of a test CA; seeded rows need that name"
            )
        return found
    now, principal = timezone.now(), command_principal()
    authority = CertificateAuthority.objects.filter(
        name=NAME, is_test=True
    ).first() or create_authority(
        AuthorityRequest(NAME, "CN=Seeded test CA,O=Example", key_type="ec:p256", is_test=True),
        actor=principal.actor,
        now=now,
    )
    wanted = ProfileRequest(
        slug=NAME,
        ca=authority,
        spec=ProfileSpec(),
        approval=ApprovalMode.MANUAL,
        challenge=ChallengePolicy.NONE,
        name="Seeded for load tests",
    )
    return create_enrollment_profile(wanted, principal=principal, now=now)
