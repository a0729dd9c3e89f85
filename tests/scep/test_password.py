"""Answers under a password (RFC 8894 3.1, RFC 5652 6.2.4, RFC 3211), checked with OpenSSL."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.x509.asn1 import (
    DER_NULL,
    Asn1Error,
    der_context,
    der_integer,
    der_octets,
    der_oid,
    der_sequence,
    der_set,
    parse_exact,
)
from scep.client import Identity, build_csr, build_pkcs_req
from scep.protocol import constants as c
from scep.protocol.certificates import read_certificate
from scep.protocol.codec import decode_pki_message, encode_cert_rep
from scep.protocol.constants import CipherName, PKIStatus
from scep.protocol.envelope import open_with_password, seal_envelope, seal_for_password
from scep.protocol.messages import CertRep, MessageRules, PasswordKey
from scep.protocol.password import (
    encode_password_recipient,
    open_password_recipient,
    stretch_password,
    unwrap_key,
    wrap_key,
)
from scep.protocol.requests import BadCertRep, ReceivedCertRep, SentRequest, decode_cert_rep
from tests.pki import RaKeys, certificate_der, ec_key
from tests.scep.forge import ec_certificate, forge, random_bytes

PASSWORD = "moonlight-4711"
SALT = bytes(range(16))
KEY = stretch_password(PASSWORD, salt=SALT, iterations=1000)
KEK, IV = b"K" * 16, b"I" * 16
CONTENT = der_octets(b"a certificate")
LEGACY = MessageRules(legacy_algorithms=True)

# ------------------------------------------------------------------------------- RFC 3211, wrapping


@given(st.sampled_from([16, 24, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size)))
def test_a_wrapped_key_is_unwrapped(key: bytes) -> None:
    wrapped = wrap_key(key, KEK, IV, entropy=random_bytes)
    assert len(wrapped) == (32 if len(key) < 29 else 48)
    assert unwrap_key(wrapped, KEK, IV) == key


def test_the_example_of_rfc_3211_is_not_ours_but_its_rules_are() -> None:
    """Its example is with DES.

    By hand: length, first octets inverted, key, padding; twice through CBC.
    """
    wrapped = wrap_key(b"\x8c\x63\x7d" + b"k" * 13, KEK, IV, entropy=lambda count: b"p" * count)
    assert wrapped.hex() == by_hand(b"\x10\x73\x9c\x82" + b"\x8c\x63\x7d" + b"k" * 13 + b"p" * 12)


def by_hand(block: bytes) -> str:
    """The second half of RFC 3211 section 2.3.1 by OpenSSL's ECB alone."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    def ecb(data: bytes) -> bytes:
        encryptor = Cipher(algorithms.AES(KEK), modes.ECB()).encryptor()  # noqa: S305 - one block by hand
        return encryptor.update(data) + encryptor.finalize()

    def xor(one: bytes, other: bytes) -> bytes:
        return bytes(a ^ b for a, b in zip(one, other, strict=True))

    chained, out = IV, [block[:16], block[16:]]
    for _ in range(2):
        for number, half in enumerate(out):
            chained = out[number] = ecb(xor(half, chained))
    return b"".join(out).hex()


def test_no_octet_of_a_wrapped_key_can_be_changed_so_that_the_same_key_comes_out() -> None:
    key = os.urandom(16)
    wrapped = wrap_key(key, KEK, IV, entropy=random_bytes)
    for position in range(len(wrapped)):
        changed = bytearray(wrapped)
        changed[position] ^= 1
        try:
            assert unwrap_key(bytes(changed), KEK, IV) != key
        except Asn1Error:
            continue


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31, 33])
def test_what_is_no_whole_number_of_blocks_or_only_one_is_no_wrapped_key(size: int) -> None:
    with pytest.raises(Asn1Error, match="two blocks"):
        unwrap_key(bytes(size), KEK, IV)


@pytest.mark.parametrize(
    ("length", "check"), [(0, b"\x94" * 3), (2, b"\x94" * 3), (29, b"\x94" * 3), (16, b"\x94\x94k")]
)
def test_a_length_or_a_check_that_does_not_fit_is_another_password(
    length: int, check: bytes
) -> None:
    from scep.protocol.password import _encrypted

    block = bytes((length,)) + check + b"k" * 28
    inner = _encrypted(block, KEK, IV)
    with pytest.raises(Asn1Error, match="another password"):
        unwrap_key(_encrypted(inner, KEK, inner[-16:]), KEK, IV)


# ------------------------------------------------------------------------------------ RecipientInfo


@pytest.mark.parametrize("cipher", list(CipherName.__args__))  # type: ignore[attr-defined]  # Literal has its values there
def test_what_is_sealed_for_a_password_is_opened_with_it_and_with_no_other(
    cipher: CipherName,
) -> None:
    sealed = seal_for_password(CONTENT, KEY, cipher, entropy=random_bytes)
    assert open_with_password(sealed, PASSWORD, LEGACY) == CONTENT
    for other in ("moonlight-4712", "", PASSWORD + "x", "Moonlight-4711"):
        with pytest.raises(Asn1Error):
            open_with_password(sealed, other, LEGACY)


