"""PasswordRecipientInfo: a content key under a password, for keys that cannot decrypt.

See RFC 8894 section 3.1. The password is the challengePassword. A wrapping key is derived from it
(PBKDF2, RFC 8018), and wraps the content key as in RFC 3211 section 2.3: a length, three check
octets, padding, encrypted twice in CBC, so that changing any octet changes all of them.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from ca.x509.asn1 import (
    CONSTRUCTED,
    CONTEXT,
    DER_NULL,
    INTEGER,
    OCTET_STRING,
    TLV,
    Asn1Error,
    children,
    der_context,
    der_integer,
    der_octets,
    der_sequence,
    expect,
    integer,
    octets,
    sequence,
)
from scep.protocol.constants import (
    AES_BLOCK_BYTES,
    CIPHER_KEY_BYTES,
    CIPHER_OIDS,
    CIPHERS,
    HMAC_SHA_1,
    HMAC_SHA_256,
    MAX_PBKDF2_ITERATIONS,
    MAX_PBKDF2_SALT,
    MIN_PBKDF2_SALT,
    PBKDF2,
    PRFS,
    PWRI_KEK,
    CipherName,
)
from scep.protocol.messages import Entropy, PasswordKey

#: For encoding. Measured: 15 ms; a device's password is stretched once per process, not for every
#: answer.
ITERATIONS: Final = 50_000
SALT_BYTES: Final = 16
PASSWORD_RECIPIENT_TAG: Final = CONTEXT | CONSTRUCTED | 3

_KEK_CIPHER: Final[CipherName] = "aes-128-cbc"
_DERIVATION_TAG: Final = CONTEXT | CONSTRUCTED
_CHECK_BYTES: Final = 3
_VERSION_0: Final = b"\x02\x01\x00"


def stretch_password(password: str, *, salt: bytes, iterations: int = ITERATIONS) -> PasswordKey:
    """Return the wrapping key of a challengePassword (UTF-8): PBKDF2 with HMAC-SHA-256."""
    size = CIPHER_KEY_BYTES[_KEK_CIPHER]
    return PasswordKey(
        salt, iterations, hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations, size)
    )


def encode_password_recipient(
    content_key: bytes, password_key: PasswordKey, *, entropy: Entropy
) -> bytes:
    """The RecipientInfo with the wrapped content key (RFC 5652 section 6.2.4)."""
    iv = entropy(AES_BLOCK_BYTES)
    parameters = der_sequence(
        der_octets(password_key.salt),
        der_integer(password_key.iterations),
        der_sequence(HMAC_SHA_256, DER_NULL),
    )
    return der_context(
        3,
        _VERSION_0,
        der_context(0, PBKDF2, parameters),
        der_sequence(PWRI_KEK, der_sequence(CIPHER_OIDS[_KEK_CIPHER], der_octets(iv))),
        der_octets(wrap_key(content_key, password_key.key, iv, entropy=entropy)),
    )


def open_password_recipient(tlv: TLV, password: str) -> bytes:
    """Return the content key of a PasswordRecipientInfo. Raises Asn1Error.

    All parameters are bounded before the key derivation. A wrong password and a changed wrapping
    look the same.
    """
    members = children(expect(tlv, PASSWORD_RECIPIENT_TAG))
    if len(members) != 4 or integer(members[0]) != 0:
        raise Asn1Error(
            "PasswordRecipientInfo: version 0, derivation, encryption and key are needed"
        )
    cipher, iv = _read_wrapping(members[2])
    kek = _derived(members[1], password, CIPHER_KEY_BYTES[cipher])
    return unwrap_key(octets(expect(members[3], OCTET_STRING)), kek, iv)


def wrap_key(content_key: bytes, kek: bytes, iv: bytes, *, entropy: Entropy) -> bytes:
    """RFC 3211 section 2.3.1, with AES.

    At least two blocks, so that the second pass depends on the first.
    """
    check = bytes(octet ^ 0xFF for octet in content_key[:_CHECK_BYTES])
    block = bytes((len(content_key),)) + check + content_key
    size = max(2 * AES_BLOCK_BYTES, -(-len(block) // AES_BLOCK_BYTES) * AES_BLOCK_BYTES)
    inner = _encrypted(block + entropy(size - len(block)), kek, iv)
    return _encrypted(inner, kek, inner[-AES_BLOCK_BYTES:])


def unwrap_key(wrapped: bytes, kek: bytes, iv: bytes) -> bytes:
    """RFC 3211 section 2.3.2. Raises Asn1Error for an impossible length and a failed check."""
    if len(wrapped) < 2 * AES_BLOCK_BYTES or len(wrapped) % AES_BLOCK_BYTES:
        raise Asn1Error(f"wrapped key of {len(wrapped)} bytes: two blocks or more are needed")
    before, last = wrapped[:-AES_BLOCK_BYTES], wrapped[-AES_BLOCK_BYTES:]
    inner_last = _decrypted(last, kek, before[-AES_BLOCK_BYTES:])
    block = _decrypted(_decrypted(before, kek, inner_last) + inner_last, kek, iv)
    length, check, rest = block[0], block[1 : 1 + _CHECK_BYTES], block[1 + _CHECK_BYTES :]
    is_right = all(
        octet ^ mark == 0xFF for octet, mark in zip(rest[:_CHECK_BYTES], check, strict=True)
    )
    if not is_right or not _CHECK_BYTES <= length <= len(rest):
        raise Asn1Error("wrapped key: another password")
    return rest[:length]


def _read_wrapping(tlv: TLV) -> tuple[CipherName, bytes]:
    members = sequence(tlv, 2)
    if members[0].raw != PWRI_KEK:
        raise Asn1Error("key encryption: id-alg-PWRI-KEK is needed")
    algorithm, iv = sequence(members[1], 2)[:2]
    cipher = CIPHERS.get(algorithm.raw)
    if cipher is None or len(expect(iv, OCTET_STRING).value) != AES_BLOCK_BYTES:
        raise Asn1Error("key encryption: AES-CBC with an IV of one block is needed")
    return cipher, iv.value


def _derived(tlv: TLV, password: str, size: int) -> bytes:
    """PBKDF2-params (RFC 8018 A.2): salt, count, optional length, PRF (default HMAC-SHA-1)."""
    algorithm, parameters = _two(children(expect(tlv, _DERIVATION_TAG)))
    if algorithm.raw != PBKDF2:
        raise Asn1Error("key derivation: PBKDF2 is needed")
    members = sequence(parameters, 2)
    salt, iterations = expect(members[0], OCTET_STRING).value, integer(members[1])
    if not MIN_PBKDF2_SALT <= len(salt) <= MAX_PBKDF2_SALT:
        raise Asn1Error(f"PBKDF2 salt of {len(salt)} bytes: {MIN_PBKDF2_SALT} to {MAX_PBKDF2_SALT}")
    if not 0 < iterations <= MAX_PBKDF2_ITERATIONS:
        raise Asn1Error(f"PBKDF2 with {iterations} iterations: at most {MAX_PBKDF2_ITERATIONS}")
    rest = members[2:]
    if rest and rest[0].tag == INTEGER and integer(rest.pop(0)) != size:
        raise Asn1Error("PBKDF2 key length: not that of the cipher")
    prf = PRFS.get(sequence(rest[0], 1)[0].raw if rest else HMAC_SHA_1)
    if prf is None:
        raise Asn1Error("PBKDF2 PRF: HMAC with SHA-1 or SHA-2 is needed")
    return hashlib.pbkdf2_hmac(prf, password.encode(), salt, iterations, size)


def _two(members: list[TLV]) -> tuple[TLV, TLV]:
    if len(members) != 2:
        raise Asn1Error(f"AlgorithmIdentifier of {len(members)} members")
    return members[0], members[1]


def _encrypted(data: bytes, key: bytes, iv: bytes) -> bytes:
    encryptor = Cipher(AES(key), CBC(iv)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def _decrypted(data: bytes, key: bytes, iv: bytes) -> bytes:
    decryptor = Cipher(AES(key), CBC(iv)).decryptor()
    return decryptor.update(data) + decryptor.finalize()
