"""Pages of stored and pasted messages: visibility, opening, and hidden challenges."""

import base64
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from django.conf import settings
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from accounts.models.people import Department
from accounts.roles import Role
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from audit.events import Event
from audit.models import AuditEntry
from ca.models.keys import ServiceKey
from exchanges import storage
from exchanges.models import Exchange, KeptFor, Recording
from exchanges.storage import prune, recorder, tidy
from inspector.walk import walk_of
from scep.client import build_csr
from scep.ra.keys import ra_keys, retire_ra_key
from tests.approvals.enrollment.renewing import certified
from tests.flows.rolling import renewed_ra
from tests.flows.wire import message, post
from tests.pages import signed_in
from tests.pki import rsa_key
from tests.selftest.walking import create_loop, started, walk
from tests.world import Device, World, create_person, create_profile, later, now

CANARY = "canary-challenge-of-a-device-0815"


def stored(world: World, **pieces: object) -> Exchange:
    """Send a refused PKCSReq with a challenge in it, and return it as it is kept."""
    request = build_csr(
        rsa_key("alice"), "r1.example", dns_names=["r1.example"], challenge_password=CANARY
    )
    post(message(world, request, **pieces), "locked")  # type: ignore[arg-type]  # pieces of a forged message
    return Exchange.objects.latest("id")


@pytest.fixture
def locked(world: World) -> EnrollmentProfile:
    """A profile that refuses every wrong challenge."""
    return create_profile(
        world.ca, "locked", challenge="static", static_challenge="another long secret"
    )


def test_refused_messages_are_kept_and_ordinary_ones_are_not(
    world: World, locked: EnrollmentProfile
) -> None:
    device = Device.named("r1.example")
    device.enroll()
    device.poll()
    assert not Exchange.objects.exists()
    exchange = stored(world)
    assert (
        exchange.kept_for,
        exchange.message_type,
        exchange.pki_status,
        exchange.http_status,
    ) == (
        "refusal",
        19,
        2,
        200,
    )
    assert post(b"no message").http == 400
    assert Exchange.objects.latest("id").http_status == 400


def test_a_challenge_shows_on_no_page_of_a_stored_message(
    world: World, locked: EnrollmentProfile
) -> None:
    exchange = stored(world)
    officer = signed_in(world.alice)
    paths = [reverse("exchanges"), reverse("exchange", args=[exchange.pk])]
    pages = [officer.get(path).content for path in paths]
    pages.append(officer.post(reverse("exchange_open", args=[exchange.pk])).content)
    assert b"there is one (redacted)" in pages[-1]
    assert b"r1.example" in pages[-1]
    for page in pages:
        assert CANARY.encode() not in page
        assert CANARY.encode().hex().encode() not in page
    assert CANARY.encode() not in bytes(exchange.message) + bytes(exchange.answer)


def test_a_pasted_request_never_shows_its_challenge_and_is_not_stored(world: World) -> None:
    bare = build_csr(rsa_key("alice"), "r1.example", challenge_password=CANARY)
    text = base64.b64encode(bare).decode()
    page = signed_in(world.alice).post(reverse("inspector"), {"text": text, "profile": "routers"})
    assert page.status_code == 200
    assert b"there is one (redacted)" in page.content
    assert b"Rules of profile routers" in page.content
    assert CANARY.encode() not in page.content
    assert text.encode()[:200] not in page.content
    assert not Exchange.objects.exists()


def test_a_pasted_message_to_an_ra_key_of_the_portal_is_not_decrypted(world: World) -> None:
    sent = message(world, build_csr(rsa_key("alice"), "hidden.example"))
    page = signed_in(world.alice).post(
        reverse("inspector"), {"text": base64.b64encode(sent).decode()}
    )
    assert b"the RA key of CA issuing" in page.content
    assert b"hidden.example" not in page.content


def test_opening_a_stored_message_is_a_post_that_stands_in_the_log(
    world: World, locked: EnrollmentProfile
) -> None:
    exchange = stored(world)
    address = reverse("exchange_open", args=[exchange.pk])
    officer = signed_in(world.alice)
    assert officer.get(address).status_code == 405
    officer.post(address)
    entry = AuditEntry.objects.get(event=Event.EXCHANGE_OPEN)
    assert (entry.subject_id, entry.actor_id) == (str(exchange.pk), str(world.alice.pk))


@pytest.mark.parametrize(
    "pieces",
    [
        {"envelope": {"plaintext": b"0\x03no"}},
        {"envelope": {"plaintext": b"\x30\x00"}},
        {"envelope": {"recipient_certificate": Device.named("x").identity.certificate_der}},
    ],
)
def test_whatever_cannot_be_read_inside_is_the_one_sentence_the_device_got(
    world: World, locked: EnrollmentProfile, pieces: dict[str, object]
) -> None:
    post(message(world, None, **pieces), "locked")  # type: ignore[arg-type]  # pieces of a forged message
    exchange = Exchange.objects.latest("id")
    page = (
        signed_in(world.alice).post(reverse("exchange_open", args=[exchange.pk])).content.decode()
    )
    assert "Message could not be decrypted or read: the device got this answer too." in page
    assert "stops at" not in page.partition("Inside the envelope")[2].partition("The message")[0]


