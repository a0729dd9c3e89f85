"""`./portal selftest`: a throw-away device runs the loop over HTTP, for monitors."""

import time
from argparse import ArgumentParser
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.management.base import CommandError
from django.utils import timezone

from pkiportal.management.arguments import (
    USAGE,
    command_principal,
    officer_principal,
    profile_named,
)
from pkiportal.management.output import iso, table
from pkiportal.management.portal_command import PortalCommand
from pkiportal.management.self_test_profile import NAME, ensure_self_test_profile
from scep.transport import fetch
from selftest.models import RunState, SelfTestRun
from selftest.runs import start_run, walk_run
from selftest.walks import RunEnvironment


class Command(PortalCommand):
    """Status 0: every step passed; 1: one failed, or the run could not start."""

    help = (
        "Walk the whole loop with a throw-away device; or ask a profile what any stranger may ask."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add profile and officer."""
        parser.add_argument(
            "profile",
            nargs="?",
            default=NAME,
            metavar="PROFILE",
            help=f"an ordinary one: reading only ({NAME})",
        )
        parser.add_argument(
            "--officer", metavar="NAME", help="decides on the request of the run; asserted"
        )
        parser.add_argument(
            "--url", default="", help="SCEP address to use instead of this portal's own"
        )
        self.add_json(parser)

    def run(self, options: dict[str, Any]) -> None:
        """Run, and end with the status that says how it went."""
        now = timezone.now()
        if options["profile"] == NAME and not options["officer"]:
            raise CommandError(
                "selftest: name the officer who decides, with --officer NAME", returncode=USAGE
            )
        principal = (
            officer_principal(options["officer"]) if options["officer"] else command_principal()
        )
        if options["profile"] == NAME:
            profile = ensure_self_test_profile(principal=command_principal(), now=now)
        else:
            profile = profile_named(options["profile"])
        run = start_run(profile=profile, principal=principal, now=now, url=options["url"])
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        finished = walk_run(
            run.pk,
            key=key,
            http=fetch,
            environment=RunEnvironment(timezone.now, time.monotonic, time.sleep),
        )
        if finished is None:
            raise CommandError(f"self-test {run.pk}: another process took it")
        document = run_document(finished)
        self.say(options, document, lambda: run_text(document))
        if finished.state != RunState.PASSED:
            raise SystemExit(1)


def run_document(run: SelfTestRun) -> dict[str, Any]:
    """Return a run for scripts."""
    return {
        "id": str(run.pk),
        "profile": run.profile.slug,
        "kind": str(run.kind),
        "passed": run.state == RunState.PASSED,
        "fault": run.fault or None,
        "url": run.url,
        "started_at": iso(run.created_at),
        "seconds": round(run.took.total_seconds(), 3) if run.took else None,
        "steps": [
            {
                "name": step.name,
                "passed": step.passed,
                "milliseconds": round(step.milliseconds, 1),
                "messages": step.messages,
                "sent_bytes": step.sent_bytes,
                "received_bytes": step.received_bytes,
                "text": step.text,
            }
            for step in run.steps.order_by("number")
        ],
    }


def run_text(document: dict[str, Any]) -> str:
    """Return a run for people."""
    lines = [
        [
            step["name"],
            "passed" if step["passed"] else "FAILED",
            f"{step['milliseconds']:.1f} ms",
            f"{step['sent_bytes']} B",
            f"{step['received_bytes']} B",
            step["text"],
        ]
        for step in document["steps"]
    ]
    end = (
        f"passed in {document['seconds']} s"
        if document["passed"]
        else f"FAILED: {document['fault']}"
    )
    note = (
        ""
        if document["kind"] == "loop"
        else "\nReading only: nothing was requested, decided or issued."
    )
    steps = table(["step", "result", "time", "sent", "received", "what came back"], lines)
    return f"{steps}\n{end}{note}"
