"""A profile for self-tests from recorded keys, and runs through it without a worker process."""

import time
from collections.abc import Callable
from unittest import mock

from django.test import Client

from accounts.models.people import User
from accounts.principals import PORTAL, Principal, PrincipalKind
from approvals.models.profiles import EnrollmentProfile
from ca.signing.crl import issue_due_crls
from pkiportal.management.self_test_profile import ensure_self_test_profile
from scep.transport import Transport
from selftest.models import SelfTestRun
from selftest.runs import start_run, walk_run
from selftest.walks import RunEnvironment
from tests.pki import ec_key, rsa_key
from tests.world import now, principal_of, run_worker, through

COMMAND = Principal(kind=PrincipalKind.COMMAND, name="root")


def create_loop() -> EnrollmentProfile:
    """Return the profile of the self-test, made from recorded keys."""
    with mock.patch(
        "keys.file.generate",
        lambda spec: ec_key() if spec.startswith("ec:") else rsa_key("device-2"),
    ):
        return ensure_self_test_profile(principal=PORTAL, now=now())


def with_worker(*_: object) -> None:
    """While a run waits, the signing worker does its due work."""
    run_worker()
    issue_due_crls(now=now())


def started(profile: EnrollmentProfile, officer: User) -> SelfTestRun:
    """Return a run that waits to be walked, for a signed-in officer."""
    return start_run(profile=profile, principal=principal_of(officer), now=now())


def walk(
    run: SelfTestRun, http: Transport | None = None, pause: Callable[[float], None] = with_worker
) -> SelfTestRun:
    """Walk a run to its end through the test client."""
    environment = RunEnvironment(now, time.monotonic, pause)
    walk_run(
        run.pk, key=rsa_key("device-1"), http=http or through(Client()), environment=environment
    )
    run.refresh_from_db()
    return run
