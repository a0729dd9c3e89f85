"""The pages about challenges that a service checks."""

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any
from unittest import mock

import pytest
from django.urls import reverse

from accounts.roles import Role
from approvals.models.requests import EnrollmentRequest
from approvals.models.validations import Validation, ValidationService
from approvals.validation import worker
from approvals.validation.services import ServiceOrder
from audit.models import AuditEntry
from outbound.url_rules import read_allowed_host
from tests.approvals.validation.mdm import CODE, SECRET, StandIn, mdm, served
from tests.pages import signed_in
from tests.world import Device, World, create_person, create_profile


@pytest.fixture
def stand_in(settings: Any, world: World) -> Iterator[StandIn]:
    with served(mdm) as server:
        settings.PORTAL_WEBHOOK_HOSTS = (read_allowed_host(server.origin),)
        settings.PORTAL_WEBHOOK_NETWORKS = (ip_network("127.0.0.0/8"),)
        order = ServiceOrder(kind="webhook", url=f"{server.origin}/scep?key=1", secret=SECRET)
        create_profile(world.ca, "phones", challenge="webhook", service=order)
        yield server


def enrolled(code: str = CODE) -> EnrollmentRequest:
    Device.named("p1.example", profile="phones").enroll(challenge=code)
    return EnrollmentRequest.objects.get()


def work() -> None:
    worker.validate_requests(list(Validation.objects.values_list("pk", flat=True)))


def page(world: World, request: EnrollmentRequest) -> str:
    return signed_in(world.alice).get(reverse("request", args=[request.pk])).content.decode()


def test_a_waiting_request_shows_no_button_to_approve_and_refuses_the_post(
    world: World, stand_in: StandIn
) -> None:
    request = enrolled()
    shown = page(world, request)
    assert "data-approve" not in shown
    assert "data-reject" in shown
    assert "Until then it can only be rejected" in shown
    digest = shown.split('name="view_sha256" value="')[1][:64]
    answer = signed_in(world.alice).post(
        reverse("request_approve", args=[request.pk]), {"view_sha256": digest}
    )
    assert answer.status_code == 409
    assert "has not said anything about the challenge yet" in answer.content.decode()


def test_a_confirmed_request_says_who_confirmed_it_and_can_be_approved(
    world: World, stand_in: StandIn
) -> None:
    request = enrolled()
    work()
    shown = page(world, request)
    assert f"by 127.0.0.1:{stand_in.port}" in shown
    assert "data-approve" in shown
    assert "webhook: validated" in signed_in(world.alice).get(reverse("queue")).content.decode()


def test_a_page_drawn_before_the_answer_is_stale_after_it(world: World, stand_in: StandIn) -> None:
    request = enrolled()
    shown = page(world, request)
    digest = shown.split('name="view_sha256" value="')[1][:64]
    work()
    live = signed_in(world.alice).get(
        reverse("request_live", args=[request.pk]) + "?was=PENDING-waiting"
    )
    assert "Load it again" in live.content.decode()
    answer = signed_in(world.alice).post(
        reverse("request_approve", args=[request.pk]), {"view_sha256": digest}
    )
    assert (answer.status_code, "changed after you opened it" in answer.content.decode()) == (
        409,
        True,
    )


def test_a_silent_service_is_shown_to_officers_and_counts_as_attention(
    world: World, stand_in: StandIn
) -> None:
    stand_in.answer = lambda heard: (503, b"")
    request = enrolled()
    work()
    assert "webhook: HTTP 503" in page(world, request)
    attention = signed_in(world.alice).get(reverse("queue") + "?attention=true").content.decode()
    assert "p1.example" in attention
    assert "webhook: no answer" in attention


def test_a_denied_request_shows_the_reason_to_officers_and_cannot_be_opened_again(
    world: World, stand_in: StandIn
) -> None:
    request = enrolled("guessed-0815")
    work()
    shown = page(world, request)
    assert "code … is not known" in shown
    assert "guessed-0815" not in shown
    assert reverse("request_reopen", args=[request.pk]) not in shown
    answer = signed_in(world.alice).post(reverse("request_reopen", args=[request.pk]), follow=True)
    assert "let the device ask again with a new one" in answer.content.decode()


def test_the_page_of_profiles_says_who_is_asked_and_lets_administrators_test_it(
    world: World, stand_in: StandIn
) -> None:
    charlie = signed_in(create_person("charlie", Role.ADMINISTRATOR))
    shown = charlie.get(reverse("profiles")).content.decode()
    assert "never asked yet" in shown
    assert "key=1" not in shown  # the address may hold a key: only its host is shown
    with mock.patch("approvals.profiles.manage.ring_for_probes") as ring:
        answer = charlie.post(reverse("profile_probe", args=["phones"]), follow=True)
    assert ring.called
    assert "is being tested" in answer.content.decode()
    order = AuditEntry.objects.get(event="validation-service:probe")
    assert order.private_values.get(path="actor.name").value == "charlie"
    assert order.private_values.get(path="actor.address").value == "127.0.0.1"
    worker.probe_services()
    assert stand_in.heard[0].json["kind"] == "probe"
    assert "answered" in charlie.get(reverse("profiles")).content.decode()
    assert (
        "a service has to be named"
        in charlie.post(reverse("profile_probe", args=["routers"]), follow=True).content.decode()
    )


def test_the_admin_refuses_a_kind_of_challenge_without_its_service(
    world: World, stand_in: StandIn
) -> None:
    charlie = signed_in(create_person("charlie", Role.ADMINISTRATOR))
    address = reverse("admin:approvals_enrollmentprofile_change", args=[world.profile.pk])
    fields = charlie.get(address).context["adminform"].form.initial
    answer = charlie.post(
        address, {**{k: v for k, v in fields.items() if v is not None}, "challenge": "intune"}
    )
    assert "a service has to be named" in answer.content.decode()
    assert ValidationService.objects.count() == 1