def test_a_stored_message_is_decoded_under_the_rules_of_its_profile(
    world: World, locked: EnrollmentProfile
) -> None:
    EnrollmentProfile.objects.filter(pk=locked.pk).update(legacy_algorithms=True)
    exchange = stored(world, digest="sha1")
    page = signed_in(world.alice).get(reverse("exchange", args=[exchange.pk])).content.decode()
    assert "use SHA-256" not in page
    assert page.count("Verified: by the key of the signer certificate") == 2, (
        "of the message and of the answer"
    )
    text = base64.b64encode(bytes(exchange.message)).decode()
    pasted = (
        signed_in(world.alice)
        .post(reverse("inspector"), {"text": text, "profile": "locked"})
        .content.decode()
    )
    assert "The outer part is accepted" in pasted


def test_the_envelope_of_an_answer_is_said_to_be_the_devices(world: World) -> None:
    certified(world, Device.named("r1.example"))
    answer = post(message(world, build_csr(rsa_key("alice"), "r1.example"))).body
    page = signed_in(world.alice).post(
        reverse("inspector"), {"text": base64.b64encode(answer).decode()}
    )
    assert b"Encrypted to the device: only the device can open it." in page.content
    assert b"Not encrypted to an RA key" not in page.content


def test_a_message_whose_ra_key_is_retired_since_is_not_said_to_have_been_unreadable(
    world: World, locked: EnrollmentProfile
) -> None:
    exchange = stored(world)
    old = ServiceKey.objects.get()
    renewed_ra(world.ca, "device-1")
    retire_ra_key(old, now=now())
    ra_keys.forget()
    page = (
        signed_in(world.alice).post(reverse("exchange_open", args=[exchange.pk])).content.decode()
    )
    assert "Not opened: no RA key that is in use now makes it readable." in page
    assert "Encrypted to a retired key, the RA key of CA issuing." in page
    assert "the device got this answer too" not in page


def test_without_a_readable_ra_key_a_message_stays_closed(
    world: World, locked: EnrollmentProfile
) -> None:
    exchange = stored(world)
    for file in Path(settings.RA_KEY_FOLDER).glob("*.pem"):
        file.unlink()
    ra_keys.forget()
    page = signed_in(world.alice).post(reverse("exchange_open", args=[exchange.pk]))
    assert (page.status_code, b"no RA key of this CA can be used" in page.content) == (200, True)


def test_a_cert_poll_is_not_opened(world: World, locked: EnrollmentProfile) -> None:
    post(message(world, message_type="20"), "locked")
    exchange = Exchange.objects.latest("id")
    page = signed_in(world.alice).post(reverse("exchange_open", args=[exchange.pk]))
    assert b"Not opened: transactionID and signer key decide" in page.content


def test_messages_of_another_department_are_not_there(
    world: World, locked: EnrollmentProfile
) -> None:
    lab = Department.objects.create(slug="lab", name="Lab")
    exchange = stored(world)
    EnrollmentProfile.objects.filter(pk=locked.pk).update(department=lab)
    other = Department.objects.create(slug="other", name="Other")
    bob = signed_in(create_person("bob", Role.OFFICER, department=other))
    assert bob.get(reverse("exchange", args=[exchange.pk])).status_code == 404
    assert bob.post(reverse("exchange_open", args=[exchange.pk])).status_code == 404
    assert exchange.transaction_id.encode() not in bob.get(reverse("exchanges")).content
    own = signed_in(create_person("dora", Role.OFFICER, department=lab))
    assert own.get(reverse("exchange", args=[exchange.pk])).status_code == 200


def test_recording_keeps_every_message_of_its_profile_until_its_end(world: World) -> None:
    charlie = signed_in(create_person("charlie", Role.ADMINISTRATOR))
    charlie.post(reverse("recording_start", args=["routers"]), {"hours": "1"})
    Device.named("r1.example").enroll()
    assert Exchange.objects.get().kept_for == KeptFor.RECORDING
    assert b"Every message is recorded until" in charlie.get(reverse("profiles")).content
    charlie.post(reverse("recording_stop", args=["routers"]))
    Device.named("r1.example").poll()
    assert Exchange.objects.count() == 1
    assert b"Every message is recorded until" not in charlie.get(reverse("profiles")).content
    events = (
        AuditEntry.objects.filter(event__startswith="recording:")
        .order_by("id")
        .values_list("event", flat=True)
    )
    assert list(events) == ["recording:start", "recording:stop"]


def test_recording_ends_by_itself_and_is_never_longer_than_a_day(world: World) -> None:
    charlie = signed_in(create_person("charlie", Role.ADMINISTRATOR))
    charlie.post(reverse("recording_start", args=["routers"]), {"hours": "25"})
    assert not Recording.objects.exists()
    charlie.post(reverse("recording_start", args=["routers"]), {"hours": "24"})
    assert (
        recorder.reason(world.profile, now=later(hours=23), is_refused=False) == KeptFor.RECORDING
    )
    assert recorder.reason(world.profile, now=later(hours=24, minutes=1), is_refused=False) is None


