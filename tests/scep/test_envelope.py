"""Opening envelopes: every accepted encoding opens, and failures look the same."""

from __future__ import annotations

import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from ca.x509.asn1 import (
    DER_NULL,
    der,
    der_context,
    der_integer,
    der_octets,
    der_oid,
    der_sequence,
    der_set,
)
from scep.protocol import constants as c
from scep.protocol.certificates import (
    UnusableKeyError,
    issuer_and_serial,
    load_public_key,
    read_certificate,
)
from scep.protocol.codec import decode_pki_message
from scep.protocol.constants import CipherName, FailInfo
from scep.protocol.envelope import addressed_recipient, open_content, open_envelope, seal_envelope
from scep.protocol.errors import NOT_OPENED, UNREADABLE, Refused
from scep.protocol.messages import MessageRules, Recipient
from tests.pki import RaKeys, certificate_der
from tests.scep.forge import (
    ALICE_ID,
    Envelope,
    csr,
    ec_certificate,
    forge,
    forge_envelope,
    identity,
    nested,
    oaep_algorithm,
    pkcs1_block,
    random_bytes,
)

RA = RaKeys()
OTHER_RA = RaKeys(name="alice", certificate="alice")


class CountingRa(RaKeys):
    """Counts RSA operations."""

    operations = 0

    def decrypt(self, ciphertext: bytes, oaep_hash: str | None) -> bytes:
        type(self).operations += 1
        return super().decrypt(ciphertext, oaep_hash)


def open_with(message: bytes, *recipients: Recipient) -> bytes:
    return open_envelope(
        decode_pki_message(message), recipients=recipients or (RA,), entropy=random_bytes
    )


def refusal(message: bytes, *recipients: Recipient) -> Refused:
    with pytest.raises(Refused) as caught:
        open_with(message, *recipients)
    assert caught.value.reply is not None
    assert caught.value.reply.transaction_id == ALICE_ID
    return caught.value


# ----------------------------------------------------------------------------------------- accepted


@pytest.mark.parametrize(
    ("case", "pieces"),
    [
        ("AES-128", {}),
        ("AES-192", {"cipher_oid": c.CIPHER_OIDS["aes-192-cbc"], "cek": b"k" * 24}),
        ("AES-256", {"cipher_oid": c.CIPHER_OIDS["aes-256-cbc"], "cek": b"k" * 32}),
        ("OAEP with SHA-1", {"oaep_hash": "sha1"}),
        (
            "OAEP with SHA-1, no parameters",
            {"oaep_hash": "sha1", "key_transport": der_sequence(c.RSA_OAEP)},
        ),
        (
            "OAEP with SHA-1 by name",
            {"oaep_hash": "sha1", "key_transport": oaep_algorithm("sha1", "sha1")},
        ),
        ("OAEP with SHA-256", {"oaep_hash": "sha256"}),
        (
            "OAEP with an empty label",
            {"oaep_hash": "sha256", "key_transport": oaep_algorithm("sha256", label=b"")},
        ),
        ("recipient by key identifier", {"by_ski": True}),
        (
            "stale recipient name",
            {"rid": issuer_and_serial(read_certificate(certificate_der("ca")))},
        ),
        ("constructed BER content", {"constructed": True}),
        ("two copies", {"copies": 2}),
        ("sixteen copies", {"copies": 16}),
        ("originatorInfo", {"originator_info": der_context(0)}),
        ("long PKCS #1 padding", {"wrapped_cek": pkcs1_block(b"k" * 16)}),
    ],
)
def test_every_spelling_of_real_clients_opens(case: str, pieces: dict[str, object]) -> None:
    assert open_with(forge_envelope(**pieces)) == csr(), case


def test_one_of_several_recipients_is_found_and_costs_one_operation() -> None:
    for_ca = Envelope(recipient_certificate=certificate_der("ca")).recipient_info()
    foreign = der_context(1, der_integer(3))
    infos = [for_ca, foreign, Envelope().recipient_info()]
    CountingRa.operations = 0
    assert open_with(forge_envelope(recipient_infos=infos), OTHER_RA, CountingRa()) == csr()
    assert CountingRa.operations == 1


