"""Hostile messages: forged, broken, oversized, downgraded (D-7 to D-11, D-18 to D-38)."""

from contextlib import suppress
from dataclasses import replace
from functools import reduce
from random import Random
from time import perf_counter
from typing import Any
from unittest import mock

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.models import AuditEntry
from ca.x509.asn1 import DER_NULL, UTF8_STRING, der, der_context, der_integer, der_oid, der_sequence
from ca.x509.names import build_name
from scep.protocol import constants as c
from scep.protocol.certificates import issuer_and_serial, read_certificate
from scep.protocol.codec import decode_pki_message
from scep.protocol.constants import FailInfo, PKIStatus
from scep.protocol.errors import UNREADABLE, Refused
from scep.ra.keys import RaCredential
from tests.ca.forge import challenge, request_der
from tests.flows.wire import bare, causes, malformed, message, pending, post, refusals, refused
from tests.pki import certificate_der, ec_key
from tests.scep.forge import (
    ALICE_ID,
    CHALLENGE,
    NONCE,
    Envelope,
    Message,
    attribute,
    constant_entropy,
    content_type,
    csr,
    forge,
    identity,
    message_type,
    nested,
    oaep_algorithm,
    pkcs1_block,
    pss_algorithm,
    sender_nonce,
    signed_by,
    text_attribute,
    transaction_id,
)
from tests.world import Device, World, now

SHORT = len(csr()) + 16 - len(csr()) % 16


# ----------------------------------------------------------------------------------- D-7, D-8, D-35

#: The time of a message, as the door reads it.
CLOCK = "scep.views.timezone.now"
UNREADABLE_ENVELOPES: list[tuple[str, dict[str, Any]]] = [
    ("random encrypted key", {"encrypted_cek": b"\x17" * 256}),
    ("PKCS #1 block type 1", {"wrapped_cek": pkcs1_block(b"k" * 16, start=b"\x00\x01")}),
    ("PKCS #1 without leading zero", {"wrapped_cek": pkcs1_block(b"k" * 16, start=b"\x01\x02")}),
    ("PKCS #1 without separator", {"wrapped_cek": b"\x00\x02" + b"\x5a" * 254}),
    ("content key of 15 bytes", {"wrapped_cek": pkcs1_block(b"k" * 15)}),
    ("content key of 24 bytes for AES-128", {"cek": b"k" * 24}),
    ("another content key", {"wrapped_cek": pkcs1_block(b"x" * 16)}),
    ("encrypted key beyond the modulus", {"encrypted_cek": b"\xff" * 256}),
    ("encrypted key too short", {"encrypted_cek": b"\x01"}),
    ("OAEP that is PKCS #1", {"key_transport": oaep_algorithm("sha256")}),
    ("CBC padding 0", {"padded": csr() + b"\x00" * (SHORT - len(csr()))}),
    ("CBC padding 17", {"padded": csr() + b"\x11" * (SHORT - len(csr()))}),
    ("right padding, junk inside", {"plaintext": b"junk"}),
    ("right padding, nothing inside", {"plaintext": b""}),
    ("right padding, no request inside", {"plaintext": der_sequence(DER_NULL)}),
    ("right padding, a request cut short inside", {"plaintext": csr()[:-1]}),
    ("IV of 8 bytes", {"iv": b"i" * 8}),
    ("ciphertext not a multiple of the block", {"ciphertext": b"c" * 31}),
    ("no ciphertext", {"ciphertext": b""}),
    ("no recipients", {"recipient_infos": []}),
    ("17 recipients", {"copies": 17}),
    ("1000 recipients", {"recipient_infos": [der_sequence()] * 1000}),
    (
        "for another recipient, twice",
        {"copies": 2, "rid": der_sequence(der_sequence(), der_integer(9))},
    ),
    ("a password recipient", {"recipient_infos": [der_context(3, der_integer(0))]}),
    ("compressedData", {"envelope_type": der_oid("1.2.840.113549.1.9.16.1.9")}),
    ("EncryptedData", {"envelope_type": der_oid("1.2.840.113549.1.7.6")}),
    ("nested SignedData", {"envelope_type": c.ID_SIGNED_DATA}),
]


