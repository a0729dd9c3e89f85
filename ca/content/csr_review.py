"""Whether a request fits a certificate profile, and the content of its certificate.

Values only: no database, no clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ca.content.key_records import KeyRecord
from ca.content.loopback import is_loopback
from ca.content.profile_spec import (
    MAX_MATCHED_LENGTH,
    SAN_KINDS,
    ProfileError,
    ProfileSpec,
    matches,
)
from ca.content.weak_keys import modulus_faults
from ca.x509 import asn1, extensions
from ca.x509.csr import CertificationRequest
from ca.x509.findings import Finding, ask_officer, info, refuse, warn
from ca.x509.general_names import GeneralName, general_name, general_name_fault
from ca.x509.name_matching import ComparableName, comparable_name, is_like
from ca.x509.names import ATTRIBUTE_TYPES, DistinguishedName, NameAttribute, build_name, build_rdns
from ca.x509.text import punycode_shown, shortened, text_findings

__all__ = [
    "CaRecords",
    "CsrReview",
    "Finding",
    "ProfileError",
    "ProfileSpec",
    "check_csr",
    "check_names",
]

_RESERVED_NAMES: Final = ("local", "internal", "invalid", "test", "localdomain")


MAX_SUBJECT: Final = 1000  # characters as shown: an officer reads all of it


@dataclass(frozen=True, slots=True)
class CaRecords:
    """The CA's records that concern a request; `ca.certificates.admission` reads them."""

    key: KeyRecord = field(default_factory=KeyRecord)
    reserved: frozenset[ComparableName] = (
        frozenset()
    )  # subjects of the portal's authorities and of its own keys


@dataclass(frozen=True, slots=True)
class CsrReview:
    """The content of a request's certificate, and the findings.

    `dropped` names the requested extensions that are not granted as asked; no requested extension
    is ever copied.
    """

    subject: DistinguishedName
    sans: tuple[GeneralName, ...]
    findings: tuple[Finding, ...]
    dropped: tuple[str, ...]

    @property
    def refused(self) -> bool:
        return any(finding.severity == "refuse" for finding in self.findings)

    @property
    def refusals(self) -> tuple[str, ...]:
        """The reasons against a certificate, as sentences."""
        return tuple(finding.text for finding in self.findings if finding.severity == "refuse")

    @property
    def needs_officer(self) -> tuple[str, ...]:
        """The findings that an officer must see before a certificate is issued, as sentences."""
        return tuple(finding.text for finding in self.findings if finding.severity == "officer")


def check_csr(
    csr: CertificationRequest, spec: ProfileSpec, records: CaRecords = CaRecords()
) -> CsrReview:
    """Check a request against a profile and the CA's records.

    Every fault is reported, not only the first; nothing is raised. Doors call
    `ca.certificates.admission.review_csr`.
    """
    subject = build_rdns([(a.oid, a.value) for a in rdn] for rdn in csr.subject.rdns)
    sans = tuple(map(_normalised, csr.requested_sans))
    requested, dropped = extensions.check_requested(
        csr.requested_extensions,
        key_usages=spec.key_usages,
        extended_key_usages=spec.extended_key_usages,
    )
    findings = (
        *_key_findings(csr, spec),
        *records.key.findings(),
        *_reserved_findings(subject, records.reserved),
        *check_names(csr.subject, sans, spec),
        *requested,
    )
    return CsrReview(subject, sans, findings, dropped)


def check_names(
    subject: DistinguishedName, sans: tuple[GeneralName, ...], spec: ProfileSpec
) -> tuple[Finding, ...]:
    """Check the names of a request, or of a future one, against a profile; finds every fault."""
    return (
        *_subject_findings(subject, spec),
        *_presence_findings(subject, sans, spec),
        *(finding for name in sans for finding in _san_findings(name, spec)),
    )


# ---------------------------------------------------------------------------------------------- key


