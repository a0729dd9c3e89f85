"""Checks the bytes before they are signed: against profile, approved names and issuer.

Nothing of `ca.content.builder` is used, nor the reader it shares with requests: asn1crypto reads
(`ca.content.second_reader`), so that one mistake is not made twice. A clean certificate gives no
finding; every finding is a reason not to sign, or not to record what was signed.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha1
from typing import Final, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from ca.content import second_reader
from ca.content.issuers import IssuerFacts
from ca.content.lint_extensions import Approved, lint_extensions
from ca.content.profile_spec import ProfileSpec
from ca.content.second_reader import NotReadable, Value
from ca.x509.findings import Finding, refuse
from ca.x509.general_names import GeneralName
from ca.x509.names import ATTRIBUTE_TYPES, DistinguishedName
from ca.x509.text import text_findings

MAX_CERTIFICATE_BYTES: Final = 8192  # UDP fragments of EAP, buffers of small clients
_ALGORITHMS: Final = {
    "rsa-sha256": bytes.fromhex("300d06092a864886f70d01010b0500"),
    "ecdsa-sha256": bytes.fromhex("300a06082a8648ce3d040302"),
    "ecdsa-sha384": bytes.fromhex("300a06082a8648ce3d040303"),
}
_CURVE_NAMES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_NO_SIGNATURE: Final = b"\x03\x02\x00\x00"
_ONE_SECOND: Final = timedelta(seconds=1)


class Content(Protocol):
    """The approved content that will be signed; `ca.content.builder.CertificateContent` is one."""

    @property
    def spec(self) -> ProfileSpec: ...
    @property
    def issuer(self) -> IssuerFacts: ...
    @property
    def subject(self) -> DistinguishedName: ...
    @property
    def sans(self) -> tuple[GeneralName, ...]: ...
    @property
    def spki_der(self) -> bytes: ...
    @property
    def serial_number(self) -> int: ...
    @property
    def not_before(self) -> datetime: ...
    @property
    def not_after(self) -> datetime: ...


def lint_tbs(tbs: bytes, *, content: Content) -> tuple[Finding, ...]:
    """Check to-be-signed bytes before they are signed; () means clean.

    Nothing is raised for bad bytes.
    """
    try:
        members = second_reader.sequence(second_reader.read(tbs))
        if len(members) != 8 or members[7].tag != 0xA3:
            return (refuse("lint-structure", f"certificate: {len(members)} members, 8 are needed"),)
        findings = [
            *_lint_der(tbs),
            *_lint_fields(members, content),
            *_lint_subject(members[5], content),
        ]
        findings += _lint_key(members[6], content)
        findings += _lint_extension_list(members, content)
        # Only bytes that look right here deserve a second opinion; it would repeat, or warn about,
        # known facts.
        findings += [] if findings else _lint_loads(tbs, content.issuer)
    except NotReadable as error:
        return (refuse("lint-unreadable", f"certificate: {error}"),)
    return tuple(findings)


def lint_certificate(der: bytes, *, content: Content) -> tuple[Finding, ...]:
    """Check a signed certificate: as `lint_tbs`, plus outer algorithm and issuer's signature."""
    try:
        members = second_reader.sequence(second_reader.read(der))
        if len(members) != 3:
            return (refuse("lint-structure", f"certificate: {len(members)} members, 3 are needed"),)
        signature = second_reader.bit_string(members[2])
    except NotReadable as error:
        return (refuse("lint-unreadable", f"certificate: {error}"),)
    findings = [*lint_tbs(members[0].raw, content=content), *_lint_der(der)]
    if members[1].raw != _ALGORITHMS[content.issuer.signature_algorithm]:
        findings.append(
            refuse("lint-algorithm", "outer signature algorithm: not that of the issuer")
        )
    if len(der) > MAX_CERTIFICATE_BYTES:
        findings.append(
            refuse("lint-size", f"certificate of {len(der)} bytes: at most {MAX_CERTIFICATE_BYTES}")
        )
    if not _signature_verifies(members[0].raw, signature, content.issuer):
        findings.append(refuse("lint-signature", "signature: does not fit the issuer's key"))
    return tuple(findings)


