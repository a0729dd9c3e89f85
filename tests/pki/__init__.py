"""Recorded keys and certificates for tests, and the two small real parties that use the RA key."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from scep.protocol.certificates import read_certificate, subject_key_identifier

FOLDER: Final = Path(__file__).parent
HASHES: Final = {
    "md5": hashes.MD5(),  # noqa: S303 - made to be refused
    "sha1": hashes.SHA1(),  # noqa: S303 - OAEP with SHA-1 is what real clients send
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


@cache
def rsa_key(name: str) -> RSAPrivateKey:
    """The recorded RSA-2048 key of alice, bob, ra or ca."""
    key = load_pem_private_key((FOLDER / f"{name}.key.pem").read_bytes(), None)
    assert isinstance(key, RSAPrivateKey)
    return key


@cache
def ec_key() -> EllipticCurvePrivateKey:
    """The recorded P-256 key."""
    key = load_pem_private_key((FOLDER / "carol-ec.key.pem").read_bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)
    return key


@cache
def certificate_der(name: str) -> bytes:
    """The recorded certificate of ca, ra or alice."""
    certificate = x509.load_pem_x509_certificate((FOLDER / f"{name}.crt.pem").read_bytes())
    return certificate.public_bytes(Encoding.DER)


@dataclass(frozen=True)
class RaKeys:
    """The RA of the tests: decrypts requests (Recipient) and signs answers (ResponseSigner)."""

    name: str = "ra"
    certificate: str = "ra"

    @property
    def certificate_der(self) -> bytes:
        return certificate_der(self.certificate)

    @property
    def issuer_der(self) -> bytes:
        return read_certificate(self.certificate_der).issuer_der

    @property
    def serial_der(self) -> bytes:
        return read_certificate(self.certificate_der).serial_der

    @property
    def ski(self) -> bytes:
        return subject_key_identifier(self.certificate_der) or b""

    def decrypt(self, ciphertext: bytes, oaep_hash: str | None) -> bytes:
        if oaep_hash is None:
            return rsa_key(self.name).decrypt(ciphertext, padding.PKCS1v15())
        algorithm = HASHES[oaep_hash]
        return rsa_key(self.name).decrypt(
            ciphertext, padding.OAEP(padding.MGF1(algorithm), algorithm, None)
        )

    def sign(self, data: bytes, digest: str) -> bytes:
        return rsa_key(self.name).sign(data, padding.PKCS1v15(), HASHES[digest])