def test_a_second_recipient_may_use_any_algorithm() -> None:
    for_ca = Envelope(
        recipient_certificate=certificate_der("ca"), key_transport=der_sequence(der_oid("1.2.3"))
    )
    infos = [for_ca.recipient_info(), Envelope().recipient_info()]
    assert open_with(forge_envelope(recipient_infos=infos)) == csr()


@pytest.mark.parametrize("cipher", list(CipherName.__args__))  # type: ignore[attr-defined]  # Literal has its values there
@pytest.mark.parametrize("size", [0, 15, 16, 17])
def test_what_is_sealed_is_opened(cipher: CipherName, size: int) -> None:
    content = der_octets(bytes(size))
    sealed = seal_envelope(
        content, read_certificate(RA.certificate_der), cipher, entropy=random_bytes
    )
    assert (
        open_content(sealed, (RA,), random_bytes, MessageRules(legacy_algorithms=True)) == content
    )


def test_sealing_to_an_ec_key_is_refused() -> None:
    with pytest.raises(UnusableKeyError):
        seal_envelope(b"", read_certificate(ec_certificate()), entropy=random_bytes)


# --------------------------------------------------------------- D-7, D-8, D-35: one uniform answer

GOOD_LENGTH = len(csr()) + 16 - len(csr()) % 16
#: Public facts of a message are named in the log; the rest has one cause.
IN_THE_OPEN = {
    "IV of 8": "encrypted content of 688 bytes with an IV of 8: whole blocks are needed",
    "no IV": "encrypted content of 688 bytes with an IV of 0: whole blocks are needed",
    "ciphertext not": "encrypted content of 31 bytes with an IV of 16: whole blocks are needed",
    "no ciphertext": "encrypted content of 0 bytes with an IV of 16: whole blocks are needed",
    "no recipients": "0 recipients: 1 to 16 are read",
    "17 recipients": "17 recipients: 1 to 16 are read",
    "1000 recipients": "1000 recipients: 1 to 16 are read",
    "a password": "no recipient is an RA certificate of this CA",
    "two recipients": "no recipient is an RA certificate of this CA",
    "nested": "contentType signedData: EnvelopedData is needed",
    "compressedData": "contentType 1.2.840.113549.1.9.16.1.9: EnvelopedData is needed",
    "EncryptedData": "contentType encryptedData: EnvelopedData is needed",
}
BAD_PADDING = csr() + b"\x00" * (GOOD_LENGTH - len(csr()))


@pytest.mark.parametrize(
    ("case", "pieces"),
    [
        ("random encrypted key", {"encrypted_cek": b"\x17" * 256}),
        ("PKCS #1 block type 1", {"wrapped_cek": pkcs1_block(b"k" * 16, start=b"\x00\x01")}),
        (
            "PKCS #1 without leading zero",
            {"wrapped_cek": pkcs1_block(b"k" * 16, start=b"\x01\x02")},
        ),
        ("PKCS #1 without separator", {"wrapped_cek": b"\x00\x02" + b"\x5a" * 254}),
        (
            "PKCS #1 zero in the padding",
            {"wrapped_cek": pkcs1_block(b"k" * 16, start=b"\x00\x02\x5a\x00")},
        ),
        ("content key of 15 bytes", {"wrapped_cek": pkcs1_block(b"k" * 15)}),
        ("content key of 24 bytes for AES-128", {"cek": b"k" * 24}),
        ("content key of no bytes", {"wrapped_cek": pkcs1_block(b"")}),
        ("another content key", {"wrapped_cek": pkcs1_block(b"x" * 16)}),
        ("encrypted key too short", {"encrypted_cek": b"\x01"}),
        ("encrypted key too long", {"encrypted_cek": b"\x01" * 257}),
        ("encrypted key beyond the modulus", {"encrypted_cek": b"\xff" * 256}),
        ("encrypted key empty", {"encrypted_cek": b""}),
        (
            "OAEP with another hash",
            {"oaep_hash": "sha1", "key_transport": oaep_algorithm("sha256")},
        ),
        ("OAEP that is PKCS #1", {"key_transport": oaep_algorithm("sha256")}),
        ("CBC padding 0", {"padded": BAD_PADDING}),
        ("CBC padding 17", {"padded": csr() + b"\x11" * (GOOD_LENGTH - len(csr()))}),
        ("CBC padding uneven", {"padded": BAD_PADDING[:-1] + b"\x03"}),
        ("right padding, junk inside", {"plaintext": b"junk"}),
        ("right padding, nothing inside", {"plaintext": b""}),
        ("right padding, two values inside", {"plaintext": csr() + csr()}),
        ("right padding, deep inside", {"plaintext": nested(30)}),
        ("IV of 8 bytes", {"iv": b"i" * 8}),
        ("no IV", {"iv": b""}),
        ("ciphertext not a multiple of the block", {"ciphertext": b"c" * 31}),
        ("no ciphertext", {"ciphertext": b""}),
        ("no recipients", {"recipient_infos": []}),
        ("17 recipients", {"copies": 17}),
        ("1000 recipients", {"recipient_infos": [der_sequence()] * 1000}),
        ("a password recipient", {"recipient_infos": [der_context(3, der_integer(0))]}),
        (
            "two recipients, none of us",
            {"copies": 2, "rid": der_sequence(der_sequence(), der_integer(9))},
        ),
        ("nested SignedData", {"envelope_type": c.ID_SIGNED_DATA}),
        ("compressedData", {"envelope_type": der_oid("1.2.840.113549.1.9.16.1.9")}),
        ("EncryptedData", {"envelope_type": der_oid("1.2.840.113549.1.7.6")}),
    ],
)
def test_d7_d8_d35_whatever_is_wrong_the_answer_is_the_same(
    case: str, pieces: dict[str, object]
) -> None:
    refused = refusal(forge_envelope(**pieces))
    answer = (refused.fail_info, refused.text, str(refused), refused.__cause__)
    assert answer == (FailInfo.BAD_REQUEST, UNREADABLE, UNREADABLE, None), case
    assert refused.cause == next(
        (text for start, text in IN_THE_OPEN.items() if case.startswith(start)), NOT_OPENED
    )


