"""Challenge passwords against guessing, reuse, theft, leaks (D-1 to D-6, D-31, D-50, VU#971035)."""

import base64
import logging
import threading
import traceback
from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest import mock

import pytest
from django.apps import apps
from django.db import connection
from django.urls import reverse

from accounts.principals import PORTAL
from accounts.roles import Role
from approvals.challenges.onetime import (
    ChallengeOrder,
    ChallengeResult,
    check_challenge,
    create_challenges,
)
from approvals.challenges.static import match_static
from approvals.models.challenges import ChallengePassword
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from ca.x509.asn1 import BMP_STRING, PRINTABLE_STRING, UTF8_STRING, der
from ca.x509.csr import decode_csr
from ca.x509.names import build_name
from scep.protocol.constants import FailInfo, PKIStatus
from scep.protocol.requests import ReceivedCertRep
from scep.transport import HttpError
from tests.ca.forge import CHALLENGE as CHALLENGE_OID
from tests.ca.forge import attribute, challenge, dns, extension_request, request_der, san
from tests.flows.wire import bare, causes, message, nothing_granted, post, refused
from tests.pages import signed_in
from tests.world import Device, World, create_person, create_profile, now

NOT_PERMITTED = (PKIStatus.FAILURE, FailInfo.BAD_REQUEST, "request not permitted")
CANARY = "canary-7Qx4-ünique"


def one_time(profile: EnrollmentProfile, **order: Any) -> str:
    """A fresh one-time challenge."""
    made = create_challenges(ChallengeOrder(profile, **order), principal=PORTAL, now=now())
    return made[0][1].reveal()


def told(answer: ReceivedCertRep) -> tuple[PKIStatus, FailInfo | None, str | None]:
    return answer.status, answer.fail_info, bare(answer.fail_info_text)


@pytest.fixture
def phones(world: World) -> EnrollmentProfile:
    """A profile with one-time challenges."""
    return create_profile(world.ca, "phones", challenge="one-time")


@pytest.fixture
def static(world: World) -> EnrollmentProfile:
    """A profile with one static challenge."""
    return create_profile(world.ca, "printers", challenge="static", static_challenge=CANARY)


def phone(key: str = "alice", name: str = "r1.example") -> Device:
    return Device.named(name, key, profile="phones")


# ------------------------------------------------------------------------------- D-1, D-2, D-3, D-6


def test_d1_d3_d6_wrong_used_expired_foreign_and_missing_read_the_same_and_the_log_knows_which(
    phones: EnrollmentProfile,
) -> None:
    used, expired, bound = (
        one_time(phones),
        one_time(phones),
        one_time(phones, subject="r7.example"),
    )
    assert phone("device-1", "d1.example").enroll(challenge=used).status is PKIStatus.PENDING
    ChallengePassword.objects.filter(subject="", redeemed_at__isnull=True).update(expires_at=now())
    elsewhere = one_time(create_profile(phones.ca, "tablets", challenge="one-time"))
    tries = {
        "challenge missing": None,
        "challenge wrong": elsewhere,
        "challenge used": used,
        "challenge expired": expired,
        "challenge bound to another name": bound,
    }
    for presented in tries.values():
        with nothing_granted():
            assert told(phone().enroll(challenge=presented)) == NOT_PERMITTED
    assert causes() == list(tries)


def test_a_static_challenge_opens_a_request_and_nothing_like_it_does(
    static: EnrollmentProfile,
) -> None:
    device = Device.named("r1.example", profile="printers")
    for wrong in (
        None,
        "",
        CANARY + " ",
        " " + CANARY,
        CANARY.upper(),
        CANARY[:-1],
        CANARY.replace("ü", "u\u0308"),
    ):
        with nothing_granted():
            assert told(device.enroll(challenge=wrong)) == NOT_PERMITTED
    assert device.enroll(challenge=CANARY).status is PKIStatus.PENDING


def test_a_static_challenge_kept_under_another_key_opens_nothing(
    static: EnrollmentProfile, settings: Any
) -> None:
    settings.CHALLENGE_KEY = lambda: b"another key"
    assert match_static(static, CANARY, now=now()) is None
    with nothing_granted():
        assert (
            told(Device.named("r1.example", profile="printers").enroll(challenge=CANARY))
            == NOT_PERMITTED
        )


