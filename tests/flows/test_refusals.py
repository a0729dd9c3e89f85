"""Every refusal reaches the device with failInfo and a true text, and is on record."""

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from approvals.enrollment.answers import answer_of
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.records import notifications
from approvals.rules.errors import MAX_DEVICE_TEXT, Cause, Refusal
from approvals.rules.policy import UNIFORM_TEXT
from approvals.rules.states import State
from ca.x509.asn1 import der_context, der_oid, der_sequence
from ca.x509.names import build_name
from scep.protocol import constants as c
from scep.protocol.constants import FailInfo
from scep.responses import FAIL_INFO, cert_rep_for
from tests.ca.forge import request_der
from tests.flows.test_attacks_messages import odd
from tests.flows.test_conformance import ROOT
from tests.flows.wire import causes, malformed, message, pending, post, refused
from tests.pages import signed_in
from tests.pki import rsa_key
from tests.scep.forge import attribute, csr, oaep_algorithm, pss_algorithm, transaction_id
from tests.world import World, now

SHA256 = c.DIGEST_ALGORITHMS["sha256"]
#: Refusals that no other test of a flow shows on the wire.
REFUSED: list[tuple[FailInfo, str, dict[str, Any]]] = [
    (
        FailInfo.BAD_REQUEST,
        "content type of the signed data: id-data is needed",
        {"content_type": c.ID_SIGNED_DATA},
    ),
    (FailInfo.BAD_REQUEST, "messageType: one text value is needed", odd(c.ATTR_MESSAGE_TYPE)),
    (
        FailInfo.BAD_REQUEST,
        "senderNonce: one value of 1 to 64 bytes is needed",
        odd(c.ATTR_SENDER_NONCE),
    ),
    (
        FailInfo.BAD_MESSAGE_CHECK,
        "signature algorithm does not fit the signer key",
        {"signature_algorithm": der_sequence(der_oid("1.2.840.10045.4.3.2"))},
    ),
    (
        FailInfo.BAD_ALG,
        "RSASSA-PSS mask generation: use MGF1",
        {
            "signature_algorithm": der_sequence(
                c.RSA_PSS,
                der_sequence(
                    der_context(0, SHA256), der_context(1, der_sequence(c.RSA_PSS, b"\x05\x00"))
                ),
            )
        },
    ),
    (
        FailInfo.BAD_ALG,
        "RSASSA-PSS trailer field: 1 is needed",
        {"signature_algorithm": pss_algorithm("sha256", 32, trailer=2)},
    ),
    (
        FailInfo.BAD_ALG,
        "RSASSA-PSS hash SHA-1: use SHA-256",
        {"signature_algorithm": der_sequence(c.RSA_PSS)},
    ),
    (
        FailInfo.BAD_ALG,
        "AuthEnvelopedData: use EnvelopedData with AES-128-CBC",
        {"envelope": {"envelope_type": c.ID_AUTH_ENVELOPED_DATA}},
    ),
    (
        FailInfo.BAD_ALG,
        "RSAES-OAEP parameters: use one hash, SHA-1 or SHA-256, and no label",
        {"envelope": {"key_transport": oaep_algorithm("sha256", "sha1")}},
    ),
    (
        FailInfo.BAD_ALG,
        "key transport 1.2.840.113549.1.1.10: use RSA",
        {"envelope": {"key_transport": der_sequence(c.RSA_PSS)}},
    ),
]
MALFORMED: list[tuple[str, bytes | dict[str, Any]]] = [
    ("transactionID: one text value is needed", odd(c.ATTR_TRANSACTION_ID)),
    ("transactionID of 256 bytes: 1 to 255 without NUL are needed", {"transaction_id": "a" * 256}),
    ("transactionID is no text", odd(c.ATTR_TRANSACTION_ID, transaction_id(b"\xff", 0x0C))),
    ("SignedData without a SignerInfo", {"signer_infos": []}),
    ("no SCEP message: truncated at byte 0", b"\x30"),
]
#: Texts that no message can bring about: the last branch of a `match` over every kind there is.
NEVER_SENT = {"this messageType is not supported"}
#: Classes whose text a device or a person reads, and which argument it is.
TEXT_AT = {"Refused": 1, "Refusal": 1, "Malformed": 0, "QueryInvalid": 0}


@pytest.mark.parametrize(("fail_info", "text", "pieces"), REFUSED)
def test_what_a_message_is_refused_for_is_said_and_recorded(
    world: World, fail_info: FailInfo, text: str, pieces: dict[str, Any]
) -> None:
    nonce = b"" if text.startswith("senderNonce") else None
    refused(message(world, csr(), **pieces), fail_info, text, cause=text, nonce=nonce)


@pytest.mark.parametrize(("text", "pieces"), MALFORMED)
def test_what_no_answer_can_be_built_for_is_400_with_its_fault(
    world: World, text: str, pieces: bytes | dict[str, Any]
) -> None:
    sent = pieces if isinstance(pieces, bytes) else message(world, csr(), **pieces)
    assert malformed(sent).body.decode() == f"{text}\n"
    assert causes() == ["not a SCEP message"]