def test_who_sends_refused_messages_only_cannot_fill_the_disk(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(storage.A_MINUTE, KeptFor.REFUSAL, 3)
    for _ in range(5):
        post(b"no message")
    assert Exchange.objects.count() == 3
    monkeypatch.setitem(storage.NEWEST, KeptFor.REFUSAL, 2)
    newest = list(Exchange.objects.order_by("-id").values_list("pk", flat=True)[:2])
    assert tidy(world.profile, KeptFor.REFUSAL) == 1
    assert list(Exchange.objects.order_by("-id").values_list("pk", flat=True)) == newest
    assert prune(now=later(days=15)) == 2


def test_nor_can_who_sends_to_the_profile_of_the_self_test(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_loop()
    monkeypatch.setitem(storage.A_MINUTE, KeptFor.SELF_TEST, 3)
    for _ in range(5):
        post(b"no message", "selftest")
    assert list(Exchange.objects.values_list("kept_for", flat=True)) == [KeptFor.SELF_TEST] * 3


def test_a_database_that_takes_no_message_costs_the_device_nothing(world: World) -> None:
    with mock.patch.object(Exchange.objects, "create", side_effect=OperationalError("disk full")):
        assert post(b"no message").http == 400
    with mock.patch.object(Recording.objects, "values_list", side_effect=OperationalError("gone")):
        recorder.forget()
        assert recorder.reason(world.profile, now=now(), is_refused=False) is None


def test_a_self_test_is_walked_from_device_to_portal_to_officer_to_worker_and_back(
    world: World,
) -> None:
    run = walk(started(create_loop(), world.alice))
    assert run.request is not None
    steps = walk_of(run.request)
    lanes = [step.lanes for step in steps]
    for arrow in (
        "Device → Portal",
        "Portal → Device",
        "Portal → Officer",
        "Officer → Portal",
        "Worker → Portal",
    ):
        assert arrow in lanes
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    assert all(step.size for step in steps if step.exchange_id)
    assert {step.title for step in steps} >= {
        "PKCSReq",
        "PENDING",
        "Approved",
        "SUCCESS",
        "Revoked",
    }
    page = signed_in(world.alice).get(reverse("walk", args=[run.request_id]) + "?step=3")
    assert b'aria-current="step"' in page.content
    assert f"Step 3 of {len(steps)}".encode() in page.content
    for odd in ("0", "-1", "999999", "x", "²"):
        assert (
            signed_in(world.alice)
            .get(reverse("walk", args=[run.request_id]), {"step": odd})
            .status_code
            == 200
        )


def test_polls_that_wait_are_one_step_with_their_number(world: World) -> None:
    recorder.forget()
    world.profile.for_self_test = world.profile.is_test = True
    EnrollmentProfile.objects.filter(pk=world.profile.pk).update(for_self_test=True, is_test=True)
    device = Device.named("r1.example")
    device.enroll()
    for _ in range(4):
        device.poll()
    steps = walk_of(EnrollmentRequest.objects.get())
    assert [(step.title, step.count) for step in steps if step.title == "CertPoll"] == [
        ("CertPoll", 4)
    ]


def test_the_walk_of_a_request_without_stored_messages_is_what_the_log_knows(world: World) -> None:
    Device.named("r1.example").enroll()
    steps = walk_of(EnrollmentRequest.objects.get())
    assert [step.title for step in steps] == ["The request waits for a decision"]


def test_stored_messages_are_found_by_request_and_by_transaction(world: World) -> None:
    run = walk(started(create_loop(), world.alice))
    officer = signed_in(world.alice)
    every = Exchange.objects.count()
    by_request = officer.get(reverse("exchanges"), {"request_id": str(run.request_id)})
    assert len(by_request.context["page"].rows) == min(every, 50) > 5
    transaction = Exchange.objects.order_by("id")[0].transaction_id
    assert officer.get(reverse("exchanges"), {"transaction": transaction}).context["page"].rows
    for odd in ("nonsense", str(world.alice.pk)):
        assert not officer.get(reverse("exchanges"), {"request_id": odd}).context["page"].rows


def test_the_log_leads_from_a_refusal_to_its_message(
    world: World, locked: EnrollmentProfile
) -> None:
    exchange = stored(world)
    page = signed_in(create_person("bob", Role.AUDITOR)).get(reverse("history_audit"))
    assert f"{reverse('exchanges')}?transaction={exchange.transaction_id}".encode() in page.content


def test_an_old_message_is_one_that_is_not_needed(world: World) -> None:
    post(b"no message")
    Exchange.objects.update(received_at=now() - storage.KEPT - timedelta(minutes=1))
    assert prune(now=now()) == 1


def test_strangers_are_sent_to_sign_in(world: World) -> None:
    assert Client().get(reverse("inspector")).status_code == 302
