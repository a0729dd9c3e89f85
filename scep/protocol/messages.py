"""Decoded SCEP messages; callers need no ASN.1. An inconsistent CertRep cannot exist."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Protocol

from scep.protocol.constants import CipherName, DigestName, FailInfo, MessageType, PKIStatus

Entropy = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class MessageRules:
    """A profile's rules for messages; the default is strict.

    `legacy_algorithms` accepts SHA-1 and 3DES, never MD5 or DES. `signed_between` are the bounds of
    signingTime; with None that attribute is ignored.
    """

    legacy_algorithms: bool = False
    signed_between: tuple[datetime, datetime] | None = None


STRICT: Final = MessageRules()


@dataclass(frozen=True, slots=True)
class SignerCertificate:
    """The certificate whose key signed a message.

    `serial_der` is a complete INTEGER, the names are complete Names. `spki_der` of an RSA key
    always has NULL parameters, so that one key has one `spki_sha256` in any encoding.
    """

    der: bytes = field(repr=False)
    spki_der: bytes = field(repr=False)
    spki_sha256: bytes
    subject_der: bytes = field(repr=False)
    issuer_der: bytes = field(repr=False)
    serial_der: bytes
    key_algorithm: Literal["rsa", "ec", "other"]
    is_self_issued: bool


@dataclass(frozen=True, slots=True)
class ReplyContext:
    """The fields a CertRep echoes: transactionID as received, tag included, and sender nonce.

    The nonce may be empty.
    """

    transaction_id: str
    transaction_id_tlv: bytes = field(repr=False)
    sender_nonce: bytes = field(repr=False)
    digest_algorithm: DigestName


@dataclass(frozen=True, slots=True)
class PKIMessage:
    """A request whose outer signature has been verified.

    `envelope` is the inner ContentInfo, still encrypted. `transaction_id_tlv` is the transactionID
    as received, tag included.
    """

    message_type: MessageType
    transaction_id: str
    transaction_id_tlv: bytes = field(repr=False)
    sender_nonce: bytes = field(repr=False)
    signer: SignerCertificate
    digest_algorithm: DigestName
    envelope: bytes = field(repr=False)

    @property
    def reply(self) -> ReplyContext:
        """The fields that every answer to this message echoes."""
        return ReplyContext(
            transaction_id=self.transaction_id,
            transaction_id_tlv=self.transaction_id_tlv,
            sender_nonce=self.sender_nonce,
            digest_algorithm=self.digest_algorithm,
        )


class Recipient(Protocol):
    """A key that requests may be encrypted to.

    The names are complete DER values, `ski` the bare key identifier.
    """

    @property
    def issuer_der(self) -> bytes: ...
    @property
    def serial_der(self) -> bytes: ...
    @property
    def ski(self) -> bytes: ...
    def decrypt(self, ciphertext: bytes, oaep_hash: str | None) -> bytes:
        """RSA decryption (PKCS #1 v1.5 if `oaep_hash` is None); bad padding is rejected implicitly.

        Raises ValueError for public faults only (wrong length, number too large) and for OAEP.
        """


class ResponseSigner(Protocol):
    """Certificate and key that sign a message: PKCS #1 v1.5 or ECDSA over `data`.

    The RA's key is RSA: every client can verify that, and encrypt to it.
    """

    @property
    def certificate_der(self) -> bytes: ...
    def sign(self, data: bytes, digest: DigestName) -> bytes: ...


@dataclass(frozen=True, slots=True)
class PasswordKey:
    """A wrapping key derived from a challengePassword, with its salt and count (`password`)."""

    salt: bytes
    iterations: int
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CertRep:
    """An answer (RFC 8894 3.3.2): `fail_info` exactly with FAILURE, a delivery with SUCCESS.

    `recipient` is the certificate that signed the request; its RSA key encrypts the delivery. For a
    key that cannot encrypt, `password_key` does.
    """

    reply: ReplyContext
    status: PKIStatus
    fail_info: FailInfo | None = None
    fail_info_text: str | None = None
    certificates: tuple[bytes, ...] = ()
    crls: tuple[bytes, ...] = ()
    recipient: SignerCertificate | None = None
    content_cipher: CipherName = "aes-128-cbc"
    password_key: PasswordKey | None = None

    def __post_init__(self) -> None:
        if (self.status is PKIStatus.FAILURE) != (self.fail_info is not None):
            raise ValueError(
                f"CertRep {self.status.name}: failInfo {self.fail_info!r} does not belong to it"
            )
        if self.fail_info is None and self.fail_info_text is not None:
            raise ValueError(f"CertRep {self.status.name}: failInfoText without failInfo")
        delivers = bool(self.certificates or self.crls)
        if (self.status is PKIStatus.SUCCESS) != delivers:
            raise ValueError(
                f"CertRep {self.status.name}: {len(self.certificates)} certificates, "
                f"{len(self.crls)} CRLs"
            )
        has_rsa_key = self.recipient is not None and self.recipient.key_algorithm == "rsa"
        if delivers and has_rsa_key == (self.password_key is not None):
            raise ValueError(
                "CertRep SUCCESS: a recipient with an RSA key is needed, or else a password"
            )
