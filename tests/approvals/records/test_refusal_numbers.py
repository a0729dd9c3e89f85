"""Refusal numbers: a technician reads one off the device, an officer finds the real cause."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from unittest import mock

import pytest
from django.db import transaction
from django.test import override_settings
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from accounts.models.people import Department, User
from accounts.permissions import can
from accounts.principals import PORTAL
from accounts.roles import Role, Verb
from approvals.challenges.onetime import ChallengeOrder, create_challenges
from approvals.decisions.decide import approve_request, reject_request
from approvals.enrollment.polls import flush
from approvals.models.challenges import ChallengePassword
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, PollRecord, RefusalNumber
from approvals.records.refusal_numbers import number_in, number_of_answer, number_of_request
from approvals.rules.errors import MAX_DEVICE_TEXT
from approvals.rules.states import State
from audit.events import SYSTEM, Event
from audit.log import close_minutes, record
from audit.models import AuditEntry, RepeatedEvent
from ca.certificates.profile_versions import save_profile_version
from ca.content.csr_review import ProfileSpec
from exchanges.models import Exchange
from scep.protocol.constants import PKIStatus
from scep.protocol.errors import NOT_OPENED, UNREADABLE
from scep.responses import numbered
from tests.ca.forge import (
    challenge,
    dns,
    extension,
    extension_request,
    info,
    raw_name,
    request_der,
    san,
    signed,
)
from tests.flows.test_attacks_messages import CLOCK, UNREADABLE_ENVELOPES
from tests.flows.wire import bare, causes, message, number_of, post
from tests.pages import signed_in
from tests.world import Device, World, create_person, create_profile, now, principal_of

FORM: Final = re.compile(r"^\d{4}-\d{4}$")
MOMENT: Final = datetime(2026, 12, 1, 8, 15, 30, tzinfo=UTC)


@pytest.fixture
def static(world: World) -> EnrollmentProfile:
    return create_profile(
        world.ca, "locked", challenge="static", static_challenge="the secret of all kiosks"
    )


@pytest.fixture
def moment() -> object:
    """Let every message of a test arrive in one minute."""
    with mock.patch(CLOCK, return_value=now().replace(second=20)) as clock:
        yield clock


def wrong(name: str = "kiosk-7") -> bytes:
    """A request with a challenge that is none."""
    return request_der(raw_name(("2.5.4.3", 0x0C, name.encode())), challenge("guess"))


# ----------------------------------------------------------------------- the device's text


@pytest.mark.usefixtures("moment")
def test_a_refusal_ends_in_its_number_and_repeats_carry_that_of_the_first(
    world: World, static: EnrollmentProfile
) -> None:
    answers = [post(message(world, wrong()), "locked") for _ in range(3)]
    assert [answer.text for answer in answers] == ["request not permitted"] * 3
    (number,) = {answer.number for answer in answers}
    assert FORM.match(number)
    entry = AuditEntry.objects.get(event="message:refuse")
    assert (entry.data["number"], entry.data["cause"]) == (number, "locked: challenge wrong")
    assert set(Exchange.objects.values_list("number", flat=True)) == {number}


@pytest.mark.parametrize("seconds", [60, 61, 119, 3600, 86_400])
def test_another_minute_has_another_number(
    world: World, static: EnrollmentProfile, seconds: int
) -> None:
    numbers = []
    for at in (MOMENT, MOMENT + timedelta(seconds=seconds)):
        with mock.patch(CLOCK, return_value=at):
            numbers.append(post(message(world, wrong()), "locked").number)
    assert len(set(numbers)) == 2


@pytest.mark.parametrize("state", [State.REJECTED, State.EXPIRED])
def test_a_request_that_ended_in_a_refusal_has_one_number_whenever_its_device_asks(
    world: World, state: State
) -> None:
    device = Device.named("r9.example")
    device.enroll()
    request = EnrollmentRequest.objects.get()
    EnrollmentRequest.objects.filter(pk=request.pk).update(
        state=state, reason="no", finished_at=now()
    )
    texts = []
    for at in (MOMENT, MOMENT + timedelta(minutes=1), MOMENT + timedelta(days=2)):
        with mock.patch(CLOCK, return_value=at):
            texts += [device.poll().fail_info_text, device.poll().fail_info_text]
    assert {number_of(text) for text in texts} == {number_of_request(request.pk)}
    assert RefusalNumber.objects.get().request_id == request.pk, (
        "of an installation that had no numbers"
    )


def test_the_number_of_a_rejection_is_on_record_with_it(world: World) -> None:
    device = Device.named("r9.example")
    device.enroll()
    request = EnrollmentRequest.objects.get()
    reject_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="wrong site", now=now()
    )
    number = number_of(device.poll().fail_info_text)
    assert AuditEntry.objects.get(event="request:reject").data["number"] == number
    assert RefusalNumber.objects.get().number == number


@given(text=st.text(max_size=600), digits=st.from_regex(r"\d{4}-\d{4}", fullmatch=True))
def test_a_text_and_its_number_fit_into_fail_info_text(text: str, digits: str) -> None:
    numbered_text = numbered(text, digits)
    assert len(numbered_text) <= MAX_DEVICE_TEXT
    assert number_of(numbered_text) == digits
    assert text.startswith(bare(numbered_text) or "")
    assert numbered(text, "") == text[:MAX_DEVICE_TEXT]


# ------------------------------------------------------------------------- a number reveals nothing


def one_time(profile: EnrollmentProfile, **order: Any) -> str:
    return create_challenges(ChallengeOrder(profile, **order), principal=PORTAL, now=now())[0][
        1
    ].reveal()


@pytest.mark.usefixtures("moment")
def test_a_challenge_that_exists_and_one_that_does_not_have_the_same_number(world: World) -> None:
    """Else an attacker would compare numbers with that of a known wrong challenge."""
    phones = create_profile(world.ca, "phones", challenge="one-time")
    used, expired, bound, withdrawn = (
        one_time(phones, subject=name) for name in ("", "", "r7.example", "")
    )
    assert (
        Device.named("d1.example", "device-1", profile="phones").enroll(challenge=used).status
        == PKIStatus.PENDING
    )
    rows = list(ChallengePassword.objects.filter(subject="", redeemed_at__isnull=True))
    ChallengePassword.objects.filter(pk=rows[0].pk).update(expires_at=now() - timedelta(hours=1))
    ChallengePassword.objects.filter(pk=rows[1].pk).update(
        withdrawn_at=now(), withdrawn_by=world.alice
    )
    numbers = set()
    for password in (None, "", "guessed", used, expired, bound, withdrawn, "guessed again"):
        numbers.add(
            number_of(
                Device.named("r1.example", profile="phones")
                .enroll(challenge=password)
                .fail_info_text
            )
        )
    assert len(numbers) == 1
    assert len(set(causes())) >= 5, "the log knows them apart"


@pytest.mark.usefixtures("moment")
def test_whatever_became_of_an_envelope_its_number_is_the_same(world: World) -> None:
    sent = [message(world, envelope=pieces) for _, pieces in UNREADABLE_ENVELOPES]
    changed = (
        request_der()[:-9] + b"otherbyte",
        request_der(None, challenge("x"))[:-9] + b"otherbyte",
    )
    sent += [message(world, one, key="bob") for one in changed]
    numbers = set()
    for one in sent:
        with (
            transaction.atomic()
        ):  # each is the first of its minute: a repeat carries the number of the first
            numbers.add(post(one).number)
            transaction.set_rollback(True)
    numbers |= {post(one).number for one in sent}
    assert len(numbers) == 1


@pytest.mark.usefixtures("moment")
def test_a_poll_of_another_devices_transaction_has_the_number_of_one_for_nothing(
    world: World,
) -> None:
    device = Device.named("r1.example")
    device.enroll(transaction_id="T-1")
    stranger = Device.named("r2.example", "bob")
    texts = {
        stranger.poll(transaction_id=name).fail_info_text
        for name in ("T-1", "T-2", "T-3", "T-4", "t-1")
    }
    assert len(texts) == 1
    assert set(causes()) == {"poll signed by another key", "unknown transaction"}


@given(
    text=st.text(max_size=300), seconds=st.integers(0, 10**7), address=st.ip_addresses().map(str)
)
def test_a_number_tells_by_itself_nothing_of_what_it_is_made_of(
    text: str, seconds: int, address: str
) -> None:
    """Eight digits of a keyed digest; they follow neither time nor one another."""
    profile = EnrollmentProfile(slug="locked")
    at = MOMENT + timedelta(seconds=seconds)
    here = number_of_answer(profile, address=address, text=text, now=at)
    assert FORM.match(here)
    with override_settings(SECRET_KEY="another key of another portal, long enough"):
        there = number_of_answer(profile, address=address, text=text, now=at)
    following = number_of_answer(profile, address=address, text=text, now=at + timedelta(minutes=1))
    assert len({here, there, following}) == 3


# --------------------------------------------------------------------------- the officer's pages

SPELLINGS: Final[list[Callable[[str], str]]] = [
    lambda number: number,
    lambda number: number.replace("-", ""),
    lambda number: f" [{number}] ",
    lambda number: number.replace("-", "\u2013"),
    lambda number: number.replace("-", " "),
]


@pytest.mark.parametrize("spelled", SPELLINGS)
@pytest.mark.parametrize("page", ["queue", "history_requests", "history_certificates", "exchanges"])
def test_every_search_leads_from_a_number_to_the_refusal(
    world: World, static: EnrollmentProfile, spelled: Callable[[str], str], page: str
) -> None:
    number = post(message(world, wrong("kiosk-31")), "locked").number
    officer = signed_in(world.alice)
    listed = officer.get(reverse(page), {"q": spelled(number)}).content.decode()
    assert reverse("refusal", args=[number]) in listed
    opened = officer.get(reverse("refusal", args=[number])).content.decode()
    assert "CN=kiosk-31" in opened
    assert "challenge wrong" in opened
    assert reverse("exchange", args=[Exchange.objects.get().pk]) in opened
    assert number_in(spelled(number)) == number


@pytest.mark.parametrize("spelled", SPELLINGS)
@pytest.mark.parametrize("page", ["queue", "history_requests"])
def test_the_number_of_a_rejected_request_finds_it(
    world: World, spelled: Callable[[str], str], page: str
) -> None:
    device = Device.named("r9.example")
    device.enroll()
    Device.named("r8.example", "bob").enroll()
    request = EnrollmentRequest.objects.get(common_name="r9.example")
    reject_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="wrong site", now=now()
    )
    number = number_of(device.poll().fail_info_text)
    officer = signed_in(world.alice)
    listed = officer.get(reverse(page), {"q": spelled(number)}).content.decode()
    assert reverse("request", args=[request.pk]) in listed
    assert "r8.example" not in listed
    assert number in officer.get(reverse("request", args=[request.pk])).content.decode()
    assert "wrong site" in officer.get(reverse("refusal", args=[number])).content.decode()


@pytest.mark.parametrize(
    "text", ["4711", "4711-209", "47112093x", "", "kiosk-4711-2093", "4711--2093", "4711-20933"]
)
def test_what_is_no_number_is_searched_as_before(text: str) -> None:
    assert number_in(text) == ""


def test_a_refusal_opens_for_officers_and_administrators_of_the_profile_only(
    world: World, static: EnrollmentProfile
) -> None:
    here, elsewhere = (
        Department.objects.create(slug=slug, name=slug) for slug in ("here", "elsewhere")
    )
    EnrollmentProfile.objects.filter(pk=static.pk).update(department=here)
    number = post(message(world, wrong("kiosk-31")), "locked").number
    page, listed = reverse("refusal", args=[number]), reverse("queue") + f"?q={number}"
    for name, role, department, status in (
        ("olga", Role.OFFICER, here, 200),
        ("adam", Role.ADMINISTRATOR, here, 200),
        ("bob", Role.OFFICER, elsewhere, 404),
        ("bert", Role.ADMINISTRATOR, elsewhere, 404),
    ):
        client = signed_in(create_person(name, role, department=department))
        assert client.get(page).status_code == status
        assert (page in client.get(listed).content.decode()) is (status == 200)
    assert signed_in(create_person("charlie")).get(page).status_code == 403
    assert signed_in(world.alice).get(reverse("refusal", args=["1111-1111"])).status_code == 404
    assert signed_in(world.alice).get(reverse("refusal", args=["no-number"])).status_code == 404


NAMES: Final = [
    (raw_name(("2.5.4.3", 0x0C, "Küche 7".encode())), (), "CN=Küche 7"),
    (
        raw_name(("2.5.4.5", 0x13, b"SN-31"), ("2.5.4.3", 0x0C, b"pos-31")),
        (),
        "serialNumber=SN-31, CN=pos-31",
    ),
    (
        raw_name(),
        (extension_request(san(dns("cam-2.example"), dns("b.example"))),),
        "dns:cam-2.example",
    ),
    (raw_name(("2.5.4.10", 0x0C, b"Example")), (), "O=Example"),
    (raw_name(("2.5.4.3", 0x0C, b"<b>r1</b>")), (), "CN=&lt;b&gt;r1&lt;/b&gt;"),
    (raw_name(), (), "CN=alice"),
]


@pytest.mark.parametrize(("subject", "attributes", "shown"), NAMES)
def test_list_and_page_of_a_refused_message_name_the_device_and_the_real_cause_first(
    world: World,
    static: EnrollmentProfile,
    subject: bytes,
    attributes: tuple[bytes, ...],
    shown: str,
) -> None:
    sent = message(world, request_der(subject, challenge("guess"), *attributes))
    assert post(sent, "locked").text == "request not permitted"
    officer = signed_in(world.alice)
    listed = officer.get(reverse("exchanges")).content.decode()
    page = officer.get(reverse("exchange", args=[Exchange.objects.get().pk])).content.decode()
    for content in (listed, page):
        assert shown in content
        assert "challenge wrong" in content
    first = page.index("Refused: challenge wrong")
    assert first < page.index(shown, page.index("<h1>")) < page.index("said good")
    assert "challenge wrong" not in str(bytes(Exchange.objects.get().answer))


def test_the_name_of_an_unreadable_message_is_that_of_its_signer(world: World) -> None:
    post(message(world, request_der(), envelope={"encrypted_cek": b"x" * 256}))
    exchange = Exchange.objects.get()
    assert exchange.subject == "CN=alice.example"
    assert (exchange.cause, exchange.detail) == (UNREADABLE, NOT_OPENED)


# ------------------------------------------------------------------ each fault is counted by itself


def spec_fault(number: int) -> bytes:
    """A request with one fault against a profile that wants CN=*.example of 2048 bits or more."""
    cn = ("2.5.4.3", 0x0C, b"r1.example")
    name, raw = raw_name(cn), raw_name
    requests = [
        request_der(raw(cn, ("2.5.4.12", 0x0C, b"boss"))),
        request_der(raw(cn, cn)),
        request_der(raw(("2.5.4.3", 0x0C, b"r1.example "))),
        request_der(name, extension_request(san(dns("*.example")))),
        request_der(name, extension_request(san(b"\x87\x04\x7f\x00\x00\x01"))),
        request_der(name, extension_request(extension("2.5.29.19", b"\x30\x03\x01\x01\xff"))),
        request_der(raw()),
    ]
    return requests[number]


@pytest.mark.usefixtures("moment")
def test_faults_of_policy_are_told_apart_in_the_log_and_the_same_one_is_counted(
    world: World,
) -> None:
    narrow = ProfileSpec(san_kinds=("dns",))
    create_profile(world.ca, "narrow", spec=narrow)
    for number in [*range(7), 0, 3, 3]:
        post(message(world, spec_fault(number)), "narrow")
    entries = list(AuditEntry.objects.filter(event="message:refuse").order_by("id"))
    causes_logged = [entry.data["cause"] for entry in entries]
    assert len(causes_logged) == len(set(causes_logged)) == 7
    assert all(
        re.fullmatch(r"narrow: policy: [a-z-]+(, [a-z-]+)?", cause) for cause in causes_logged
    ), causes_logged
    assert len({entry.data["text"] for entry in entries}) == 7
    assert sorted(RepeatedEvent.objects.values_list("count", flat=True)) == [0, 0, 0, 0, 0, 1, 2]


def test_the_entry_that_counts_repeats_keeps_the_address_and_opens_the_first(
    world: World, static: EnrollmentProfile
) -> None:
    with mock.patch(CLOCK, return_value=MOMENT):
        numbers = {
            post(message(world, wrong()), "locked", REMOTE_ADDR="198.51.100.31").number
            for _ in range(4)
        }
    assert close_minutes(now=MOMENT + timedelta(minutes=5)) == 1
    first, summary = AuditEntry.objects.filter(event="message:refuse").order_by("id")
    assert summary.data["repeated"] == 3
    assert {summary.data["number"]} == numbers
    assert summary.private_values.get(path="actor.address").value == "198.51.100.31"
    auditor = signed_in(create_person("bob", Role.AUDITOR))
    log = auditor.get(reverse("history_audit")).content.decode()
    link = f"{reverse('history_audit')}?subject={first.pk}"
    assert link in log
    opened = auditor.get(link).content.decode()
    assert str(first.pk) in opened
    assert str(summary.pk) not in opened
    assert (
        str(first.pk)
        in auditor.get(reverse("history_audit"), {"subject": numbers.pop()}).content.decode()
    )


def _cn(text: str) -> bytes:
    return request_der(raw_name(("2.5.4.3", 0x0C, text.encode())))


def _san(*names: bytes) -> bytes:
    return request_der(None, extension_request(san(*names)))


#: Requests refused for one reason in different words, which repeat text of the sender.
WORDED: Final[dict[str, list[bytes]]] = {
    "blanks at the ends": [_cn("cam-1 "), _cn("cam-2 "), _cn(" cam-3"), _cn("cam-1 ")],
    "too long": [_cn("c" * length) for length in (65, 66, 80)],
    "an attribute that is not allowed": [
        request_der(raw_name(("2.5.4.3", 0x0C, b"c"), ("2.5.4.12", 0x0C, title)))
        for title in (b"boss", b"clerk", b"x")
    ],
    "names of another kind": [
        _san(b"\x81\x05a@b.c"),
        _san(b"\x86\x08urn:a:bc"),
        _san(b"\x88\x03\x2a\x03\x04"),
    ],
    "addresses of no size": [_san(b"\x87\x03abc"), _san(b"\x87\x08abcdefgh"), _san(b"\x87\x01a")],
    "versions": [
        signed(info(raw_name(("2.5.4.3", 0x0C, b"c")), version=version)) for version in (1, 2, 7)
    ],
}


@pytest.mark.usefixtures("moment")
@pytest.mark.parametrize("reason", WORDED)
def test_each_number_that_a_device_reads_is_on_record_however_its_text_is_worded(
    world: World, reason: str
) -> None:
    """A fleet behind one address is refused for one reason; each text names its device."""
    answers = [post(message(world, request)) for request in WORDED[reason]]
    assert len({answer.text for answer in answers}) > 1
    entry = AuditEntry.objects.get(event="message:refuse")
    assert {answer.number for answer in answers} == {entry.data["number"]}
    assert RefusalNumber.objects.filter(number=answers[-1].number, entry=entry).exists()
    opened = (
        signed_in(world.alice).get(reverse("refusal", args=[answers[-1].number])).content.decode()
    )
    assert all(
        reverse("exchange", args=[exchange.pk]) in opened for exchange in Exchange.objects.all()
    )


# ---------------------------------------------------------------------------- polls, versions, logs


@pytest.mark.parametrize(
    ("messages", "polls"),
    [("m", 0), ("mp", 1), ("mm", 1), ("mpp", 2), ("mpmpm", 4), ("mmmm", 3), ("p", 0)],
)
def test_polls_count_what_came_after_the_first_message(
    world: World, messages: str, polls: int
) -> None:
    device = Device.named("r1.example")
    for kind in messages:
        device.enroll() if kind == "m" else device.poll()
    flush()
    assert sum(PollRecord.objects.values_list("count", flat=True)) == polls


@pytest.mark.parametrize("versions", [1, 2, 3, 5, 8])
def test_the_log_names_the_version_of_the_certificate_profile_as_page_and_decision_do(
    world: World, versions: int
) -> None:
    profile = world.profile.certificate_profile
    for number in range(1, versions):
        spec = ProfileSpec(validity_days=30 + number)
        save_profile_version(profile, spec, principal=PORTAL, now=now())
    Device.named("r1.example").enroll()
    request = EnrollmentRequest.objects.get()
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    profile.refresh_from_db()
    assert profile.current is not None
    entries = [
        AuditEntry.objects.get(event=event).data for event in ("request:submit", "request:approve")
    ]
    named = {
        (data["profile_version"], data["profile_sha256"])
        for data in entries
        if "profile_version" in data
    }
    assert named == {(versions, profile.current.spec_sha256)}
    assert entries[0]["certificate_profile"] == profile.slug
    page = signed_in(world.alice).get(reverse("request", args=[request.pk])).content.decode()
    assert f"v{versions}" in page


def test_an_entry_of_an_older_release_says_that_it_names_a_row(world: World) -> None:
    with transaction.atomic():
        record(Event.REQUEST_SUBMIT, actor=SYSTEM, now=now(), data={"profile_version": 31})
    auditor = signed_in(create_person("bob", Role.AUDITOR))
    assert (
        "database row of the profile version"
        in auditor.get(reverse("history_audit")).content.decode()
    )


@pytest.mark.parametrize(
    "event", ["profile:create", "request:submit", "message:refuse", "certificate-profile:create"]
)
def test_an_administrator_reads_the_log_of_what_they_administer(world: World, event: str) -> None:
    here, elsewhere = (
        Department.objects.create(slug=slug, name=slug) for slug in ("here", "elsewhere")
    )
    EnrollmentProfile.objects.filter(pk=world.profile.pk).update(department=here)
    Device.named("r1.example").enroll()
    post(message(world, envelope={"encrypted_cek": b"x" * 256}))
    of_all = signed_in(create_person("first", Role.ADMINISTRATOR))
    of_here = signed_in(create_person("adam", Role.ADMINISTRATOR, department=here))
    of_elsewhere = signed_in(create_person("bert", Role.ADMINISTRATOR, department=elsewhere))
    page = reverse("history_audit")
    shown = f'<code class="muted">{event}</code>'
    assert shown in of_all.get(page).content.decode()
    assert (shown in of_here.get(page).content.decode()) is (
        event in ("request:submit", "message:refuse")
    )
    assert shown not in of_elsewhere.get(page).content.decode()
    assert not can(User.objects.get(username="first"), Verb.REQUEST_DECIDE)
