"""PKCS #10 requests (RFC 2986): read tolerantly, because devices write them badly, but with a proven signature.

The signature is verified over the bytes received, with the request's own key: proof that the requester holds it.
Nothing here decides whether the request is welcome; that is `ca.profiles.check_csr`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Literal, cast

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from ca import asn1, extensions
from ca.asn1 import TLV, Asn1Error
from ca.extension_requests import RequestedExtension, decode_extensions, merged
from ca.names import DistinguishedName, GeneralName, NameMalformed, decode_general_names, decode_name, decode_text

MAX_CHALLENGE_LENGTH: Final = 16 * 1024
MIN_RSA_BITS: Final = 512
MAX_RSA_BITS: Final = 8192
MAX_EXPONENT_BITS: Final = 256

_CHALLENGE_PASSWORD: Final = "1.2.840.113549.1.9.7"  # noqa: S105 - an object identifier
# RFC 2985 5.4.2; the Microsoft and VeriSign attributes have the same syntax.
_EXTENSION_REQUESTS: Final = frozenset({"1.2.840.113549.1.9.14", "1.3.6.1.4.1.311.2.1.14", "2.16.840.1.113733.1.9.8"})
_RSA: Final = "1.2.840.113549.1.1.1"
_EC: Final = "1.2.840.10045.2.1"
_PSS: Final = "1.2.840.113549.1.1.10"
_MGF1: Final = "1.2.840.113549.1.1.8"
_CURVES: Final = {"1.2.840.10045.3.1.7": ("P-256", 256), "1.3.132.0.34": ("P-384", 384), "1.3.132.0.35": ("P-521", 521)}
_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}
_SIGNATURES: Final[dict[str, tuple[str, hashes.HashAlgorithm]]] = {
    "1.2.840.113549.1.1.11": ("rsa", hashes.SHA256()),
    "1.2.840.113549.1.1.12": ("rsa", hashes.SHA384()),
    "1.2.840.113549.1.1.13": ("rsa", hashes.SHA512()),
    "1.2.840.10045.4.3.2": ("ec", hashes.SHA256()),
    "1.2.840.10045.4.3.3": ("ec", hashes.SHA384()),
    "1.2.840.10045.4.3.4": ("ec", hashes.SHA512()),
}
_LEGACY_SIGNATURES: Final[dict[str, tuple[str, hashes.HashAlgorithm]]] = {
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


class CsrError(Exception):
    """A request that cannot be accepted; `spki_der` where its key was read, `is_proven` where its signature held."""

    spki_der: bytes = b""
    is_proven: bool = False


class CsrMalformed(CsrError):
    """Not a readable PKCS #10 request, or one that says two different things."""


class CsrSignatureInvalid(CsrError):
    """The signature does not fit the key and content: the requester has not shown that the key is theirs."""


class CsrAlgorithmRefused(CsrError):
    """A key type, key size or signature digest that is never accepted."""


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What a public key is, for people and for policy. `bits` is the modulus or field size."""

    algorithm: Literal["rsa", "ec", "other"]
    bits: int
    curve: str | None = None
    exponent: int | None = None

    def __str__(self) -> str:
        if self.algorithm == "rsa":
            return f"RSA {self.bits}"
        return f"EC {self.curve}" if self.algorithm == "ec" else "other"


@dataclass(frozen=True, slots=True)
class CertificationRequest:
    """A PKCS #10 request whose self-signature was verified; `challenge_at` is where its challenge password stands."""

    der: bytes = field(repr=False)  # this and the next contain the challenge password
    info_der: bytes = field(repr=False)
    subject: DistinguishedName
    spki_der: bytes
    spki_sha256: bytes
    key: KeyFacts
    challenge_password: str | None = field(repr=False)
    requested_extensions: tuple[RequestedExtension, ...]
    requested_sans: tuple[GeneralName, ...]
    challenge_at: tuple[int, int] | None = field(default=None, repr=False)
    signature_at: tuple[int, int] = field(default=(0, 0), repr=False)

    @property
    def stored_der(self) -> bytes:
        """The request as it may be kept: with a challenge password, that and the self-signature overwritten.

        The signature covers the challenge, so with it a guess could be tried. `read_stored_csr` reads the result.
        """
        if self.challenge_at is None:
            return self.der
        kept = bytearray(self.der)
        for start, end in (self.challenge_at, self.signature_at):
            kept[start:end] = b"x" * (end - start)
        return bytes(kept)


@dataclass(slots=True)
class _Progress:
    """How far reading came before it failed."""

    spki_der: bytes = b""
    is_proven: bool = False