def _key_findings(csr: CertificationRequest, spec: ProfileSpec) -> Iterator[Finding]:
    key = csr.key
    if not extensions.key_usages_for(spec.key_usages, key.algorithm):
        yield refuse(
            "key-usage",
            f"{key}: cannot serve {', '.join(spec.key_usages)}; another kind of key is needed",
        )
    if key.algorithm == "ec":
        if key.curve not in spec.curves:
            yield refuse(
                "key-curve", f"{key}: allowed are {', '.join(spec.curves) or 'no EC keys'}"
            )
        return
    if key.exponent not in spec.rsa_exponents:
        allowed = ", ".join(map(str, spec.rsa_exponents))
        yield refuse(
            "key-exponent", f"{key} exponent {shortened(str(key.exponent))}: allowed is {allowed}"
        )
    size_fault = _size_fault(key.bits, spec)
    if size_fault is not None:
        yield refuse("key-size", f"{key}: {size_fault}")
        return
    for fault in modulus_faults(_modulus(csr.spki_der)):
        yield refuse("key-weak", f"{key}: {fault}; a new key is needed")


def _size_fault(bits: int, spec: ProfileSpec) -> str | None:
    if bits < spec.rsa_min_bits:
        return f"at least {spec.rsa_min_bits}"
    if bits > spec.rsa_max_bits:
        return f"at most {spec.rsa_max_bits}"
    return "a multiple of 8 is needed" if bits % 8 else None


def _modulus(spki_der: bytes) -> int:
    key = asn1.bit_string(asn1.sequence(asn1.parse_exact(spki_der))[1])
    return asn1.integer(asn1.sequence(asn1.parse_exact(key))[0])


# ------------------------------------------------------------------------------------------ subject


def _reserved_findings(
    subject: DistinguishedName, reserved: frozenset[ComparableName]
) -> Iterator[Finding]:
    """Refuse the name of an issuer or of the RA: the certificate would pass for theirs.

    See RFC 5280 §7.1. A merely similar name is distinct for programs, but not for people.
    """
    name, subject_text = comparable_name(subject), shortened(str(subject))
    if name in reserved:
        yield refuse(
            "subject-authority",
            f"subject '{subject_text}': the name of an authority or of a key of this portal",
        )
    elif any(is_like(name, other) for other in reserved):
        text = (
            f"subject '{subject_text}': reads like the name of an authority or of a key of this "
            "portal"
        )
        yield ask_officer("subject-like-authority", text)


def _subject_findings(subject: DistinguishedName, spec: ProfileSpec) -> Iterator[Finding]:
    if subject.is_multi_valued and not spec.multi_valued_rdns:
        yield refuse("subject-multi-valued", "subject: several attributes in one relative name")
    common_names = subject.values("CN")
    if len(common_names) > 1:
        yield refuse(
            "subject-two-cn", f"subject: {len(common_names)} CN attributes, one is allowed"
        )
    for attribute in subject.attributes:
        yield from text_findings(attribute.value, attribute.name)
        yield from _attribute_findings(attribute, spec)
    if len(str(subject)) > MAX_SUBJECT:
        yield refuse(
            "subject-long", f"subject: {len(str(subject))} characters, at most {MAX_SUBJECT}"
        )


def _attribute_findings(attribute: NameAttribute, spec: ProfileSpec) -> Iterator[Finding]:
    name, value = attribute.name, attribute.value
    text = f"{name} '{shortened(value)}'"
    if name not in spec.subject_attributes:
        allowed = ", ".join(spec.subject_attributes) or "none"
        yield refuse(
            "subject-attribute", f"{text}: not an allowed attribute; allowed are {allowed}"
        )
        return
    fault = _attribute_fault(name, value)
    if fault is not None:
        yield refuse("subject-value", f"{text}: {fault}")
    pattern = spec.subject_patterns.get(name)
    if pattern is not None and not matches(pattern, value):
        yield refuse("subject-pattern", f"{text}: does not match {pattern}")


def _attribute_fault(name: str, value: str) -> str | None:
    kind = ATTRIBUTE_TYPES[name]
    if not value:
        return "empty"
    if name == "C" and not (
        len(value) == 2 and value.isascii() and value.isalpha() and value.isupper()
    ):
        return "two capital letters are needed"
    if len(value) > kind.max_length:
        return f"{len(value)} characters, at most {kind.max_length}"
    if build_name([(name, value)]).attributes[0].tag != kind.tag:
        return "characters that this attribute cannot hold"
    return None