def test_d7_d8_d35_whatever_is_wrong_inside_the_envelope_the_answer_and_the_log_are_the_same(
    world: World,
) -> None:
    answers = set()
    for case, pieces in UNREADABLE_ENVELOPES:
        answer = refused(message(world, envelope=pieces), FailInfo.BAD_REQUEST, UNREADABLE)
        answers.add((answer.body[:40], len(answer.body), tuple(sorted(answer.headers.items()))))
        assert len(answers) == 1, case
    entries = AuditEntry.objects.filter(event="message:refuse").values_list("data", flat=True)
    assert {data["cause"] for data in entries} == {
        f"routers: {UNREADABLE}"
    }  # counted as one within a minute


def test_d7_the_answers_are_equal_to_the_last_byte(world: World) -> None:
    """With the same server nonce nothing is left that could differ.

    `./portal attack --timing` measures the rest.
    """
    answers, moment = set(), now()
    for _, pieces in UNREADABLE_ENVELOPES:
        sent = message(world, envelope=pieces)
        with (
            mock.patch("scep.service.os.urandom", constant_entropy()),
            mock.patch(CLOCK, return_value=moment),
        ):
            answer = post(sent)
        answers.add((answer.http, tuple(sorted(answer.headers.items())), answer.body))
    assert len(answers) == 1


def test_d7_what_became_of_a_request_changed_inside_its_envelope_tells_nothing(
    world: World,
) -> None:
    """An attacker who flips bits would read the challenge from flips that keep valid UTF-8."""
    good, secret = csr(), CHALLENGE.encode()
    for octet in (b"!", b"\xff", b"\xc0", b"\x00"):
        changed = good.replace(secret, secret[:-1] + octet)
        assert changed != good
        cause = "certification request: the signature does not fit the key"
        refused(message(world, changed, key="bob"), FailInfo.BAD_REQUEST, UNREADABLE, cause=cause)
    entries = AuditEntry.objects.filter(event="message:refuse")
    assert {data["cause"] for data in entries.values_list("data", flat=True)} == {
        f"routers: {UNREADABLE}"
    }


def test_d7_who_made_the_request_is_told_what_is_wrong_with_it(world: World) -> None:
    """The key in the request signed the message too: that cannot be another party's envelope."""
    good = csr()
    broken = good.replace(CHALLENGE.encode(), CHALLENGE.encode()[:-1] + b"!")
    text = "the signature of the certificate request is wrong"
    refused(message(world, broken), FailInfo.BAD_MESSAGE_CHECK, text, cause=text)
    sha256_with_rsa, sha1_with_rsa = (
        der_oid("1.2.840.113549.1.1.11"),
        der_oid("1.2.840.113549.1.1.5"),
    )
    weak = good.replace(sha256_with_rsa, sha1_with_rsa)
    assert good not in (broken, weak)
    text = "signature digest SHA-1: SHA-256, SHA-384 or SHA-512 is needed"
    refused(message(world, weak), FailInfo.BAD_ALG, text, cause=text)
    refused(message(world, weak, key="bob"), FailInfo.BAD_REQUEST, UNREADABLE, cause=text)


def aes(data: bytes, iv: bytes) -> list[bytes]:
    """The blocks of CBC under the default key of `Envelope`, the IV first."""
    encryptor = Cipher(AES(Envelope().cek), CBC(iv)).encryptor()
    done = iv + encryptor.update(data + bytes(-len(data) % 16)) + encryptor.finalize()
    return [done[start : start + 16] for start in range(0, len(done), 16)]


def xor(*values: bytes) -> bytes:
    return bytes(reduce(int.__xor__, octets) for octets in zip(*values, strict=True))


