"""pkcsPKIEnvelope: CMS EnvelopedData around the messageData (RFC 8894 3.1, RFC 5652 6).

The law for everything here is in `scep.protocol.errors.unreadable`: opening an envelope must not
tell what was wrong with it. Public facts (the named algorithms) are refused by name before any
decryption. Every later failure is one refusal, and a content key of the wrong length is replaced by
a random one, so that bad RSA padding ends like bad content (RFC 3218 section 2.3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeVar

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from ca.x509.asn1 import (
    CONSTRUCTED,
    CONTEXT,
    OCTET_STRING,
    SEQUENCE,
    SET,
    TLV,
    Asn1Error,
    children,
    der,
    der_context,
    der_octets,
    der_sequence,
    der_set,
    expect,
    explicit,
    octets,
    oid,
    parse_exact,
    sequence,
)
from ca.x509.bounds import prescan
from scep.protocol.certificates import UnusableKeyError, issuer_and_serial, load_public_key
from scep.protocol.constants import (
    AES_BLOCK_BYTES,
    CIPHER_KEY_BYTES,
    CIPHER_OIDS,
    CIPHERS,
    CONTENT_TYPES,
    DES_BLOCK_BYTES,
    DIGESTS,
    ID_AUTH_ENVELOPED_DATA,
    ID_DATA,
    ID_ENVELOPED_DATA,
    LEGACY_CIPHERS,
    MAX_RECIPIENTS,
    MGF1,
    P_SPECIFIED,
    REFUSED_CIPHERS,
    RSA_ENCRYPTION,
    RSA_ENCRYPTION_ALGORITHM,
    RSA_OAEP,
    SHA_1,
    CipherName,
    FailInfo,
)
from scep.protocol.errors import NOT_OPENED, Refused, Unreadable
from scep.protocol.messages import (
    STRICT,
    Entropy,
    MessageRules,
    PasswordKey,
    PKIMessage,
    Recipient,
    SignerCertificate,
)
from scep.protocol.password import encode_password_recipient, open_password_recipient

RecipientT = TypeVar("RecipientT", bound=Recipient)

_ENCRYPTED_CONTENT_TAG: Final = CONTEXT
_KEY_IDENTIFIER_TAG: Final = CONTEXT
_VERSION_0: Final = b"\x02\x01\x00"
_VERSION_3: Final = b"\x02\x01\x03"
_OAEP_HASHES: Final = {SHA_1: "sha1"} | {
    oid_der: name for oid_der, name in DIGESTS.items() if name == "sha256"
}


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A parsed EnvelopedData, sizes checked."""

    recipients: tuple[TLV, ...]
    cipher: CipherName
    iv: bytes
    ciphertext: bytes = field(repr=False)


def open_envelope(
    message: PKIMessage,
    *,
    recipients: Sequence[Recipient],
    entropy: Entropy,
    rules: MessageRules = STRICT,
) -> bytes:
    """Return the messageData, one well-formed BER value; does at most one RSA operation.

    Raises Refused: badAlg for algorithms refused by name, `Unreadable` for everything else. The
    parser of the messageData raises `Unreadable` too for what cannot be parsed.
    """
    try:
        return open_content(message.envelope, recipients, entropy, rules)
    except Refused as refusal:
        refusal.reply = message.reply
        raise
    except Asn1Error as error:
        raise Unreadable(message.reply, cause=str(error)) from None


def open_content(
    envelope: bytes, recipients: Sequence[Recipient], entropy: Entropy, rules: MessageRules = STRICT
) -> bytes:
    """Decrypt a ContentInfo with EnvelopedData.

    Raises Refused badAlg, or Asn1Error for everything else.
    """
    sealed = _read_sealed(envelope, rules)
    key_size = CIPHER_KEY_BYTES[sealed.cipher]
    transport, recipient = _choose(sealed.recipients, recipients)
    oaep_hash = _read_key_transport(sequence(transport[2], 1))
    encrypted_key = octets(transport[3])
    substitute = entropy(key_size)
    try:
        key = recipient.decrypt(encrypted_key, oaep_hash)
    except ValueError:
        key = b""
    return _opened(sealed, key if len(key) == key_size else substitute)