def test_fail_open_no_profile_issues_without_challenge_and_officer(world: World) -> None:
    """mkcertWeb before 4.1.0, and others: nothing configured was taken for nothing needed."""
    automatic = create_profile(world.ca, "auto", challenge="one-time", approval="automatic")
    for presented in (None, "", "anything"):
        with nothing_granted():
            assert (
                told(Device.named("r1.example", profile="auto").enroll(challenge=presented))
                == NOT_PERMITTED
            )
    EnrollmentProfile.objects.filter(pk=automatic.pk).update(challenge="static")
    for presented in (None, "", "anything"):
        with nothing_granted():
            assert (
                told(Device.named("r1.example", profile="auto").enroll(challenge=presented))
                == NOT_PERMITTED
            )


def test_a_one_time_challenge_has_160_random_bits(phones: EnrollmentProfile) -> None:
    challenges = {base64.b32decode(one_time(phones).upper()) for _ in range(3)}
    assert [len(octets) * 8 for octets in challenges] == [160, 160, 160]


# ----------------------------------------------------------------------- D-0: bound to one identity


def test_vu971035_a_challenge_for_one_name_gets_no_certificate_for_another(
    world: World, phones: EnrollmentProfile
) -> None:
    bound = challenge(one_time(phones, subject="r1.example"))
    r1, r2, nameless = (
        build_name(name)
        for name in ([("CN", "r1.example")], [("CN", "r2.example")], [("OU", "IT")])
    )
    foreign = [
        request_der(r2, bound),
        request_der(r1, bound, extension_request(san(dns("dc1.example")))),
        request_der(r1, bound, extension_request(san(dns("r1.example"), dns("dc1.example")))),
        request_der(nameless, bound, extension_request(san(dns("dc1.example")))),
        request_der(nameless, bound),
        request_der(
            build_name([("CN", "r1.example"), ("emailAddress", "admin@example.org")]), bound
        ),
        request_der(build_name([("CN", "r1.example"), ("UID", "admin")]), bound),
    ]
    for csr in foreign:
        cause = "challenge bound to another name"
        refused(
            message(world, csr),
            FailInfo.BAD_REQUEST,
            NOT_PERMITTED[2],
            cause=cause,
            profile="phones",
        )
    whole = build_name([("CN", "R1.example"), ("O", "Example"), ("serialNumber", "FOC1")])
    right = request_der(whole, bound, extension_request(san(dns("r1.example"))))
    assert post(message(world, right), "phones").status is PKIStatus.PENDING


# ------------------------------------------------------------------------- D-4: parallel double use


@pytest.mark.usefixtures("transactional_db")
def test_d4_one_challenge_used_by_many_at_once_opens_one_request(
    world: World, phones: EnrollmentProfile
) -> None:
    secret = one_time(phones)
    devices = [phone(f"device-{number}", f"d{number}.example") for number in range(1, 7)]
    for device in devices:
        device.scep.get_ca_cert()
    answers = at_once([partial(device.enroll, challenge=secret) for device in devices])
    statuses = sorted(answer.status.name for answer in answers)
    assert statuses == ["FAILURE"] * 5 + ["PENDING"]
    assert EnrollmentRequest.objects.count() == 1
    assert ChallengePassword.objects.get().redeemed_by == EnrollmentRequest.objects.get()
    assert {told(answer) for answer in answers if answer.status is PKIStatus.FAILURE} == {
        NOT_PERMITTED
    }


def test_d4_who_comes_second_by_a_hair_is_undone_and_told_what_everybody_is_told(
    phones: EnrollmentProfile,
) -> None:
    """The challenge is used by another message between the look at it and the redemption."""
    secret = one_time(phones)
    assert phone("bob", "r2.example").enroll(challenge=secret).status is PKIStatus.PENDING
    stale = ChallengeResult(satisfied=True, challenge=ChallengePassword.objects.get())
    looks = mock.Mock(side_effect=[stale, mock.DEFAULT], wraps=check_challenge)
    with nothing_granted(), mock.patch("approvals.challenges.onetime.check_challenge", looks):
        assert told(phone().enroll(challenge=secret)) == NOT_PERMITTED
    assert looks.call_count == 2
    assert causes() == ["challenge used"]


@pytest.mark.usefixtures("transactional_db")
def test_one_device_that_sends_the_same_many_times_at_once_opens_one_request(
    world: World, phones: EnrollmentProfile
) -> None:
    device, secret = phone(), one_time(phones)
    device.scep.get_ca_cert()
    answers = at_once([partial(device.enroll, challenge=secret) for _ in range(4)])
    assert [answer.status for answer in answers] == [PKIStatus.PENDING] * 4
    assert EnrollmentRequest.objects.count() == 1


