"""The button and the pages of the self-test."""

import re
from unittest import mock

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.core.management import CommandError
from django.urls import reverse

from accounts.roles import Role
from approvals.models.profiles import EnrollmentProfile
from selftest import tasks
from selftest.models import LOST_AFTER, RunKind, RunState, SelfTestRun
from tests.pages import signed_in
from tests.pki import rsa_key
from tests.pkiportal.commands import run as run_command
from tests.selftest.walking import create_loop, started, walk
from tests.world import World, create_person, now


@pytest.fixture
def loop(world: World) -> EnrollmentProfile:
    """The profile of the self-test."""
    return create_loop()


def test_an_officer_starts_a_run_and_a_worker_is_rung_for(
    world: World, loop: EnrollmentProfile, django_capture_on_commit_callbacks: object
) -> None:
    with (
        mock.patch("approvals.operations.doorbell.current_app.send_task") as sent,
        django_capture_on_commit_callbacks(execute=True),  # type: ignore[operator]  # a fixture of pytest-django
    ):
        answer = signed_in(world.alice).post(reverse("self_test_start"), {"profile": "selftest"})
    run = SelfTestRun.objects.get()
    assert answer.headers["Location"] == reverse("self_test", args=[run.pk])
    assert (run.started_by, run.officer, run.kind) == (world.alice, world.alice, RunKind.LOOP)
    assert sent.call_args.args == ("selftest.run",)
    assert sent.call_args.kwargs["kwargs"] == {"run_id": str(run.pk)}
    assert sent.call_args.kwargs["queue"] == "default"


def test_an_administrator_who_is_no_officer_is_told_what_to_do(
    world: World, loop: EnrollmentProfile
) -> None:
    charlie = signed_in(create_person("charlie", Role.ADMINISTRATOR))
    page = charlie.post(reverse("self_test_start"), {"profile": "selftest"}, follow=True)
    assert b"needs the decision of an RA officer" in page.content
    assert not SelfTestRun.objects.exists()
    charlie.post(reverse("self_test_start"), {"profile": "routers"})
    assert SelfTestRun.objects.get().kind == RunKind.READING


def test_an_officer_starts_nothing_at_an_ordinary_profile(
    world: World, loop: EnrollmentProfile
) -> None:
    assert (
        signed_in(world.alice).post(reverse("self_test_start"), {"profile": "routers"}).status_code
        == 404
    )


def test_the_page_of_a_run_moves_while_it_runs_and_rests_when_it_is_over(
    world: World, loop: EnrollmentProfile
) -> None:
    run = started(loop, world.alice)
    officer = signed_in(world.alice)
    assert b'hx-trigger="every 1s"' in officer.get(reverse("self_test", args=[run.pk])).content
    assert b"Not begun yet" in officer.get(reverse("self_test_live", args=[run.pk])).content
    walk(run)
    page = officer.get(reverse("self_test", args=[run.pk])).content.decode()
    assert "hx-trigger" not in page
    assert len(re.findall(r'class="bar"', page)) == 10
    live = officer.get(reverse("self_test_live", args=[run.pk]))
    assert b"Walk through it" in live.content
    again = officer.get(
        reverse("self_test_live", args=[run.pk]), headers={"If-None-Match": live.headers["ETag"]}
    )
    assert again.status_code == 304


def test_the_list_names_the_last_runs_and_what_went_wrong(
    world: World, loop: EnrollmentProfile
) -> None:
    assert b"No run yet" in signed_in(world.alice).get(reverse("self_tests")).content
    run = started(loop, world.alice)
    SelfTestRun.objects.filter(pk=run.pk).update(created_at=now() - LOST_AFTER * 2)
    assert (
        b"no worker has finished it"
        in signed_in(world.alice).get(reverse("self_test", args=[run.pk])).content
    )
    SelfTestRun.objects.filter(pk=run.pk).update(
        state=RunState.FAILED, finished_at=now(), fault="CertPoll: no certificate"
    )
    assert b"CertPoll: no certificate" in signed_in(world.alice).get(reverse("self_tests")).content


def test_without_a_profile_for_self_tests_the_page_says_how_to_make_one(world: World) -> None:
    assert (
        b"No profile for self-tests yet"
        in signed_in(world.alice).get(reverse("self_tests")).content
    )


def test_the_task_walks_a_run_and_one_that_takes_too_long_is_on_record(
    world: World, loop: EnrollmentProfile
) -> None:
    run = started(loop, world.alice)
    slow = mock.Mock(side_effect=SoftTimeLimitExceeded())
    with (
        mock.patch.object(tasks, "fetch", slow),
        mock.patch("selftest.tasks.rsa.generate_private_key", return_value=rsa_key("device-1")),
    ):
        tasks.run_self_test(run_id=str(run.pk))
    run.refresh_from_db()
    assert (run.state, run.fault) == (
        RunState.FAILED,
        "broken off, see the log of the process that ran it",
    )


def test_the_command_wants_the_officers_name(world: World) -> None:
    with pytest.raises(CommandError, match="--officer NAME") as error:
        run_command("selftest")
    assert error.value.returncode == 2