def answer_cipher(message: PKIMessage, rules: MessageRules = STRICT) -> CipherName:
    """Return the cipher of an answer: 3DES for 3DES where that is allowed, else AES-128.

    Nothing is decrypted for it: the cipher's name is public.
    """
    try:
        is_legacy = (
            rules.legacy_algorithms and _read_sealed(message.envelope, rules).cipher == "3des-cbc"
        )
    except (Refused, Asn1Error):  # of a poll, whose envelope was not opened before
        is_legacy = False
    return "3des-cbc" if is_legacy else "aes-128-cbc"


def addressed_recipient(message: PKIMessage, recipients: Sequence[RecipientT]) -> RecipientT | None:
    """Return the key that a message names as its recipient, or None. Nothing is decrypted.

    `open_envelope` would use the same key. It determines the signer of the answer, also where
    nothing is opened.
    """
    try:
        infos, _ = _read_enveloped(message.envelope)
        match = _named(_transports(infos), recipients)
    except (Asn1Error, Refused):
        return None
    return match[1] if match else None


def seal_envelope(
    content: bytes,
    recipient: SignerCertificate,
    cipher: CipherName = "aes-128-cbc",
    *,
    entropy: Entropy,
) -> bytes:
    """Encrypt to the RSA key of a certificate: EnvelopedData version 0, PKCS #1 v1.5.

    Raises UnusableKeyError when the key is not RSA.
    """
    key = load_public_key(recipient.spki_der)
    if not isinstance(key, RSAPublicKey):
        raise UnusableKeyError("recipient key: RSA is needed")
    content_key = entropy(CIPHER_KEY_BYTES[cipher])
    transport = der_sequence(
        _VERSION_0,
        issuer_and_serial(recipient),
        RSA_ENCRYPTION_ALGORITHM,
        der_octets(key.encrypt(content_key, padding.PKCS1v15())),
    )
    encrypted = _encrypted_content(content, content_key, cipher, entropy)
    return der_sequence(
        ID_ENVELOPED_DATA, der_context(0, der_sequence(_VERSION_0, der_set(transport), encrypted))
    )


def seal_for_password(
    content: bytes,
    password_key: PasswordKey,
    cipher: CipherName = "aes-128-cbc",
    *,
    entropy: Entropy,
) -> bytes:
    """Encrypt under a password: EnvelopedData version 3 with one PasswordRecipientInfo."""
    content_key = entropy(CIPHER_KEY_BYTES[cipher])
    recipient = encode_password_recipient(content_key, password_key, entropy=entropy)
    encrypted = _encrypted_content(content, content_key, cipher, entropy)
    return der_sequence(
        ID_ENVELOPED_DATA, der_context(0, der_sequence(_VERSION_3, der_set(recipient), encrypted))
    )


def open_with_password(envelope: bytes, password: str, rules: MessageRules = STRICT) -> bytes:
    """Decrypt a ContentInfo with EnvelopedData under one password, for one recipient only.

    Each recipient would cost a key derivation. Raises Refused badAlg, else Asn1Error.
    """
    sealed = _read_sealed(envelope, rules)
    if len(sealed.recipients) != 1:
        raise Asn1Error(f"{len(sealed.recipients)} recipients: one is needed")
    key = open_password_recipient(sealed.recipients[0], password)
    if len(key) != CIPHER_KEY_BYTES[sealed.cipher]:
        raise Asn1Error(f"content key of {len(key)} bytes")
    return _opened(sealed, key)


