"""The public key of a request: its kind and size, read and bounded before any arithmetic."""

from dataclasses import dataclass
from typing import Final, Literal, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ca.x509 import asn1
from ca.x509.asn1 import TLV
from ca.x509.errors import CsrAlgorithmRefused, CsrMalformed

MIN_RSA_BITS: Final = 512
MAX_RSA_BITS: Final = 8192
MAX_EXPONENT_BITS: Final = 256
_RSA: Final = "1.2.840.113549.1.1.1"
_EC: Final = "1.2.840.10045.2.1"
_CURVES: Final = {
    "1.2.840.10045.3.1.7": ("P-256", 256),
    "1.3.132.0.34": ("P-384", 384),
    "1.3.132.0.35": ("P-521", 521),
}


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """Facts about a public key, for people and policy. `bits` is the modulus or field size."""

    algorithm: Literal["rsa", "ec", "other"]
    bits: int
    curve: str | None = None
    exponent: int | None = None

    def __str__(self) -> str:
        if self.algorithm == "rsa":
            return f"RSA {self.bits}"
        return f"EC {self.curve}" if self.algorithm == "ec" else "other"


PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


def load_key(tlv: TLV) -> tuple[bytes, KeyFacts, PublicKey]:
    """The key in its DER form. Sizes are read from the bytes and bounded before any arithmetic."""
    members = asn1.sequence(tlv, 2)
    algorithm = asn1.sequence(members[0], 1)
    oid, bits = asn1.oid(algorithm[0]), asn1.bit_string(members[1])
    if oid == _RSA:
        facts = _rsa_facts(bits)
    elif oid == _EC:
        facts = _ec_facts(algorithm, bits)
    else:
        raise CsrAlgorithmRefused(f"key type {oid}: an RSA or EC key is needed")
    try:
        public = cast("PublicKey", serialization.load_der_public_key(tlv.raw))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CsrAlgorithmRefused(f"{facts}: not a valid public key") from error
    spki_der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return spki_der, facts, public


def _rsa_facts(bits: bytes) -> KeyFacts:
    modulus, exponent = asn1.sequence(asn1.parse_exact(bits), 2)[:2]
    size = (len(modulus.value.lstrip(b"\x00")) - 1) * 8 + (
        modulus.value.lstrip(b"\x00") or b"\x00"
    )[0].bit_length()
    if not MIN_RSA_BITS <= size <= MAX_RSA_BITS:
        raise CsrAlgorithmRefused(
            f"RSA {max(size, 0)}: {MIN_RSA_BITS} to {MAX_RSA_BITS} bits are read"
        )
    if len(exponent.value) > MAX_EXPONENT_BITS // 8:
        raise CsrAlgorithmRefused(
            f"RSA exponent of {len(exponent.value)} bytes: at most {MAX_EXPONENT_BITS} bits"
        )
    if asn1.integer(modulus) <= 0:
        raise CsrMalformed("RSA modulus: negative")
    return KeyFacts("rsa", size, None, asn1.integer(exponent))


def _ec_facts(algorithm: list[TLV], bits: bytes) -> KeyFacts:
    if len(algorithm) != 2 or algorithm[1].tag != asn1.OBJECT_IDENTIFIER:
        raise CsrAlgorithmRefused("EC key with explicit parameters: a named curve is needed")
    oid = asn1.oid(algorithm[1])
    if oid not in _CURVES:
        raise CsrAlgorithmRefused(f"EC curve {oid}: P-256, P-384 or P-521 is needed")
    if bits[:1] != b"\x04":
        raise CsrAlgorithmRefused("EC key with a compressed point: an uncompressed point is needed")
    name, size = _CURVES[oid]
    return KeyFacts("ec", size, name)