def test_letters_beyond_ascii_are_utf_8() -> None:
    key = stretch_password("Größe 7", salt=SALT, iterations=1000)
    assert (
        open_with_password(seal_for_password(CONTENT, key, entropy=random_bytes), "Größe 7")
        == CONTENT
    )


def recipient(
    *,
    version: int = 0,
    derivation: bytes | None = None,
    salt: bytes = der_octets(SALT),
    count: bytes = der_integer(1000),
    rest: bytes = der_sequence(c.HMAC_SHA_256, DER_NULL),
    kek: bytes | None = None,
    wrapped: bytes | None = None,
    extra: bytes = b"",
) -> bytes:
    """A PasswordRecipientInfo with pieces replaced."""
    right = wrap_key(b"k" * 16, KEY.key, IV, entropy=random_bytes)
    return der_context(
        3,
        der_integer(version),
        der_context(0, c.PBKDF2, der_sequence(salt, count, rest))
        if derivation is None
        else derivation,
        der_sequence(c.PWRI_KEK, der_sequence(c.CIPHER_OIDS["aes-128-cbc"], der_octets(IV)))
        if kek is None
        else kek,
        der_octets(right) if wrapped is None else wrapped,
        extra,
    )


def test_every_way_to_write_the_parameters_is_read() -> None:
    ways = [
        recipient(),
        recipient(rest=der_integer(16) + der_sequence(c.HMAC_SHA_256, DER_NULL)),
        recipient(rest=der_sequence(c.HMAC_SHA_256)),
    ]
    for way in ways:
        assert open_password_recipient(parse_exact(way), PASSWORD) == b"k" * 16


@pytest.mark.parametrize("prf", ["sha1", "sha384", "sha512"])
def test_other_pseudorandom_functions_are_read(prf: str) -> None:
    import hashlib

    kek = hashlib.pbkdf2_hmac(prf, PASSWORD.encode(), SALT, 1000, 16)
    wrapped = der_octets(wrap_key(b"k" * 16, kek, IV, entropy=random_bytes))
    oid = next(oid for oid, name in c.PRFS.items() if name == prf)
    rest = der_sequence(oid, DER_NULL) if prf != "sha1" else b""  # the default
    assert (
        open_password_recipient(parse_exact(recipient(rest=rest, wrapped=wrapped)), PASSWORD)
        == b"k" * 16
    )


BOMBS = {
    "a billion iterations": recipient(count=der_integer(1_000_000_000)),
    "one more than allowed": recipient(count=der_integer(c.MAX_PBKDF2_ITERATIONS + 1)),
    "2^4000 iterations": recipient(count=der_integer(1 << 4000)),
    "no iterations": recipient(count=der_integer(0)),
    "fewer than none": recipient(count=der_integer(-5)),
    "no salt": recipient(salt=der_octets(b"")),
    "a salt of 60,000 octets": recipient(salt=der_octets(bytes(60_000))),
    "a salt from elsewhere": recipient(salt=der_sequence(c.PBKDF2, DER_NULL)),
    "a key of 4 GB": recipient(rest=der_integer(1 << 32)),
    "another key length": recipient(rest=der_integer(32)),
    "another PRF": recipient(rest=der_sequence(der_oid("1.2.840.113549.2.6"))),
    "another derivation": recipient(
        derivation=der_context(0, der_oid("1.3.6.1.4.1.11591.4.11"), der_sequence())
    ),
    "a derivation without parameters": recipient(derivation=der_context(0, c.PBKDF2)),
    "no derivation": recipient(derivation=b""),
    "another wrapping": recipient(kek=der_sequence(der_oid("1.2.3"), der_sequence())),
    "wrapping with 3DES": recipient(
        kek=der_sequence(c.PWRI_KEK, der_sequence(c.CIPHER_OIDS["3des-cbc"], der_octets(bytes(8))))
    ),
    "a short IV": recipient(
        kek=der_sequence(
            c.PWRI_KEK, der_sequence(c.CIPHER_OIDS["aes-128-cbc"], der_octets(bytes(8)))
        )
    ),
    "another version": recipient(version=1),
    "a fifth member": recipient(extra=DER_NULL),
    "no key": recipient(wrapped=der_octets(b"")),
    "a sequence": der_sequence(der_integer(0)),
}