@pytest.mark.parametrize("number", ["21", "22"])
def test_d7_blocks_of_a_captured_envelope_in_a_new_order_tell_nothing(
    world: World, number: str
) -> None:
    """Bob has Alice's envelope, and knows all of her request but the challenge.

    A block of it, another IV, a block of his own and one that he knows: the challenge's first octet
    is the length of a value now, and the whole an IssuerAndSerialNumber if, and only if, he has
    guessed it.
    """
    secret = CHALLENGE.encode()
    plain = next(
        csr_der
        for size in range(1, 17)
        if (csr_der := request_der(build_name([("CN", "r" * size)]), challenge(CHALLENGE))).index(
            secret
        )
        % 16
        == 5
    )
    captured = aes(plain, b"i" * 16)
    at = plain.index(secret) // 16 + 1
    known = plain[at * 16 - 16 :][:5]
    inside, tail = bytes((0x30, 0x21, 0x30, 0x1C, 0x04)), b"\x02\x01\x05" + bytes((13,)) * 13
    free = xor(plain[32:48], captured[2], tail)
    answers = set()
    for guess in (secret[0], secret[0] ^ 1):
        iv = xor(captured[at - 1], xor(inside, known) + bytes((guess ^ 26,)) + bytes(10))
        blocks = captured[at] + free + captured[3]
        sent = message(
            world, key="bob", message_type=number, envelope={"iv": iv, "ciphertext": blocks}
        )
        with mock.patch("scep.service.os.urandom", constant_entropy()):
            answers.add(post(sent).body)
    assert len(answers) == 1


def test_d8_one_message_costs_at_most_one_private_operation_of_decryption(world: World) -> None:
    with mock.patch.object(
        RaCredential, "decrypt", autospec=True, side_effect=RaCredential.decrypt
    ) as decrypt:
        post(message(world, envelope={"copies": 16}))
        assert decrypt.call_count == 1
        for pieces in (
            {"copies": 17},
            {"copies": 2, "rid": der_sequence(der_sequence(), der_integer(9))},
        ):
            post(message(world, envelope=pieces))
        assert decrypt.call_count == 1


def test_d35_d38_a_refused_cipher_is_bad_alg_and_the_text_says_what_to_use(world: World) -> None:
    ciphers = {
        "DES-CBC": "1.3.14.3.2.7",
        "3DES-CBC": "1.2.840.113549.3.7",
        "RC2-CBC": "1.2.840.113549.3.2",
        "AES-256-GCM": "2.16.840.1.101.3.4.1.46",
        "1.2.3.4": "1.2.3.4",
    }
    for name, oid in ciphers.items():
        sent = message(world, envelope={"cipher_oid": der_oid(oid)})
        refused(sent, FailInfo.BAD_ALG, f"content encryption {name}: use AES-128-CBC")


# ------------------------------------------------------------------------------- D-9, D-10: the key


def test_d9_a_message_signed_by_another_self_made_key_is_refused(world: World) -> None:
    sent = message(world, csr("alice"), key="bob")
    text = "the message must be signed with the key of the certificate request"
    refused(sent, FailInfo.BAD_REQUEST, text, cause="signer key is not the requested key")


def test_d10_a_foreign_key_is_not_claimed_without_its_signature(world: World) -> None:
    spki = read_certificate(identity("bob").certificate_der).spki_der
    claimed = csr("alice").replace(
        read_certificate(identity("alice").certificate_der).spki_der, spki
    )
    assert claimed != csr("alice")
    cause = "certification request: the signature does not fit the key"
    refused(message(world, claimed), FailInfo.BAD_REQUEST, UNREADABLE, cause=cause)


# ------------------------------------------------------------- D-11, D-32, D-34: signature wrapping

