"""The people, encodings and envelopes for the messages of `forge`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import CertificateBuilder, Name, NameAttribute
from cryptography.x509.oid import NameOID

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
from scep.client import Identity, build_csr
from scep.protocol import constants as c
from scep.protocol.certificates import (
    issuer_and_serial,
    load_public_key,
    read_certificate,
    subject_key_identifier,
)
from tests.pki import HASHES, certificate_der, ec_key, rsa_key

NOW: Final = datetime(2026, 1, 31, 8, tzinfo=UTC)
ALICE_ID: Final = "3E521B5B0A28229C6ABE8C1A17116297742C86B6"
NONCE: Final = bytes(range(16))
CHALLENGE: Final = "secret"


@cache
def identity(name: str = "alice", common_name: str = "") -> Identity:
    """Alice's or Bob's key with a self-signed certificate."""
    return Identity.self_signed(rsa_key(name), common_name or f"{name}.example", now=NOW)


@cache
def ec_certificate() -> bytes:
    """A self-signed P-256 certificate (Carol's)."""
    name = Name([NameAttribute(NameOID.COMMON_NAME, "carol.example")])
    builder = (
        CertificateBuilder().subject_name(name).issuer_name(name).public_key(ec_key().public_key())
    )
    builder = (
        builder.serial_number(77).not_valid_before(NOW).not_valid_after(NOW.replace(year=2036))
    )
    return builder.sign(ec_key(), hashes.SHA256()).public_bytes(Encoding.DER)


#: Pieces of an envelope in 3DES.
TRIPLE_DES: Final[dict[str, bytes]] = {
    "cipher_oid": c.CIPHER_OIDS["3des-cbc"],
    "cek": bytes(range(24)),
    "iv": b"i" * 8,
}


@cache
def csr(name: str = "alice", challenge_password: str = CHALLENGE) -> bytes:
    """A PKCS #10 request of Alice or Bob."""
    return build_csr(
        rsa_key(name),
        f"{name}.example",
        dns_names=(f"{name}.example",),
        challenge_password=challenge_password,
    )


# ----------------------------------------------------------------------------------------- envelope


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A pkcsPKIEnvelope. None means: the right thing."""

    plaintext: bytes | None = None
    recipient_certificate: bytes = field(default_factory=lambda: certificate_der("ra"))
    cipher_oid: bytes = c.CIPHER_OIDS["aes-128-cbc"]
    cek: bytes = b"k" * 16
    encrypted_cek: bytes | None = None
    wrapped_cek: bytes | None = None
    iv: bytes = b"i" * 16
    padded: bytes | None = None
    ciphertext: bytes | None = None
    rid: bytes | None = None
    by_ski: bool = False
    oaep_hash: str | None = None
    key_transport: bytes | None = None
    recipient_infos: Sequence[bytes] | None = None
    copies: int = 1
    originator_info: bytes = b""
    content_type: bytes = c.ID_DATA
    envelope_type: bytes = c.ID_ENVELOPED_DATA
    constructed: bool = False

    def encode(self) -> bytes:
        content_tlv = self._content()
        algorithm = der_sequence(self.cipher_oid, der_octets(self.iv))
        infos = (
            self.recipient_infos
            if self.recipient_infos is not None
            else (self.recipient_info(),) * self.copies
        )
        enveloped = der_sequence(
            der_integer(0),
            self.originator_info,
            der_set(*infos),
            der_sequence(self.content_type, algorithm, content_tlv),
        )
        return der_sequence(self.envelope_type, der_context(0, enveloped))

    def recipient_info(self) -> bytes:
        """The KeyTransRecipientInfo."""
        certificate = read_certificate(self.recipient_certificate)
        rid = issuer_and_serial(certificate)
        if self.by_ski:
            rid = der(0x80, subject_key_identifier(self.recipient_certificate) or b"")
        key = load_public_key(certificate.spki_der)
        assert isinstance(key, RSAPublicKey)
        return der_sequence(
            der_integer(0),
            self.rid if self.rid is not None else rid,
            self.key_transport or self._key_transport(),
            der_octets(
                self.encrypted_cek if self.encrypted_cek is not None else self._encrypt(key)
            ),
        )

    def _key_transport(self) -> bytes:
        if self.oaep_hash is None:
            return der_sequence(c.RSA_ENCRYPTION, DER_NULL)
        return oaep_algorithm(self.oaep_hash)

    def _encrypt(self, key: RSAPublicKey) -> bytes:
        if self.wrapped_cek is not None:
            return raw_rsa(key, self.wrapped_cek)
        if self.oaep_hash is not None:
            algorithm = HASHES[self.oaep_hash]
            return key.encrypt(self.cek, padding.OAEP(padding.MGF1(algorithm), algorithm, None))
        return key.encrypt(self.cek, padding.PKCS1v15())

    def _content(self) -> bytes:
        ciphertext = self.ciphertext
        if ciphertext is None:
            plaintext = csr() if self.plaintext is None else self.plaintext
            size = 8 if len(self.iv) == 8 and len(self.cek) == 24 else 16
            count = size - len(plaintext) % size
            padded = self.padded if self.padded is not None else plaintext + bytes((count,)) * count
            if size == 8:
                encryptor = Cipher(TripleDES(self.cek), CBC(self.iv)).encryptor()
                return der(0x80, encryptor.update(padded) + encryptor.finalize())
            key = self.cek if len(self.cek) in {16, 24, 32} else b"k" * 16
            encryptor = Cipher(
                AES(key), CBC(self.iv if len(self.iv) == 16 else b"i" * 16)
            ).encryptor()
            ciphertext = encryptor.update(padded) + encryptor.finalize()
        return ber_octets(ciphertext, tag=0xA0) if self.constructed else der(0x80, ciphertext)


def raw_rsa(key: RSAPublicKey, block: bytes) -> bytes:
    """Textbook RSA of a block of the modulus' size: for forged PKCS #1 paddings."""
    numbers = key.public_numbers()
    size = (numbers.n.bit_length() + 7) // 8
    return pow(int.from_bytes(block, "big"), numbers.e, numbers.n).to_bytes(size, "big")


def pkcs1_block(cek: bytes, *, size: int = 256, start: bytes = b"\x00\x02") -> bytes:
    """A PKCS #1 v1.5 encryption block, with another `start` a wrong one."""
    return start + b"\x5a" * (size - len(cek) - len(start) - 1) + b"\x00" + cek


def oaep_algorithm(
    hash_name: str, mask_hash_name: str | None = None, label: bytes | None = None
) -> bytes:
    """RSAES-OAEP with explicit parameters, SHA-1 with none."""
    if hash_name == "sha1" and mask_hash_name is None and label is None:
        return der_sequence(c.RSA_OAEP, der_sequence())
    parameters = [der_context(0, hash_algorithm(hash_name))]
    parameters.append(
        der_context(1, der_sequence(c.MGF1, hash_algorithm(mask_hash_name or hash_name)))
    )
    if label is not None:
        parameters.append(der_context(2, der_sequence(c.P_SPECIFIED, der_octets(label))))
    return der_sequence(c.RSA_OAEP, der_sequence(*parameters))


# ---------------------------------------------------------------------------------------------- BER


def ber_sequence(*parts: bytes) -> bytes:
    """A SEQUENCE of indefinite length."""
    return b"\x30\x80" + b"".join(parts) + b"\x00\x00"


def ber_octets(value: bytes, tag: int = 0x24, size: int = 100) -> bytes:
    """A constructed OCTET STRING of indefinite length in small segments."""
    segments = (der_octets(value[start : start + size]) for start in range(0, len(value), size))
    return bytes((tag, 0x80)) + b"".join(segments) + b"\x00\x00"


def nested(depth: int, *, indefinite: bool = False) -> bytes:
    """`depth` SEQUENCEs around nothing."""
    if indefinite:
        return b"\x30\x80" * depth + b"\x00\x00" * depth
    value = b""
    for _ in range(depth):
        value = der_sequence(value)
    return value


def constant_entropy(octet: int = 0x42) -> Callable[[int], bytes]:
    """Entropy that is none, for comparing bytes."""
    return lambda count: bytes((octet,)) * count


def random_bytes(count: int) -> bytes:
    return os.urandom(count)


def hash_algorithm(name: str) -> bytes:
    oids = {
        "md5": "1.2.840.113549.2.5",
        "sha1": "1.3.14.3.2.26",
        "sha224": "2.16.840.1.101.3.4.2.4",
    }
    oid = der_oid(oids[name]) if name in oids else oid_of(c.DIGESTS, name)
    return der_sequence(oid, DER_NULL)


def oid_of(table: dict[bytes, c.DigestName], name: str) -> bytes:
    return next(oid for oid, known in table.items() if known == name)
