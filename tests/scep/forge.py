"""Hostile and odd SCEP messages: every piece of a request can be overridden.

`forge()` without arguments is a good PKCSReq. `Message` and `Envelope` are the knobs; whatever is given replaces the
piece, everything else stays consistent (digest, signature, lengths). Nothing here is used outside tests.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import CertificateBuilder, Name, NameAttribute
from cryptography.x509.oid import NameOID

from ca.asn1 import (
    DER_NULL,
    PRINTABLE_STRING,
    der,
    der_context,
    der_integer,
    der_octets,
    der_oid,
    der_sequence,
    der_set,
    der_set_of,
)
from scep.client import Identity, build_csr
from scep.protocol import constants as c
from scep.protocol.certificates import issuer_and_serial, load_public_key, read_certificate, subject_key_identifier
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
    builder = CertificateBuilder().subject_name(name).issuer_name(name).public_key(ec_key().public_key())
    builder = builder.serial_number(77).not_valid_before(NOW).not_valid_after(NOW.replace(year=2036))
    return builder.sign(ec_key(), hashes.SHA256()).public_bytes(Encoding.DER)


@cache
def csr(name: str = "alice", challenge_password: str = CHALLENGE) -> bytes:
    """A PKCS #10 request of Alice or Bob."""
    return build_csr(
        rsa_key(name), f"{name}.example", dns_names=(f"{name}.example",), challenge_password=challenge_password
    )


# ------------------------------------------------------------------------------------------------------- attributes


def attribute(oid: bytes, *values: bytes) -> bytes:
    """One Attribute with any number of encoded values; `oid` is a complete OID value."""
    return der_sequence(oid, der_set(*values))


def text_attribute(oid: bytes, text: str | bytes, tag: int = PRINTABLE_STRING) -> bytes:
    return attribute(oid, der(tag, text.encode() if isinstance(text, str) else text))


def message_type(text: str | bytes = "19", tag: int = PRINTABLE_STRING) -> bytes:
    return text_attribute(c.ATTR_MESSAGE_TYPE, text, tag)


def transaction_id(text: str | bytes = ALICE_ID, tag: int = PRINTABLE_STRING) -> bytes:
    return text_attribute(c.ATTR_TRANSACTION_ID, text, tag)


def sender_nonce(nonce: bytes = NONCE) -> bytes:
    return attribute(c.ATTR_SENDER_NONCE, der_octets(nonce))


def content_type(oid: bytes = c.ID_DATA) -> bytes:
    return attribute(c.ATTR_CONTENT_TYPE, oid)


def message_digest(content: bytes, digest: str = "sha256") -> bytes:
    return attribute(c.ATTR_MESSAGE_DIGEST, der_octets(hashlib.new(digest, content).digest()))


# --------------------------------------------------------------------------------------------------------- envelope


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
        infos = self.recipient_infos if self.recipient_infos is not None else (self.recipient_info(),) * self.copies
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
            der_octets(self.encrypted_cek if self.encrypted_cek is not None else self._encrypt(key)),
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
            count = 16 - len(plaintext) % 16
            padded = self.padded if self.padded is not None else plaintext + bytes((count,)) * count
            key = self.cek if len(self.cek) in {16, 24, 32} else b"k" * 16
            encryptor = Cipher(AES(key), CBC(self.iv if len(self.iv) == 16 else b"i" * 16)).encryptor()
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


def oaep_algorithm(hash_name: str, mask_hash_name: str | None = None, label: bytes | None = None) -> bytes:
    """RSAES-OAEP with explicit parameters, SHA-1 with none."""
    if hash_name == "sha1" and mask_hash_name is None and label is None:
        return der_sequence(c.RSA_OAEP, der_sequence())
    parameters = [der_context(0, _hash_algorithm(hash_name))]
    parameters.append(der_context(1, der_sequence(c.MGF1, _hash_algorithm(mask_hash_name or hash_name))))
    if label is not None:
        parameters.append(der_context(2, der_sequence(c.P_SPECIFIED, der_octets(label))))
    return der_sequence(c.RSA_OAEP, der_sequence(*parameters))