WITHOUT_TYPE = frozenset({c.ATTR_CONTENT_TYPE})
BAD_SIGNATURES: list[tuple[str, dict[str, Any], str]] = [
    ("a bit of the signature", {"tamper_signature": True}, "signature does not verify"),
    ("no signature", {"signature": b""}, "signature does not verify"),
    ("another key", {"certificate": identity("bob").certificate_der}, "signature does not verify"),
    (
        "messageDigest of something else",
        {"message_digest": bytes(32)},
        "messageDigest does not fit the content",
    ),
    (
        "messageDigest absent",
        {"without": frozenset({c.ATTR_MESSAGE_DIGEST})},
        "signed attribute messageDigest: needed once",
    ),
    (
        "contentType absent",
        {"without": WITHOUT_TYPE},
        "signed attribute contentType: id-data is needed once",
    ),
    (
        "contentType of something else",
        {"without": WITHOUT_TYPE, "extra_attributes": [content_type(c.ID_SIGNED_DATA)]},
        "signed attribute contentType: id-data is needed once",
    ),
    (
        "no certificate",
        {"certificates": []},
        "signer certificate: exactly one must be in the message",
    ),
    (
        "the signer's certificate twice",
        {"certificates": [identity().certificate_der] * 2},
        "signer certificate: exactly one must be in the message",
    ),
    (
        "an algorithm for another digest",
        {"signature_algorithm": der_sequence(der_oid("1.2.840.113549.1.1.13"))},
        "signature algorithm with sha512: digest algorithm is sha256, use one",
    ),
    (
        "PSS that is none",
        {"signature_algorithm": pss_algorithm("sha256", 32)},
        "signature does not verify",
    ),
]


def test_d11_d32_d34_a_forged_signature_is_bad_message_check(world: World) -> None:
    for case, pieces, text in BAD_SIGNATURES:
        assert refused(message(world, **pieces), FailInfo.BAD_MESSAGE_CHECK, text, cause=text), case


def test_d11_without_signed_attributes_there_is_nothing_to_answer_to(world: World) -> None:
    malformed(message(world, no_signed_attributes=True))


def test_d32_a_second_signer_is_refused_in_any_order(world: World) -> None:
    good = Message()
    mallory = Message(**signed_by("bob"), transaction_id="mallory")  # type: ignore[arg-type]  # as named
    content = good.signed_content()
    for first, second, name in ((good, mallory, ALICE_ID), (mallory, good, "mallory")):
        both = replace(first, content=content, extra_signer_infos=[second.signer_info(content)])
        refused(
            both.encode(),
            FailInfo.BAD_REQUEST,
            "2 signers: exactly one is needed",
            transaction_id=name,
        )


def test_d32_content_that_is_no_data_or_not_there_is_refused(world: World) -> None:
    for pieces in ({"content_type": c.ID_SIGNED_DATA}, {"omit_content": True}, {"content": b""}):
        refused(message(world, **pieces), FailInfo.BAD_REQUEST)


def test_d32_the_verified_certificate_is_the_one_that_is_kept_and_asked_for(world: World) -> None:
    named = issuer_and_serial(read_certificate(identity("alice").certificate_der))
    request = pending(message(world, csr("bob"), key="bob", sid=named))
    assert bytes(request.signer_certificate) == identity("bob").certificate_der


def test_d34_d38_a_refused_algorithm_is_bad_alg_and_the_text_says_what_to_use(world: World) -> None:
    algorithms: list[tuple[dict[str, Any], str]] = [
        ({"digest": "md5"}, "digest algorithm MD5: use SHA-256"),
        ({"digest": "sha1"}, "digest algorithm SHA-1: use SHA-256"),
        ({"digest": "sha224"}, "digest algorithm SHA-224: use SHA-256"),
        (
            {"digest_algorithm": der_sequence(der_oid("1.2.3.4"))},
            "digest algorithm 1.2.3.4: use SHA-256",
        ),
        (
            {"signature_algorithm": der_sequence(der_oid("1.2.840.113549.1.1.5"))},
            "signature algorithm SHA-1 with RSA: use RSA with SHA-256",
        ),
        (
            {"signature_algorithm": pss_algorithm("sha256", 0)},
            "RSASSA-PSS salt of 0 bytes: at least 16",
        ),
    ]
    for pieces, text in algorithms:
        refused(message(world, **pieces), FailInfo.BAD_ALG, text, cause=text)


def test_a_signer_with_an_ec_key_still_has_to_hold_the_requested_key_and_knows_no_transaction(
    world: World,
) -> None:
    refused(
        message(world, key="carol"),
        FailInfo.BAD_REQUEST,
        cause="signer key is not the requested key",
    )
    refused(
        message(world, key="carol", message_type="20"), FailInfo.BAD_CERT_ID, "no such transaction"
    )