@dataclass(slots=True)
class _Attributes:
    challenge_password: str | None = None
    challenge_at: tuple[int, int] | None = None
    extensions: tuple[RequestedExtension, ...] = ()


def decode_csr(der: bytes, *, accepts_sha1: bool = False) -> CertificationRequest:
    """Read a request of at most 64 KiB and verify its signature, made with SHA-1 only where that is allowed.

    Raises CsrMalformed (also for duplicates: two challenges, an extension twice in a list or twice with two contents),
    CsrAlgorithmRefused (key or digest never accepted) or CsrSignatureInvalid.
    """
    progress = _Progress()
    try:
        asn1.prescan(der)
        return _decode(der, progress, accepts_sha1=accepts_sha1)
    except (Asn1Error, NameMalformed, CsrError) as error:
        fault = error if isinstance(error, CsrError) else CsrMalformed(f"certification request: {error}")
        fault.spki_der, fault.is_proven = progress.spki_der, progress.is_proven
        raise fault from (error.__cause__ if fault is error else error)


def read_stored_csr(der: bytes) -> CertificationRequest:
    """Read a request that was verified when it came, as `stored_der` keeps it: no signature, no challenge password.

    Raises CsrMalformed, CsrAlgorithmRefused.
    """
    try:
        return _decode(der, _Progress(), is_stored=True)
    except (Asn1Error, NameMalformed) as error:
        raise CsrMalformed(f"certification request: {error}") from error


def _decode(
    der: bytes, progress: _Progress, *, is_stored: bool = False, accepts_sha1: bool = False
) -> CertificationRequest:
    """Read what stands around the signed part before the signature is verified, and what it covers afterwards.

    Bytes that an attacker adds to a captured request, or changes in it, must not show in the answer.
    """
    members = asn1.sequence(asn1.parse_exact(der), 3)
    info = asn1.sequence(members[0], 3)
    if len(members) != 3:
        raise CsrMalformed(f"certification request of {len(members)} members: three are needed")
    try:
        spki_der, key, public = _load_key(info[2])
    except CsrError:
        progress.spki_der = info[2].raw
        raise
    progress.spki_der = spki_der
    if not is_stored:
        signatures = _SIGNATURES | _LEGACY_SIGNATURES if accepts_sha1 else _SIGNATURES
        _verify(public, _Signature(members[1], members[0].raw, asn1.bit_string(members[2])), signatures)
        progress.is_proven = True
    if len(info) > 4:
        raise CsrMalformed(f"certification request info of {len(info)} members: at most four are needed")
    if asn1.integer(info[0]) != 0:
        raise CsrMalformed(f"certification request of version {asn1.integer(info[0])}: 0 is needed")
    subject = decode_name(info[1].raw)
    attributes = _decode_attributes(info[3], is_stored=is_stored) if len(info) == 4 else _Attributes()
    return CertificationRequest(
        der=der,
        info_der=members[0].raw,
        subject=subject,
        spki_der=spki_der,
        spki_sha256=sha256(spki_der).digest(),
        key=key,
        challenge_password=attributes.challenge_password,
        requested_extensions=attributes.extensions,
        requested_sans=_requested_sans(attributes.extensions),
        challenge_at=attributes.challenge_at,
        signature_at=(members[2].content + 1, members[2].stop),  # after the octet that counts unused bits
    )


# ------------------------------------------------------------------------------------------------------- attributes


def _decode_attributes(tlv: TLV, *, is_stored: bool) -> _Attributes:
    """Read the attributes in whatever order they stand; unknown ones say nothing."""
    found = _Attributes()
    seen: set[str] = set()
    for attribute in asn1.children(asn1.expect(tlv, 0xA0)):
        members = asn1.sequence(attribute, 2)
        oid = asn1.oid(members[0])
        if oid == _CHALLENGE_PASSWORD:
            _only_once(seen, "challengePassword")
            value = _only_value("challengePassword", members)
            found.challenge_password = None if is_stored else _challenge(value)
            found.challenge_at = (value.content, value.stop)
        elif oid in _EXTENSION_REQUESTS:
            for value in _values("extensionRequest", members):
                found.extensions = merged(found.extensions, decode_extensions(value))
    return found


def _only_once(seen: set[str], name: str) -> None:
    if name in seen:
        raise CsrMalformed(f"{name}: more than one attribute")
    seen.add(name)


def _only_value(name: str, members: list[TLV]) -> TLV:
    values = _values(name, members)
    if len(values) != 1:
        raise CsrMalformed(f"{name} with {len(values)} values: exactly one is needed")
    return values[0]