# ---------------------------------------------------------------------------------------------------------- message


@dataclass(frozen=True, kw_only=True)
class Message:
    """The signed message around an envelope. None means: the right thing. `encode()` gives the bytes."""

    envelope: Envelope = field(default_factory=Envelope)
    content: bytes | None = None
    omit_content: bool = False
    key: RSAPrivateKey | EllipticCurvePrivateKey | None = None
    certificate: bytes | None = None
    certificates: Sequence[bytes] | None = None
    message_type: str | bytes = "19"
    transaction_id: str | bytes = ALICE_ID
    transaction_id_tag: int = PRINTABLE_STRING
    sender_nonce: bytes = NONCE
    attributes: Sequence[bytes] | None = None
    extra_attributes: Sequence[bytes] = ()
    without: frozenset[bytes] = frozenset()
    sort_attributes: bool = True
    sign_sorted: bool = True
    digest: str = "sha256"
    digest_algorithm: bytes | None = None
    message_digest: bytes | None = None
    signature_algorithm: bytes | None = None
    pss_salt: int | None = None
    signature: bytes | None = None
    tamper_signature: bool = False
    no_signed_attributes: bool = False
    sid: bytes | None = None
    sid_by_ski: bool = False
    unsigned_attributes: Sequence[bytes] = ()
    signer_infos: Sequence[bytes] | None = None
    extra_signer_infos: Sequence[bytes] = ()
    content_type: bytes = c.ID_DATA
    outer_type: bytes = c.ID_SIGNED_DATA
    indefinite: bool = False
    trailing: bytes = b""

    def encode(self) -> bytes:
        content = self.signed_content()
        signed = [
            der_integer(1),
            der_set(self.digest_algorithm or _hash_algorithm(self.digest)),
            self._encapsulated(content),
            self._certificates(),
            der_set(*self._signer_infos(content)),
        ]
        if self.indefinite:
            inner = ber_sequence(*signed)
            return ber_sequence(self.outer_type, b"\xa0\x80" + inner + b"\x00\x00") + self.trailing
        return der_sequence(self.outer_type, der_context(0, der_sequence(*signed))) + self.trailing

    def signed_content(self) -> bytes:
        """The eContent octets."""
        if self.omit_content:
            return b""
        return self.envelope.encode() if self.content is None else self.content

    def signer_info(self, content: bytes) -> bytes:
        """The SignerInfo over this content."""
        attributes = self._attributes(content)
        ordered = der_set_of(*attributes) if self.sort_attributes else der_set(*attributes)
        signed = der_set_of(*attributes) if self.sign_sorted else ordered
        signature = self._sign(content if self.no_signed_attributes else signed)
        return der_sequence(
            der_integer(1),
            self._sid(),
            self.digest_algorithm or _hash_algorithm(self.digest),
            b"" if self.no_signed_attributes else b"\xa0" + ordered[1:],
            self.signature_algorithm or self._signature_algorithm(),
            der_octets(signature),
            der_context(1, *self.unsigned_attributes) if self.unsigned_attributes else b"",
        )

    def _signer_key(self) -> RSAPrivateKey | EllipticCurvePrivateKey:
        return self.key if self.key is not None else rsa_key("alice")

    def _signer_certificate(self) -> bytes:
        if self.certificate is not None:
            return self.certificate
        return ec_certificate() if isinstance(self.key, EllipticCurvePrivateKey) else identity().certificate_der

    def _signer_infos(self, content: bytes) -> Sequence[bytes]:
        if self.signer_infos is not None:
            return self.signer_infos
        return (self.signer_info(content), *self.extra_signer_infos)

    def _attributes(self, content: bytes) -> list[bytes]:
        if self.attributes is not None:
            return [*self.attributes]
        digest = self.message_digest
        known = {
            c.ATTR_CONTENT_TYPE: content_type(),
            c.ATTR_MESSAGE_DIGEST: (
                message_digest(content, self.digest)
                if digest is None
                else attribute(c.ATTR_MESSAGE_DIGEST, der_octets(digest))
            ),
            c.ATTR_MESSAGE_TYPE: message_type(self.message_type),
            c.ATTR_TRANSACTION_ID: transaction_id(self.transaction_id, self.transaction_id_tag),
            c.ATTR_SENDER_NONCE: sender_nonce(self.sender_nonce),
        }
        return [value for oid, value in known.items() if oid not in self.without] + [*self.extra_attributes]

    def _encapsulated(self, content: bytes) -> bytes:
        if self.omit_content:
            return der_sequence(self.content_type)
        if self.indefinite:
            return ber_sequence(self.content_type, b"\xa0\x80" + ber_octets(content) + b"\x00\x00")
        return der_sequence(self.content_type, der_context(0, der_octets(content)))

    def _certificates(self) -> bytes:
        certificates = (self._signer_certificate(),) if self.certificates is None else self.certificates
        return der_context(0, *certificates) if certificates else b""

    def _sid(self) -> bytes:
        if self.sid is not None:
            return self.sid
        if self.sid_by_ski:
            return der(0x80, subject_key_identifier(self._signer_certificate()) or b"")
        return issuer_and_serial(read_certificate(self._signer_certificate()))

    def _signature_algorithm(self) -> bytes:
        if isinstance(self._signer_key(), EllipticCurvePrivateKey):
            return der_sequence(_oid_of(c.ECDSA_SIGNATURES, self.digest))
        if self.pss_salt is not None:
            return pss_algorithm(self.digest, self.pss_salt)
        return der_sequence(c.RSA_ENCRYPTION, DER_NULL)

    def _sign(self, data: bytes) -> bytes:
        if self.signature is not None:
            return self.signature
        algorithm = HASHES[self.digest]
        key = self._signer_key()
        if isinstance(key, EllipticCurvePrivateKey):
            signature = key.sign(data, ec.ECDSA(algorithm))
        elif self.pss_salt is not None:
            signature = key.sign(data, padding.PSS(padding.MGF1(algorithm), self.pss_salt), algorithm)
        else:
            signature = key.sign(data, padding.PKCS1v15(), algorithm)
        return signature[:-1] + bytes((signature[-1] ^ 1,)) if self.tamper_signature else signature


