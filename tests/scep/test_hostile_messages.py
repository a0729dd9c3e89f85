"""Hostile requests: signature wrapping, refused algorithms, odd shapes (D-11 to D-38)."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.x509.asn1 import DER_NULL, der, der_context, der_integer, der_oid, der_sequence
from scep.protocol import constants as c
from scep.protocol.certificates import (
    UnusableKeyError,
    issuer_and_serial,
    load_public_key,
    read_certificate,
)
from scep.protocol.codec import decode_pki_message
from scep.protocol.constants import FailInfo
from scep.protocol.envelope import open_envelope
from scep.protocol.errors import UNREADABLE, Malformed, Refused
from tests.pki import RaKeys, certificate_der, ec_key, rsa_key
from tests.scep.forge import (
    ALICE_ID,
    NONCE,
    Message,
    attribute,
    ber_sequence,
    content_type,
    csr,
    ec_certificate,
    forge,
    forge_envelope,
    identity,
    message_digest,
    nested,
    pss_algorithm,
    random_bytes,
    signed_by,
    text_attribute,
)

RA = RaKeys()


def refusal(message: bytes) -> Refused:
    """How the message is refused, by the codec or when its envelope is opened."""
    with pytest.raises(Refused) as caught:
        open_envelope(decode_pki_message(message), recipients=[RA], entropy=random_bytes)
    assert caught.value.reply is not None
    return caught.value


def opened(message: bytes) -> bytes:
    return open_envelope(decode_pki_message(message), recipients=[RA], entropy=random_bytes)


# ------------------------------------------------------------------- D-11, D-32: signature wrapping


@pytest.mark.parametrize(
    ("case", "pieces"),
    [
        ("a bit of the signature", {"tamper_signature": True}),
        ("no signature", {"signature": b""}),
        ("another key", {"key": rsa_key("bob"), "certificate": identity().certificate_der}),
        ("messageDigest of something else", {"message_digest": bytes(32)}),
        ("messageDigest too short", {"message_digest": b""}),
        ("messageDigest absent", {"without": frozenset({c.ATTR_MESSAGE_DIGEST})}),
        ("messageDigest twice", {"extra_attributes": [message_digest(b"")]}),
        ("contentType absent", {"without": frozenset({c.ATTR_CONTENT_TYPE})}),
        (
            "contentType of something else",
            {
                "without": frozenset({c.ATTR_CONTENT_TYPE}),
                "extra_attributes": [content_type(c.ID_SIGNED_DATA)],
            },
        ),
        ("no certificate", {"certificates": []}),
        ("only another owner's certificate", {"certificates": [certificate_der("ra")]}),
        ("the signer's certificate twice", {"certificates": [identity().certificate_der] * 2}),
        (
            "certificates that do not fit",
            {"certificates": [certificate_der("ra"), certificate_der("ca")]},
        ),
        (
            "EC algorithm with an RSA key",
            {"signature_algorithm": der_sequence(der_oid("1.2.840.10045.4.3.2"))},
        ),
        (
            "RSA algorithm with an EC key",
            {"key": ec_key(), "signature_algorithm": c.RSA_ENCRYPTION_ALGORITHM},
        ),
        ("PSS signature that is none", {"signature_algorithm": pss_algorithm("sha256", 32)}),
    ],
)
def test_d11_a_wrong_signature_or_digest_is_bad_message_check(
    case: str, pieces: dict[str, object]
) -> None:
    refused = refusal(forge(**pieces))
    assert refused.fail_info is FailInfo.BAD_MESSAGE_CHECK, case
    assert refused.reply is not None
    assert (refused.reply.transaction_id, refused.reply.sender_nonce) == (ALICE_ID, NONCE)


def test_d11_without_signed_attributes_there_is_nothing_to_echo() -> None:
    with pytest.raises(Malformed):
        decode_pki_message(forge(no_signed_attributes=True))


def test_d11_content_changed_after_signing_is_bad_message_check() -> None:
    good = Message()
    swapped = replace(
        good, signer_infos=[good.signer_info(good.signed_content())], content=b"something else"
    )
    assert refusal(swapped.encode()).fail_info is FailInfo.BAD_MESSAGE_CHECK


def test_d32_two_signers_are_refused() -> None:
    mallory = Message(
        key=rsa_key("bob"), certificate=identity("bob").certificate_der, transaction_id="mallory"
    )
    good = Message()
    both = replace(good, extra_signer_infos=[mallory.signer_info(good.signed_content())])
    refused = refusal(both.encode())
    assert refused.fail_info is FailInfo.BAD_REQUEST
    assert refused.text == "2 signers: exactly one is needed"


def test_d32_a_lookalike_certificate_with_the_same_name_and_serial_is_refused() -> None:
    real = read_certificate(identity().certificate_der)
    lookalike = read_certificate(identity("bob").certificate_der)
    tbs = der_sequence(
        real.serial_der,
        der_sequence(),
        real.issuer_der,
        der_sequence(),
        real.subject_der,
        lookalike.spki_der,
    )
    both = [der_sequence(tbs), identity().certificate_der]
    for certificates in (both, both[::-1]):
        refused = refusal(forge(certificates=certificates))
        assert refused.text == "signer certificate: exactly one must be in the message", (
            "whichever comes first"
        )
        assert refused.fail_info is FailInfo.BAD_MESSAGE_CHECK


def test_d32_the_certificate_whose_key_verified_is_the_signer() -> None:
    bob = forge(
        **signed_by("bob"), sid=issuer_and_serial(read_certificate(identity().certificate_der))
    )
    assert decode_pki_message(bob).signer.der == identity("bob").certificate_der


@pytest.mark.parametrize(
    ("case", "pieces"),
    [
        ("eContentType", {"content_type": c.ID_SIGNED_DATA}),
        ("detached content", {"omit_content": True}),
        ("empty content", {"content": b""}),
    ],
)
def test_d32_content_that_is_no_data_is_refused(case: str, pieces: dict[str, object]) -> None:
    assert refusal(forge(**pieces)).fail_info is FailInfo.BAD_REQUEST, case


def test_no_signer_at_all_is_malformed() -> None:
    with pytest.raises(Malformed):
        decode_pki_message(forge(signer_infos=[]))


# --------------------------------------------------------------------------- D-34, D-38: algorithms


@pytest.mark.parametrize(
    ("digest", "name"), [("md5", "MD5"), ("sha1", "SHA-1"), ("sha224", "SHA-224")]
)
def test_d34_d38_old_digests_are_bad_alg_by_name(digest: str, name: str) -> None:
    refused = refusal(forge(digest=digest))
    assert refused.fail_info is FailInfo.BAD_ALG
    assert refused.text == f"digest algorithm {name}: use SHA-256"
    assert refused.reply is not None
    assert refused.reply.digest_algorithm == "sha256"


def test_d34_an_unknown_digest_is_named_by_its_number() -> None:
    refused = refusal(forge(digest_algorithm=der_sequence(der_oid("1.2.3.4"))))
    assert (refused.fail_info, refused.text) == (
        FailInfo.BAD_ALG,
        "digest algorithm 1.2.3.4: use SHA-256",
    )


def pss(*parts: bytes) -> bytes:
    return der_sequence(c.RSA_PSS, der_sequence(*parts))


@pytest.mark.parametrize(
    ("case", "algorithm", "fail_info"),
    [
        ("SHA-1 with RSA", der_sequence(der_oid("1.2.840.113549.1.1.5")), FailInfo.BAD_ALG),
        ("unknown", der_sequence(der_oid("1.2.3")), FailInfo.BAD_ALG),
        (
            "SHA-512 with RSA",
            der_sequence(der_oid("1.2.840.113549.1.1.13")),
            FailInfo.BAD_MESSAGE_CHECK,
        ),
        ("PSS with SHA-512", pss_algorithm("sha512", 32), FailInfo.BAD_MESSAGE_CHECK),
        (
            "PSS mask with SHA-512",
            pss_algorithm("sha256", 32, mask_digest="sha512"),
            FailInfo.BAD_MESSAGE_CHECK,
        ),
        ("PSS without salt", pss_algorithm("sha256", 0), FailInfo.BAD_ALG),
        ("PSS with a negative salt", pss_algorithm("sha256", -1), FailInfo.BAD_ALG),
        ("PSS trailer", pss_algorithm("sha256", 32, trailer=2), FailInfo.BAD_ALG),
        ("PSS defaults are SHA-1", der_sequence(c.RSA_PSS), FailInfo.BAD_ALG),
        (
            "PSS default mask is SHA-1",
            pss(der_context(0, c.DIGEST_ALGORITHMS["sha256"])),
            FailInfo.BAD_ALG,
        ),
        (
            "PSS mask that is not MGF1",
            pss(
                der_context(0, c.DIGEST_ALGORITHMS["sha256"]),
                der_context(1, der_sequence(c.RSA_PSS, DER_NULL)),
            ),
            FailInfo.BAD_ALG,
        ),
        ("PSS parameters of nothing", pss(b"\xa0\x00"), FailInfo.BAD_REQUEST),
    ],
)
def test_d34_signature_algorithms_are_checked(
    case: str, algorithm: bytes, fail_info: FailInfo
) -> None:
    assert refusal(forge(signature_algorithm=algorithm)).fail_info is fail_info, case


def test_a_pss_trailer_of_one_is_the_usual_one() -> None:
    assert decode_pki_message(
        forge(pss_salt=32, signature_algorithm=pss_algorithm("sha256", 32, trailer=1))
    )


@pytest.mark.parametrize(
    ("case", "spki"),
    [
        ("modulus of 16384 bits", (1 << 16_383 | 1, 65_537)),
        ("exponent of 2048 bits", (1 << 2_047 | 1, 1 << 2_047 | 1)),
        ("exponent 1", (1 << 2_047 | 1, 1)),
    ],
)
def test_d21_signer_keys_beyond_reason_are_refused_quickly(
    case: str, spki: tuple[int, int]
) -> None:
    key = der_sequence(*map(der_integer, spki))
    odd = der_sequence(c.RSA_ENCRYPTION_ALGORITHM, b"\x03" + der(0x30, b"\x00" + key)[1:])
    name = der_sequence()
    certificate = der_sequence(der_sequence(der_integer(1), name, name, name, name, odd))
    started = time.thread_time()
    refused = refusal(forge(certificates=[certificate]))
    assert time.thread_time() - started < 0.5
    assert (refused.fail_info, refused.text) == (
        FailInfo.BAD_MESSAGE_CHECK,
        "signer key is not supported",
    ), case


@pytest.mark.parametrize("dotted", ["1.3.101.112", "1.2.840.10040.4.1", "1.2.3"])
def test_signer_keys_of_other_kinds_are_refused(dotted: str) -> None:
    name = der_sequence()
    spki = der_sequence(der_sequence(der_oid(dotted)), b"\x03\x21\x00" + bytes(32))
    certificate = der_sequence(der_sequence(der_integer(1), name, name, name, name, spki))
    assert refusal(forge(certificates=[certificate])).fail_info is FailInfo.BAD_MESSAGE_CHECK


def test_d21_an_rsa_key_under_another_name_does_not_come_past_its_size() -> None:
    key = der_sequence(der_integer(1 << 16_383 | 1), der_integer((1 << 63) | 1))
    spki = der_sequence(der_sequence(c.RSA_PSS), b"\x03" + der(0x30, b"\x00" + key)[1:])
    with pytest.raises(UnusableKeyError, match=r"^public key: neither RSA nor EC"):
        load_public_key(spki)


# ------------------------------------------------------------------ D-18, D-19, D-20: hostile shape


@pytest.mark.parametrize(
    ("case", "pieces"),
    [
        ("9 certificates", {"certificates": [certificate_der("ca")] * 9}),
        ("certificate of nothing", {"certificates": [der_sequence()]}),
        (
            "certificate cut short",
            {"certificates": [der_sequence(der_sequence(*[der_integer(1)] * 6))]},
        ),
        (
            "v3 certificate cut short",
            {"certificates": [der_sequence(der_sequence(b"\xa0\x00", *[DER_NULL] * 5))]},
        ),
    ],
)
def test_d18_too_many_or_broken_certificates_are_refused(
    case: str, pieces: dict[str, object]
) -> None:
    refused = refusal(forge(certificate=identity().certificate_der, **pieces))
    assert (refused.fail_info, refused.text) == (FailInfo.BAD_REQUEST, "message is not readable"), (
        case
    )


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("nothing", b""),
        ("text", b"GET / HTTP/1.0"),
        ("a bare CSR", csr()),
        ("a certificate", identity().certificate_der),
        ("1000 certificates", forge(certificates=[certificate_der("ca")] * 1000)),
        ("1000 attributes", forge(extra_attributes=[attribute(der_oid("1.2.3"), DER_NULL)] * 1000)),
        ("deep", nested(5000)),
        ("deep and indefinite", nested(20_000, indefinite=True)),
        (
            "deep inside the message",
            forge(extra_attributes=[attribute(der_oid("1.2.3"), nested(30))]),
        ),
        ("truncated", forge()[:-1]),
        ("trailing", forge(trailing=b"\x00x")),
        ("trailing message", forge() + forge()),
        ("long-form tag", b"\x3f" + b"\x81" * 60_000),
        ("length of 2^32", b"\x30\x84\xff\xff\xff\xff\x00"),
        ("compressedData", forge(outer_type=der_oid("1.2.840.113549.1.9.16.1.9"))),
        ("EnvelopedData", forge(outer_type=c.ID_ENVELOPED_DATA)),
        ("AuthEnvelopedData", forge(outer_type=c.ID_AUTH_ENVELOPED_DATA)),
        ("EncryptedData", forge(outer_type=der_oid("1.2.840.113549.1.7.6"))),
        ("gzip", b"\x1f\x8b\x08\x00" + bytes(100)),
        ("too large", forge(extra_attributes=[text_attribute(der_oid("1.2.3"), b"x" * 70_000)])),
        ("signer without digest", forge(signer_infos=[der_sequence(*[der_integer(1)] * 6)])),
        ("members that are not there", ber_sequence(c.ID_SIGNED_DATA, b"\xa0\x80\x30\x00\x00\x00")),
    ],
)
def test_d19_d20_what_is_no_scep_message_is_malformed_quickly(case: str, message: bytes) -> None:
    started = time.thread_time()
    with pytest.raises(Malformed):
        decode_pki_message(message)
    assert time.thread_time() - started < 0.5, case


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_no_mutation_raises_anything_but_malformed_or_refused(data: st.DataObject) -> None:
    message = bytearray(GOOD_BER if data.draw(st.booleans()) else GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(message) - 1))
        message[position] = data.draw(st.integers(0, 255))
    try:
        opened(bytes(message))
    except Malformed:
        pass
    except Refused as refused:
        echoed = refused.reply is not None
        assert echoed


GOOD = forge()
GOOD_BER = forge(indefinite=True)


@pytest.mark.parametrize("step", range(4))
def test_no_single_byte_of_the_structure_breaks_the_reader(step: int) -> None:
    for position in range(step, len(GOOD), 4):
        for value in (0x00, 0x80, 0xFF, GOOD[position] ^ 0x20):
            mutated = GOOD[:position] + bytes((value,)) + GOOD[position + 1 :]
            try:
                decode_pki_message(mutated)
            except (Malformed, Refused):
                continue


# ------------------------------------------------------------------ D-35, D-36, A6.6: no decryption


def test_a_poll_is_read_without_decryption() -> None:
    message = decode_pki_message(forge_envelope(encrypted_cek=b"\x00" * 256))
    assert message.envelope.startswith(b"\x30")


@pytest.mark.parametrize("content", [csr(), b"\x05\x00", b"junk", nested(100)])
def test_unencrypted_content_is_refused_like_everything_unreadable(content: bytes) -> None:
    refused = refusal(forge(content=content))
    assert (refused.fail_info, refused.text) == (FailInfo.BAD_REQUEST, UNREADABLE)


def test_the_ec_certificate_of_the_tests_is_one() -> None:
    assert read_certificate(ec_certificate()).key_algorithm == "ec"
