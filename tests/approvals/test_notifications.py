"""Notices reach the officers by mail, once, with the way to the request in them."""

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail

from accounts.models import Department
from accounts.roles import Role
from approvals import notifications
from approvals.models import EnrollmentRequest, OutboxMessage
from approvals.notifications import deliver_due, notify
from tests.world import Device, World, create_person, now


@pytest.fixture
def sends_mail(settings: Any) -> None:
    """A portal with a mail server."""
    settings.PORTAL_SENDS_MAIL = True


def test_officers_get_one_mail_with_the_way_to_each_request(world: World, sends_mail: None) -> None:
    create_person("bob", Role.AUDITOR)
    create_person("charlie", Role.OFFICER, department=Department.objects.create(slug="lab", name="Lab"))
    Device.named("r<1>.example").enroll()
    request = EnrollmentRequest.objects.get()
    notify("request-failed", request, now=now())
    notify("request-attention", request, now=now())
    assert deliver_due(now=now()) == 3
    (sent,) = mail.outbox
    assert sent.to == ["alice@example.org"]
    assert sent.subject == "3 certificate requests need you"
    assert f"/requests/{request.pk}/" in sent.body
    for words in ("Waits for a decision: CN=r<1>.example", "Refused by policy", "Signing failed"):
        assert words in sent.body
    assert deliver_due(now=now()) == 0


def test_without_a_mail_server_notices_are_put_away(world: World) -> None:
    Device.named("r1.example").enroll()
    assert deliver_due(now=now()) == 1
    assert OutboxMessage.objects.get().outcome == "not sent: no EMAIL_URL is set"
    assert mail.outbox == []


def test_a_mail_server_that_is_away_gets_the_notice_later(
    world: World, sends_mail: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    Device.named("r1.example").enroll()

    def refuse(*_: object) -> int:
        raise ConnectionRefusedError("nobody listens")

    monkeypatch.setattr(notifications, "send_mail", refuse)
    assert deliver_due(now=now()) == 1
    assert "nobody listens" in OutboxMessage.objects.get().outcome
    monkeypatch.undo()
    assert deliver_due(now=now()) == 0
    assert deliver_due(now=now() + timedelta(minutes=2)) == 1
    assert len(mail.outbox) == 1
