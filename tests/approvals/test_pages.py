"""The officers' pages."""

import pytest
from django.urls import reverse

from approvals.states import State
from tests.pages import create_requests, signed_in
from tests.world import World

pytestmark = pytest.mark.django_db


def test_the_queue_shows_what_waits_and_the_request_page_everything_about_it(world: World) -> None:
    waiting, done = create_requests(world.profile, ["r1.example", "r2.example"])
    alice = signed_in(world.alice)
    page = alice.get(reverse("queue"))
    assert page.status_code == 200
    assert "r1.example" in page.content.decode()
    request = alice.get(reverse("request", args=[waiting.pk]))
    assert request.status_code == 200
    assert State.PENDING.lower() in request.content.decode()
    for name in ("home", "profiles", "authorities", "history_requests", "history_certificates", "admin:index"):
        alice.get(reverse(name))
    assert alice.get(reverse("queue_changes"), {"top": str(done.pk), "shown": waiting.pk.hex}).status_code == 200
