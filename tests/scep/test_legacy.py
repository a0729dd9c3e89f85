"""The optional SHA-1 and 3DES of a profile, and what stays refused (RFC 8894 §2.9, §7.9)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from ca.x509.asn1 import (
    GENERALIZED_TIME,
    UTC_TIME,
    UTF8_STRING,
    der,
    der_bit_string,
    der_oid,
    der_sequence,
)
from ca.x509.csr import decode_csr
from ca.x509.errors import CsrAlgorithmRefused, CsrSignatureInvalid
from ca.x509.names import build_name
from scep.protocol import constants as c
from scep.protocol.capabilities import capabilities
from scep.protocol.codec import decode_pki_message, encode_cert_rep
from scep.protocol.constants import FailInfo, PKIStatus
from scep.protocol.envelope import answer_cipher, open_envelope
from scep.protocol.errors import Refused
from scep.protocol.messages import STRICT, CertRep, MessageRules
from tests.ca.forge import info, spki
from tests.pki import RaKeys, ec_key, rsa_key
from tests.scep.forge import (
    NOW,
    TRIPLE_DES,
    Envelope,
    attribute,
    csr,
    forge,
    forge_envelope,
    pss_algorithm,
    random_bytes,
)

RA = RaKeys()
LEGACY = MessageRules(legacy_algorithms=True)
SHA1_WITH_RSA = der_sequence(der_oid("1.2.840.113549.1.1.5"), b"\x05\x00")


# -------------------------------------------------------------------------------- digest, signature


@pytest.mark.parametrize(
    "pieces",
    [
        {},
        {"signature_algorithm": SHA1_WITH_RSA},
        {"pss_salt": 20},
        {
            "pss_salt": 20,
            "signature_algorithm": der_sequence(c.RSA_PSS, der_sequence()),
        },  # all defaults: SHA-1
        {"key": ec_key()},
    ],
)
def test_sha_1_is_read_where_it_is_allowed_and_nowhere_else(pieces: dict[str, Any]) -> None:
    if isinstance(pieces.get("key"), ec.EllipticCurvePrivateKey):
        pieces = pieces | {"signature_algorithm": der_sequence(der_oid("1.2.840.10045.4.1"))}
    sent = forge(digest="sha1", **pieces)
    assert decode_pki_message(sent, LEGACY).digest_algorithm == "sha1"
    with pytest.raises(Refused) as refusal:
        decode_pki_message(sent)
    assert (refusal.value.fail_info, refusal.value.text) == (
        FailInfo.BAD_ALG,
        "digest algorithm SHA-1: use SHA-256",
    )
    assert refusal.value.reply is not None
    assert refusal.value.reply.digest_algorithm == "sha256"


@pytest.mark.parametrize(
    ("pieces", "fail_info", "text"),
    [
        ({"digest": "md5"}, FailInfo.BAD_ALG, "digest algorithm MD5: use SHA-256"),
        ({"digest": "sha224"}, FailInfo.BAD_ALG, "digest algorithm SHA-224: use SHA-256"),
        (
            {"signature_algorithm": der_sequence(der_oid("1.2.840.113549.1.1.4"))},
            FailInfo.BAD_ALG,
            "signature algorithm MD5 with RSA: use RSA with SHA-256",
        ),
        (
            {"signature_algorithm": SHA1_WITH_RSA},
            FailInfo.BAD_ALG,
            "signature algorithm SHA-1 with RSA: use RSA with SHA-256",
        ),
        (
            {
                "pss_salt": 32,
                "signature_algorithm": pss_algorithm("sha256", 32, mask_digest="sha1"),
            },
            FailInfo.BAD_ALG,
            "RSASSA-PSS hash SHA-1: use SHA-256",
        ),
        (
            {"digest": "sha1", "tamper_signature": True},
            FailInfo.BAD_MESSAGE_CHECK,
            "signature does not verify",
        ),
        (
            {"digest": "sha1", "message_digest": bytes(20)},
            FailInfo.BAD_MESSAGE_CHECK,
            "messageDigest does not fit the content",
        ),
    ],
)
def test_md5_and_mixtures_are_refused_by_every_profile(
    pieces: dict[str, Any], fail_info: FailInfo, text: str
) -> None:
    for rules in (LEGACY, STRICT) if pieces.get("digest") != "sha1" else (LEGACY,):
        with pytest.raises(Refused) as refusal:
            decode_pki_message(forge(**pieces), rules)
        assert (refusal.value.fail_info, refusal.value.text) == (fail_info, text)


def test_an_answer_is_signed_with_the_digest_of_the_request() -> None:
    reply = decode_pki_message(forge(digest="sha1"), LEGACY).reply
    answer = encode_cert_rep(CertRep(reply, PKIStatus.PENDING), signer=RA, entropy=random_bytes)
    assert answer.count(c.SHA_1) == 2  # digestAlgorithms and the SignerInfo
    assert bytes.fromhex("da39a3ee5e6b4b0d3255bfef95601890afd80709") in answer


# ----------------------------------------------------------------------------------------- envelope


def test_3des_is_opened_where_it_is_allowed_and_answered_in_kind() -> None:
    message = decode_pki_message(forge_envelope(**TRIPLE_DES))
    assert open_envelope(message, recipients=(RA,), entropy=random_bytes, rules=LEGACY) == csr()
    assert answer_cipher(message, LEGACY) == "3des-cbc"
    assert answer_cipher(message) == "aes-128-cbc"
    with pytest.raises(Refused, match="content encryption 3DES-CBC: use AES-128-CBC"):
        open_envelope(message, recipients=(RA,), entropy=random_bytes)
    aes = decode_pki_message(forge_envelope(cipher_oid=c.CIPHER_OIDS["aes-256-cbc"], cek=b"k" * 32))
    assert answer_cipher(aes, LEGACY) == "aes-128-cbc"
    garbage = decode_pki_message(forge(content=b"\x30\x00"))
    assert answer_cipher(garbage, LEGACY) == "aes-128-cbc"


@pytest.mark.parametrize(
    "oid", ["1.3.14.3.2.7", "1.2.840.113549.3.2", "1.2.840.113549.3.4", "2.16.840.1.101.3.4.1.6"]
)
def test_des_and_its_like_are_refused_by_every_profile(oid: str) -> None:
    message = decode_pki_message(forge_envelope(cipher_oid=der_oid(oid)))
    for rules in (STRICT, LEGACY):
        with pytest.raises(Refused) as refusal:
            open_envelope(message, recipients=(RA,), entropy=random_bytes, rules=rules)
        assert refusal.value.fail_info is FailInfo.BAD_ALG
    assert answer_cipher(message, LEGACY) == "aes-128-cbc"


@pytest.mark.parametrize(
    "pieces",
    [
        {"cek": b"k" * 16, "wrapped_cek": None},
        {"iv": b"i" * 16},
        {"ciphertext": b"c" * 12},
        {"padded": csr() + bytes(-len(csr()) % 8 or 8)},
        {"encrypted_cek": b"\x17" * 256},
    ],
)
def test_d7_whatever_is_wrong_inside_a_3des_envelope_has_the_one_answer(
    pieces: dict[str, Any],
) -> None:
    envelope: dict[str, Any] = TRIPLE_DES | pieces
    if len(envelope["cek"]) == 16:
        sealed = Envelope(
            cipher_oid=TRIPLE_DES["cipher_oid"], cek=TRIPLE_DES["cek"], iv=TRIPLE_DES["iv"]
        )
        info_der = replace(Envelope(), cek=b"k" * 16).recipient_info()
        message = decode_pki_message(forge(envelope=replace(sealed, recipient_infos=[info_der])))
    elif len(envelope["iv"]) == 16:
        message = decode_pki_message(forge_envelope(**envelope | {"ciphertext": b"c" * 16}))
    else:
        message = decode_pki_message(forge_envelope(**envelope))
    with pytest.raises(Refused, match="could not be decrypted or read") as refusal:
        open_envelope(message, recipients=(RA,), entropy=random_bytes, rules=LEGACY)
    assert refusal.value.fail_info is FailInfo.BAD_REQUEST


# ---------------------------------------------------------------------------------------------- CSR


def sha1_csr(key: Any, oid: str) -> bytes:
    """A request signed with SHA-1."""
    body = info(build_name([("CN", "r1.example")]).der, (), spki_der=spki(key))
    if isinstance(key, ec.EllipticCurvePrivateKey):
        signature = key.sign(body, ec.ECDSA(hashes.SHA1()))  # noqa: S303 - made to be refused
    else:
        signature = key.sign(body, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - as above
    return der_sequence(body, der_sequence(der_oid(oid)), der_bit_string(signature))


@pytest.mark.parametrize(
    ("name", "oid"), [("rsa", "1.2.840.113549.1.1.5"), ("ec", "1.2.840.10045.4.1")]
)
def test_a_request_signed_with_sha_1_is_read_where_it_is_allowed(name: str, oid: str) -> None:
    key, other = (
        (ec_key(), "1.2.840.113549.1.1.5")
        if name == "ec"
        else (rsa_key("alice"), "1.2.840.10045.4.1")
    )
    der_ = sha1_csr(key, oid)
    assert decode_csr(der_, accepts_sha1=True).key.algorithm == name
    with pytest.raises(CsrAlgorithmRefused, match="signature digest SHA-1"):
        decode_csr(der_)
    with pytest.raises(CsrSignatureInvalid):
        decode_csr(sha1_csr(key, other), accepts_sha1=True)
    for never, digest in {
        "1.2.840.113549.1.1.4": "MD5",
        "1.2.840.113549.1.1.14": "SHA-224",
    }.items():
        with pytest.raises(CsrAlgorithmRefused, match=digest):
            decode_csr(sha1_csr(key, never), accepts_sha1=True)


# -------------------------------------------------------------------------------------- signingTime

SKEW = MessageRules(signed_between=(NOW - timedelta(minutes=10), NOW + timedelta(minutes=10)))


def signed_at(text: str, tag: int = UTC_TIME) -> bytes:
    return forge(extra_attributes=[attribute(c.ATTR_SIGNING_TIME, der(tag, text.encode()))])


def utc(minutes: int) -> str:
    return f"{NOW + timedelta(minutes=minutes):%y%m%d%H%M%SZ}"


def test_signing_time_within_its_bounds_passes_in_both_spellings() -> None:
    for minutes in (-10, 0, 10):
        assert decode_pki_message(signed_at(utc(minutes)), SKEW)
    assert decode_pki_message(signed_at(f"{NOW:%Y%m%d%H%M%SZ}", GENERALIZED_TIME), SKEW)


@pytest.mark.parametrize(
    ("text", "tag", "says"),
    [
        (utc(-11), UTC_TIME, "too far off: set the clock of the device"),
        (utc(11), UTC_TIME, "too far off: set the clock of the device"),
        ("700101000000Z", UTC_TIME, "1970-01-01T00:00:00Z is too far off"),
        ("not a time", UTC_TIME, "not readable"),
        (utc(0)[:-1] + "+0000", UTC_TIME, "not readable"),
        (utc(0), UTF8_STRING, "not readable"),
        ("991399999999Z", UTC_TIME, "not readable"),
        ("\u0661", UTC_TIME, "not readable"),
    ],
)
def test_signing_time_is_bad_time_where_it_is_looked_at_and_nothing_where_it_is_not(
    text: str, tag: int, says: str
) -> None:
    sent = signed_at(text, tag)
    assert decode_pki_message(sent)
    with pytest.raises(Refused, match=says) as refusal:
        decode_pki_message(sent, SKEW)
    assert refusal.value.fail_info is FailInfo.BAD_TIME
    assert refusal.value.reply is not None


def test_a_missing_or_doubled_signing_time_is_bad_time_where_it_is_looked_at() -> None:
    twice = [attribute(c.ATTR_SIGNING_TIME, der(UTC_TIME, utc(0).encode()))] * 2
    for sent in (forge(), forge(extra_attributes=twice)):
        assert decode_pki_message(sent)
        with pytest.raises(
            Refused,
            match="signingTime is missing: it is checked here, so the device has to send it",
        ) as refusal:
            decode_pki_message(sent, SKEW)
        assert refusal.value.fail_info is FailInfo.BAD_TIME


def test_an_unsigned_signing_time_is_none() -> None:
    sent = forge(
        unsigned_attributes=[attribute(c.ATTR_SIGNING_TIME, der(UTC_TIME, utc(0).encode()))]
    )
    with pytest.raises(
        Refused, match="signingTime is missing: it is checked here, so the device has to send it"
    ):
        decode_pki_message(sent, SKEW)


# ------------------------------------------------------------------------- GetCACaps, empty content


def test_a2_9_the_keywords_come_in_their_order_and_only_where_they_are_true() -> None:
    everything = (
        "AES DES3 GetNextCACert POSTPKIOperation Renewal SHA-1 SHA-256 SHA-384 SHA-512 SCEPStandard"
    )
    assert (
        capabilities(renewal=True, next_ca=True, legacy=True).decode().split("\n")
        == everything.split()
    )
    strict = "AES POSTPKIOperation SHA-256 SHA-384 SHA-512 SCEPStandard"
    assert (
        capabilities(renewal=False, next_ca=False, legacy=False).decode().split("\n")
        == strict.split()
    )


def test_a9_5_content_that_is_not_there_is_written_in_either_form() -> None:
    reply = decode_pki_message(forge()).reply
    forms = {"octets": "300f06092a864886f70d010701a0020400", "absent": "300b06092a864886f70d010701"}
    for form, spelling in forms.items():
        rep = CertRep(reply, PKIStatus.PENDING)
        answer = encode_cert_rep(rep, signer=RA, entropy=random_bytes, empty_content=form)  # type: ignore[arg-type]  # of the two
        assert bytes.fromhex(spelling) in answer
        assert (
            bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
            in answer
        )
