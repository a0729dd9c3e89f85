"""The page of NDES against the expressions by which MDMs read it, in the bytes they get."""

import base64
import re
from datetime import timedelta
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scep.ndes.page import (
    BasicCredentials,
    cache_full_page,
    challenge_page,
    no_permission_page,
    parse_basic,
)

CHALLENGE = "0123456789ABCDEF"
CERTIFICATE = b"the CA"
HOUR = timedelta(hours=1)
ENCODINGS = ("utf-16le", "utf-8")


def page(encoding: str) -> bytes:
    return challenge_page(CHALLENGE, ca_certificate=CERTIFICATE, lifetime=HOUR, encoding=encoding)


def fleet(text: str) -> str:
    """Fleet, ee/server/service: case-insensitive, then everything up to a blank."""
    match = re.search(r"(?i)The enrollment challenge password is: <B> (?P<password>\S*)", text)
    return match["password"] if match else ""


def zentral(text: str) -> str:
    """Zentral, contrib/mdm/scep: the closing tag is part of it."""
    match = re.search(r"challenge password is: <B> ([A-Z0-9]{16,32}) </B>", text)
    return match[1] if match else ""


def powershell_first_match(text: str) -> str:
    """PSNDESEnrollment: the first 16 hexadecimal digits in a row."""
    match = re.search(r"[A-F0-9]{16}", text)
    return match[0] if match else ""


def powershell_first_word(text: str) -> str:
    """Scripts of the same school: the first word that begins with them."""
    return next(word for word in re.split(r"\s+", text) if re.match("^[A-F0-9]{16}", word))


def manage_engine(text: str) -> str:
    """ManageEngine: the closing tags, and the sentence that it can be used only once."""
    match = re.search(r"<B>\s*([0-9A-F]+)\s*</B>\s*<P>\s*This password can be used only once", text)
    return match[1] if match else ""


def juniper_script(text: str) -> str:
    """Network automation that lets an HTML parser write the tags in lower case first."""
    matches = re.findall(
        r"The enrollment challenge password is: <b> [A-Z0-9]+ ", text.replace("<B>", "<b>")
    )
    return matches[0].split("<b>")[1].strip() if matches else ""


def split_at_tags(text: str) -> str:
    """Older portals: the piece after the one that has the sentence as its second character."""
    pieces = text.split(">")
    at = next(
        n
        for n, piece in enumerate(pieces)
        if piece.find("The enrollment challenge password is: <B") == 1
    )
    return pieces[at + 1].strip("</B").strip()


READERS = (
    fleet,
    zentral,
    powershell_first_match,
    powershell_first_word,
    manage_engine,
    juniper_script,
    split_at_tags,
)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: str(reader.__name__))
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_known_readers_find_the_challenge(reader: object, encoding: str) -> None:
    assert callable(reader)
    assert reader(page(encoding).decode(encoding)) == CHALLENGE


def test_the_bytes_of_windows_have_no_mark_and_two_bytes_a_character() -> None:
    sent = page("utf-16le")
    assert sent.startswith(b"<\x00H\x00T\x00M\x00L\x00")
    assert sent.decode("utf-16") == page("utf-8").decode()
    assert len(sent) == 2 * len(page("utf-8"))


def test_the_sentences_stand_letter_by_letter() -> None:
    text = page("utf-8").decode()
    digest = sha256(CERTIFICATE).hexdigest().upper()
    groups = " ".join(re.findall("." * 8, digest))
    assert (
        f"<P> The thumbprint (hash value) for the CA certificate is: <B> {groups} </B> <P>" in text
    )
    assert f"<P> The enrollment challenge password is: <B> {CHALLENGE} </B> <P>" in text
    assert "<P> This password can be used only once and will expire within 60 minutes." in text
    assert (
        "The password cache is full." in cache_full_page(lifetime=HOUR, encoding="utf-8").decode()
    )
    permission = "You do not have sufficient permission to enroll with SCEP."
    assert permission in no_permission_page(encoding="utf-16le").decode("utf-16le")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_pages_without_a_challenge_have_nothing_that_reads_like_one(encoding: str) -> None:
    for sent in (
        cache_full_page(lifetime=HOUR, encoding=encoding),
        no_permission_page(encoding=encoding),
    ):
        text = sent.decode(encoding)
        assert not fleet(text)
        assert not powershell_first_match(text)


def basic(text: str | bytes, scheme: str = "Basic") -> str:
    raw = text.encode() if isinstance(text, str) else text
    return f"{scheme} {base64.b64encode(raw).decode()}"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (basic("mdm:secret"), BasicCredentials("mdm", "secret")),
        (basic("mdm:se:cret", "basic"), BasicCredentials("mdm", "se:cret")),
        (basic("PKI\\mdm:größe"), BasicCredentials("PKI\\mdm", "größe")),
        (basic(":"), BasicCredentials("", "")),
        (basic("no colon"), None),
        (basic(b"\xff:x"), None),
        (basic("a\x00:b"), None),
        (basic("mdm:" + "x" * 2000), None),
        ("Basic not-base64!", None),
        ("Bearer bWRtOnNlY3JldA==", None),
        ("Negotiate TlRMTVNTUAAB", None),
        ("", None),
    ],
)
def test_only_basic_credentials_are_read(header: str, expected: BasicCredentials | None) -> None:
    assert parse_basic(header) == expected


def test_a_password_does_not_show_itself() -> None:
    assert "secret" not in repr(parse_basic(basic("mdm:secret")))


@given(st.text(max_size=300))
def test_no_header_is_a_fault(header: str) -> None:
    parse_basic(header)
    parse_basic(f"Basic {header}")
