"""The second reader of answers confirms what the codec read, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ca.x509.cms import encode_degenerate, encode_next_certificates
from keys.file import LoadedKey
from scep.protocol import codec
from scep.protocol import constants as c
from scep.protocol.codec import decode_pki_message
from scep.protocol.constants import FailInfo, PKIStatus
from scep.protocol.messages import PKIMessage
from scep.protocol.requests import BadCertRep, ReceivedCertRep, SentRequest, decode_cert_rep
from scep.protocol.signed_data import encode_signed_data
from scep.witness import check_answer, check_certificates, check_next_certificates
from tests.pki import RaKeys, certificate_der, rsa_key
from tests.scep.forge import ALICE_ID, NONCE, attribute, forge, identity
from tests.scep.test_cert_rep import failure, pending, success

SENT = SentRequest(b"", ALICE_ID, NONCE)
TRUSTED = (certificate_der("ra"),)
ALICE = ReceivedCertRep(PKIStatus.SUCCESS, None, None, (certificate_der("alice"),))
REFUSED = ReceivedCertRep(PKIStatus.FAILURE, FailInfo.BAD_REQUEST, "no ü")
WAITING = ReceivedCertRep(PKIStatus.PENDING, None, None)


@pytest.fixture(scope="module")
def message() -> PKIMessage:
    return decode_pki_message(forge())


def look(der: bytes, answer: ReceivedCertRep, *, sent: SentRequest = SENT) -> None:
    check_answer(der, answer, sent=sent, trusted=TRUSTED, opener=identity())


Made = Callable[[PKIMessage], bytes]


@pytest.mark.parametrize(
    ("made", "answer"), [(success, ALICE), (failure, REFUSED), (pending, WAITING)]
)
def test_what_the_codec_wrote_and_read_is_confirmed(
    message: PKIMessage, made: Made, answer: ReceivedCertRep
) -> None:
    look(made(message), answer)


@pytest.mark.parametrize(
    ("made", "answer", "what"),
    [
        (success, replace(ALICE, certificates=(certificate_der("ra"),)), "messageData"),
        (success, replace(ALICE, crls=(b"crl",)), "messageData"),
        (success, WAITING, "pkiStatus"),
        (failure, replace(REFUSED, fail_info=FailInfo.BAD_ALG), "failInfo"),
        (failure, replace(REFUSED, fail_info_text="yes"), "failInfoText"),
        (failure, replace(REFUSED, fail_info=None), "failInfo"),
        (pending, ALICE, "pkiStatus"),
    ],
)
def test_what_the_codec_read_otherwise_is_not_believed(
    message: PKIMessage, made: Made, answer: ReceivedCertRep, what: str
) -> None:
    with pytest.raises(BadCertRep, match=f"does not confirm.*{what}"):
        look(made(message), answer)


@pytest.mark.parametrize(
    ("sent", "what"),
    [
        (replace(SENT, transaction_id="other"), "transactionID"),
        (replace(SENT, sender_nonce=b"n" * 16), "recipientNonce"),
    ],
)
def test_an_answer_to_another_request_is_not_believed(
    message: PKIMessage, sent: SentRequest, what: str
) -> None:
    with pytest.raises(BadCertRep, match=what):
        look(pending(message), WAITING, sent=sent)


def test_an_attribute_that_writer_and_reader_mix_up_is_found(
    message: PKIMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the codec alone, client and server agree on any number."""
    wrong = c.ATTR_PKI_STATUS[:-1] + b"\x0b"
    monkeypatch.setattr("scep.protocol.requests.ATTR_PKI_STATUS", wrong)
    written = attribute(wrong, b"\x13\x013")
    monkeypatch.setitem(codec._STATUS_ATTRIBUTES, PKIStatus.PENDING, written)
    made = pending(message)
    assert decode_cert_rep(made, sent=SENT, recipient=identity(), trusted=TRUSTED) == WAITING
    with pytest.raises(BadCertRep, match="pkiStatus"):
        look(made, WAITING)


def test_an_answer_under_a_password_is_confirmed_on_its_outside(message: PKIMessage) -> None:
    other = replace(ALICE, certificates=())
    check_answer(success(message), other, sent=SENT, trusted=TRUSTED, opener=None)


@pytest.mark.parametrize("position", [-1, -300, 60])
def test_a_damaged_answer_is_not_believed(message: PKIMessage, position: int) -> None:
    der = bytearray(success(message))
    der[position] ^= 1
    with pytest.raises(BadCertRep, match="does not confirm"):
        look(bytes(der), ALICE)


def test_an_answer_signed_by_another_is_not_believed(message: PKIMessage) -> None:
    with pytest.raises(BadCertRep, match="no trusted certificate"):
        check_answer(pending(message), WAITING, sent=SENT, trusted=[b"another"], opener=identity())


def test_an_attribute_twice_is_not_believed() -> None:
    twice = [
        attribute(c.ATTR_MESSAGE_TYPE, b"\x13\x013"),
        attribute(c.ATTR_MESSAGE_TYPE, b"\x13\x014"),
    ]
    made = encode_signed_data(b"", twice, digest="sha256", signer=RaKeys())
    with pytest.raises(BadCertRep, match="messageType: twice"):
        look(made, WAITING)


@pytest.mark.parametrize(
    "der", [b"", b"\x30\x00", b"\x1f" + b"\xff" * 60_000, encode_degenerate([])], ids=len
)
def test_what_is_no_answer_is_not_believed(der: bytes) -> None:
    with pytest.raises(BadCertRep):
        look(der, WAITING)


CERTIFICATES = (certificate_der("ra"), certificate_der("ca"))


def test_certificates_are_confirmed_in_their_order() -> None:
    served = encode_degenerate(CERTIFICATES)
    check_certificates(served, CERTIFICATES)
    with pytest.raises(BadCertRep, match="certificates"):
        check_certificates(served, CERTIFICATES[::-1])


def test_next_certificates_are_confirmed() -> None:
    served = encode_next_certificates(
        CERTIFICATES,
        signer_der=certificate_der("ca"),
        algorithm="rsa-sha256",
        sign=LoadedKey.of(rsa_key("ca")).sign,
    )
    check_next_certificates(served, CERTIFICATES)
    with pytest.raises(BadCertRep, match="certificates"):
        check_next_certificates(served, CERTIFICATES[:1])
    with pytest.raises(BadCertRep):
        check_next_certificates(encode_degenerate(CERTIFICATES), CERTIFICATES)