def _encrypted_content(content: bytes, key: bytes, cipher: CipherName, entropy: Entropy) -> bytes:
    """EncryptedContentInfo around padded content (RFC 5652 section 6.3)."""
    size = _block_size(cipher)
    iv = entropy(size)
    count = size - len(content) % size
    encryptor = Cipher(_block_cipher(cipher, key), CBC(iv)).encryptor()
    ciphertext = encryptor.update(content + bytes((count,)) * count) + encryptor.finalize()
    algorithm = der_sequence(CIPHER_OIDS[cipher], der_octets(iv))
    return der_sequence(ID_DATA, algorithm, der(_ENCRYPTED_CONTENT_TAG, ciphertext))


def _opened(sealed: _Sealed, key: bytes) -> bytes:
    """Return the content, one well-formed BER value. Raises Asn1Error."""
    decryptor = Cipher(_block_cipher(sealed.cipher, key), CBC(sealed.iv)).decryptor()
    padded = decryptor.update(sealed.ciphertext) + decryptor.finalize()
    count = padded[-1]
    if not 0 < count <= _block_size(sealed.cipher) or padded[-count:] != bytes((count,)) * count:
        raise Asn1Error(NOT_OPENED)
    content = padded[:-count]
    try:
        prescan(content)
    except Asn1Error:
        raise Asn1Error(NOT_OPENED) from None
    return content


def _block_size(cipher: CipherName) -> int:
    return DES_BLOCK_BYTES if cipher == "3des-cbc" else AES_BLOCK_BYTES


def _block_cipher(cipher: CipherName, key: bytes) -> AES | TripleDES:
    return TripleDES(key) if cipher == "3des-cbc" else AES(key)


@lru_cache(maxsize=16)  # the messages that are answered at this moment: several steps ask
def _read_enveloped(envelope: bytes) -> tuple[tuple[TLV, ...], TLV]:
    """The RecipientInfos of an EnvelopedData and its EncryptedContentInfo, which is not looked
    into.
    """
    prescan(envelope)
    content_info = sequence(parse_exact(envelope), 2)
    if content_info[0].raw == ID_AUTH_ENVELOPED_DATA:
        raise Refused(FailInfo.BAD_ALG, "AuthEnvelopedData: use EnvelopedData with AES-128-CBC")
    if content_info[0].raw != ID_ENVELOPED_DATA:
        raise Asn1Error(f"contentType {_type_name(content_info[0])}: EnvelopedData is needed")
    members = sequence(explicit(content_info[1], CONTEXT | CONSTRUCTED), 3)
    if members[1].tag == CONTEXT | CONSTRUCTED:  # originatorInfo
        del members[1]
    recipients = tuple(children(expect(members[1], SET)))
    if not 0 < len(recipients) <= MAX_RECIPIENTS:
        raise Asn1Error(f"{len(recipients)} recipients: 1 to {MAX_RECIPIENTS} are read")
    return recipients, members[2]


def _read_sealed(envelope: bytes, rules: MessageRules) -> _Sealed:
    recipients, encrypted = _read_enveloped(envelope)
    content_type, algorithm, ciphertext = sequence(encrypted, 3)[:3]
    cipher, iv = _read_cipher(sequence(algorithm, 1), rules)
    body = octets(ciphertext) if ciphertext.tag & ~CONSTRUCTED == _ENCRYPTED_CONTENT_TAG else b""
    size = _block_size(cipher)
    if content_type.raw != ID_DATA:  # public, so its sender may read it
        text = (
            f"contentType of the encrypted content is {_type_name(content_type)}: id-data is needed"
        )
        raise Refused(FailInfo.BAD_REQUEST, text)
    if len(iv) != size or not body or len(body) % size:
        raise Asn1Error(
            f"encrypted content of {len(body)} bytes with an IV of {len(iv)}: whole blocks are "
            "needed"
        )
    return _Sealed(recipients, cipher, iv, body)


def _read_cipher(algorithm: list[TLV], rules: MessageRules) -> tuple[CipherName, bytes]:
    ciphers = CIPHERS | LEGACY_CIPHERS if rules.legacy_algorithms else CIPHERS
    cipher = ciphers.get(algorithm[0].raw)
    if cipher is None:
        name = REFUSED_CIPHERS.get(algorithm[0].raw) or oid(algorithm[0])
        raise Refused(FailInfo.BAD_ALG, f"content encryption {name}: use AES-128-CBC")
    if len(algorithm) < 2:
        raise Asn1Error("parameters")
    return cipher, expect(algorithm[1], OCTET_STRING).value