def test_an_ec_key_in_the_request_of_an_rsa_signer_is_refused_before_anyone_waits(
    world: World,
) -> None:
    of_carol = request_der(None, key=ec_key())
    refused(
        message(world, of_carol), FailInfo.BAD_REQUEST, cause="signer key is not the requested key"
    )


# ------------------------------------------------------------------ D-18, D-19, D-20: hostile shape

ODD_OID = der_oid("1.2.3")
MALFORMED: list[tuple[str, bytes]] = [
    ("text", b"GET / HTTP/1.0"),
    ("a bare request", csr()),
    ("a certificate", certificate_der("ca")),
    ("1000 certificates", forge(certificates=[certificate_der("ca")] * 1000)[:65_536]),
    ("1000 attributes", forge(extra_attributes=[attribute(ODD_OID, DER_NULL)] * 1000)),
    ("1000 CRLs", forge(crls=[der_sequence(der_sequence())] * 4000)),
    ("deep", nested(5000)),
    ("deep and indefinite", nested(16_000, indefinite=True)),
    ("deep inside the message", forge(extra_attributes=[attribute(ODD_OID, nested(30))])),
    ("truncated", forge()[:-1]),
    ("trailing bytes", forge(trailing=b"\x00x")),
    ("two messages", forge() + forge()),
    ("long-form tag", b"\x3f" + b"\x81" * 60_000),
    ("length of 2^32", b"\x30\x84\xff\xff\xff\xff\x00"),
    ("length of 2^64", b"\x30\x88" + b"\xff" * 8),
    ("compressedData", forge(outer_type=der_oid("1.2.840.113549.1.9.16.1.9"))),
    ("EnvelopedData", forge(outer_type=c.ID_ENVELOPED_DATA)),
    ("AuthEnvelopedData", forge(outer_type=c.ID_AUTH_ENVELOPED_DATA)),
    ("gzip", b"\x1f\x8b\x08\x00" + bytes(100)),
    ("no signer", forge(signer_infos=[])),
]


@pytest.mark.usefixtures("within_a_minute")
def test_d18_d19_d20_what_is_no_scep_message_is_400_quickly_and_on_record(world: World) -> None:
    for case, sent in MALFORMED:
        started = perf_counter()
        assert malformed(sent).body.startswith(b"no SCEP message") or case == "no signer", case
        assert perf_counter() - started < 1, case
    assert causes() == ["not a SCEP message"]


def test_d19_a_message_as_ber_with_indefinite_lengths_is_as_good_as_der(world: World) -> None:
    pending(
        message(
            world,
            csr(),
            indefinite=True,
            indefinite_attributes=True,
            envelope={"constructed": True},
        )
    )


def test_d19_no_mutation_of_a_good_message_is_a_fault_of_the_portal(world: World) -> None:
    chance = Random(8894)  # noqa: S311 - the same mutations each time
    good = message(world, csr())
    for _ in range(100):
        mutated = bytearray(good)
        for _ in range(chance.randint(1, 3)):
            mutated[chance.randrange(len(mutated))] = chance.randrange(256)
        answer = post(bytes(mutated))
        assert answer.http in (200, 400)
        assert answer.status is not PKIStatus.SUCCESS


# --------------------------------------------------------------------------------- D-29: many polls


def test_d29_a_poll_costs_no_decryption_and_one_look_at_the_transaction(world: World) -> None:
    pending(message(world, csr()))
    poll = message(world, message_type="20")
    post(poll)
    with (
        mock.patch.object(
            RaCredential, "decrypt", side_effect=AssertionError("a poll needs no decryption")
        ),
        CaptureQueriesContext(connection) as queries,
    ):
        for _ in range(20):
            assert post(poll).status is PKIStatus.PENDING
    selects = [query["sql"] for query in queries if query["sql"].lstrip().startswith("SELECT")]
    assert len(selects) <= 2 * 20 + 3
    assert refusals() == 0