# -------------------------------------------------------------------------------- alternative names


def _normalised(name: GeneralName) -> GeneralName:
    """Return the name as a certificate contains it: DNS names in lower case, everything in DER."""
    if name.kind not in SAN_KINDS:
        return name
    return general_name(name.kind, name.value.lower() if name.kind == "dns" else name.value)


def _presence_findings(
    subject: DistinguishedName, sans: tuple[GeneralName, ...], spec: ProfileSpec
) -> Iterator[Finding]:
    if spec.san_required and not sans:
        yield refuse("san-required", "subjectAltName: missing, the profile requires one")
    if not subject.attributes:
        if sans:
            yield info("subject-empty", "subject: empty, so the subjectAltName becomes critical")
        else:
            yield refuse("subject-empty", "subject: empty, and there is no subjectAltName")
    for name in dict.fromkeys(sans):
        if sans.count(name) > 1:
            yield refuse(
                "san-duplicate", f"subjectAltName {_shown(name)}: present {sans.count(name)} times"
            )
    host_names = [name.value for name in sans if name.kind == "dns"]
    for common_name in subject.values("CN"):
        if host_names and "." in common_name and common_name.lower() not in host_names:
            yield warn(
                "cn-not-in-san",
                f"CN '{shortened(common_name)}': not among the subjectAltName DNS names",
            )


def _san_findings(name: GeneralName, spec: ProfileSpec) -> Iterator[Finding]:
    if name.kind not in spec.san_kinds:
        allowed = ", ".join(spec.san_kinds) or "none"
        yield refuse(
            "san-kind", f"subjectAltName {_shown(name)}: kind not allowed; allowed are {allowed}"
        )
        return
    yield from text_findings(name.value, f"subjectAltName {name.kind}")
    fault = general_name_fault(name, spec.matching(name.kind, name.value))
    if fault is not None:
        yield refuse("san-malformed", f"subjectAltName {_shown(name)}: {fault}")
        return
    yield from _san_pattern_findings(name, spec)
    is_local = is_loopback(name)
    if is_local:
        yield ask_officer(
            "san-loopback",
            f"subjectAltName {_shown(name)}: with this name every machine means itself",
        )
    if name.kind == "dns":
        yield from _dns_remarks(name.value, is_local=is_local)


def _san_pattern_findings(name: GeneralName, spec: ProfileSpec) -> Iterator[Finding]:
    patterns = spec.san_patterns.get(name.kind, ())
    if len(name.value) > MAX_MATCHED_LENGTH:
        yield refuse(
            "san-length", f"subjectAltName {_shown(name)}: at most {MAX_MATCHED_LENGTH} characters"
        )
        return
    if name.kind == "dns" and name.value.startswith("*."):
        patterns = tuple(pattern for pattern in patterns if r"\*" in pattern)
        if not any(matches(pattern, name.value) for pattern in patterns):
            yield refuse(
                "san-wildcard",
                f"subjectAltName {_shown(name)}: the profile allows no such wildcard",
            )
    elif patterns and not any(matches(pattern, name.value) for pattern in patterns):
        allowed = ", ".join(patterns)
        yield refuse("san-pattern", f"subjectAltName {_shown(name)}: does not match {allowed}")


def _dns_remarks(value: str, *, is_local: bool) -> Iterator[Finding]:
    decoded = punycode_shown(value)
    if decoded is not None:
        yield info(
            "san-punycode",
            f"subjectAltName dns '{shortened(value)}': reads as {shortened(decoded)}",
        )
    if value.rpartition(".")[2] in _RESERVED_NAMES and not is_local:
        yield warn(
            "san-reserved",
            f"subjectAltName dns '{shortened(value)}': a reserved name that many hosts share",
        )


def _shown(name: GeneralName) -> str:
    return f"{name.kind} '{shortened(name.value)}'"
