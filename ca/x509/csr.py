"""PKCS #10 requests (RFC 2986), read tolerantly as devices write them, with a proven signature.

The signature is verified over the received bytes, with the request's own key: proof that the
requester holds it. `ca.content.csr_review.check_csr` decides whether the request is acceptable.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from ca.x509 import asn1, extensions
from ca.x509.asn1 import TLV, Asn1Error
from ca.x509.bounds import prescan
from ca.x509.errors import CsrError, CsrMalformed
from ca.x509.extension_requests import RequestedExtension, decode_extensions, merged
from ca.x509.general_names import GeneralName, decode_general_names
from ca.x509.names import DistinguishedName, NameMalformed, decode_name, decode_text
from ca.x509.public_keys import KeyFacts, PublicKey, load_key
from ca.x509.request_signatures import LEGACY_SIGNATURES, SIGNATURES, RequestSignature, verify

MAX_CHALLENGE_LENGTH: Final = 16 * 1024

_CHALLENGE_PASSWORD: Final = "1.2.840.113549.1.9.7"  # noqa: S105 - an object identifier
# RFC 2985 5.4.2; the Microsoft and VeriSign attributes have the same syntax.
_EXTENSION_REQUESTS: Final = frozenset(
    {"1.2.840.113549.1.9.14", "1.3.6.1.4.1.311.2.1.14", "2.16.840.1.113733.1.9.8"}
)


@dataclass(frozen=True, slots=True)
class CertificationRequest:
    """A PKCS #10 request with verified self-signature; `challenge_at` locates its challenge."""

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
        """The request for storage: with a challenge, that and the self-signature are overwritten.

        The signature covers the challenge, so it could verify a guess. `read_stored_csr` reads the
        result.
        """
        if self.challenge_at is None:
            return self.der
        stored = bytearray(self.der)
        for start, end in (self.challenge_at, self.signature_at):
            stored[start:end] = b"x" * (end - start)
        return bytes(stored)


@dataclass(slots=True)
class _Progress:
    """The progress of reading before it failed."""

    spki_der: bytes = b""
    is_proven: bool = False


@dataclass(slots=True)
class _Attributes:
    challenge_password: str | None = None
    challenge_at: tuple[int, int] | None = None
    extensions: tuple[RequestedExtension, ...] = ()


def decode_csr(der: bytes, *, accepts_sha1: bool = False) -> CertificationRequest:
    """Read a request of at most 64 KiB and verify its signature; SHA-1 only where allowed.

    Raises CsrMalformed (also for duplicates: two challenges, an extension twice in a list or twice
    with two contents), CsrAlgorithmRefused (key or digest never accepted) or CsrSignatureInvalid.
    """
    progress = _Progress()
    try:
        prescan(der)
        return _decode(der, progress, accepts_sha1=accepts_sha1)
    except (Asn1Error, NameMalformed, CsrError) as error:
        fault = (
            error
            if isinstance(error, CsrError)
            else CsrMalformed(f"certification request: {error}")
        )
        fault.spki_der, fault.is_proven = progress.spki_der, progress.is_proven
        raise fault from (error.__cause__ if fault is error else error)


def read_stored_csr(der: bytes) -> CertificationRequest:
    """Read a request as `stored_der` stores it: without signature and challenge password.

    It was verified on arrival. Raises CsrMalformed, CsrAlgorithmRefused.
    """
    try:
        return _decode(der, _Progress(), is_stored=True)
    except (Asn1Error, NameMalformed) as error:
        raise CsrMalformed(f"certification request: {error}") from error


def _decode(
    der: bytes, progress: _Progress, *, is_stored: bool = False, accepts_sha1: bool = False
) -> CertificationRequest:
    """Check the parts outside the signature before it is verified, and the signed part afterwards.

    Bytes that an attacker adds to a captured request, or changes in it, must not show in the
    answer.
    """
    members = asn1.sequence(asn1.parse_exact(der), 3)
    info = asn1.sequence(members[0], 3)
    if len(members) != 3:
        raise CsrMalformed(f"certification request of {len(members)} members: three are needed")
    try:
        spki_der, key, public = load_key(info[2])
    except CsrError:
        progress.spki_der = info[2].raw
        raise
    progress.spki_der = spki_der
    if not is_stored:
        _verify_signature(members, public, accepts_sha1=accepts_sha1)
        progress.is_proven = True
    if len(info) > 4:
        raise CsrMalformed(
            f"certification request info of {len(info)} members: at most four are needed"
        )
    if asn1.integer(info[0]) != 0:
        raise CsrMalformed(f"certification request of version {asn1.integer(info[0])}: 0 is needed")
    subject = decode_name(info[1].raw)
    attributes = (
        _decode_attributes(info[3], is_stored=is_stored) if len(info) == 4 else _Attributes()
    )
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
        signature_at=(
            members[2].content + 1,
            members[2].stop,
        ),  # after the octet that counts unused bits
    )


def _verify_signature(members: list[TLV], public: PublicKey, *, accepts_sha1: bool) -> None:
    info, algorithm, value = members
    verify(
        public,
        RequestSignature(algorithm, info.raw, asn1.bit_string(value)),
        SIGNATURES | LEGACY_SIGNATURES if accepts_sha1 else SIGNATURES,
    )


# --------------------------------------------------------------------------------------- attributes


def _decode_attributes(tlv: TLV, *, is_stored: bool) -> _Attributes:
    """Read the attributes in any order; unknown ones are ignored."""
    attributes = _Attributes()
    names: set[str] = set()
    for attribute in asn1.children(asn1.expect(tlv, 0xA0)):
        members = asn1.sequence(attribute, 2)
        oid = asn1.oid(members[0])
        if oid == _CHALLENGE_PASSWORD:
            _only_once(names, "challengePassword")
            value = _only_value("challengePassword", members)
            attributes.challenge_password = None if is_stored else _challenge(value)
            attributes.challenge_at = (value.content, value.stop)
        elif oid in _EXTENSION_REQUESTS:
            for value in _values("extensionRequest", members):
                attributes.extensions = merged(attributes.extensions, decode_extensions(value))
    return attributes


def _only_once(names: set[str], name: str) -> None:
    if name in names:
        raise CsrMalformed(f"{name}: more than one attribute")
    names.add(name)


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
        raise CsrMalformed(
            f"{name} with {len(values)} values in {len(members) - 1} sets: exactly one is needed"
        )
    return values


def _challenge(tlv: TLV) -> str | None:
    if len(tlv.value) > MAX_CHALLENGE_LENGTH:
        raise CsrMalformed(
            f"challengePassword of {len(tlv.value)} bytes: at most {MAX_CHALLENGE_LENGTH}"
        )
    try:
        return decode_text(tlv) or None
    except NameMalformed as error:
        raise CsrMalformed(f"challengePassword: {error}") from error


def _requested_sans(requested: tuple[RequestedExtension, ...]) -> tuple[GeneralName, ...]:
    for extension in requested:
        if extension.oid == extensions.SUBJECT_ALT_NAME:
            return decode_general_names(extension.value)
    return ()