# --------------------------------------------------------------------------------- D-33: attributes


def odd(oid: bytes, *replacements: bytes) -> dict[str, Any]:
    """A message with other attributes in the place of one."""
    return {"without": frozenset({oid}), "extra_attributes": list(replacements)}


NO_TRANSACTION_ID: list[tuple[str, dict[str, Any]]] = [
    ("absent", odd(c.ATTR_TRANSACTION_ID)),
    ("empty", odd(c.ATTR_TRANSACTION_ID, transaction_id(b""))),
    ("with a NUL", odd(c.ATTR_TRANSACTION_ID, transaction_id(b"a\x00b"))),
    ("of 256 bytes", odd(c.ATTR_TRANSACTION_ID, transaction_id(b"a" * 256))),
    ("of 10 KB", odd(c.ATTR_TRANSACTION_ID, transaction_id(b"a" * 10_240))),
    ("no text", odd(c.ATTR_TRANSACTION_ID, attribute(c.ATTR_TRANSACTION_ID, der_integer(1)))),
    ("no UTF-8", odd(c.ATTR_TRANSACTION_ID, transaction_id(b"\xff", UTF8_STRING))),
    ("twice", {"extra_attributes": [transaction_id("mallory")]}),
    (
        "of two values",
        odd(
            c.ATTR_TRANSACTION_ID,
            attribute(c.ATTR_TRANSACTION_ID, der(0x13, b"a"), der(0x13, b"b")),
        ),
    ),
    (
        "only where nothing is signed",
        {**odd(c.ATTR_TRANSACTION_ID), "unsigned_attributes": [transaction_id()]},
    ),
]
ODD_ATTRIBUTES: list[tuple[str, dict[str, Any]]] = [
    ("messageType absent", odd(c.ATTR_MESSAGE_TYPE)),
    ("messageType twice", {"extra_attributes": [message_type("20")]}),
    (
        "messageType a number",
        odd(c.ATTR_MESSAGE_TYPE, attribute(c.ATTR_MESSAGE_TYPE, der_integer(19))),
    ),
    (
        "messageType unsigned",
        {**odd(c.ATTR_MESSAGE_TYPE), "unsigned_attributes": [message_type("19")]},
    ),
    ("senderNonce absent", odd(c.ATTR_SENDER_NONCE)),
    ("senderNonce empty", odd(c.ATTR_SENDER_NONCE, sender_nonce(b""))),
    ("senderNonce of 30 KB", odd(c.ATTR_SENDER_NONCE, sender_nonce(bytes(30_000)))),
    ("senderNonce twice", {"extra_attributes": [sender_nonce(b"other")]}),
    ("senderNonce a text", odd(c.ATTR_SENDER_NONCE, text_attribute(c.ATTR_SENDER_NONCE, "nonce"))),
]


def test_d33_without_one_readable_transaction_id_there_is_no_answer(world: World) -> None:
    for case, pieces in NO_TRANSACTION_ID:
        assert malformed(message(world, csr(), **pieces)), case


def test_d33_other_attributes_that_are_odd_are_refused(world: World) -> None:
    for case, pieces in ODD_ATTRIBUTES:
        nonce = b"" if case.startswith("senderNonce") else NONCE
        assert refused(message(world, csr(), **pieces), FailInfo.BAD_REQUEST, nonce=nonce), case


def test_d17_d33_control_characters_in_a_transaction_id_are_refused_and_echoed_as_received(
    world: World,
) -> None:
    text = "transactionID contains control characters"
    for name in ("a\nb", "\x1b[31m", "a\rSet-Cookie: x"):
        sent = message(world, csr(), transaction_id=name, transaction_id_tag=UTF8_STRING)
        refused(sent, FailInfo.BAD_REQUEST, text, transaction_id=name)


def test_a_nonce_of_any_length_comes_back_byte_for_byte(world: World) -> None:
    for nonce in (b"n", bytes(8), bytes(16), bytes(64)):
        assert post(message(world, csr(), sender_nonce=nonce)).recipient_nonce == nonce


# -------------------------------------------------------------------------- D-36, D-37: messageType