@pytest.mark.parametrize(
    ("content_type", "name"),
    [
        ("1.2.840.113549.1.7.2", "signedData"),
        ("1.2.840.113549.1.7.3", "envelopedData"),
        ("1.2.840.113549.1.7.4", "signedAndEnvelopedData"),
        ("1.2.840.113549.1.7.5", "digestedData"),
        ("1.2.840.113549.1.9.16.1.23", "authEnvelopedData"),
        ("1.2.840.113549.1.9.16.1.4", "1.2.840.113549.1.9.16.1.4"),
    ],
)
def test_a_content_type_that_everybody_can_read_is_refused_by_name_before_any_decryption(
    content_type: str, name: str
) -> None:
    refused = refusal(forge_envelope(content_type=der_oid(content_type), encrypted_cek=b""))
    text = f"contentType of the encrypted content is {name}: id-data is needed"
    assert (refused.fail_info, refused.text) == (FailInfo.BAD_REQUEST, text)


@pytest.mark.parametrize(
    "envelope",
    [
        der_sequence(c.ID_ENVELOPED_DATA, der_context(0)),
        der_sequence(
            c.ID_ENVELOPED_DATA, der_context(0, der_sequence(DER_NULL, DER_NULL, DER_NULL))
        ),
        der_sequence(
            c.ID_ENVELOPED_DATA,
            der_context(
                0,
                der_sequence(
                    der_integer(0),
                    der_set(DER_NULL),
                    der_sequence(
                        c.ID_DATA, der_sequence(c.CIPHER_OIDS["aes-128-cbc"]), der(0x80, bytes(16))
                    ),
                ),
            ),
        ),
        der_sequence(
            c.ID_ENVELOPED_DATA,
            der_context(
                0,
                der_sequence(
                    der_integer(0),
                    der_set(DER_NULL),
                    der_sequence(
                        c.ID_DATA,
                        der_sequence(c.CIPHER_OIDS["aes-128-cbc"], der_octets(bytes(16))),
                        der_octets(bytes(16)),
                    ),
                ),
            ),
        ),
    ],
)
def test_broken_envelopes_get_the_same_answer(envelope: bytes) -> None:
    message = dataclasses.replace(decode_pki_message(forge_envelope()), envelope=envelope)
    with pytest.raises(Refused, match=UNREADABLE):
        open_envelope(message, recipients=[RA], entropy=random_bytes)


