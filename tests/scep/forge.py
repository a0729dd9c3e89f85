"""Hostile and odd SCEP messages: every piece of a request can be overridden.

`forge()` without arguments is a good PKCSReq. `Message` and `Envelope` hold the pieces; an argument
replaces one, and everything else stays consistent (digest, signature, lengths). Nothing here is
used outside tests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ca.x509.asn1 import (
    DER_NULL,
    PRINTABLE_STRING,
    der,
    der_context,
    der_integer,
    der_octets,
    der_sequence,
    der_set,
    der_set_of,
    parse_exact,
)
from scep.protocol import constants as c
from scep.protocol.certificates import issuer_and_serial, read_certificate, subject_key_identifier
from tests.pki import HASHES, rsa_key
from tests.scep.forged_parts import (
    ALICE_ID,
    CHALLENGE,
    NONCE,
    NOW,
    TRIPLE_DES,
    Envelope,
    ber_octets,
    ber_sequence,
    constant_entropy,
    csr,
    ec_certificate,
    hash_algorithm,
    identity,
    nested,
    oaep_algorithm,
    oid_of,
    pkcs1_block,
    random_bytes,
    raw_rsa,
)

__all__ = [
    "ALICE_ID",
    "CHALLENGE",
    "NONCE",
    "NOW",
    "TRIPLE_DES",
    "Envelope",
    "Message",
    "attribute",
    "ber_octets",
    "ber_sequence",
    "constant_entropy",
    "content_type",
    "csr",
    "ec_certificate",
    "forge",
    "forge_envelope",
    "hash_algorithm",
    "identity",
    "message_digest",
    "message_type",
    "nested",
    "oaep_algorithm",
    "oid_of",
    "pkcs1_block",
    "pss_algorithm",
    "random_bytes",
    "raw_rsa",
    "sender_nonce",
    "signed_by",
    "text_attribute",
    "transaction_id",
]


# --------------------------------------------------------------------------------------- attributes


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


# ------------------------------------------------------------------------------------------ message


@dataclass(frozen=True, kw_only=True)
class Message:
    """The signed message around an envelope.

    None means: the right thing. `encode()` gives the bytes.
    """

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
    crls: Sequence[bytes] = ()
    indefinite: bool = False
    indefinite_attributes: bool = False
    trailing: bytes = b""

    def encode(self) -> bytes:
        content = self.signed_content()
        signed = [
            der_integer(1),
            der_set(self.digest_algorithm or hash_algorithm(self.digest)),
            self._encapsulated(content),
            self._certificates(),
            der_context(1, *self.crls) if self.crls else b"",
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
            self.digest_algorithm or hash_algorithm(self.digest),
            self._encoded_attributes(ordered),
            self.signature_algorithm or self._signature_algorithm(),
            der_octets(signature),
            der_context(1, *self.unsigned_attributes) if self.unsigned_attributes else b"",
        )

    def _signer_key(self) -> RSAPrivateKey | EllipticCurvePrivateKey:
        return self.key if self.key is not None else rsa_key("alice")

    def _signer_certificate(self) -> bytes:
        if self.certificate is not None:
            return self.certificate
        return (
            ec_certificate()
            if isinstance(self.key, EllipticCurvePrivateKey)
            else identity().certificate_der
        )

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
        return [value for oid, value in known.items() if oid not in self.without] + [
            *self.extra_attributes
        ]

    def _encoded_attributes(self, attribute_set: bytes) -> bytes:
        if self.no_signed_attributes:
            return b""
        if self.indefinite_attributes:
            return b"\xa0\x80" + parse_exact(attribute_set).value + b"\x00\x00"
        return b"\xa0" + attribute_set[1:]

    def _encapsulated(self, content: bytes) -> bytes:
        if self.omit_content:
            return der_sequence(self.content_type)
        if self.indefinite:
            return ber_sequence(self.content_type, b"\xa0\x80" + ber_octets(content) + b"\x00\x00")
        return der_sequence(self.content_type, der_context(0, der_octets(content)))

    def _certificates(self) -> bytes:
        certificates = (
            (self._signer_certificate(),) if self.certificates is None else self.certificates
        )
        return der_context(0, *certificates) if certificates else b""

    def _sid(self) -> bytes:
        if self.sid is not None:
            return self.sid
        if self.sid_by_ski:
            return der(0x80, subject_key_identifier(self._signer_certificate()) or b"")
        return issuer_and_serial(read_certificate(self._signer_certificate()))

    def _signature_algorithm(self) -> bytes:
        if isinstance(self._signer_key(), EllipticCurvePrivateKey):
            return der_sequence(oid_of(c.ECDSA_SIGNATURES | c.LEGACY_ECDSA_SIGNATURES, self.digest))
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
            signature = key.sign(
                data, padding.PSS(padding.MGF1(algorithm), self.pss_salt), algorithm
            )
        else:
            signature = key.sign(data, padding.PKCS1v15(), algorithm)
        return signature[:-1] + bytes((signature[-1] ^ 1,)) if self.tamper_signature else signature


def pss_algorithm(
    digest: str, salt: int, *, mask_digest: str | None = None, trailer: int | None = None
) -> bytes:
    """RSASSA-PSS with explicit parameters."""
    mask = der_sequence(c.MGF1, hash_algorithm(mask_digest or digest))
    parts = [
        der_context(0, hash_algorithm(digest)),
        der_context(1, mask),
        der_context(2, der_integer(salt)),
    ]
    if trailer is not None:
        parts.append(der_context(3, der_integer(trailer)))
    return der_sequence(c.RSA_PSS, der_sequence(*parts))


def forge(**pieces: object) -> bytes:
    """A PKCSReq of Alice with some pieces of `Message` replaced; `plaintext` is the envelope's."""
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
