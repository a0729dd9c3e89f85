"""The self-test runs the whole loop like a device, and names the step that failed."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.principals import PORTAL, Evidence, asserted_principal
from accounts.roles import Role
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, OutboxMessage
from approvals.profiles.manage import ProfileRequest, create_enrollment_profile, save_profile
from approvals.reading.queue import certificates_without_self_tests, requests_of, signing_health
from approvals.rules.errors import ProfileInvalid
from approvals.rules.states import State
from audit.events import Event
from audit.models import AuditEntry
from ca.content.csr_review import ProfileSpec
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import Certificate, CertificateStatus
from pkiportal.management.self_test_profile import ensure_self_test_profile
from scep.transport import HttpAnswer, HttpError, Transport
from selftest import walks
from selftest.errors import SelfTestRefused
from selftest.models import LOST_AFTER, RunKind, RunState, SelfTestRun
from selftest.runs import KEPT, close_lost_runs, start_run, walk_run
from selftest.walks import RunEnvironment
from tests.pki import rsa_key
from tests.selftest.walking import COMMAND, create_loop, started, walk, with_worker
from tests.world import (
    Device,
    World,
    create_ca,
    create_person,
    create_profile,
    now,
    principal_of,
    through,
)


@pytest.fixture
def loop(world: World) -> EnrollmentProfile:
    """The profile of the self-test."""
    return create_loop()


def test_a_run_walks_the_loop_and_keeps_time_and_bytes_of_each_step(
    world: World, loop: EnrollmentProfile
) -> None:
    run = walk(started(loop, world.alice))
    assert (run.state, run.fault) == (RunState.PASSED, "")
    steps = list(run.steps.order_by("number"))
    assert [step.name for step in steps] == [
        *("GetCACaps", "GetCACert", "PKCSReq", "CertPoll before", "decision", "CertPoll"),
        *("GetCert", "revocation", "GetCRL", "CertPoll after"),
    ]
    assert all(step.passed and step.took_us > 0 for step in steps)
    over_http = [step for step in steps if step.name not in ("decision", "revocation")]
    assert all(step.messages and step.sent_bytes and step.received_bytes for step in over_http)
    assert [step.begun_us for step in steps] == sorted(step.begun_us for step in steps)
    certificate = Certificate.objects.get(ca=loop.ca, kind="ordered")
    assert certificate.status == CertificateStatus.REVOKED
    assert certificate.not_after - now() < timedelta(minutes=20)
    assert run.request is not None
    decision = run.request.decisions.get()
    assert (decision.officer, decision.evidence, decision.comment) == (
        world.alice,
        Evidence.SESSION,
        "self-test",
    )


def test_who_started_a_run_and_how_it_ended_stand_in_the_log(
    world: World, loop: EnrollmentProfile
) -> None:
    run = walk(started(loop, world.alice))
    begin, end = AuditEntry.objects.filter(
        subject_kind="self-test", subject_id=str(run.pk)
    ).order_by("id")
    assert (begin.event, begin.actor_kind) == (Event.SELF_TEST_START, "user")
    assert (end.event, end.data["result"], end.data["steps"]) == (
        Event.SELF_TEST_FINISH,
        "passed",
        10,
    )


def test_nothing_of_a_self_test_is_queued_counted_or_mailed(
    world: World, loop: EnrollmentProfile
) -> None:
    walk(started(loop, world.alice))
    Device.named("selftest-00000000.invalid", profile="selftest").enroll(
        dns_names=["selftest-00000000.invalid"]
    )
    assert EnrollmentRequest.objects.filter(profile=loop).count() == 2
    assert requests_of(world.alice).count() == 0
    assert certificates_without_self_tests(Certificate.objects.filter(kind="ordered")).count() == 0
    assert not OutboxMessage.objects.exists()
    EnrollmentRequest.objects.filter(state=State.PENDING).update(
        state=State.APPROVED, next_attempt_at=now() - timedelta(hours=1)
    )
    assert signing_health(now()).waiting.value == 0


def test_a_run_needs_an_officer_who_may_decide(world: World, loop: EnrollmentProfile) -> None:
    charlie = create_person("charlie", Role.ADMINISTRATOR)
    for principal in (COMMAND, principal_of(charlie)):
        with pytest.raises(SelfTestRefused, match="needs the decision of an RA officer"):
            start_run(profile=loop, principal=principal, now=now())
    assert not SelfTestRun.objects.exists()


def test_an_officer_who_lost_the_role_before_the_decision_decides_nothing(
    world: World, loop: EnrollmentProfile
) -> None:
    run = started(loop, world.alice)
    world.alice.role_assignments.all().delete()
    run = walk(run)
    assert run.state == RunState.FAILED
    assert run.fault.startswith("decision: There is no such request")
    assert EnrollmentRequest.objects.get(profile=loop).state == State.PENDING


def test_decisions_asserted_by_a_command_obey_the_profile(
    world: World, loop: EnrollmentProfile
) -> None:
    EnrollmentProfile.objects.filter(pk=loop.pk).update(allow_asserted_decisions=False)
    loop.refresh_from_db()
    principal = asserted_principal("root", world.alice)
    with pytest.raises(SelfTestRefused, match="signed-in officers only"):
        start_run(profile=loop, principal=principal, now=now())


def test_one_run_of_a_profile_at_a_time_and_a_lost_one_stops_no_later_one(
    world: World, loop: EnrollmentProfile
) -> None:
    first = started(loop, world.alice)
    with pytest.raises(SelfTestRefused, match="running already"):
        started(loop, world.alice)
    late = now() + LOST_AFTER + timedelta(seconds=1)
    start_run(profile=loop, principal=principal_of(world.alice), now=late)
    first.refresh_from_db()
    assert (first.state, first.fault) == (
        RunState.FAILED,
        "not finished in time: does the default worker run?",
    )
    assert close_lost_runs(now=late) == 0


def test_a_run_is_walked_once_though_its_task_comes_twice(
    world: World, loop: EnrollmentProfile
) -> None:
    run = walk(started(loop, world.alice))
    environment = RunEnvironment(now, time.monotonic, with_worker)
    assert (
        walk_run(run.pk, key=rsa_key("device-1"), http=through(Client()), environment=environment)
        is None
    )
    assert run.steps.count() == 10


def test_an_ordinary_profile_is_only_asked_what_strangers_may_ask(world: World) -> None:
    before = (EnrollmentRequest.objects.count(), Certificate.objects.count())
    run = walk(started(world.profile, world.alice))
    assert (run.kind, run.state, run.fault) == (RunKind.READING, RunState.PASSED, "")
    assert [step.name for step in run.steps.order_by("number")] == [
        *(
            "GetCACaps",
            "GetCACert",
            "damaged signature",
            "no request inside",
            "unknown CertPoll",
            "no message at all",
        ),
    ]
    assert "SHA-256" in run.steps.get(name="GetCACert").text
    assert (EnrollmentRequest.objects.count(), Certificate.objects.count()) == before
    assert run.officer is None


def test_a_run_says_that_the_signing_worker_does_not_answer(
    world: World, loop: EnrollmentProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walks, "PATIENCE", 0.01)
    run = walk(started(loop, world.alice), pause=time.sleep)
    assert run.state == RunState.FAILED
    assert run.fault == "CertPoll: after 0 s no certificate: does the signing worker run?"
    assert not run.steps.get(number=6).passed


def answering(**changes: Callable[[HttpAnswer], HttpAnswer]) -> Transport:
    """The test client, with the answers to some operations changed on the way."""
    real = through(Client())

    def http(url: str, body: bytes | None) -> HttpAnswer:
        answer = real(url, body)
        return next((change(answer) for name, change in changes.items() if name in url), answer)

    return http


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            {"GetCACaps": lambda a: replace(a, body=b"AES\nSHA-256")},
            "GetCACaps: POSTPKIOperation, SCEPStandard missing",
        ),
        ({"GetCACert": lambda a: replace(a, body=b"0\x00")}, "certificates are not readable"),
        ({"GetCACert": lambda a: replace(a, status=503)}, "HTTP 503"),
        (
            {"PKIOperation": lambda a: replace(a, body=a.body[:-1] + b"x")},
            "signature does not verify",
        ),
    ],
)
def test_a_run_names_the_step_that_broke_and_stops_there(
    world: World, loop: EnrollmentProfile, changes: Any, fault: str
) -> None:
    run = walk(started(loop, world.alice), http=answering(**changes))
    assert run.state == RunState.FAILED
    assert fault in run.fault
    assert [step.passed for step in run.steps.order_by("number")][-1] is False


def test_a_run_that_cannot_reach_the_portal_says_so(world: World, loop: EnrollmentProfile) -> None:
    def unreachable(url: str, body: bytes | None) -> HttpAnswer:
        raise HttpError("http://localhost:1: refused")

    assert (
        walk(started(loop, world.alice), http=unreachable).fault
        == "GetCACaps: http://localhost:1: refused"
    )


def test_a_run_that_breaks_off_is_on_record_as_failed(
    world: World, loop: EnrollmentProfile
) -> None:
    def broken(url: str, body: bytes | None) -> HttpAnswer:
        raise RuntimeError("not anticipated")

    run = started(loop, world.alice)
    with pytest.raises(RuntimeError):
        walk(run, http=broken)
    run.refresh_from_db()
    assert (run.state, run.fault) == (
        RunState.FAILED,
        "broken off, see the log of the process that ran it",
    )


def test_old_runs_go_when_there_are_too_many(world: World, loop: EnrollmentProfile) -> None:
    moment = now()
    over = {
        "kind": RunKind.LOOP,
        "state": RunState.PASSED,
        "created_at": moment,
        "finished_at": moment,
    }
    SelfTestRun.objects.bulk_create(
        SelfTestRun(profile=loop, url="http://x/", **over) for _ in range(KEPT + 3)
    )
    run = walk(started(loop, world.alice))
    assert SelfTestRun.objects.count() == KEPT
    assert SelfTestRun.objects.filter(pk=run.pk).exists()


def test_a_ca_of_self_tests_issues_for_nothing_else(world: World, loop: EnrollmentProfile) -> None:
    with pytest.raises(ProfileInvalid, match="serves self-tests only"):
        create_enrollment_profile(
            ProfileRequest("printers", loop.ca, ProfileSpec(), challenge="none"),
            principal=PORTAL,
            now=now(),
        )
    with pytest.raises(ProfileInvalid, match="serves self-tests only"):
        create_enrollment_profile(
            ProfileRequest("other", world.ca, ProfileSpec(), challenge="none", for_self_test=True),
            principal=PORTAL,
            now=now(),
        )


def test_the_mark_of_a_test_follows_the_ca_and_a_self_test_has_a_test_ca(
    world: World, loop: EnrollmentProfile
) -> None:
    fresh = create_ca("fresh", ra_key="device-3")
    loop.ca = fresh
    with pytest.raises(ProfileInvalid, match="serves self-tests only"):
        save_profile(loop, principal=PORTAL, now=now(), is_new=False)
    CertificateAuthority.objects.filter(pk=fresh.pk).update(is_test=True)
    profile = create_profile(CertificateAuthority.objects.get(pk=fresh.pk), "trial")
    assert profile.is_test
    profile.ca = world.ca
    save_profile(profile, principal=PORTAL, now=now(), is_new=False)
    assert not EnrollmentProfile.objects.get(slug="trial").is_test, (
        "it issues real certificates now"
    )


def test_the_profile_is_made_once_and_not_in_the_place_of_a_real_one(
    world: World, loop: EnrollmentProfile
) -> None:
    assert ensure_self_test_profile(principal=PORTAL, now=now()) == loop
    assert loop.is_test
    assert loop.ca.is_test
    EnrollmentProfile.objects.filter(pk=loop.pk).update(for_self_test=False)
    with pytest.raises(SelfTestRefused, match="not for self-tests"):
        ensure_self_test_profile(principal=PORTAL, now=now())
