"""Numbers and names of SCEP (RFC 8894) and the parts of CMS it uses (RFC 5652), as DER."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, Literal

from ca.x509.asn1 import DER_NULL, der_oid, der_sequence

DigestName = Literal["sha1", "sha256", "sha384", "sha512"]
CipherName = Literal["aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "3des-cbc"]
#: Encoding of empty content: as an OCTET STRING without octets, or absent.
EmptyContent = Literal["octets", "absent"]


class MessageType(IntEnum):
    """messageType, RFC 8894 section 3.2.1.2.

    Every other number, including 18 of the old drafts, is an error.
    """

    CERT_REP = 3
    RENEWAL_REQ = 17
    PKCS_REQ = 19
    CERT_POLL = 20
    GET_CERT = 21
    GET_CRL = 22


class PKIStatus(IntEnum):
    """pkiStatus, RFC 8894 section 3.2.1.3."""

    SUCCESS = 0
    FAILURE = 2
    PENDING = 3


class FailInfo(IntEnum):
    """failInfo, RFC 8894 section 3.2.1.4."""

    BAD_ALG = 0
    BAD_MESSAGE_CHECK = 1
    BAD_REQUEST = 2
    BAD_TIME = 3
    BAD_CERT_ID = 4

    @property
    def spelled(self) -> str:
        """The spelling of the RFC, such as badCertId."""
        first, *others = self.name.lower().split("_")
        return first + "".join(map(str.capitalize, others))


REQUEST_TYPES: Final = frozenset(MessageType) - {MessageType.CERT_REP}

# Limits of one message (RFC 8894 sets none).
MAX_SIGNERS: Final = 1
MAX_CERTIFICATES: Final = 8
MAX_RECIPIENTS: Final = 16
MAX_TRANSACTION_ID: Final = 255
MAX_SENDER_NONCE: Final = 64
NONCE_SIZE: Final = 16
MIN_PSS_SALT: Final = 16
MAX_RSA_MODULUS_BYTES: Final = 1024
MAX_RSA_EXPONENT_BYTES: Final = 32

# Content types.
ID_DATA: Final = der_oid("1.2.840.113549.1.7.1")
ID_SIGNED_DATA: Final = der_oid("1.2.840.113549.1.7.2")
ID_ENVELOPED_DATA: Final = der_oid("1.2.840.113549.1.7.3")
ID_AUTH_ENVELOPED_DATA: Final = der_oid("1.2.840.113549.1.9.16.1.23")
CONTENT_TYPES: Final = {
    ID_DATA: "data",
    ID_SIGNED_DATA: "signedData",
    ID_ENVELOPED_DATA: "envelopedData",
    der_oid("1.2.840.113549.1.7.4"): "signedAndEnvelopedData",
    der_oid("1.2.840.113549.1.7.5"): "digestedData",
    der_oid("1.2.840.113549.1.7.6"): "encryptedData",
    ID_AUTH_ENVELOPED_DATA: "authEnvelopedData",
}

# Attributes of CMS and of SCEP (RFC 8894 section 3.2.1).
ATTR_CONTENT_TYPE: Final = der_oid("1.2.840.113549.1.9.3")
ATTR_MESSAGE_DIGEST: Final = der_oid("1.2.840.113549.1.9.4")
ATTR_SIGNING_TIME: Final = der_oid("1.2.840.113549.1.9.5")
ATTR_MESSAGE_TYPE: Final = der_oid("2.16.840.1.113733.1.9.2")
ATTR_PKI_STATUS: Final = der_oid("2.16.840.1.113733.1.9.3")
ATTR_FAIL_INFO: Final = der_oid("2.16.840.1.113733.1.9.4")
ATTR_SENDER_NONCE: Final = der_oid("2.16.840.1.113733.1.9.5")
ATTR_RECIPIENT_NONCE: Final = der_oid("2.16.840.1.113733.1.9.6")
ATTR_TRANSACTION_ID: Final = der_oid("2.16.840.1.113733.1.9.7")
ATTR_FAIL_INFO_TEXT: Final = der_oid("1.3.6.1.5.5.7.24.1")

# Keys and signatures.
RSA_ENCRYPTION: Final = der_oid("1.2.840.113549.1.1.1")
RSA_OAEP: Final = der_oid("1.2.840.113549.1.1.7")
MGF1: Final = der_oid("1.2.840.113549.1.1.8")
P_SPECIFIED: Final = der_oid("1.2.840.113549.1.1.9")
RSA_PSS: Final = der_oid("1.2.840.113549.1.1.10")
EC_PUBLIC_KEY: Final = der_oid("1.2.840.10045.2.1")
SUBJECT_KEY_IDENTIFIER: Final = der_oid("2.5.29.14")
SHA_1: Final = der_oid("1.3.14.3.2.26")

DIGESTS: Final[dict[bytes, DigestName]] = {
    der_oid("2.16.840.1.101.3.4.2.1"): "sha256",
    der_oid("2.16.840.1.101.3.4.2.2"): "sha384",
    der_oid("2.16.840.1.101.3.4.2.3"): "sha512",
}
LEGACY_DIGESTS: Final[dict[bytes, DigestName]] = {SHA_1: "sha1"}
DIGEST_OIDS: Final[dict[DigestName, bytes]] = {
    name: oid for oid, name in (DIGESTS | LEGACY_DIGESTS).items()
}
REFUSED_DIGESTS: Final = {
    der_oid("1.2.840.113549.2.5"): "MD5",
    SHA_1: "SHA-1",
    der_oid("2.16.840.1.101.3.4.2.4"): "SHA-224",
}
RSA_SIGNATURES: Final[dict[bytes, DigestName]] = {
    der_oid("1.2.840.113549.1.1.11"): "sha256",
    der_oid("1.2.840.113549.1.1.12"): "sha384",
    der_oid("1.2.840.113549.1.1.13"): "sha512",
}
ECDSA_SIGNATURES: Final[dict[bytes, DigestName]] = {
    der_oid("1.2.840.10045.4.3.2"): "sha256",
    der_oid("1.2.840.10045.4.3.3"): "sha384",
    der_oid("1.2.840.10045.4.3.4"): "sha512",
}
LEGACY_RSA_SIGNATURES: Final[dict[bytes, DigestName]] = {der_oid("1.2.840.113549.1.1.5"): "sha1"}
LEGACY_ECDSA_SIGNATURES: Final[dict[bytes, DigestName]] = {der_oid("1.2.840.10045.4.1"): "sha1"}
REFUSED_SIGNATURES: Final = {
    der_oid("1.2.840.113549.1.1.4"): "MD5 with RSA",
    der_oid("1.2.840.113549.1.1.5"): "SHA-1 with RSA",
    der_oid("1.2.840.113549.1.1.14"): "SHA-224 with RSA",
    der_oid("1.2.840.10045.4.1"): "ECDSA with SHA-1",
    der_oid("1.2.840.10045.4.3.1"): "ECDSA with SHA-224",
}

# Content encryption. The numbers are key sizes in bytes.
CIPHERS: Final[dict[bytes, CipherName]] = {
    der_oid("2.16.840.1.101.3.4.1.2"): "aes-128-cbc",
    der_oid("2.16.840.1.101.3.4.1.22"): "aes-192-cbc",
    der_oid("2.16.840.1.101.3.4.1.42"): "aes-256-cbc",
}
LEGACY_CIPHERS: Final[dict[bytes, CipherName]] = {der_oid("1.2.840.113549.3.7"): "3des-cbc"}
CIPHER_OIDS: Final[dict[CipherName, bytes]] = {
    name: oid for oid, name in (CIPHERS | LEGACY_CIPHERS).items()
}
CIPHER_KEY_BYTES: Final[dict[CipherName, int]] = {
    "aes-128-cbc": 16,
    "aes-192-cbc": 24,
    "aes-256-cbc": 32,
    "3des-cbc": 24,
}
AES_BLOCK_BYTES: Final = 16
DES_BLOCK_BYTES: Final = 8
REFUSED_CIPHERS: Final = {
    der_oid("1.3.14.3.2.7"): "DES-CBC",
    der_oid("1.2.840.113549.3.7"): "3DES-CBC",
    der_oid("1.2.840.113549.3.2"): "RC2-CBC",
    der_oid("1.2.840.113549.3.4"): "RC4",
    der_oid("2.16.840.1.101.3.4.1.6"): "AES-128-GCM",
    der_oid("2.16.840.1.101.3.4.1.26"): "AES-192-GCM",
    der_oid("2.16.840.1.101.3.4.1.46"): "AES-256-GCM",
}

# A key from a password (RFC 8018 appendix A.2, RFC 3211).
PBKDF2: Final = der_oid("1.2.840.113549.1.5.12")
PWRI_KEK: Final = der_oid("1.2.840.113549.1.9.16.3.9")
HMAC_SHA_1: Final = der_oid("1.2.840.113549.2.7")
HMAC_SHA_256: Final = der_oid("1.2.840.113549.2.9")
PRFS: Final[dict[bytes, DigestName]] = {
    HMAC_SHA_1: "sha1",
    HMAC_SHA_256: "sha256",
    der_oid("1.2.840.113549.2.10"): "sha384",
    der_oid("1.2.840.113549.2.11"): "sha512",
}
MIN_PBKDF2_SALT: Final = 8
MAX_PBKDF2_SALT: Final = 64
MAX_PBKDF2_ITERATIONS: Final = 1_000_000  # a third of a second

# AlgorithmIdentifiers as written. Some clients read only these encodings: NULL parameters,
# rsaEncryption.
RSA_ENCRYPTION_ALGORITHM: Final = der_sequence(RSA_ENCRYPTION, DER_NULL)
DIGEST_ALGORITHMS: Final[dict[DigestName, bytes]] = {
    name: der_sequence(oid, DER_NULL) for name, oid in DIGEST_OIDS.items()
}
ECDSA_ALGORITHMS: Final[dict[DigestName, bytes]] = {
    name: der_sequence(oid) for oid, name in (ECDSA_SIGNATURES | LEGACY_ECDSA_SIGNATURES).items()
}
