"""Messages to validation services, and the reading of their answers."""

import json
from base64 import b64decode
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha1

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.validation import intune_messages, webhook_messages
from approvals.validation.messages import (
    MAX_REASON,
    Outcome,
    Question,
    ServiceAnswer,
    ServiceVerdict,
    read_object,
    text_of,
)
from outbound.errors import NoAnswer

MOMENT = datetime(2026, 11, 21, 14, 0, 5, tzinfo=UTC)
QUESTION = Question(
    request_id="0194",
    profile="phones",
    transaction_id="T-1",
    csr_der=b"\x30\x00",
    challenge="moonlight",
    csr_sha256="aa",
    spki_sha256="bb",
    subject="CN=p1",
    names=("dns:p1.example",),
    key="RSA 2048",
    address="192.0.2.7",
    submitted_at=MOMENT,
)
ISSUED = Outcome(b"\x30\x01", "0a1b", MOMENT, MOMENT, "issuing")


def test_questions_show_no_challenge_and_no_bytes_in_a_traceback() -> None:
    assert "moonlight" not in repr(QUESTION)
    assert "x30" not in repr(QUESTION) + repr(ISSUED)


@given(st.binary(max_size=200))
def test_bytes_are_an_object_or_no_answer(body: bytes) -> None:
    with suppress(NoAnswer):
        assert isinstance(read_object(body, of="test"), dict)


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"a":NaN}', b'{"a":1,"a":2}', b'{"x":{"a":1,"a":2}}', b"\xff", b"null"],
)
def test_json_that_could_be_read_in_two_ways_is_no_answer(body: bytes) -> None:
    with pytest.raises(NoAnswer):
        read_object(body, of="test")


def test_text_of_a_service_is_one_short_line_with_nothing_hidden() -> None:
    assert text_of(" not\n\nknown ") == "not known"
    assert text_of("a\u202eb") == "a<U+202E>b"
    assert len(text_of("x" * 5000)) == MAX_REASON
    assert text_of(7) == ""


def test_a_challenge_that_a_service_repeats_is_left_out_however_long_it_is() -> None:
    challenge = "two  blanks " + "x" * 5000
    assert text_of(f"unknown: {challenge}!", challenge=challenge) == "unknown: …!"
    action = {"action": "deny", "reason": challenge}
    allow = {"allow": False, "error": {"code": challenge, "message": challenge}}
    for body in (action, allow):
        answer = webhook_messages.read_answer(200, json.dumps(body).encode(), challenge=challenge)
        assert answer.reason == "…"
    assert answer.code == "…"
    document = {"code": "ChallengeExpired", "errorDescription": challenge}
    assert intune_messages.read_answer(
        200, json.dumps(document).encode(), challenge=challenge
    ).reason.endswith(". …")
    with pytest.raises(NoAnswer, match=r"unknown answer …$"):
        intune_messages.read_answer(
            200, json.dumps({"code": challenge}).encode(), challenge=challenge
        )


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"action": "allow"}, ServiceAnswer(ServiceVerdict.ALLOW, "allow")),
        ({"action": "ask", "reason": "shared"}, ServiceAnswer(ServiceVerdict.ASK, "ask", "shared")),
        ({"action": "deny", "reason": None, "more": 1}, ServiceAnswer(ServiceVerdict.DENY, "deny")),
        ({"allow": True, "data": {}}, ServiceAnswer(ServiceVerdict.ALLOW, "allow")),
        ({"allow": False}, ServiceAnswer(ServiceVerdict.DENY, "deny")),
        (
            {"allow": False, "error": {"code": "E1", "message": "no"}},
            ServiceAnswer(ServiceVerdict.DENY, "E1", "no"),
        ),
    ],
)
def test_answers_of_webhooks_are_read(body: dict[str, object], answer: ServiceAnswer) -> None:
    assert (
        webhook_messages.read_answer(200, json.dumps(body).encode(), challenge="moonlight")
        == answer
    )


def test_webhook_messages_are_signed_over_exactly_what_is_sent() -> None:
    body = webhook_messages.validate_body(QUESTION)
    data, headers = webhook_messages.encode(body, identifier="id-1", secret="s" * 32, now=MOMENT)
    assert headers["X-Portal-Signature"] == webhook_messages.signature_of(data, "s" * 32)
    assert headers["X-Portal-Signature"] != webhook_messages.signature_of(data + b" ", "s" * 32)
    sent = json.loads(data)
    assert (sent["version"], sent["id"], sent["timestamp"]) == (1, "id-1", "2026-11-21T14:00:05Z")
    assert b64decode(sent["csr"]["raw"]) == QUESTION.csr_der


def test_outcomes_say_certificate_or_reason_and_never_the_challenge() -> None:
    issued = webhook_messages.outcome_body(QUESTION, ISSUED)
    refused = webhook_messages.outcome_body(QUESTION, Outcome(reason="not ours"))
    assert (issued["kind"], refused["kind"], refused["reason"]) == ("issued", "refused", "not ours")
    assert "moonlight" not in json.dumps([issued, refused])
    assert webhook_messages.outcome_body(QUESTION, Outcome(b"x"))["certificate"]["notAfter"] == ""  # type: ignore[index]  # an object


