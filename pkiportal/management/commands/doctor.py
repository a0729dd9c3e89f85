"""`./portal doctor`: what is right and what is not, in plain words."""

import json
from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import BaseCommand
from django.utils import timezone

from pkiportal.diagnosis import examine

_MARKS: Final = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


class Command(BaseCommand):
    """Status 0: nothing failed (warnings may stand); status 1: something did."""

    help = "Check this installation and say what is wrong with it."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """One option for scripts."""
        parser.add_argument("--json", action="store_true", help="a list of name, state (ok, warn, fail) and text")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print one line for each finding."""
        findings = list(examine(timezone.now))
        if options["json"]:
            self.stdout.write(json.dumps([finding.to_json() for finding in findings], indent=2))
        else:
            for finding in findings:
                self.stdout.write(f"{_MARKS[finding.state]} {finding.name}: {finding.text}")
        if any(finding.state == "fail" for finding in findings):
            raise SystemExit(1)