@pytest.mark.parametrize("case", BOMBS)
def test_d_pwri_what_would_cost_or_cannot_be_is_refused_before_anything_is_stretched(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stretched = []

    def stretch(*_: object) -> bytes:
        stretched.append(case)
        return KEK

    monkeypatch.setattr("scep.protocol.password.hashlib.pbkdf2_hmac", stretch)
    with pytest.raises(Asn1Error):
        open_password_recipient(parse_exact(BOMBS[case]), PASSWORD)
    assert not stretched or case == "no key"


def test_an_envelope_for_several_or_for_a_key_is_not_opened_with_a_password() -> None:
    one = encode_password_recipient(b"k" * 16, KEY, entropy=random_bytes)
    both = sealed_with(one * 2)
    for envelope in (
        both,
        seal_envelope(CONTENT, read_certificate(certificate_der("ra")), entropy=random_bytes),
    ):
        with pytest.raises(Asn1Error):
            open_with_password(envelope, PASSWORD)
    with pytest.raises(Asn1Error, match="content key of 24 bytes"):
        open_with_password(
            sealed_with(encode_password_recipient(b"k" * 24, KEY, entropy=random_bytes)), PASSWORD
        )


def sealed_with(recipients: bytes) -> bytes:
    """An EnvelopedData with AES-128 content and these RecipientInfos."""
    algorithm = der_sequence(c.CIPHER_OIDS["aes-128-cbc"], der_octets(IV))
    content = der_sequence(c.ID_DATA, algorithm, b"\x80\x10" + bytes(16))
    inner = der_sequence(der_integer(3), der_set(recipients), content)
    return der_sequence(c.ID_ENVELOPED_DATA, der_context(0, inner))


# ------------------------------------------------------------------------------------------ OpenSSL

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="the program openssl is not here"
)


def openssl(folder: Path, *arguments: str, data: bytes) -> bytes:
    (folder / "in.der").write_bytes(data)
    command = [
        "openssl",
        "cms",
        *arguments,
        "-in",
        "in.der",
        "-out",
        "out.der",
        "-binary",
        "-pwri_password",
        PASSWORD,
    ]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return (folder / "out.der").read_bytes()


@pytest.mark.usefixtures("starts_processes")
@needs_openssl
@pytest.mark.parametrize("cipher", list(CipherName.__args__))  # type: ignore[attr-defined]  # as above
def test_openssl_opens_what_is_sealed_here(tmp_path: Path, cipher: CipherName) -> None:
    key = stretch_password(PASSWORD, salt=os.urandom(16))
    sealed = seal_for_password(CONTENT, key, cipher, entropy=random_bytes)
    assert openssl(tmp_path, "-decrypt", "-inform", "DER", data=sealed) == CONTENT


@pytest.mark.usefixtures("starts_processes")
@needs_openssl
@pytest.mark.parametrize("cipher", ["-aes128", "-aes192", "-aes256"])
def test_what_openssl_seals_is_opened_here(tmp_path: Path, cipher: str) -> None:
    sealed = openssl(tmp_path, "-encrypt", cipher, "-outform", "DER", data=CONTENT)
    assert open_with_password(sealed, PASSWORD) == CONTENT


# --------------------------------------------------------------------------------------- the client


def answered(key: PasswordKey, sent: SentRequest) -> bytes:
    """A SUCCESS of the RA under this key, to a request of Carol's EC key."""
    message = decode_pki_message(sent.der)
    delivered = (certificate_der("alice"),)
    rep = CertRep(
        message.reply,
        PKIStatus.SUCCESS,
        certificates=delivered,
        recipient=message.signer,
        password_key=key,
    )
    return encode_cert_rep(rep, signer=RaKeys(), entropy=random_bytes)


def test_our_client_reads_what_is_under_its_password_and_believes_nothing_else() -> None:
    carol = Identity(ec_certificate(), ec_key(), PASSWORD)
    sent = build_pkcs_req(
        build_csr(ec_key(), "carol.example", challenge_password=PASSWORD),
        carol,
        RaKeys().certificate_der,
    )

    def read(key: PasswordKey, password: str | None) -> ReceivedCertRep:
        trusted = (RaKeys().certificate_der,)
        return decode_cert_rep(
            answered(key, sent), sent=sent, recipient=carol, trusted=trusted, password=password
        )

    assert carol.reply_password == PASSWORD
    assert read(KEY, PASSWORD).certificates == (certificate_der("alice"),)
    bomb = PasswordKey(SALT, 1_000_000_000, KEY.key)
    for key, password in (
        (KEY, "sunlight"),
        (KEY, None),
        (bomb, PASSWORD),
        (PasswordKey(b"", 1, KEY.key), PASSWORD),
    ):
        with pytest.raises(BadCertRep, match="not readable"):
            read(key, password)


def test_an_answer_has_one_key_the_recipients_or_a_passwords() -> None:
    for sent, key in ((forge(), KEY), (forge(key=ec_key()), None)):
        message = decode_pki_message(sent)
        with pytest.raises(ValueError, match="an RSA key is needed, or else a password"):
            CertRep(
                message.reply,
                PKIStatus.SUCCESS,
                certificates=(certificate_der("alice"),),
                recipient=message.signer,
                password_key=key,
            )
    assert "KKK" not in repr(PasswordKey(SALT, 1, KEK))