def test_d8_no_operation_is_done_for_recipients_that_are_not_us() -> None:
    CountingRa.operations = 0
    infos = [Envelope(recipient_certificate=certificate_der("ca")).recipient_info()] * 16
    refusal(forge_envelope(recipient_infos=infos), CountingRa())
    assert CountingRa.operations == 0


def test_d8_a_stale_name_is_not_tried_with_several_keys() -> None:
    CountingRa.operations = 0
    stale = der_sequence(der_sequence(), der_integer(9))
    refusal(forge_envelope(rid=stale), CountingRa(), OTHER_RA)
    assert CountingRa.operations == 0


def test_d7_a_wrong_content_key_is_replaced_by_entropy_of_its_size() -> None:
    asked: list[int] = []

    def entropy(count: int) -> bytes:
        asked.append(count)
        return b"e" * count

    message = decode_pki_message(forge_envelope(wrapped_cek=pkcs1_block(b"k" * 15)))
    with pytest.raises(Refused):
        open_envelope(message, recipients=[RA], entropy=entropy)
    good = decode_pki_message(forge_envelope())
    assert open_envelope(good, recipients=[RA], entropy=entropy) == csr()
    assert asked == [16, 16]


def test_d7_the_rsa_library_rejects_implicitly() -> None:
    key = load_public_key(read_certificate(RA.certificate_der).spki_der)
    assert isinstance(key, RSAPublicKey)
    outcomes = {RA.decrypt(bytes((octet,)) * 256, None) for octet in range(1, 9)}
    assert len(outcomes) == 8


# ------------------------------------------------------------ algorithms are refused by their names


@pytest.mark.parametrize(
    ("dotted", "name"),
    [
        ("1.3.14.3.2.7", "DES-CBC"),
        ("1.2.840.113549.3.7", "3DES-CBC"),
        ("1.2.840.113549.3.2", "RC2-CBC"),
        ("1.2.840.113549.3.4", "RC4"),
        ("2.16.840.1.101.3.4.1.6", "AES-128-GCM"),
        ("2.16.840.1.101.3.4.1.46", "AES-256-GCM"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_d35_refused_ciphers_are_named_before_any_decryption(dotted: str, name: str) -> None:
    CountingRa.operations = 0
    refused = refusal(forge_envelope(cipher_oid=der_oid(dotted)), CountingRa())
    assert (refused.fail_info, refused.text) == (
        FailInfo.BAD_ALG,
        f"content encryption {name}: use AES-128-CBC",
    )
    assert CountingRa.operations == 0


@pytest.mark.parametrize(
    ("case", "pieces"),
    [
        ("AuthEnvelopedData", {"envelope_type": c.ID_AUTH_ENVELOPED_DATA}),
        ("another key transport", {"key_transport": der_sequence(der_oid("1.2.3"))}),
        ("OAEP with SHA-384", {"key_transport": oaep_algorithm("sha384")}),
        ("OAEP with two hashes", {"key_transport": oaep_algorithm("sha256", "sha1")}),
        ("OAEP with a label", {"key_transport": oaep_algorithm("sha256", label=b"x")}),
        (
            "OAEP with another mask",
            {
                "key_transport": der_sequence(
                    c.RSA_OAEP,
                    der_sequence(
                        der_context(0, c.DIGEST_ALGORITHMS["sha256"]),
                        der_context(1, der_sequence(c.RSA_PSS, DER_NULL)),
                    ),
                )
            },
        ),
    ],
)
def test_algorithms_that_everybody_can_see_are_bad_alg(
    case: str, pieces: dict[str, object]
) -> None:
    assert refusal(forge_envelope(**pieces)).fail_info is FailInfo.BAD_ALG, case


def test_a_certificate_without_key_identifier_is_no_recipient_by_one() -> None:
    signer = identity()
    assert signer.ski == b""
    infos = [Envelope(rid=der(0x80, b"unknown")).recipient_info()] * 2
    refusal(forge_envelope(recipient_infos=infos), signer)


def test_an_envelope_that_cannot_be_read_names_none_of_our_keys() -> None:
    for content in (b"\x30\x00", der_sequence(c.ID_AUTH_ENVELOPED_DATA, b"\xa0\x02\x30\x00")):
        assert addressed_recipient(decode_pki_message(forge(content=content)), [RA, RA]) is None
    assert addressed_recipient(decode_pki_message(forge()), [RA]) == RA