def test_d37_any_other_message_type_is_bad_request_and_never_an_enrollment(world: World) -> None:
    for kind in (
        "18",
        "3",
        "0",
        "1",
        "2",
        "4",
        "16",
        "23",
        "999",
        "",
        "019",
        "+19",
        " 19",
        "1e1",
        "-19",
        "19\0",
    ):
        refused(
            message(world, csr(), message_type=kind),
            FailInfo.BAD_REQUEST,
            "messageType is not supported",
        )


def test_cve_2026_30836_no_number_but_the_known_ones_is_a_request() -> None:
    known = []
    for number in [*range(40), *range(40, 1000, 37)]:
        with suppress(Refused):
            known.append(int(decode_pki_message(forge(message_type=str(number))).message_type))
    assert known == [17, 19, 20, 21, 22]


def test_a_constant_transaction_id_of_get_crl_opens_nothing(world: World) -> None:
    """sscep and others send the same text each time (RFC 8894 §3.3.4 has no transaction)."""
    inside = der_sequence(read_certificate(identity().certificate_der).subject_der, der_integer(1))
    for _ in range(2):
        sent = message(world, inside, message_type="22", transaction_id="SSCEP transactionId")
        refused(
            sent,
            FailInfo.BAD_CERT_ID,
            "there is no CRL of this issuer here",
            transaction_id="SSCEP transactionId",
        )


def test_d36_a_request_for_enrollment_around_something_else_is_refused(world: World) -> None:
    name = read_certificate(identity().certificate_der).subject_der
    for inside in (der_sequence(name, name), der_sequence(name, der_integer(1))):
        refused(message(world, inside), FailInfo.BAD_REQUEST, UNREADABLE)


def test_d36_a_poll_is_answered_by_its_transaction_whatever_is_inside(world: World) -> None:
    refused(message(world, csr(), message_type="20"), FailInfo.BAD_CERT_ID)
    pending(message(world, csr()))
    assert post(message(world, csr("bob"), message_type="20")).status is PKIStatus.PENDING


def test_d37_an_answer_of_the_portal_sent_back_is_refused(world: World) -> None:
    pending(message(world, csr()))
    answer = post(message(world, message_type="20"))
    refused(answer.body, FailInfo.BAD_REQUEST, "pkcsPKIEnvelope is missing", nonce=None)


# ------------------------------------------------------------------------ the log cannot be flooded


@pytest.mark.usefixtures("within_a_minute")
def test_refusals_that_differ_only_in_what_the_sender_wrote_are_one_entry_with_a_count(
    world: World,
) -> None:
    for number in range(5):
        refused(message(world, message_type=f"7{number}"), FailInfo.BAD_REQUEST)
        refused(
            message(world, digest_algorithm=der_sequence(der_oid(f"1.2.{number}"))),
            FailInfo.BAD_ALG,
        )
        refused(message(world, envelope={"cipher_oid": der_oid(f"1.2.{number}")}), FailInfo.BAD_ALG)
        malformed(bytes((number, 0)))
    assert refusals() == 20
    assert AuditEntry.objects.filter(event="message:refuse").count() == 4


def test_a_refusal_is_on_record_with_its_address_and_transaction(world: World) -> None:
    address = "2001:db8::9"
    refused(message(world, digest="md5"), FailInfo.BAD_ALG, REMOTE_ADDR=address)
    entry = AuditEntry.objects.get(event="message:refuse")
    assert entry.private_values.get(path="actor.address").value == address
    assert (entry.data["transaction_id"], entry.data["fail_info"]) == (ALICE_ID, "badAlg")


def test_the_text_of_a_refusal_is_the_same_for_our_own_client(world: World) -> None:
    device = Device.named("r1.example")
    answer = device.scep.get_crl(
        device.identity.issuer_der, device.identity.serial_der, device.identity
    )
    assert (answer.status, answer.fail_info) == (PKIStatus.FAILURE, FailInfo.BAD_CERT_ID)
    assert bare(answer.fail_info_text) == "there is no CRL of this issuer here"
