"""The signature of a request, made with its own key: which algorithms count, whether it fits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from ca.x509 import asn1
from ca.x509.asn1 import TLV, Asn1Error
from ca.x509.errors import CsrAlgorithmRefused, CsrSignatureInvalid
from ca.x509.public_keys import PublicKey

_PSS: Final = "1.2.840.113549.1.1.10"
_MGF1: Final = "1.2.840.113549.1.1.8"
_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}
SIGNATURES: Final[dict[str, tuple[str, hashes.HashAlgorithm]]] = {
    "1.2.840.113549.1.1.11": ("rsa", hashes.SHA256()),
    "1.2.840.113549.1.1.12": ("rsa", hashes.SHA384()),
    "1.2.840.113549.1.1.13": ("rsa", hashes.SHA512()),
    "1.2.840.10045.4.3.2": ("ec", hashes.SHA256()),
    "1.2.840.10045.4.3.3": ("ec", hashes.SHA384()),
    "1.2.840.10045.4.3.4": ("ec", hashes.SHA512()),
}
LEGACY_SIGNATURES: Final[dict[str, tuple[str, hashes.HashAlgorithm]]] = {
    "1.2.840.113549.1.1.5": ("rsa", hashes.SHA1()),  # noqa: S303 - where a profile says so
    "1.2.840.10045.4.1": ("ec", hashes.SHA1()),  # noqa: S303 - as above
}
_WEAK_SIGNATURES: Final = {
    "1.2.840.113549.1.1.4": "MD5",
    "1.2.840.113549.1.1.5": "SHA-1",
    "1.2.840.113549.1.1.14": "SHA-224",
    "1.2.840.10045.4.1": "SHA-1",
    "1.2.840.10045.4.3.1": "SHA-224",
    "1.3.14.3.2.29": "SHA-1",
}
_Signatures = Mapping[str, tuple[str, hashes.HashAlgorithm]]


@dataclass(frozen=True, slots=True)
class RequestSignature:
    """What a request is signed with, and over."""

    algorithm: TLV
    signed: bytes
    value: bytes


def verify(public: PublicKey, signature: RequestSignature, algorithms: _Signatures) -> None:
    """Check the signature, by one of the algorithms known.

    Raises CsrAlgorithmRefused, CsrSignatureInvalid, Asn1Error.
    """
    members = asn1.sequence(signature.algorithm, 1)
    oid = asn1.oid(members[0])
    if oid in _WEAK_SIGNATURES and oid not in algorithms:
        raise CsrAlgorithmRefused(
            f"signature digest {_WEAK_SIGNATURES[oid]}: SHA-256, SHA-384 or SHA-512 is needed"
        )
    try:
        if isinstance(public, rsa.RSAPublicKey):
            scheme, digest = _rsa_scheme(oid, members, algorithms)
            public.verify(signature.value, signature.signed, scheme, digest)
        else:
            public.verify(
                signature.value, signature.signed, ec.ECDSA(_plain_digest(oid, "ec", algorithms))
            )
    except (InvalidSignature, ValueError) as error:
        if isinstance(error, Asn1Error):
            raise
        raise CsrSignatureInvalid(
            "certification request: the signature does not fit the key"
        ) from error


def _plain_digest(oid: str, key_type: str, algorithms: _Signatures) -> hashes.HashAlgorithm:
    if oid not in algorithms and oid != _PSS:
        raise CsrAlgorithmRefused(
            f"signature algorithm {oid}: RSA or ECDSA with SHA-256, SHA-384 or SHA-512 is needed"
        )
    expected, digest = algorithms.get(oid, ("rsa", hashes.SHA256()))
    if expected != key_type:
        raise CsrSignatureInvalid(f"signature algorithm {oid}: does not fit the {key_type} key")
    return digest


def _rsa_scheme(
    oid: str, members: list[TLV], algorithms: _Signatures
) -> tuple[padding.AsymmetricPadding, hashes.HashAlgorithm]:
    if oid != _PSS:
        return padding.PKCS1v15(), _plain_digest(oid, "rsa", algorithms)
    parameters = {
        tlv.tag: asn1.parse_exact(tlv.value)
        for tlv in (asn1.sequence(members[1]) if members[1:] else [])
    }
    digest = _pss_digest(parameters.get(0xA0))
    mask = asn1.sequence(parameters[0xA1], 2) if 0xA1 in parameters else []
    if not mask or asn1.oid(mask[0]) != _MGF1 or _pss_digest(mask[1]).name != digest.name:
        raise CsrAlgorithmRefused(
            "PSS mask generation: MGF1 with the digest of the signature is needed"
        )
    salt_length = asn1.integer(parameters[0xA2]) if 0xA2 in parameters else 20
    if 0xA3 in parameters and asn1.integer(parameters[0xA3]) != 1:
        raise CsrAlgorithmRefused("PSS trailer field: 1 is needed")
    if not 0 <= salt_length <= 512:
        raise CsrAlgorithmRefused(f"PSS salt of {salt_length} bytes: 0 to 512")
    return padding.PSS(padding.MGF1(digest), salt_length), digest


def _pss_digest(tlv: TLV | None) -> hashes.HashAlgorithm:
    oid = "SHA-1" if tlv is None else asn1.oid(asn1.sequence(tlv, 1)[0])
    if oid not in _HASHES:
        raise CsrAlgorithmRefused(f"PSS digest {oid}: SHA-256, SHA-384 or SHA-512 is needed")
    return _HASHES[oid]
