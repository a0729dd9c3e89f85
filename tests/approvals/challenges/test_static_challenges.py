"""Static challenges: rotation with an overlap, entries for each look, counts, and reminders."""

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import IntegrityError, transaction

from accounts.models.people import User
from accounts.principals import Principal, PrincipalKind
from accounts.roles import Role
from approvals.challenges.static import (
    current,
    end_overlap,
    overdue,
    reveal_static,
    set_static,
    taken,
    warnings_of,
)
from approvals.decisions.decide import approve_request
from approvals.issuance import sweep
from approvals.models.challenges import Alarm, StaticChallenge, StaticUse
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.operations.alarms import deliver_alarms
from approvals.rules.errors import ChallengeInvalid, NotPermitted
from approvals.rules.states import State
from audit.models import AuditEntry
from scep.protocol.constants import PKIStatus
from tests.flows.wire import causes
from tests.pages import signed_in
from tests.world import Device, World, create_person, create_profile, later, now, principal_of

OLD, NEW = "the old secret of the printers", "the new secret of the printers"
COMMAND = Principal(kind=PrincipalKind.COMMAND, name="root")


@pytest.fixture
def printers(world: World) -> EnrollmentProfile:
    """A profile with a static challenge."""
    return create_profile(world.ca, "printers", challenge="static", static_challenge=OLD)


@pytest.fixture
def charlie(world: World) -> User:
    return create_person("charlie", Role.ADMINISTRATOR)


def by(user: User) -> Principal:
    return principal_of(user)


def ask(number: int, challenge: str) -> PKIStatus:
    device = Device.named(f"d{number}.example", f"device-{number}", "printers")
    return device.enroll(challenge=challenge).status


def test_a_rotation_takes_the_new_one_at_once_and_the_old_one_until_its_time(
    printers: EnrollmentProfile, charlie: User
) -> None:
    set_static(printers, NEW, principal=by(charlie), now=now(), overlap=timedelta(days=7))
    assert (ask(1, NEW), ask(2, OLD)) == (PKIStatus.PENDING, PKIStatus.PENDING)
    new, old = taken(printers, now=now())
    assert (new.created_by, new.created_by_name, old.created_by) == (charlie, "charlie", None)
    used = dict(StaticUse.objects.values_list("request__common_name", "challenge"))
    assert used == {"d1.example": new.pk, "d2.example": old.pk}
    StaticChallenge.objects.filter(pk=old.pk).update(retires_at=now())
    assert (ask(3, OLD), ask(4, NEW)) == (PKIStatus.FAILURE, PKIStatus.PENDING)
    assert causes() == ["challenge expired"]
    assert taken(printers, now=now()) == [new]


def test_a_rotation_without_overlap_ends_every_old_one_and_an_overlap_never_grows(
    printers: EnrollmentProfile,
) -> None:
    set_static(printers, NEW, principal=COMMAND, now=now(), overlap=timedelta(days=7))
    set_static(printers, NEW + "!", principal=COMMAND, now=now(), overlap=timedelta(days=30))
    retirements = (
        StaticChallenge.objects.filter(profile=printers)
        .order_by("id")
        .values_list("retires_at", flat=True)
    )
    first, second, third = retirements
    assert first is not None
    assert second is not None
    assert (third, first < second) == (None, True)
    set_static(printers, NEW + "?", principal=COMMAND, now=now())
    assert (ask(1, OLD), ask(2, NEW), ask(3, NEW + "!")) == (PKIStatus.FAILURE,) * 3
    assert ask(4, NEW + "?") is PKIStatus.PENDING


def test_an_overlap_is_ended_by_hand_the_current_one_is_not(
    printers: EnrollmentProfile, charlie: User
) -> None:
    set_static(printers, NEW, principal=COMMAND, now=now(), overlap=timedelta(days=7))
    new, old = taken(printers, now=now())
    with pytest.raises(ChallengeInvalid, match="it is the current one"):
        end_overlap(challenge_id=new.pk, principal=by(charlie), now=now())
    end_overlap(challenge_id=old.pk, principal=by(charlie), now=now())
    assert ask(1, OLD) is PKIStatus.FAILURE
    with pytest.raises(ChallengeInvalid, match="over already"):
        end_overlap(challenge_id=old.pk, principal=by(charlie), now=now())