def _choose(infos: Sequence[TLV], recipients: Sequence[Recipient]) -> tuple[list[TLV], Recipient]:
    """Return the KeyTransRecipientInfo to decrypt, and its key.

    The first that names a key of the profile; or the only one, if there is one key: names go stale
    or are re-encoded on the way.
    """
    transports = _transports(infos)
    match = _named(transports, recipients)
    if match is not None:
        return match
    if len(infos) == len(transports) == len(recipients) == 1:
        return transports[0], recipients[0]
    raise Asn1Error("no recipient is an RA certificate of this CA")


def named_recipients(envelope: bytes) -> tuple[bytes, ...]:
    """Return the recipients that an envelope names: IssuerAndSerialNumber or key identifier."""
    try:
        infos, _ = _read_enveloped(envelope)
        rids = [transport[1] for transport in _transports(infos)]
        return tuple(
            octets(rid) if rid.tag & ~CONSTRUCTED == _KEY_IDENTIFIER_TAG else rid.raw
            for rid in rids
        )
    except (Asn1Error, Refused):
        return ()


def _type_name(tlv: TLV) -> str:
    """Return the name of a content type of CMS, or its dotted form."""
    return CONTENT_TYPES.get(tlv.raw) or oid(tlv)


def _transports(infos: Sequence[TLV]) -> list[list[TLV]]:
    """Return the members of each KeyTransRecipientInfo."""
    return [sequence(tlv, 4) for tlv in infos if tlv.tag == SEQUENCE]


def _named(
    transports: Sequence[list[TLV]], recipients: Sequence[RecipientT]
) -> tuple[list[TLV], RecipientT] | None:
    """Return the first KeyTransRecipientInfo that names one of these keys, and the key."""
    for transport in transports:
        for recipient in recipients:
            if _is_for(transport[1], recipient):
                return transport, recipient
    return None


def _is_for(rid: TLV, recipient: Recipient) -> bool:
    if rid.tag & ~CONSTRUCTED == _KEY_IDENTIFIER_TAG:
        return octets(rid) == recipient.ski
    return rid.raw == der_sequence(recipient.issuer_der, recipient.serial_der)


def _read_key_transport(algorithm: list[TLV]) -> str | None:
    """Return the OAEP hash, or None for PKCS #1 v1.5. Raises Refused badAlg for anything else."""
    if algorithm[0].raw == RSA_ENCRYPTION:
        return None
    if algorithm[0].raw == RSA_OAEP:
        return _read_oaep(algorithm)
    raise Refused(FailInfo.BAD_ALG, f"key transport {oid(algorithm[0])}: use RSA")


def _read_oaep(algorithm: list[TLV]) -> str:
    """RSAES-OAEP-params (RFC 4055 4.1): one hash for OAEP and MGF1 (SHA-1, SHA-256), no label."""
    members = sequence(algorithm[1]) if len(algorithm) > 1 else []
    parameters = {tlv.tag & 0x1F: sequence(explicit(tlv, tlv.tag), 1) for tlv in members}
    hash_oid = parameters[0][0].raw if 0 in parameters else SHA_1
    mask = parameters.get(1, [])
    mask_hash_oid = sequence(mask[1], 1)[0].raw if len(mask) > 1 and mask[0].raw == MGF1 else SHA_1
    label = parameters.get(2, [])
    is_labelled = len(label) > 1 and (label[0].raw != P_SPECIFIED or octets(label[1]) != b"")
    if hash_oid != mask_hash_oid or hash_oid not in _OAEP_HASHES or is_labelled:
        raise Refused(
            FailInfo.BAD_ALG, "RSAES-OAEP parameters: use one hash, SHA-1 or SHA-256, and no label"
        )
    return _OAEP_HASHES[hash_oid]
