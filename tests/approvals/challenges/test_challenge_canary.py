"""A challenge in clear text is in one answer only (D-50): not in database, log, mail, pages."""

import logging
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from django.core import mail
from django.db import connection

from accounts.roles import Role
from approvals.models.challenges import ChallengePassword, StaticChallenge
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.operations.alarms import deliver_alarms
from approvals.records.notifications import deliver_due
from tests.approvals.challenges.test_challenges import Everything, assert_absent
from tests.pages import signed_in
from tests.world import Device, World, create_person, create_profile, later

CANARY = "canary-5Kz9-ünique-static"


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """All log lines during the test, of every logger, at every level."""
    handler, root = Everything(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler.lines
    root.removeHandler(handler)
    root.setLevel(level)


def database() -> str:
    """Every value of every table, bytes as text in which a challenge would be seen."""
    values: list[str] = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - names of our own tables
            for row in cursor.fetchall():
                values += [
                    bytes(v).decode("latin-1") if isinstance(v, bytes | memoryview) else str(v)
                    for v in row
                ]
    return "\n".join(values)


def test_d50_no_clear_text_is_anywhere_but_in_the_answer_that_shows_it(
    world: World, settings: Any, logged: list[str]
) -> None:
    settings.PORTAL_SENDS_MAIL = True
    phones = create_profile(world.ca, "phones", challenge="one-time")
    create_profile(world.ca, "printers", challenge="static", static_challenge=CANARY)
    EnrollmentProfile.objects.filter(pk=phones.pk).update(max_failed_per_address=2)
    everybody = create_person("erika", Role.OFFICER, Role.AUDITOR, Role.ADMINISTRATOR)
    client = signed_in(everybody)
    with mock.patch("celery.app.task.Task.apply_async") as sent:
        answer = client.post(
            "/profiles/phones/challenges/new",
            {"lifetime": "1h", "count": "2", "created_for": "Jana"},
        )
        (_, first), (_, second) = answer.context["made"]
        used, unused = first.reveal(), second.reveal()
        assert used in answer.content.decode()
        phone = Device.named("d1.example", "device-1", "phones")
        assert phone.enroll(challenge=used).status.name == "PENDING"
        for guess in (f"{unused}x", used):
            Device.named("d2.example", "device-2", "phones").enroll(challenge=guess)
        Device.named("d3.example", "device-3", "printers").enroll(challenge=CANARY)
        shown = client.post(f"/static-challenges/{StaticChallenge.objects.get().pk}/reveal")
        assert CANARY in shown.content.decode()
    deliver_alarms(now=later(minutes=2))
    deliver_due(now=later(minutes=2))
    assert mail.outbox
    places = {
        "database": database(),
        "log": "\n".join(logged),
        "mail": "\n".join(f"{message.subject} {message.body}" for message in mail.outbox),
        "task": str(sent.mock_calls),
        "session": str(dict(client.session)),
        **{page: client.get(page).content.decode() for page in pages()},
    }
    for where, text in places.items():
        for secret in (used, unused, CANARY):
            assert_absent(text, secret, where)


def pages() -> list[str]:
    """Every page that knows of challenges."""
    challenges = ChallengePassword.objects.values_list("pk", flat=True)
    return [
        "/challenges/",
        *(f"/challenges/{key}/" for key in challenges),
        "/profiles/",
        "/profiles/phones/challenges/new",
        "/profiles/phones/locks/",
        "/profiles/printers/static/",
        f"/static-challenges/{StaticChallenge.objects.get().pk}/",
        *(f"/requests/{key}/" for key in EnrollmentRequest.objects.values_list("pk", flat=True)),
        "/history/audit/",
        "/history/requests/",
    ]