@pytest.mark.parametrize(
    ("text", "overlap", "words"),
    [
        ("short", 0, "12 to 255 printable"),
        ("a challenge\nof two lines", 0, "12 to 255 printable"),
        ("x" * 256, 0, "12 to 255 printable"),
        (OLD, 0, "same as before"),
        (NEW, -1, "overlap"),
        (NEW, 366, "overlap"),
    ],
)
def test_what_cannot_be_a_static_challenge_says_why(
    printers: EnrollmentProfile, text: str, overlap: int, words: str
) -> None:
    with pytest.raises(ChallengeInvalid, match=words):
        set_static(printers, text, principal=COMMAND, now=now(), overlap=timedelta(days=overlap))
    assert StaticChallenge.objects.filter(profile=printers).count() == 1


def test_only_administrators_set_reveal_and_end(
    world: World, printers: EnrollmentProfile, charlie: User
) -> None:
    row = current(printers)
    assert row is not None
    with pytest.raises(NotPermitted, match="only its administrators"):
        set_static(printers, NEW, principal=by(world.alice), now=now())
    for use_case in (reveal_static, end_overlap):
        with pytest.raises(NotPermitted):
            use_case(challenge_id=row.pk, principal=by(world.alice), now=now())
    assert not AuditEntry.objects.filter(event="challenge:reveal").exists()
    secret = reveal_static(challenge_id=row.pk, principal=by(charlie), now=now())
    assert (secret.reveal(), repr(secret)) == (OLD, "Secret(…)")
    entry = AuditEntry.objects.get(event="challenge:reveal")
    assert (entry.subject_id, entry.actor_id) == (str(row.pk), str(charlie.pk))


def test_a_static_challenge_under_a_lost_key_is_not_revealed_and_says_what_to_do(
    printers: EnrollmentProfile, settings: Any
) -> None:
    row = current(printers)
    assert row is not None
    settings.CHALLENGE_KEY = lambda: b"another key"
    with pytest.raises(ChallengeInvalid, match="encrypted with another PORTAL_CHALLENGE_KEY"):
        reveal_static(challenge_id=row.pk, principal=COMMAND, now=now())
    assert not AuditEntry.objects.filter(event="challenge:reveal").exists()


def test_who_set_a_static_challenge_and_what_it_opened_never_changes(
    printers: EnrollmentProfile,
) -> None:
    ask(1, OLD)
    changes: dict[str, Any] = {"sealed": b"", "created_at": now(), "created_by_name": "unknown"}
    for name, value in changes.items():
        with pytest.raises(IntegrityError), transaction.atomic():
            StaticChallenge.objects.filter(profile=printers).update(**{name: value})
    set_static(printers, NEW, principal=COMMAND, now=now())
    with pytest.raises(IntegrityError), transaction.atomic():
        StaticUse.objects.update(challenge=current(printers))


def test_who_set_a_static_challenge_may_approve_what_it_opened(
    world: World, printers: EnrollmentProfile
) -> None:
    """All devices share it, so its author knows as little about this device as others do."""
    dora = create_person("dora", Role.ADMINISTRATOR, Role.OFFICER)
    set_static(printers, NEW, principal=by(dora), now=now())
    ask(1, NEW)
    request = EnrollmentRequest.objects.get()
    approve_request(request_id=request.pk, principal=principal_of(dora), comment="", now=now())
    request.refresh_from_db()
    assert request.state == State.APPROVED


