"""Requests in: accepted ones are read exactly, others refused with failInfo and echo."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.x509.asn1 import (
    DER_NULL,
    IA5_STRING,
    OCTET_STRING,
    PRINTABLE_STRING,
    UTF8_STRING,
    der,
    der_context,
    der_integer,
    der_octets,
    der_oid,
    der_sequence,
)
from scep.protocol import constants as c
from scep.protocol.certificates import read_certificate, subject_key_identifier
from scep.protocol.codec import decode_pki_message
from scep.protocol.constants import FailInfo, MessageType
from scep.protocol.envelope import open_envelope
from scep.protocol.errors import Malformed, Refused
from tests.pki import RaKeys, certificate_der, ec_key
from tests.scep.forge import (
    ALICE_ID,
    NONCE,
    attribute,
    csr,
    forge,
    identity,
    message_type,
    random_bytes,
    sender_nonce,
    text_attribute,
    transaction_id,
)

RA = RaKeys()


def refusal(message: bytes) -> Refused:
    """How the message is refused, by the codec or when its envelope is opened."""
    with pytest.raises(Refused) as caught:
        open_envelope(decode_pki_message(message), recipients=[RA], entropy=random_bytes)
    assert caught.value.reply is not None
    return caught.value


# ----------------------------------------------------------------------------------------- accepted


def test_a_pkcs_req_is_read() -> None:
    message = decode_pki_message(forge())
    assert message.message_type is MessageType.PKCS_REQ
    assert message.transaction_id == ALICE_ID
    assert message.transaction_id_tlv == der(PRINTABLE_STRING, ALICE_ID.encode())
    assert message.sender_nonce == NONCE
    assert message.digest_algorithm == "sha256"
    assert message.signer.der == identity().certificate_der
    assert message.signer.key_algorithm == "rsa"
    assert message.signer.is_self_issued
    assert message.signer.spki_sha256 == hashlib.sha256(message.signer.spki_der).digest()
    assert open_envelope(message, recipients=[RA], entropy=random_bytes) == csr()


@pytest.mark.parametrize("number", [17, 19, 20, 21, 22])
def test_every_request_type_is_known(number: int) -> None:
    assert decode_pki_message(forge(message_type=str(number))).message_type == number


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_sha2_digests_are_accepted(digest: str) -> None:
    assert decode_pki_message(forge(digest=digest)).digest_algorithm == digest


@pytest.mark.parametrize(
    ("case", "pieces"),
    [
        ("digest without parameters", {"digest_algorithm": der_sequence(c.DIGEST_OIDS["sha256"])}),
        (
            "sha256WithRSAEncryption",
            {"signature_algorithm": der_sequence(der_oid("1.2.840.113549.1.1.11"), DER_NULL)},
        ),
        ("PSS", {"pss_salt": 32}),
        (
            "attributes in any order, signed as sent",
            {"sort_attributes": False, "sign_sorted": False},
        ),
        ("attributes in any order, signed as DER", {"sort_attributes": False}),
        (
            "signer named by key identifier",
            {"sid_by_ski": True, "certificate": certificate_der("alice")},
        ),
        (
            "signer named wrongly, one certificate",
            {"sid": der_sequence(der_sequence(), der_integer(5))},
        ),
        ("an application's own certificate", {"certificate": certificate_der("alice")}),
        (
            "chain next to the signer",
            {
                "certificates": [
                    certificate_der("ca"),
                    identity().certificate_der,
                    certificate_der("ra"),
                ]
            },
        ),
        (
            "chain, signer named by key identifier",
            {
                "sid_by_ski": True,
                "certificate": certificate_der("alice"),
                "certificates": [
                    certificate_der("ca"),
                    identity().certificate_der,
                    certificate_der("alice"),
                ],
            },
        ),
        ("BER of indefinite length", {"indefinite": True}),
        (
            "BER of indefinite length, attributes too",
            {"indefinite": True, "indefinite_attributes": True},
        ),
        ("CRLs next to the certificates", {"crls": [der_sequence()]}),
        (
            "a v2 attribute certificate next to the signer",
            {"certificates": [identity().certificate_der, der_context(2)]},
        ),
        ("trailing line end", {"trailing": b"\r\n\x00"}),
        ("short nonce of old devices", {"sender_nonce": b"12345678"}),
        (
            "recipientNonce of old drafts",
            {"extra_attributes": [attribute(c.ATTR_RECIPIENT_NONCE, der_octets(NONCE))]},
        ),
        (
            "unsigned attributes",
            {"unsigned_attributes": [message_type("18"), transaction_id("x"), sender_nonce(b"")]},
        ),
    ],
)
def test_what_real_clients_send_is_accepted(case: str, pieces: dict[str, object]) -> None:
    message = decode_pki_message(forge(**pieces))
    assert message.transaction_id == ALICE_ID, case
    assert message.message_type is MessageType.PKCS_REQ
    assert open_envelope(message, recipients=[RA], entropy=random_bytes) == csr()


def test_an_ec_signer_verifies_and_is_named() -> None:
    message = decode_pki_message(forge(key=ec_key()))
    assert message.signer.key_algorithm == "ec"


def test_one_rsa_key_has_one_digest_whatever_wraps_it() -> None:
    certificate = certificate_der("alice")
    with_null = c.RSA_ENCRYPTION_ALGORITHM
    position = certificate.rindex(with_null + b"\x03\x82")
    spki_start = position - 4
    spki = der_sequence(
        der_sequence(c.RSA_ENCRYPTION), certificate[position + len(with_null) : position + 15 + 275]
    )
    assert certificate[spki_start] == 0x30
    members = [read_certificate(certificate)]
    tbs = der_sequence(
        der_integer(5),
        der_sequence(),
        members[0].issuer_der,
        der_sequence(),
        members[0].subject_der,
        spki,
    )
    bare = read_certificate(der_sequence(tbs))
    assert bare.spki_sha256 == members[0].spki_sha256


# ---------------------------------------------------------------- D-17, D-33 and the echo (A5, A12)


@pytest.mark.parametrize("tag", [PRINTABLE_STRING, UTF8_STRING, IA5_STRING])
def test_the_transaction_id_is_kept_as_received_tag_included(tag: int) -> None:
    message = decode_pki_message(forge(transaction_id="a@*_&+/= b", transaction_id_tag=tag))
    assert message.transaction_id == "a@*_&+/= b"
    assert message.reply.transaction_id_tlv == der(tag, b"a@*_&+/= b")


@pytest.mark.parametrize("text", [ALICE_ID, "7" * 78, "x" * 255, "ü", "SSCEP transactionId"])
def test_any_text_of_up_to_255_bytes_is_a_transaction_id(text: str) -> None:
    assert (
        decode_pki_message(
            forge(transaction_id=text, transaction_id_tag=UTF8_STRING)
        ).transaction_id
        == text
    )


@pytest.mark.parametrize("raw", [b"", b"x" * 256, b"a\x00b", b"\xff\xfe", b"x" * 10_000])
def test_d17_a_transaction_id_that_cannot_be_echoed_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed, match="transactionID"):
        decode_pki_message(forge(transaction_id=raw))


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31m", "a\x7f", "a\u0085b"])
def test_d17_a_transaction_id_with_control_characters_is_refused(text: str) -> None:
    refused = refusal(forge(transaction_id=text))
    assert refused.fail_info is FailInfo.BAD_REQUEST
    assert refused.reply is not None
    assert refused.reply.transaction_id_tlv == der(PRINTABLE_STRING, text.encode())


@pytest.mark.parametrize(
    ("case", "attributes"),
    [
        ("missing", []),
        ("twice", [transaction_id(), transaction_id()]),
        (
            "two values",
            [
                attribute(
                    c.ATTR_TRANSACTION_ID, der(PRINTABLE_STRING, b"a"), der(PRINTABLE_STRING, b"b")
                )
            ],
        ),
        ("no value", [attribute(c.ATTR_TRANSACTION_ID)]),
        ("octets", [text_attribute(c.ATTR_TRANSACTION_ID, "a", OCTET_STRING)]),
    ],
)
def test_d33_without_one_transaction_id_nothing_can_be_answered(
    case: str, attributes: list[bytes]
) -> None:
    with pytest.raises(Malformed):
        decode_pki_message(
            forge(without=frozenset({c.ATTR_TRANSACTION_ID}), extra_attributes=attributes)
        )


@pytest.mark.parametrize(
    ("case", "attributes"),
    [
        ("missing", []),
        ("twice", [sender_nonce(), sender_nonce(b"x")]),
        ("empty", [sender_nonce(b"")]),
        ("too long", [sender_nonce(b"x" * 65)]),
        ("a text", [text_attribute(c.ATTR_SENDER_NONCE, "abc")]),
    ],
)
def test_d33_without_one_nonce_the_refusal_echoes_an_empty_one(
    case: str, attributes: list[bytes]
) -> None:
    refused = refusal(forge(without=frozenset({c.ATTR_SENDER_NONCE}), extra_attributes=attributes))
    assert refused.fail_info is FailInfo.BAD_REQUEST, case
    assert refused.reply is not None
    assert (refused.reply.transaction_id, refused.reply.sender_nonce) == (ALICE_ID, b"")


@pytest.mark.parametrize(
    ("case", "attributes"),
    [
        ("missing", []),
        ("twice", [message_type(), message_type("20")]),
        (
            "two values",
            [
                attribute(
                    c.ATTR_MESSAGE_TYPE, der(PRINTABLE_STRING, b"19"), der(PRINTABLE_STRING, b"20")
                )
            ],
        ),
        ("an integer", [attribute(c.ATTR_MESSAGE_TYPE, der_integer(19))]),
        ("only unsigned", []),
    ],
)
def test_d33_without_one_message_type_the_message_is_refused(
    case: str, attributes: list[bytes]
) -> None:
    unsigned = [message_type()] if case == "only unsigned" else []
    refused = refusal(
        forge(
            without=frozenset({c.ATTR_MESSAGE_TYPE}),
            extra_attributes=attributes,
            unsigned_attributes=unsigned,
        )
    )
    assert refused.fail_info is FailInfo.BAD_REQUEST, case
    assert refused.reply is not None
    assert (refused.reply.transaction_id, refused.reply.sender_nonce) == (ALICE_ID, NONCE)


@pytest.mark.parametrize(
    "text",
    ["18", "3", "0", "1", "23", "019", "+19", " 19", "19 ", "-19", "", "junk", "999", "1\uff19"],
)
def test_d37_any_other_message_type_is_refused(text: str) -> None:
    refused = refusal(forge(message_type=text))
    assert refused.fail_info is FailInfo.BAD_REQUEST
    assert refused.text == "messageType is not supported"


@given(st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_only_five_numbers_are_requests(number: int) -> None:
    message = forge(message_type=str(number))
    if number in {17, 19, 20, 21, 22}:
        assert decode_pki_message(message).message_type == number
    else:
        assert refusal(message).fail_info is FailInfo.BAD_REQUEST


def test_key_identifiers_are_found_behind_other_extensions_or_not_at_all() -> None:
    assert subject_key_identifier(identity().certificate_der) is None
    name = der_sequence()
    constraints = der_sequence(der_oid("2.5.29.19"), der_octets(der_sequence()))
    tbs = (b"\xa0\x03\x02\x01\x02", der_integer(1), *[name] * 5, b"\x81\x01\x00")
    without = der_sequence(der_sequence(*tbs, der_context(3, der_sequence(constraints))))
    assert subject_key_identifier(without) is None
    identifier = der_sequence(der_oid("2.5.29.14"), der_octets(der_octets(b"ski")))
    with_one = der_sequence(
        der_sequence(*tbs, der_context(3, der_sequence(constraints, identifier)))
    )
    assert subject_key_identifier(with_one) == b"ski"