def texts() -> Iterator[tuple[str, str, str]]:
    """Every refusal text in the product: place, class, and its longest constant part."""
    for path in [*(ROOT / "scep").rglob("*.py"), *(ROOT / "approvals").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            name = (
                node.func.id
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
                else ""
            )
            if name in TEXT_AT and isinstance(node, ast.Call) and len(node.args) > TEXT_AT[name]:
                written = _fixed(node.args[TEXT_AT[name]])
                if written:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", name, max(written, key=len)


def _fixed(node: ast.expr) -> list[str]:
    values = node.values if isinstance(node, ast.JoinedStr) else [node]
    return [
        value.value
        for value in values
        if isinstance(value, ast.Constant) and isinstance(value.value, str)
    ]


def test_every_text_of_a_refusal_is_shown_by_a_test() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    shown = re.sub(r'"\s*\n\s*f?"', "", sources)  # strings over several lines
    sent = [(where, text) for where, _, text in texts() if text not in NEVER_SENT]
    assert len(sent) > 40
    spelled = re.sub(r"\d+", "", shown)
    assert [one for one in sent if one[1] not in shown and one[1].strip() not in spelled] == []


def test_no_text_of_a_refusal_has_words_of_the_machine() -> None:
    inside = re.compile(
        r"(?i)traceback|exception|\berror\b|\bsql|database|django|python|0x|/\w+/|none\b|null\b|row|table"
    )
    assert [(where, text) for where, _, text in texts() if inside.search(text)] == []
    assert [
        text for _, _, text in texts() if len(text) > MAX_DEVICE_TEXT or not text.isprintable()
    ] == []


@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_has_fail_info_and_is_shown_in_a_flow_and_explained(cause: Cause) -> None:
    texts = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    flows = "\n".join(text for text in texts if re.search(r"\bDevice\b|\bwire\b", text))
    assert cause.value in flows or f"Cause.{cause.name}" in flows, (
        f"no test of a flow names {cause!r}"
    )
    assert cause in FAIL_INFO
    documented = (ROOT / "docs" / "errors.md").read_text()
    assert cause.value in documented or cause in ANSWERS, (
        f"docs/errors.md says nothing about {cause.value!r}"
    )


#: Results of a request, not refused messages; docs/errors.md lists them by state.
ANSWERS = {Cause.REJECTED, Cause.EXPIRED, Cause.CERTIFICATE_UNAVAILABLE}


def test_before_a_challenge_was_accepted_every_refusal_reads_the_same() -> None:
    answers = set()
    for path in (ROOT / "approvals").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "Refusal"
            ):
                cause, text = ast.unparse(node.args[0]), ast.unparse(node.args[1])
                if "CHALLENGE" in cause or "NETWORK" in cause or "redemption" in cause:
                    answers.add(text)
    assert answers == {"UNIFORM_TEXT"}
    assert UNIFORM_TEXT == "request not permitted"


def test_what_became_of_a_request_is_told_in_a_sentence() -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    rejected = EnrollmentRequest(
        profile=EnrollmentProfile(), state=State.REJECTED, reason="wrong site"
    )
    assert answer_of(rejected, now=moment) == Refusal(Cause.REJECTED, "wrong site")


def test_causes_that_a_renewal_can_meet_are_told_apart_by_their_text_and_by_the_log() -> None:
    """`test_renewal_refused` shows RENEWAL_FOREIGN_SIGNER, RENEWED_OTHER_CA, RENEWAL_KEY_REUSED."""
    shown = (ROOT / "tests" / "approvals" / "enrollment" / "test_renewal_refused.py").read_text()
    for cause, text in {
        Cause.RENEWAL_FOREIGN_SIGNER: (
            "a renewal is signed with the certificate to renew, issued by this portal"
        ),
        Cause.RENEWED_OTHER_CA: "issued by another CA",
        Cause.RENEWAL_KEY_REUSED: "this key has a certificate already: renew with a new key",
    }.items():
        assert text in shown, cause


# ------------------------------------------------------------------- D-42, D-43: the officers' side


def test_d42_a_mail_takes_names_from_a_device_as_text_and_never_into_its_head(
    world: World, settings: Any
) -> None:
    settings.PORTAL_SENDS_MAIL = True
    for number, text in enumerate(
        ("<script>alert(1)</script>", "=cmd|' /C calc'!A0", "Subject: you have won"), start=1
    ):
        key = f"device-{number}"
        request = request_der(build_name([("CN", text)]), key=rsa_key(key))
        pending(message(world, request, key=key, transaction_id=f"t{number}"))
    notifications.deliver_due(now=now())
    (mail_sent,) = mail.outbox
    assert mail_sent.subject == "3 certificate requests need you"
    assert (mail_sent.content_subtype, mail_sent.extra_headers) == ("plain", {})
    assert "CN=Subject: you have won" in mail_sent.body


def test_d43_a_decision_needs_a_post_of_our_own_page_by_an_officer(world: World) -> None:
    request = pending(message(world, csr()))
    page = reverse("request_approve", args=[request.pk])
    strange = Client(enforce_csrf_checks=True)
    strange.force_login(world.alice)
    assert strange.post(page, {"comment": ""}).status_code == 403
    assert signed_in(world.alice).get(page).status_code == 405
    assert Client().post(page).status_code in (302, 403)
    request.refresh_from_db()
    assert request.state == State.PENDING


def test_an_answer_for_a_cause_never_shows_the_detail_that_is_for_the_log(world: World) -> None:
    from scep.protocol.codec import decode_pki_message

    received = decode_pki_message(message(world, csr()))
    for cause in Cause:
        rep = cert_rep_for(Refusal(cause, "text", detail="canary of the log"), received)
        assert "canary" not in repr(rep)


def test_d50_an_odd_attribute_is_not_repeated_to_its_sender(world: World) -> None:
    sent = message(world, csr(), extra_attributes=[attribute(der_oid("1.2.3"), b"\x0c\x06canary")])
    with mock.patch("scep.operations.enrollment.WAIT_SECONDS", 0):
        assert b"canary" not in post(sent).body