# ------------------------------------------------------------------------------------------- fields


def _lint_der(der: bytes) -> Iterator[Finding]:
    """Check DER: lengths minimal and definite, BOOLEAN 00 or ff, INTEGER minimal, SET OF sorted.

    See X.690 10 and 11.
    """
    waiting = [second_reader.read(der)]
    while waiting:
        value = waiting.pop()
        fault = _der_fault(value)
        if fault is not None:
            yield refuse("lint-der", f"byte {value.start}: {fault}")
            return
        if value.tag & second_reader.CONSTRUCTED:
            members = second_reader.members(value)
            raw = [member.raw for member in members]
            if value.tag == second_reader.SET and raw != sorted(raw):
                yield refuse("lint-der", f"byte {value.start}: SET OF that is not sorted")
            waiting += members
        elif value.tag == second_reader.OCTET_STRING and value.contents[:1] == b"\x30":
            waiting.append(second_reader.read(value.contents))


def _der_fault(value: Value) -> str | None:
    if not value.has_shortest_length:
        return "length not in its shortest form"
    if value.tag == second_reader.BOOLEAN and value.contents != b"\xff":
        return "BOOLEAN that is not TRUE (FALSE is the default and left out)"
    first = value.contents[:2] if value.tag == second_reader.INTEGER else b""
    if value.tag == second_reader.INTEGER and (
        not first
        or (first[0] in {0, 0xFF} and len(first) == 2 and not (first[0] ^ first[1]) & 0x80)
    ):
        return "INTEGER not in its shortest form"
    return None


def _lint_fields(members: list[Value], content: Content) -> Iterator[Finding]:
    issuer = content.issuer
    if members[0].raw != b"\xa0\x03\x02\x01\x02":
        yield refuse("lint-version", "version: 3 is needed")
    serial = members[1].contents
    if second_reader.integer(members[1]) != content.serial_number:
        yield refuse("lint-serial", "serial number: not the reserved one")
    if not 17 <= len(serial) <= 20 or not 1 <= serial[0] <= 0x7F:
        yield refuse(
            "lint-serial",
            f"serial number of {len(serial)} octets: positive, 17 to 20 octets are needed",
        )
    if members[2].raw != _ALGORITHMS[issuer.signature_algorithm]:
        yield refuse("lint-algorithm", "signature algorithm: not that of the issuer")
    if members[3].raw != issuer.subject_der:
        yield refuse("lint-issuer", "issuer: not byte for byte the issuer's subject")
    yield from _lint_validity(members[4], content)


def _lint_validity(value: Value, content: Content) -> Iterator[Finding]:
    times = second_reader.sequence(value, 2)
    not_before, not_after = map(second_reader.time, times[:2])
    issuer, spec = content.issuer, content.spec
    for member, moment in zip(times, (not_before, not_after), strict=False):
        if (member.tag == second_reader.UTC_TIME) != (moment.astimezone(UTC).year < 2050):
            yield refuse(
                "lint-time", f"{moment:%Y-%m-%d}: UTCTime until 2049, GeneralizedTime from 2050"
            )
    if not issuer.not_before <= not_before <= not_after <= issuer.not_after:
        yield refuse(
            "lint-validity", f"validity {not_before} to {not_after}: not inside that of the issuer"
        )
    expected = min(not_before + spec.validity - _ONE_SECOND, issuer.not_after)
    if not_after != expected or (not_before, not_after) != (content.not_before, content.not_after):
        yield refuse(
            "lint-validity",
            f"validity {not_before} to {not_after}: the profile gives {spec.validity}",
        )