def _values(name: str, members: list[TLV]) -> list[TLV]:
    try:
        values = asn1.children(asn1.expect(members[1], asn1.SET))
    except Asn1Error as error:
        raise CsrMalformed(f"{name}: {error}") from error
    if not values or len(members) != 2:
        raise CsrMalformed(f"{name} with {len(values)} values in {len(members) - 1} sets: exactly one is needed")
    return values


def _challenge(tlv: TLV) -> str | None:
    if len(tlv.value) > MAX_CHALLENGE_LENGTH:
        raise CsrMalformed(f"challengePassword of {len(tlv.value)} bytes: at most {MAX_CHALLENGE_LENGTH}")
    try:
        return decode_text(tlv) or None
    except NameMalformed as error:
        raise CsrMalformed(f"challengePassword: {error}") from error


def _requested_sans(requested: tuple[RequestedExtension, ...]) -> tuple[GeneralName, ...]:
    for extension in requested:
        if extension.oid == extensions.SUBJECT_ALT_NAME:
            return decode_general_names(extension.value)
    return ()


# -------------------------------------------------------------------------------------------------- key and signature

_PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
_Signatures = Mapping[str, tuple[str, hashes.HashAlgorithm]]


def _load_key(tlv: TLV) -> tuple[bytes, KeyFacts, _PublicKey]:
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
        public = cast("_PublicKey", serialization.load_der_public_key(tlv.raw))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CsrAlgorithmRefused(f"{facts}: not a valid public key") from error
    spki_der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return spki_der, facts, public


def _rsa_facts(bits: bytes) -> KeyFacts:
    modulus, exponent = asn1.sequence(asn1.parse_exact(bits), 2)[:2]
    size = (len(modulus.value.lstrip(b"\x00")) - 1) * 8 + (modulus.value.lstrip(b"\x00") or b"\x00")[0].bit_length()
    if not MIN_RSA_BITS <= size <= MAX_RSA_BITS:
        raise CsrAlgorithmRefused(f"RSA {max(size, 0)}: {MIN_RSA_BITS} to {MAX_RSA_BITS} bits are read")
    if len(exponent.value) > MAX_EXPONENT_BITS // 8:
        raise CsrAlgorithmRefused(f"RSA exponent of {len(exponent.value)} bytes: at most {MAX_EXPONENT_BITS} bits")
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


@dataclass(frozen=True, slots=True)
class _Signature:
    algorithm: TLV
    signed: bytes
    value: bytes


def _verify(public: _PublicKey, signature: _Signature, known: _Signatures) -> None:
    members = asn1.sequence(signature.algorithm, 1)
    oid = asn1.oid(members[0])
    if oid in _WEAK_SIGNATURES and oid not in known:
        raise CsrAlgorithmRefused(f"signature digest {_WEAK_SIGNATURES[oid]}: SHA-256, SHA-384 or SHA-512 is needed")
    try:
        if isinstance(public, rsa.RSAPublicKey):
            scheme, digest = _rsa_scheme(oid, members, known)
            public.verify(signature.value, signature.signed, scheme, digest)
        else:
            public.verify(signature.value, signature.signed, ec.ECDSA(_plain_digest(oid, "ec", known)))
    except (InvalidSignature, ValueError) as error:
        if isinstance(error, Asn1Error):
            raise
        raise CsrSignatureInvalid("certification request: the signature does not fit the key") from error


def _plain_digest(oid: str, key_type: str, known: _Signatures) -> hashes.HashAlgorithm:
    if oid not in known and oid != _PSS:
        raise CsrAlgorithmRefused(f"signature algorithm {oid}: RSA or ECDSA with SHA-256, SHA-384 or SHA-512 is needed")
    wanted, digest = known.get(oid, ("rsa", hashes.SHA256()))
    if wanted != key_type:
        raise CsrSignatureInvalid(f"signature algorithm {oid}: does not fit the {key_type} key")
    return digest


def _rsa_scheme(
    oid: str, members: list[TLV], known: _Signatures
) -> tuple[padding.AsymmetricPadding, hashes.HashAlgorithm]:
    if oid != _PSS:
        return padding.PKCS1v15(), _plain_digest(oid, "rsa", known)
    parameters = {tlv.tag: asn1.parse_exact(tlv.value) for tlv in (asn1.sequence(members[1]) if members[1:] else [])}
    digest = _pss_digest(parameters.get(0xA0))
    mask = asn1.sequence(parameters[0xA1], 2) if 0xA1 in parameters else []
    if not mask or asn1.oid(mask[0]) != _MGF1 or _pss_digest(mask[1]).name != digest.name:
        raise CsrAlgorithmRefused("PSS mask generation: MGF1 with the digest of the signature is needed")
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
