"""Compares the extensions of a certificate with the profile: all of them, no others, each value."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from ca.content import second_reader
from ca.content.profile_spec import ProfileSpec
from ca.content.second_reader import Value
from ca.x509 import extensions
from ca.x509.findings import Finding, refuse
from ca.x509.general_names import GeneralName, general_name_fault

_CRITICAL: Final = frozenset({extensions.BASIC_CONSTRAINTS, extensions.KEY_USAGE})
#: asn1crypto names bit 1 as RFC 3280 did.
_USAGE_NAMES: Final = {"content-commitment": "non-repudiation"}


@dataclass(frozen=True, slots=True)
class Approved:
    """The required content of the extensions."""

    spec: ProfileSpec
    sans: tuple[GeneralName, ...]
    has_empty_subject: bool
    is_rsa: bool
    subject_key_identifier: bytes
    authority_key_identifier: bytes


def lint_extensions(listed: Value, approved: Approved) -> Iterator[Finding]:
    """Findings about the explicitly tagged extension list of a certificate.

    Raises NotReadable.
    """
    present: dict[str, bytes] = {}
    for extension in second_reader.sequence(second_reader.read(listed.contents)):
        members = second_reader.sequence(extension, 2)
        oid, is_critical = second_reader.oid(members[0]), len(members) == 3
        if oid in present:
            yield refuse("lint-extension", f"{_name(oid)}: present twice")
        if is_critical != _must_be_critical(oid, approved):
            yield refuse("lint-extension", f"{_name(oid)}: critical is {is_critical}")
        present[oid] = second_reader.expect(members[-1], second_reader.OCTET_STRING).contents
    expected = _wanted(approved)
    for oid in present.keys() - expected:
        yield refuse("lint-extension", f"{_name(oid)}: not given by the profile")
    for oid in expected - present.keys():
        yield refuse("lint-extension", f"{_name(oid)}: missing")
    for oid in present.keys() & expected:
        yield from _lint_value(oid, present[oid], approved)


def _name(oid: str) -> str:
    return extensions.NAMES.get(oid, oid)


def _must_be_critical(oid: str, approved: Approved) -> bool:
    return oid in _CRITICAL or (oid == extensions.SUBJECT_ALT_NAME and approved.has_empty_subject)


def _wanted(approved: Approved) -> set[str]:
    spec = approved.spec
    conditional = {
        extensions.EXTENDED_KEY_USAGE: bool(spec.extended_key_usages),
        extensions.SUBJECT_ALT_NAME: bool(approved.sans),
        extensions.CRL_DISTRIBUTION_POINTS: bool(spec.crl_url),
        extensions.AUTHORITY_INFO_ACCESS: bool(spec.ca_issuers_url or spec.ocsp_url),
    }
    always = {extensions.SUBJECT_KEY_IDENTIFIER, extensions.AUTHORITY_KEY_IDENTIFIER}
    return {*_CRITICAL, *always, *(oid for oid, is_wanted in conditional.items() if is_wanted)}


def _lint_value(oid: str, value: bytes, approved: Approved) -> Iterator[Finding]:
    if oid == extensions.SUBJECT_ALT_NAME:
        yield from _lint_names(value, approved)
    elif not _CHECKS[oid](value, approved):
        yield refuse(
            "lint-extension", f"{_name(oid)}: not the value that the profile and issuer give"
        )


def _is_authority_key_identifier(value: bytes, approved: Approved) -> bool:
    members = second_reader.sequence(second_reader.read(value), 1)
    return [(m.tag, m.contents) for m in members] == [(0x80, approved.authority_key_identifier)]


def _is_key_usage(value: bytes, approved: Approved) -> bool:
    key_algorithm = "rsa" if approved.is_rsa else "ec"
    granted_usages = extensions.key_usages_for(approved.spec.key_usages, key_algorithm)
    usages = second_reader.key_usages(value)
    return bool(usages) and usages == {
        _USAGE_NAMES.get(usage, usage).replace("-", "_") for usage in granted_usages
    }


def _is_extended_key_usage(value: bytes, approved: Approved) -> bool:
    return second_reader.key_purposes(value) == [
        extensions.extended_key_usage_oid(name) for name in approved.spec.extended_key_usages
    ]


def _lint_names(value: bytes, approved: Approved) -> Iterator[Finding]:
    names = second_reader.general_names(value)
    if names != approved.sans or len(set(names)) != len(names):
        yield refuse(
            "lint-san",
            f"subjectAltName {', '.join(map(str, names[:5]))}: not exactly the approved names",
        )
    for name in names:
        fault = general_name_fault(name, approved.spec.matching(name.kind, name.value))
        if fault is not None:
            yield refuse("lint-san", f"subjectAltName {name}: {fault}")
        if name.kind not in approved.spec.san_kinds:
            yield refuse("lint-san", f"subjectAltName {name}: kind not allowed by the profile")


def _is_information_access(value: bytes, approved: Approved) -> bool:
    spec = approved.spec
    expected = [
        (extensions.AD_OCSP, spec.ocsp_url),
        (extensions.AD_CA_ISSUERS, spec.ca_issuers_url),
    ]
    return second_reader.information_access(value) == [
        (method, url) for method, url in expected if url
    ]


_CHECKS: Final[dict[str, Callable[[bytes, Approved], bool]]] = {
    extensions.BASIC_CONSTRAINTS: lambda value, _: value == b"\x30\x00",
    extensions.KEY_USAGE: _is_key_usage,
    extensions.EXTENDED_KEY_USAGE: _is_extended_key_usage,
    extensions.SUBJECT_KEY_IDENTIFIER: lambda value, approved: (
        value == b"\x04\x14" + approved.subject_key_identifier
    ),
    extensions.AUTHORITY_KEY_IDENTIFIER: _is_authority_key_identifier,
    extensions.CRL_DISTRIBUTION_POINTS: lambda value, approved: (
        second_reader.distribution_points(value) == [approved.spec.crl_url]
    ),
    extensions.AUTHORITY_INFO_ACCESS: _is_information_access,
}
