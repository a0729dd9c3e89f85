"""A second reader of answers: asn1crypto, which shares nothing with the codec (ADR 8).

The client and the server stand on one codec. A mistake in it would be written by the one and read
alike by the other; so each answer that the codec believes is read once more here.

PURE.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, cast

from asn1crypto import cms
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from ca.content.second_reader import UNREADABLE
from ca.x509.bounds import prescan
from scep.protocol.requests import BadCertRep, ReceivedCertRep, SentRequest

#: The attributes of RFC 8894 section 3.2 in the words of the RFC, as the text of their number.
_ATTRIBUTES: Final = {
    "2.16.840.1.113733.1.9.2": "messageType",
    "2.16.840.1.113733.1.9.3": "pkiStatus",
    "2.16.840.1.113733.1.9.4": "failInfo",
    "2.16.840.1.113733.1.9.5": "senderNonce",
    "2.16.840.1.113733.1.9.6": "recipientNonce",
    "2.16.840.1.113733.1.9.7": "transactionID",
    "1.3.6.1.5.5.7.24.1": "failInfoText",
    "1.2.840.113549.1.9.4": "messageDigest",
}
_CIPHERS: Final = {"aes": AES, "tripledes": TripleDES}


class Opener(Protocol):
    """The key that an answer is encrypted to."""

    def decrypt(self, ciphertext: bytes, oaep_hash: str | None) -> bytes: ...


def check_answer(
    der: bytes,
    answer: ReceivedCertRep,
    *,
    sent: SentRequest,
    trusted: Sequence[bytes],
    opener: Opener | None,
) -> None:
    """Raise BadCertRep unless the answer says here what the codec read from it.

    `opener` is None where the answer is encrypted under a password: its inside is not looked at.
    """
    _with_doubt(lambda: _check_answer(der, answer, sent=sent, trusted=trusted, opener=opener))


def check_certificates(der: bytes, certificates: Sequence[bytes]) -> None:
    """Raise BadCertRep unless a certs-only message has these certificates, in this order."""

    def check() -> None:
        _agree("certificates", _delivered(der), (tuple(certificates), ()))

    _with_doubt(check)


def check_next_certificates(der: bytes, certificates: Sequence[bytes]) -> None:
    """Raise BadCertRep unless a GetNextCACert answer has these inside, in this order."""

    def check() -> None:
        inside = _content(der, "signed_data")["encap_content_info"]["content"].native
        _agree("certificates", _delivered(inside), (tuple(certificates), ()))

    _with_doubt(check)


def _with_doubt(check: Callable[[], None]) -> None:
    """BadCertRep for whatever a check finds."""
    try:
        check()
    except (*UNREADABLE, InvalidSignature) as error:
        raise BadCertRep(
            f"answer: the second reader does not confirm it ({type(error).__name__}: {error})"
        ) from error


def _check_answer(
    der: bytes,
    answer: ReceivedCertRep,
    *,
    sent: SentRequest,
    trusted: Sequence[bytes],
    opener: Opener | None,
) -> None:
    signed = _content(der, "signed_data")
    (signer,) = signed["signer_infos"]
    content: bytes = signed["encap_content_info"]["content"].native or b""
    attributes = _attributes(signer)
    _check_signed(signer, _signing_certificate(signed, signer, trusted), attributes, content)
    fail_info = None if answer.fail_info is None else str(int(answer.fail_info))
    for name, expected in (
        ("messageType", "3"),
        ("transactionID", sent.transaction_id),
        ("recipientNonce", sent.sender_nonce),
        ("pkiStatus", str(int(answer.status))),
        ("failInfo", fail_info),
        ("failInfoText", answer.fail_info_text),
    ):
        _agree(name, attributes.get(name), expected)
    if content and opener is not None:
        delivered = _delivered(_opened(content, opener))
        _agree("messageData", delivered, (answer.certificates, answer.crls))


def _agree(name: str, actual: object, expected: object) -> None:
    if actual != expected:
        raise ValueError(f"{name} reads otherwise")


def _content(der: bytes, kind: str) -> Any:
    prescan(der)
    info = cms.ContentInfo.load(der, strict=True)
    _agree("contentType", info["content_type"].native, kind)
    return info["content"]


def _attributes(signer: cms.SignerInfo) -> dict[str, str | bytes]:
    """The signed attributes known here; each has one value, and stands once."""
    attributes: dict[str, str | bytes] = {}
    for attribute in signer["signed_attrs"]:
        name = _ATTRIBUTES.get(attribute["type"].dotted)
        if name in attributes:
            raise ValueError(f"{name}: twice")
        if name is not None:
            (value,) = attribute["values"].native
            attributes[name] = value
    return attributes


def _signing_certificate(
    signed: cms.SignedData, signer: cms.SignerInfo, trusted: Sequence[bytes]
) -> x509.Certificate:
    """The trusted certificate that the signer names by issuer and serial number."""
    named = signer["sid"].chosen
    for choice in signed["certificates"]:
        fields = choice.chosen["tbs_certificate"]
        if (
            fields["issuer"].dump() == named["issuer"].dump()
            and fields["serial_number"].native == named["serial_number"].native
            and choice.dump() in trusted
        ):
            return x509.load_der_x509_certificate(choice.dump())
    raise ValueError("signer: no trusted certificate")


def _check_signed(
    signer: cms.SignerInfo,
    certificate: x509.Certificate,
    signed_attributes: dict[str, str | bytes],
    content: bytes,
) -> None:
    digest: str = signer["digest_algorithm"]["algorithm"].native
    _agree(
        "messageDigest",
        signed_attributes.get("messageDigest"),
        hashlib.new(digest, content).digest(),
    )
    # An RA signs with RSA; a key of another kind raises TypeError below.
    key = cast("RSAPublicKey", certificate.public_key())
    algorithm: hashes.HashAlgorithm = getattr(hashes, digest.upper())()
    # What is signed is the SET OF, not the [0] that stands in the message (RFC 5652 section 5.4).
    attributes = signer["signed_attrs"].untag().dump()
    key.verify(signer["signature"].native, attributes, padding.PKCS1v15(), algorithm)


def _opened(envelope: bytes, opener: Opener) -> bytes:
    """What the envelope for one RSA key has inside."""
    data = _content(envelope, "enveloped_data")
    (recipient,) = data["recipient_infos"]
    key = opener.decrypt(recipient.chosen["encrypted_key"].native, None)
    encrypted = data["encrypted_content_info"]
    algorithm = encrypted["content_encryption_algorithm"]
    cipher = _CIPHERS[algorithm.encryption_cipher](key)
    decryptor = Cipher(cipher, CBC(algorithm.encryption_iv)).decryptor()
    padded = decryptor.update(encrypted["encrypted_content"].native) + decryptor.finalize()
    unpadder = PKCS7(cipher.block_size).unpadder()
    return unpadder.update(padded) + unpadder.finalize()


def _delivered(der: bytes) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Certificates and CRLs of a certs-only message, in their order."""
    signed = _content(der, "signed_data")
    return (
        tuple(item.dump() for item in signed["certificates"]),
        tuple(item.dump() for item in signed["crls"]),
    )