def at_once(calls: list[partial[ReceivedCertRep]]) -> list[ReceivedCertRep]:
    """Make the calls in threads that start together.

    A server that is busy is asked again, as devices do.
    """
    gate = threading.Barrier(len(calls))
    answers: list[ReceivedCertRep] = []

    def run(call: partial[ReceivedCertRep]) -> None:
        try:
            gate.wait()
            answers.append(call())
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == len(calls)
    return answers


# ------------------------------------------------------------------------------ D-5: odd challenges


def test_d5_a_challenge_is_compared_as_text_in_whatever_string_type_it_comes(
    world: World, static: EnrollmentProfile
) -> None:
    name = build_name([("CN", "r1.example")])
    wrong = [
        CANARY + "\0",
        CANARY + "\u200b",
        "\u0441" + CANARY[1:],
        CANARY.encode().decode("latin-1"),
    ]
    for text in wrong:
        csr = request_der(name, challenge(text))
        refused(
            message(world, csr),
            FailInfo.BAD_REQUEST,
            NOT_PERMITTED[2],
            cause="challenge wrong",
            profile="printers",
        )
    right = attribute(CHALLENGE_OID, der(BMP_STRING, CANARY.encode("utf-16-be")))
    assert post(message(world, request_der(name, right)), "printers").status is PKIStatus.PENDING


def test_d5_two_challenges_or_one_of_odd_shape_are_refused_unread(
    world: World, static: EnrollmentProfile
) -> None:
    right, value = challenge(CANARY), der(UTF8_STRING, CANARY.encode())
    odd = [
        (right, right),
        (challenge("x"), right),
        (attribute(CHALLENGE_OID, value, value),),
        (attribute(CHALLENGE_OID),),
        (challenge("x" * 20_000),),
        (attribute(CHALLENGE_OID, der(PRINTABLE_STRING, CANARY.encode())),),
        (attribute(CHALLENGE_OID, der(0x04, CANARY.encode())),),
        (attribute(CHALLENGE_OID, der(UTF8_STRING, b"\xff")),),
    ]
    for attributes in odd:
        sent = message(world, request_der(build_name([("CN", "r1.example")]), *attributes))
        answer = refused(sent, FailInfo.BAD_REQUEST, profile="printers")
        assert answer.text.startswith(
            ("certification request: challengePassword", "challengePassword")
        )
        assert CANARY not in answer.text


# ----------------------------------------------------------------- when it is used up, and when not


def test_a_repeat_needs_no_challenge_and_uses_up_none(phones: EnrollmentProfile) -> None:
    device, first, second = phone(), one_time(phones), one_time(phones)
    assert device.enroll(challenge=first).status is PKIStatus.PENDING
    with nothing_granted():
        for again in (first, second, None, "wrong"):
            assert device.enroll(challenge=again).status is PKIStatus.PENDING
            assert (
                device.enroll(challenge=again, transaction_id="another").status is PKIStatus.PENDING
            )
    assert (
        ChallengePassword.objects.get(redeemed_at__isnull=False).redeemed_by
        == EnrollmentRequest.objects.get()
    )
    assert phone("bob", "r2.example").enroll(challenge=second).status is PKIStatus.PENDING


def test_a_challenge_is_not_used_up_when_the_policy_refuses(
    world: World, phones: EnrollmentProfile
) -> None:
    secret = challenge(one_time(phones))
    two_names = build_name([("CN", "r1.example"), ("CN", "r2.example")])
    text = "subject: 2 CN attributes, one is allowed"
    for _ in range(2):
        sent = message(world, request_der(two_names, secret))
        refused(sent, FailInfo.BAD_REQUEST, text, cause="policy", profile="phones")
    assert post(message(world, request_der(None, secret)), "phones").status is PKIStatus.PENDING


def test_a_challenge_is_not_used_up_when_too_many_wait_or_the_network_is_wrong(
    world: World, phones: EnrollmentProfile
) -> None:
    secret = one_time(phones)
    EnrollmentProfile.objects.filter(pk=phones.pk).update(max_open_requests=0)
    with nothing_granted():
        assert phone().is_told_to_wait(challenge=secret)
    EnrollmentProfile.objects.filter(pk=phones.pk).update(
        max_open_requests=9, networks=["192.0.2.0/24"]
    )
    with nothing_granted():
        assert told(phone().enroll(challenge=secret)) == NOT_PERMITTED
    assert causes() == ["too many open requests", "network not allowed"]
    inside = Device.named("r1.example", profile="phones", REMOTE_ADDR="192.0.2.7")
    assert inside.enroll(challenge=secret).status is PKIStatus.PENDING


