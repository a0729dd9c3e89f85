"""The decoder reports the content of a message as far as possible, and never fails on bytes."""

import base64
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.decoding import decode
from inspector.outline import outline_of
from inspector.pasted import PasteInvalid, bytes_of
from inspector.report import Report, Section
from scep.client import build_csr
from scep.protocol.messages import MessageRules
from tests.pki import ec_key, rsa_key
from tests.scep.forge import ALICE_ID, CHALLENGE, csr, ec_certificate, forge

VECTORS = Path(__file__).parents[1] / "vectors" / "scep"
CANARY = "canary-of-the-inspector-4711"
GOOD = forge()
BARE = build_csr(
    rsa_key("alice"), "r1.example", dns_names=["r1.example"], challenge_password=CANARY
)
RECORDED = sorted(
    path for path in VECTORS.rglob("*") if path.suffix in (".der", ".bin", ".p7", ".req")
)
SEEDS = [GOOD, BARE, csr(), forge(message_type="20"), *(path.read_bytes() for path in RECORDED)]


def section(report: Report, title: str) -> Section:
    return next(section for section in report.sections if section.title == title)


def rows(section: Section) -> dict[str, str]:
    return {row.name: row.value for row in section.rows}


def test_a_good_request_is_decoded_step_by_step() -> None:
    report = decode(GOOD, known={})
    assert report.kind == "message (PKCSReq)"
    titles = ["Signature", "Signer certificate", "Attributes", "Envelope", "As the portal takes it"]
    assert [part.title for part in report.sections] == titles
    assert section(report, "Signature").tone == "good"
    attributes = rows(section(report, "Attributes"))
    assert attributes["messageType"] == "19 (PKCSReq)"
    assert attributes["transactionID"] == ALICE_ID
    assert rows(section(report, "Envelope"))["content encryption"] == "AES-128-CBC"
    assert section(report, "As the portal takes it").verdict.startswith(
        "The outer part is accepted"
    )
    assert report.outline_end == ""


def test_what_a_profile_takes_is_no_fault_under_its_rules() -> None:
    old = forge(digest="sha1")
    assert (
        "digest algorithm SHA-1" in section(decode(old, known={}), "As the portal takes it").verdict
    )
    report = decode(old, known={}, rules=MessageRules(legacy_algorithms=True))
    assert [section(report, title).tone for title in ("Signature", "As the portal takes it")] == [
        "good",
        "good",
    ]


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        ("19", "encrypted with the challengePassword"),
        ("20", "The outer part is accepted"),
        ("21", "FAILURE badAlg"),
    ],
)
def test_of_an_ec_signer_it_is_said_how_the_answer_is_encrypted(number: str, sentence: str) -> None:
    sent = forge(key=ec_key(), certificate=ec_certificate(), message_type=number)
    assert sentence in section(decode(sent, known={}), "As the portal takes it").verdict


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (forge(tamper_signature=True), "signature does not verify"),
        (forge(digest="sha1"), "digest algorithm SHA-1"),
        (forge(certificates=()), "no certificate in the message"),
        (forge(message_digest=b"x" * 32), "messageDigest does not fit"),
        (forge(message_type="18"), "messageType is not supported"),
        (forge(signer_infos=()), "the message is not signed"),
        (GOOD[:-40], "goes beyond the end"),
        (GOOD + b"more", "bytes follow the message"),
        (b"", "Truncated at byte 0"),
        (b"0\x00", "at least 2 members are needed"),
    ],
)
def test_what_is_wrong_with_a_message_is_said(message: bytes, sentence: str) -> None:
    report = decode(message, known={})
    assert sentence in " ".join(f"{section.verdict} {section.stop}" for section in report.sections)


def test_where_reading_stops_is_named_by_field_and_byte() -> None:
    broken = bytearray(GOOD)
    broken[GOOD.index(b"\x31", 30)] = 0x05  # the SET of recipients
    stops = [section.stop for section in decode(bytes(broken), known={}).sections if section.stop]
    cut = decode(GOOD[: len(GOOD) // 2], known={})
    assert stops or "byte" in decode(bytes(broken), known={}).sections[0].verdict
    assert "byte" in cut.sections[0].verdict
    assert cut.outline
    assert "missing" in cut.outline_end or "beyond the end" in cut.outline_end


def test_a_challenge_in_a_bare_request_is_named_and_never_shown() -> None:
    report = decode(BARE, known={})
    assert report.kind.startswith("certificate request")
    assert rows(report.sections[0])["challengePassword"] == "there is one (redacted)"
    assert CANARY not in repr(report)
    assert CANARY.encode().hex() not in repr(report)


def mutated(data: st.DataObject) -> bytes:
    seed = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, max(len(seed) - 1, 0)))
        match data.draw(st.sampled_from(["flip", "cut", "insert", "double"])):
            case "flip":
                seed[at : at + 1] = bytes((data.draw(st.integers(0, 255)),))
            case "cut":
                del seed[at : at + data.draw(st.integers(1, 60))]
            case "insert":
                seed[at:at] = data.draw(st.binary(max_size=20))
            case _:
                seed[at:at] = seed[at : at + 30]
    return bytes(seed)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_mutation_of_a_real_message_makes_the_decoder_fail_or_show_a_challenge(
    data: st.DataObject,
) -> None:
    message = mutated(data)
    report = decode(message, known={})
    assert report.size == len(message)
    assert CANARY not in repr(report)
    assert CHALLENGE not in repr(report)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_at_all_make_it_fail(noise: bytes) -> None:
    assert decode(noise, known={}).size == len(noise)
    assert all(line.byte < len(noise) for line in outline_of(noise)[0])


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(GOOD).decode(),
        base64.encodebytes(GOOD).decode(),
        base64.urlsafe_b64encode(GOOD).decode().rstrip("="),
        GOOD.hex(),
        GOOD.hex(":").upper(),
        f"-----BEGIN PKCS7-----\n{base64.encodebytes(GOOD).decode()}-----END PKCS7-----\n",
        "GET /scep/x/?operation=PKIOperation&message="
        + base64.b64encode(GOOD).decode().replace("+", "%2B").replace("=", "%3D")
        + " HTTP/1.1",
    ],
)
def test_a_message_is_read_in_each_spelling(text: str) -> None:
    assert bytes_of(text) == GOOD


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Nothing is there"),
        ("-----BEGIN X-----", "Nothing is there"),
        ("message=", "Nothing is there"),
        ("what is this?", "neither base64 nor hex"),
        ("é" * 8, "neither base64 nor hex"),
        ("A" * 140_001, "at most 140000"),
        ("Zz" * 50_000, "at most 65536"),
    ],
)
def test_a_text_that_stands_for_no_message_is_refused_with_a_sentence(
    text: str, sentence: str
) -> None:
    with pytest.raises(PasteInvalid, match=sentence):
        bytes_of(text)


@given(st.text(max_size=300))
def test_no_text_makes_reading_it_fail(text: str) -> None:
    with suppress(PasteInvalid):
        bytes_of(text)