def _lint_subject(value: Value, content: Content) -> Iterator[Finding]:
    subject = second_reader.name(value)
    if subject != content.subject:
        yield refuse("lint-subject", f"subject: not the approved {content.subject}")
    if len(subject.values("CN")) > 1 or (
        subject.is_multi_valued and not content.spec.multi_valued_rdns
    ):
        yield refuse(
            "lint-subject",
            f"subject {subject}: several CN, or several attributes in one relative name",
        )
    for attribute in subject.attributes:
        # The same rule as at the door: findings for an officer were seen before the approval.
        findings = text_findings(attribute.value, attribute.name)
        yield from (finding for finding in findings if finding.severity == "refuse")
        kind = ATTRIBUTE_TYPES.get(attribute.name)
        if kind is None or attribute.name not in content.spec.subject_attributes:
            yield refuse("lint-subject", f"{attribute.name}: not an allowed attribute")
        elif attribute.tag != kind.tag or not 1 <= len(attribute.value) <= kind.max_length:
            yield refuse(
                "lint-subject",
                f"{attribute.name}: string type {attribute.tag:#04x} or length is wrong",
            )


# ---------------------------------------------------------------------------------- key, extensions


def _lint_key(value: Value, content: Content) -> Iterator[Finding]:
    if value.raw != content.spki_der:
        yield refuse("lint-key", "public key: not the approved one")
        return
    public, spec = _public_key(value.raw), content.spec
    if isinstance(public, rsa.RSAPublicKey):
        exponent = public.public_numbers().e
        if not spec.rsa_min_bits <= public.key_size <= spec.rsa_max_bits or public.key_size % 8:
            yield refuse(
                "lint-key", f"RSA {public.key_size}: {spec.rsa_min_bits} to {spec.rsa_max_bits}"
            )
        if exponent not in spec.rsa_exponents:
            yield refuse("lint-key", "RSA exponent: not allowed by the profile")
    elif isinstance(public, ec.EllipticCurvePublicKey):
        if _CURVE_NAMES.get(public.curve.name) not in spec.curves:
            yield refuse("lint-key", f"EC {public.curve.name}: not allowed by the profile")
    else:
        yield refuse("lint-key", "public key: neither RSA nor EC")


def _lint_extension_list(members: list[Value], content: Content) -> Iterator[Finding]:
    key_bits = second_reader.bit_string(second_reader.sequence(members[6], 2)[1])
    approved = Approved(
        spec=content.spec,
        sans=content.sans,
        has_empty_subject=not content.subject.attributes,
        is_rsa=isinstance(_public_key(members[6].raw), rsa.RSAPublicKey),
        subject_key_identifier=sha1(key_bits, usedforsecurity=False).digest(),
        authority_key_identifier=content.issuer.subject_key_identifier,
    )
    yield from lint_extensions(members[7], approved)


def _lint_loads(tbs: bytes, issuer: IssuerFacts) -> Iterator[Finding]:
    """Let a strict decoder of other authors read it too, with a dummy signature."""
    dummy = second_reader.written_sequence(
        tbs, _ALGORITHMS[issuer.signature_algorithm], _NO_SIGNATURE
    )
    try:
        _ = x509.load_der_x509_certificate(dummy).extensions
    except (
        ValueError,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as error:
        yield refuse("lint-unreadable", f"certificate: {error}")


@lru_cache(maxsize=64)
def _public_key(spki_der: bytes) -> object:
    try:
        return serialization.load_der_public_key(spki_der)
    except (ValueError, UnsupportedAlgorithm):
        return None


def _signature_verifies(tbs: bytes, signature: bytes, issuer: IssuerFacts) -> bool:
    public = _public_key(issuer.spki_der)
    digest = hashes.SHA384() if issuer.signature_algorithm == "ecdsa-sha384" else hashes.SHA256()
    try:
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, tbs, padding.PKCS1v15(), digest)
            return True
        if isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, tbs, ec.ECDSA(digest))
            return True
    except InvalidSignature:
        return False
    return False