def test_an_old_one_is_warned_of_and_mailed_about_once_a_month(
    world: World,
    printers: EnrollmentProfile,
    charlie: User,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.PORTAL_SENDS_MAIL = True
    assert overdue(now=later(days=89)) == []
    moment = later(days=91)
    assert sweep.remind_of_static(now=moment) == 1
    assert sweep.remind_of_static(now=moment) == 0
    deliver_alarms(now=moment)
    (sent,) = mail.outbox
    assert (sent.to, "91 days old" in sent.body, "/profiles/printers/static/" in sent.body) == (
        ["charlie@example.org"],
        True,
        True,
    )
    assert Alarm.objects.get().outcome == "sent"
    assert sweep.remind_of_static(now=moment + timedelta(days=30)) == 1
    assert any("days old" in text for _, text in warnings_of(printers, now=moment))
    set_static(printers, NEW, principal=COMMAND, now=moment)
    assert overdue(now=moment + timedelta(days=1)) == []
    settings.PORTAL_STATIC_CHALLENGE_DAYS = 0
    assert overdue(now=moment + timedelta(days=4000)) == []


@pytest.mark.usefixtures("no_waiting")
def test_static_and_automatic_is_warned_of_loudly_wherever_the_profile_stands(
    world: World, charlie: User
) -> None:
    create_profile(
        world.ca, "kiosks", challenge="static", static_challenge=OLD, approval="automatic"
    )
    Device.named("d1.example", "device-1", "kiosks").enroll(challenge=OLD)
    request = EnrollmentRequest.objects.get()
    pages = ["/profiles/", "/profiles/kiosks/static/", f"/requests/{request.pk}/"]
    for page in pages:
        assert (
            "everyone who knows it gets a certificate"
            in signed_in(charlie).get(page).content.decode()
        ), page


def test_a_static_profile_without_its_challenge_says_so(printers: EnrollmentProfile) -> None:
    EnrollmentProfile.objects.filter(slug="routers").update(challenge="static")
    assert ("error", "There is no static challenge: nothing is accepted. Set one.") in warnings_of(
        EnrollmentProfile.objects.get(slug="routers"), now=now()
    )


# ---------------------------------------------------------------------------------------- the pages


def test_the_page_reveals_once_with_an_entry_and_is_kept_nowhere(
    printers: EnrollmentProfile, charlie: User
) -> None:
    client, row = signed_in(charlie), current(printers)
    assert row is not None
    answer = client.post(f"/static-challenges/{row.pk}/reveal")
    assert OLD in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert client.get(f"/static-challenges/{row.pk}/reveal").status_code == 405
    for page in (
        "/profiles/printers/static/",
        f"/static-challenges/{row.pk}/",
        "/history/audit/",
        "/profiles/",
    ):
        assert OLD not in client.get(page).content.decode()
    assert OLD not in str(dict(client.session))
    assert AuditEntry.objects.filter(event="challenge:reveal").count() == 1


def test_the_page_rotates_to_a_typed_or_to_a_made_challenge(
    printers: EnrollmentProfile, charlie: User
) -> None:
    client = signed_in(charlie)
    typed = client.post("/profiles/printers/static/rotate", {"text": NEW, "overlap": "1d"})
    assert (typed.status_code, ask(1, NEW), ask(2, OLD)) == (
        302,
        PKIStatus.PENDING,
        PKIStatus.PENDING,
    )
    answer = client.post("/profiles/printers/static/rotate", {"text": "", "overlap": "0"})
    assert (answer.status_code, "no-store" in answer["Cache-Control"]) == (200, True)
    assert ask(3, answer.context["text"]) is PKIStatus.PENDING
    assert (ask(4, NEW), ask(5, OLD)) == (PKIStatus.FAILURE, PKIStatus.FAILURE)
    weak = client.post("/profiles/printers/static/rotate", {"text": "short", "overlap": "0"})
    assert (weak.status_code, "12 to 255" in weak.content.decode()) == (422, True)
    assert client.post("/profiles/printers/static/rotate", {"overlap": "9y"}).status_code == 422


def test_the_page_of_one_shows_what_it_opened(printers: EnrollmentProfile, charlie: User) -> None:
    for number in (1, 2):
        ask(number, OLD)
    row = current(printers)
    assert row is not None
    page = signed_in(charlie).get(f"/static-challenges/{row.pk}/").content.decode()
    assert "d1.example" in page
    assert "d2.example" in page
    request = EnrollmentRequest.objects.latest("id")
    assert (
        f"/static-challenges/{row.pk}/"
        in signed_in(charlie).get(f"/requests/{request.pk}/").content.decode()
    )


def test_the_page_ends_an_overlap(printers: EnrollmentProfile, charlie: User) -> None:
    set_static(printers, NEW, principal=COMMAND, now=now(), overlap=timedelta(days=7))
    new, old = taken(printers, now=now())
    client = signed_in(charlie)
    assert "End now" in client.get("/profiles/printers/static/").content.decode()
    client.post(f"/static-challenges/{old.pk}/end")
    assert taken(printers, now=now()) == [new]
    again = client.post(f"/static-challenges/{new.pk}/end", follow=True)
    assert "it is the current one" in again.content.decode()
