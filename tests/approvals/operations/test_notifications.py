"""Officers get each notice once, by mail, with a link to the request."""

from datetime import timedelta
from smtplib import SMTPRecipientsRefused
from typing import Any

import pytest
from django.core import mail

from accounts.models.people import Department, RoleAssignment, User
from accounts.roles import Role
from approvals.models.requests import EnrollmentRequest, OutboxMessage
from approvals.records import notifications
from approvals.records.notifications import deliver_due, notify
from tests.pages import create_requests
from tests.world import Device, World, create_person, create_profile, now


@pytest.fixture
def sends_mail(settings: Any) -> None:
    """A portal with a mail server."""
    settings.PORTAL_SENDS_MAIL = True


def test_officers_get_one_mail_with_the_way_to_each_request(world: World, sends_mail: None) -> None:
    create_person("bob", Role.AUDITOR)
    create_person(
        "charlie", Role.OFFICER, department=Department.objects.create(slug="lab", name="Lab")
    )
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
        raise ConnectionRefusedError("no listener")

    monkeypatch.setattr(notifications, "send_mail", refuse)
    assert deliver_due(now=now()) == 1
    assert "no listener" in OutboxMessage.objects.get().outcome
    monkeypatch.undo()
    assert deliver_due(now=now()) == 0
    assert deliver_due(now=now() + timedelta(minutes=2)) == 1
    assert len(mail.outbox) == 1


def test_an_address_that_does_not_work_keeps_no_other_officer_from_being_told(
    world: World, sends_mail: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Department.objects.create(slug="lab", name="Lab")
    create_person("bob", Role.OFFICER)
    create_person("charlie", Role.OFFICER, department=lab)
    Device.named("r1.example").enroll()
    send = mail.send_mail
    addresses: list[str] = []

    def refuse_alice(subject: str, text: str, sender: None, recipients: list[str]) -> int:
        if recipients == ["alice@example.org"]:
            raise SMTPRecipientsRefused({"alice@example.org": (550, b"no such mailbox")})
        addresses.extend(recipients)
        return send(subject, text, sender, recipients)

    monkeypatch.setattr(notifications, "send_mail", refuse_alice)
    assert deliver_due(now=now()) == 1
    assert addresses == ["bob@example.org"]
    message = OutboxMessage.objects.get()
    assert (message.outcome, message.next_attempt_at, message.attempts) == ("sent", None, 0)


def test_only_notices_that_reached_no_person_are_sent_again(
    world: World, sends_mail: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Department.objects.create(slug="lab", name="Lab")
    RoleAssignment.objects.update(department=lab)
    create_person(
        "bob", Role.OFFICER, department=Department.objects.create(slug="shop", name="Shop")
    )
    other = create_profile(world.ca, "printers")
    for profile, slug in ((world.profile, "lab"), (other, "shop")):
        profile.department = Department.objects.get(slug=slug)
        profile.save()
        (request,) = create_requests(profile, [f"{slug}.example"])
        notify("request-pending", request, now=now())
    addresses = []

    def refuse_alice(subject: str, text: str, sender: None, recipients: list[str]) -> int:
        addresses.append(recipients)
        if recipients == ["alice@example.org"]:
            raise ConnectionResetError("she hung up")
        return 1

    monkeypatch.setattr(notifications, "send_mail", refuse_alice)
    assert deliver_due(now=now()) == 2
    assert len(addresses) == 2
    late = OutboxMessage.objects.get(next_attempt_at__isnull=False)
    assert (late.outcome, late.attempts, late.request.profile) == (
        "not sent: she hung up",
        1,
        world.profile,
    )
    assert OutboxMessage.objects.get(next_attempt_at__isnull=True).outcome == "sent"


def test_a_notice_without_a_recipient_says_so(world: World, sends_mail: None) -> None:
    User.objects.update(email="")
    Device.named("r1.example").enroll()
    assert deliver_due(now=now()) == 1
    assert OutboxMessage.objects.get().outcome == "not sent: no officer with a mail address"
    assert mail.outbox == []


def test_notices_that_come_soon_after_a_mail_are_gathered(world: World, sends_mail: None) -> None:
    Device.named("r1.example").enroll()
    assert deliver_due(now=now()) == 1
    request = EnrollmentRequest.objects.get()
    for _ in range(2):
        notify("request-attention", request, now=now())
    assert deliver_due(now=now()) == 0
    assert deliver_due(now=now() + notifications.GATHER) == 2
    assert [sent.subject for sent in mail.outbox] == [
        "1 certificate request needs you",
        "2 certificate requests need you",
    ]