def test_intune_is_asked_as_its_samples_ask() -> None:
    assert json.loads(intune_messages.validate_body(QUESTION, "portal/1")) == {
        "request": {"transactionId": "T-1", "certificateRequest": "MAA=", "callerInfo": "portal/1"}
    }
    path, body = intune_messages.notification_body(QUESTION, ISSUED, "portal/1")
    assert (path, json.loads(body)) == (
        "ScepActions/successNotification",
        {
            "notification": {
                "transactionId": "T-1",
                "certificateRequest": "MAA=",
                "certificateThumbprint": sha1(b"\x30\x01", usedforsecurity=False)
                .hexdigest()
                .upper(),
                "certificateSerialNumber": "0a1b",
                "certificateExpirationDateUtc": "2026-11-21T14:00:05.000Z",
                "issuingCertificateAuthority": "issuing",
                "caConfiguration": "issuing",
                "certificateAuthority": "issuing",
                "callerInfo": "portal/1",
            }
        },
    )
    path, body = intune_messages.notification_body(QUESTION, Outcome(reason="n" * 300), "portal/1")
    notification = json.loads(body)["notification"]
    assert (path, notification["hResult"], len(notification["errorDescription"])) == (
        "ScepActions/failureNotification",
        0x80094014,
        255,
    )
    assert "refused" in intune_messages.notification_body(QUESTION, Outcome(), "x")[1].decode()
    assert (
        b'"certificateExpirationDateUtc": ""'
        in intune_messages.notification_body(QUESTION, Outcome(b"x"), "x")[1]
    )


def test_intune_headers_are_those_of_its_samples() -> None:
    assert intune_messages.headers("t", "id-1", "portal/1") == {
        "Authorization": "Bearer t",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "client-request-id": "id-1",
        "api-version": "2018-02-20",
        "UserAgent": "portal/1",
    }


@pytest.mark.parametrize("code", intune_messages.REASONS)
def test_each_error_code_of_intune_is_a_denial_with_a_reason(code: str) -> None:
    document = {"code": code, "errorDescription": "Bad."}
    answer = intune_messages.read_answer(200, json.dumps(document).encode(), challenge="")
    assert (answer.verdict, answer.code) == (ServiceVerdict.DENY, code)
    assert answer.reason == f"{intune_messages.REASONS[code]}. Bad"
    answer = intune_messages.read_answer(200, json.dumps({"code": code}).encode(), challenge="")
    assert answer.reason == intune_messages.REASONS[code]


def test_intune_says_yes_with_one_word_only() -> None:
    assert intune_messages.read_answer(
        200, b'{"code":"Success","errorDescription":""}', challenge=""
    ) == ServiceAnswer(ServiceVerdict.ALLOW, "Success")
    for status, body in (
        (200, b'{"code":"success"}'),
        (200, b'{"code":true}'),
        (200, b"{}"),
        (202, b'{"code":"Success"}'),
    ):
        with pytest.raises(NoAnswer):
            intune_messages.read_answer(status, body, challenge="")


def test_tokens_are_read_with_their_time() -> None:
    assert intune_messages.read_token(200, b'{"access_token":"abc","expires_in":3599}') == (
        "abc",
        3599.0,
    )
    assert intune_messages.read_token(200, b'{"access_token":"abc","expires_in":"soon"}') == (
        "abc",
        0.0,
    )
    assert intune_messages.read_token(200, b'{"access_token":"abc","expires_in":true}') == (
        "abc",
        0.0,
    )


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (
            401,
            b'{"error":"invalid_client","error_description":"secret 1234"}',
            r"HTTP 401 \(invalid_client\)$",
        ),
        (500, b"oops", "HTTP 500$"),
        (400, b"{}", "HTTP 400$"),
        (200, b'{"access_token":""}', "without a token"),
        (200, b'{"access_token":"a\\r\\nX: y"}', "without a token"),
        (200, b'{"access_token":7}', "without a token"),
    ],
)
def test_a_sign_in_that_fails_says_why_and_repeats_no_secret(
    status: int, body: bytes, text: str
) -> None:
    with pytest.raises(NoAnswer, match=text):
        intune_messages.read_token(status, body)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, b"{}"),
        (200, b'{"value":7}'),
        (200, b'{"value":[7,{"providerName":"Other","uri":"https://x"}]}'),
        (200, b'{"value":[{"providerName":"ScepRequestValidationFEService","uri":7}]}'),
    ],
)
def test_a_directory_without_the_service_is_no_answer(status: int, body: bytes) -> None:
    with pytest.raises(NoAnswer, match="Graph"):
        intune_messages.read_service_address(status, body)


def test_addresses_and_scopes_of_intune() -> None:
    assert intune_messages.joined("https://x/", "a/b") == "https://x/a/b"
    assert intune_messages.token_path("contoso/../x") == "contoso%2F..%2Fx/oauth2/v2.0/token"
    assert intune_messages.scopes(
        "https://graph.microsoft.com", "https://api.manage.microsoft.com"
    ) == (
        "https://graph.microsoft.com/.default",
        "https://api.manage.microsoft.com//.default",
    )
    assert b"client_secret=a%26b" in intune_messages.token_form("id", "a&b", "s")