def test_a_challenge_is_not_used_up_when_the_log_cannot_be_written(
    phones: EnrollmentProfile, unplanned_faults: None
) -> None:
    secret = one_time(phones)
    with (
        nothing_granted(),
        mock.patch("audit.log.insert", side_effect=OSError("disk full")),
        pytest.raises(HttpError, match="HTTP 500 internal fault"),
    ):
        phone().enroll(challenge=secret)
    assert phone().enroll(challenge=secret).status is PKIStatus.PENDING


def test_d31_a_message_for_one_profile_sent_to_another_meets_the_challenge_of_that_one(
    world: World, phones: EnrollmentProfile, static: EnrollmentProfile
) -> None:
    sent = message(world, request_der(None, challenge(one_time(phones))))
    refused(
        sent, FailInfo.BAD_REQUEST, NOT_PERMITTED[2], cause="challenge wrong", profile="printers"
    )
    create_profile(world.ca, "cameras", challenge="static", static_challenge="something else")
    sent = message(world, request_der(None, challenge(CANARY)))
    refused(
        sent, FailInfo.BAD_REQUEST, NOT_PERMITTED[2], cause="challenge wrong", profile="cameras"
    )


# ------------------------------------------------------------------------------------ D-50: leakage


class Everything(logging.Handler):
    """Collects all log lines, with tracebacks, as the product's handlers would see them."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.getMessage()} {record.__dict__}")
        if record.exc_info:
            self.lines.extend(traceback.format_exception(*record.exc_info))


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


def spellings(secret: str) -> list[str]:
    """How the secret could stand in a text or in bytes shown as a text."""
    utf8, bmp = secret.encode(), secret.encode("utf-16-be")
    as_latin_1 = [
        utf8.decode("latin-1"),
        bmp.decode("latin-1"),
    ]  # as columns of bytes are shown here
    return [secret, repr(utf8)[2:-1], utf8.hex(), ascii(secret)[1:-1], bmp.hex(), *as_latin_1]


def assert_absent(text: str, secret: str, where: str) -> None:
    for spelling in spellings(secret):
        assert spelling not in text, where


@pytest.mark.parametrize("outcome", ["right", "wrong", "policy", "unreadable", "fault"])
def test_d50_a_challenge_is_in_no_log_no_entry_no_page_and_no_representation(
    world: World,
    static: EnrollmentProfile,
    logged: list[str],
    capfd: pytest.CaptureFixture[str],
    unplanned_faults: None,
    outcome: str,
) -> None:
    presented = CANARY if outcome != "wrong" else f"{CANARY}-guess"
    subject = build_name([("CN", "r1.example")] * (2 if outcome == "policy" else 1))
    csr = request_der(
        subject, challenge(presented), *([challenge("x")] if outcome == "unreadable" else [])
    )
    sent = message(world, csr)
    if outcome == "fault":
        with mock.patch(
            "approvals.enrollment.submit.review_csr", side_effect=RuntimeError("fault")
        ):
            assert post(sent, "printers").http == 500
    else:
        post(sent, "printers")
    assert_absent("\n".join(logged), CANARY, "log")
    printed = capfd.readouterr()
    assert_absent(printed.out + printed.err, CANARY, "output")
    for model in apps.get_models():
        for row in model._default_manager.all():
            assert_absent(repr(row), CANARY, f"representation of {model.__name__}")
            for name, value in row.__dict__.items():
                shown = (
                    bytes(value).decode("latin-1")
                    if isinstance(value, (bytes, memoryview))
                    else str(value)
                )
                assert_absent(shown, CANARY, f"{model.__name__}.{name}")
    _assert_no_page_shows(CANARY)


def _assert_no_page_shows(secret: str) -> None:
    everybody = signed_in(create_person("bob", Role.AUDITOR, Role.OFFICER, Role.ADMINISTRATOR))
    pages = [
        reverse(name)
        for name in (
            "queue",
            "history_requests",
            "history_certificates",
            "history_audit",
            "profiles",
        )
    ]
    pages += [reverse("request", args=[request.pk]) for request in EnrollmentRequest.objects.all()]
    for page in pages:
        answer = everybody.get(page)
        assert answer.status_code == 200, page
        assert_absent(answer.content.decode(), secret, page)


def test_d50_decoded_requests_and_messages_do_not_show_what_is_inside(world: World) -> None:
    assert_absent(repr(decode_csr(request_der(None, challenge(CANARY)))), CANARY, "request")
    assert_absent(repr(forge_error()), CANARY, "message")


def forge_error() -> HttpError:
    """Return the error of a client that is not understood."""
    device = Device.named("r1.example", "alice", "unknown")
    with pytest.raises(HttpError) as caught:
        device.enroll(challenge=CANARY)
    return caught.value