def pss_algorithm(digest: str, salt: int, *, mask_digest: str | None = None, trailer: int | None = None) -> bytes:
    """RSASSA-PSS with explicit parameters."""
    mask = der_sequence(c.MGF1, _hash_algorithm(mask_digest or digest))
    parts = [der_context(0, _hash_algorithm(digest)), der_context(1, mask), der_context(2, der_integer(salt))]
    if trailer is not None:
        parts.append(der_context(3, der_integer(trailer)))
    return der_sequence(c.RSA_PSS, der_sequence(*parts))


def forge(**pieces: object) -> bytes:
    """A PKCSReq of Alice with some pieces of `Message` replaced; `plaintext` replaces what is in the envelope."""
    plaintext = pieces.pop("plaintext", None)
    message = replace(Message(), **pieces)  # type: ignore[arg-type]  # a test names fields of Message
    if isinstance(plaintext, bytes):
        message = replace(message, envelope=replace(message.envelope, plaintext=plaintext))
    return message.encode()


def forge_envelope(**pieces: object) -> bytes:
    """A PKCSReq of Alice with some pieces of `Envelope` replaced."""
    return Message(envelope=replace(Envelope(), **pieces)).encode()  # type: ignore[arg-type]  # as above


def signed_by(name: str) -> dict[str, object]:
    """Pieces for a message signed by another person's key with its own self-signed certificate."""
    return {"key": rsa_key(name), "certificate": identity(name).certificate_der}


# -------------------------------------------------------------------------------------------------------------- BER


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


def _hash_algorithm(name: str) -> bytes:
    oids = {"md5": "1.2.840.113549.2.5", "sha1": "1.3.14.3.2.26", "sha224": "2.16.840.1.101.3.4.2.4"}
    oid = der_oid(oids[name]) if name in oids else _oid_of(c.DIGESTS, name)
    return der_sequence(oid, DER_NULL)


def _oid_of(table: dict[bytes, c.DigestName], name: str) -> bytes:
    return next(oid for oid, known in table.items() if known == name)
