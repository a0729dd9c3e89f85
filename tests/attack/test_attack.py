"""The door answers each deviation of the attack client correctly, and issues nothing."""

import json
from pathlib import Path

import pytest
from django.test import Client

from scep.transport import HttpAnswer
from tests.attack.__main__ import main, new_draft, read, table
from tests.attack.deviations import DEVIATIONS, Draft, apply, query
from tests.attack.reading import Answer
from tests.flows.wire import URL, bare, granted
from tests.world import World, through

BAD_REQUEST, BAD_ALG, BAD_CHECK = "FAILURE badRequest", "FAILURE badAlg", "FAILURE badMessageCheck"
#: By flag: the value it is given, and the answer. PENDING: no attack by itself, an officer looks at
#: it.
EXPECTED: dict[str, tuple[str, str]] = {
    "message-type": ("18", BAD_REQUEST),
    "transaction-id": ("VICTIM", "PENDING"),
    "sender-nonce": ("00", "PENDING"),
    "no-sender-nonce": ("", BAD_REQUEST),
    "no-transaction-id": ("", "HTTP 400"),
    "no-message-type": ("", BAD_REQUEST),
    "no-message-digest": ("", BAD_CHECK),
    "no-content-type": ("", BAD_CHECK),
    "string-type": ("integer", "HTTP 400"),
    "unsorted": ("", "PENDING"),
    "tamper-signature": ("", BAD_CHECK),
    "no-signed-attributes": ("", "HTTP 400"),
    "wrong-digest": ("", BAD_CHECK),
    "digest": ("md5", BAD_ALG),
    "pss": ("0", BAD_ALG),
    "sign-with": ("bob", BAD_REQUEST),
    "extra-signer": ("", BAD_REQUEST),
    "other-certificate": ("", BAD_CHECK),
    "no-certificate": ("", BAD_CHECK),
    "detached": ("", BAD_REQUEST),
    "ber": ("", "PENDING"),
    "trailing": ("ff", "HTTP 400"),
    "outer-type": ("1.2.840.113549.1.9.16.1.9", "HTTP 400"),
    "deep": ("30", "HTTP 400"),
    "cipher": ("des", BAD_ALG),
    "oaep": ("sha256", "PENDING"),
    "bad-padding": ("", BAD_REQUEST),
    "short-key": ("", BAD_REQUEST),
    "random-key": ("", BAD_REQUEST),
    "bad-content": ("", BAD_REQUEST),
    "recipients": ("17", BAD_REQUEST),
    "foreign-recipient": ("", BAD_REQUEST),
    "envelope-type": ("1.2.840.113549.1.9.16.1.9", BAD_REQUEST),
    "csr-name": ("a\nb", BAD_REQUEST),
    "csr-dns": ("a b", BAD_REQUEST),
    "csr-key": ("bob", BAD_REQUEST),
    "csr-broken": ("", BAD_REQUEST),
    "csr-file": ("FILE", BAD_REQUEST),
    "csr-ca": ("", BAD_REQUEST),
    "csr-any-purpose": ("", "PENDING"),
    "csr-sid": ("", "PENDING"),
    "challenge": ("guess", "PENDING"),
    "serial-inside": ("", BAD_REQUEST),
    "raw-get": ("double", "HTTP 400"),
    "method": ("PUT", "HTTP 405"),
    "header": ("Content-Encoding: gzip", "HTTP 415"),
    "mutate": ("61", "HTTP 400"),
    "raw": ("FILE", "HTTP 400"),
}


def good() -> Draft:
    return new_draft(f"http://testserver{URL}", "alice", through(Client()))


def sent(draft: Draft) -> Answer:
    """Through Django's test client instead of a socket."""
    method = draft.method or ("GET" if draft.spelling else "POST")
    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in draft.headers}
    body = b"" if draft.spelling else draft.encode()
    response = Client().generic(method, f"{URL}?{query(draft)}", body, "", **headers)  # type: ignore[arg-type]  # environ
    return read(
        draft, HttpAnswer(response.status_code, response.headers["Content-Type"], response.content)
    )


def test_every_deviation_has_its_right_answer_here() -> None:
    assert set(EXPECTED) == set(DEVIATIONS)


@pytest.mark.parametrize("flag", sorted(EXPECTED))
def test_a_deviation_gets_the_right_answer_and_nothing_else(
    world: World, tmp_path: Path, flag: str
) -> None:
    value, answer = EXPECTED[flag]
    (tmp_path / "odd").write_bytes(b"odd")
    draft = apply(good(), [(flag, value.replace("FILE", str(tmp_path / "odd")))])
    before = granted()
    got = sent(draft)
    assert got.said() == answer, (got.text, got.lines)
    assert (granted() == before) == (answer != "PENDING")


def test_deviations_add_up_in_their_order(world: World) -> None:
    got = sent(
        apply(good(), [("csr-name", "r1.example"), ("digest", "sha512"), ("message-type", "18")])
    )
    assert (got.said(), bare(got.text)) == (BAD_REQUEST, "messageType is not supported")
    assert any("right, sha512" in line for line in got.lines)


def test_an_unknown_value_names_its_flag() -> None:
    for flag, value in (
        ("cipher", "rot13"),
        ("header", "x"),
        ("csr-key", "unknown"),
        ("raw", "/nowhere"),
        ("pss", "x"),
    ):
        with pytest.raises(ValueError, match=f"^--{flag}: "):
            apply(Draft(None, None), [(flag, value)])  # type: ignore[arg-type]  # refused before they are looked at


def test_the_list_names_every_flag_with_its_attack(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert capsys.readouterr().out == table()
    assert all(f"--{name} " in table() for name in DEVIATIONS)


def test_over_http_the_answer_is_taken_apart_for_a_person(
    live_server: object, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{live_server}{URL}"
    assert main([url]) == 0
    shown = capsys.readouterr().out
    assert "pkiStatus      3  (PrintableString, 1 bytes)" in shown
    assert "signature      right, sha256" in shown
    assert main([url, "--message-type", "18", "--json"]) == 0
    assert bare(json.loads(capsys.readouterr().out)["text"]) == "messageType is not supported"
    assert main([url, "--raw-get", "lines"]) == 0
    assert ": PENDING" in capsys.readouterr().out
    assert main([url, "--timing", "2"]) == 0
    assert "medians differ by at most" in capsys.readouterr().out


def test_what_cannot_be_reached_or_is_not_named_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main(["http://127.0.0.1:9/scep/x/"]) == 2
    assert "attack: http://127.0.0.1:9" in capsys.readouterr().err
