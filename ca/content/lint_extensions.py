"""The extensions of a certificate against what the profile gives: all of them and no other, each
with its value.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from ca.content.profile_spec import ProfileSpec
from ca.x509 import asn1, extensions
from ca.x509.asn1 import TLV
from ca.x509.findings import Finding, refuse
from ca.x509.general_names import GeneralName, decode_general_names, general_name_fault

_CRITICAL: Final = frozenset({extensions.BASIC_CONSTRAINTS, extensions.KEY_USAGE})
_URI_TAG: Final = 0x86


@dataclass(frozen=True, slots=True)
class Approved:
    """What the extensions must say."""

    spec: ProfileSpec
    sans: tuple[GeneralName, ...]
    has_empty_subject: bool
    is_rsa: bool
    subject_key_identifier: bytes
    authority_key_identifier: bytes


def lint_extensions(tlv: TLV, approved: Approved) -> Iterator[Finding]:
    """Findings about the explicitly tagged extension list of a certificate.

    Raises Asn1Error or NameMalformed.
    """
    found: dict[str, bytes] = {}
    for extension in asn1.sequence(asn1.parse_exact(tlv.value)):
        members = asn1.sequence(extension, 2)
        oid, is_critical = asn1.oid(members[0]), len(members) == 3
        if oid in found:
            yield refuse("lint-extension", f"{_name(oid)}: present twice")
        if is_critical != _must_be_critical(oid, approved):
            yield refuse("lint-extension", f"{_name(oid)}: critical is {is_critical}")
        found[oid] = asn1.expect(members[-1], asn1.OCTET_STRING).value
    wanted = _wanted(approved)
    for oid in found.keys() - wanted:
        yield refuse("lint-extension", f"{_name(oid)}: not given by the profile")
    for oid in wanted - found.keys():
        yield refuse("lint-extension", f"{_name(oid)}: missing")
    for oid in found.keys() & wanted:
        yield from _lint_value(oid, found[oid], approved)


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
    members = asn1.sequence(asn1.parse_exact(value), 1)
    return [(m.tag, m.value) for m in members] == [(0x80, approved.authority_key_identifier)]


def _is_key_usage(value: bytes, approved: Approved) -> bool:
    body = asn1.expect(asn1.parse_exact(value), asn1.BIT_STRING).value
    usages = set(extensions.decode_key_usage(value))
    key_algorithm = "rsa" if approved.is_rsa else "ec"
    is_minimal = bool(body[-1]) and body[-1] & -body[-1] == 1 << body[0]
    return is_minimal and usages == set(
        extensions.key_usages_for(approved.spec.key_usages, key_algorithm)
    )


def _is_extended_key_usage(value: bytes, approved: Approved) -> bool:
    oids = [asn1.oid(tlv) for tlv in asn1.sequence(asn1.parse_exact(value))]
    return oids == [
        extensions.extended_key_usage_oid(name) for name in approved.spec.extended_key_usages
    ]


def _lint_names(value: bytes, approved: Approved) -> Iterator[Finding]:
    names = decode_general_names(value)
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


def _uris(value: bytes) -> list[str]:
    """The addresses of a CRLDistributionPoints value that consists of full names only."""
    found: list[str] = []
    for point in asn1.sequence(asn1.parse_exact(value)):
        for name in asn1.sequence(point):
            found += [_uri(uri) for full in asn1.children(name) for uri in asn1.children(full)]
    return found


def _uri(tlv: TLV) -> str:
    return asn1.expect(tlv, _URI_TAG).value.decode("ascii", "replace")


def _is_information_access(value: bytes, approved: Approved) -> bool:
    found = []
    for access in asn1.sequence(asn1.parse_exact(value)):
        method, address = asn1.sequence(access, 2)[:2]
        found.append((asn1.oid(method), _uri(address)))
    spec = approved.spec
    wanted = [(extensions.AD_OCSP, spec.ocsp_url), (extensions.AD_CA_ISSUERS, spec.ca_issuers_url)]
    return found == [(method, url) for method, url in wanted if url]


_CHECKS: Final[dict[str, Callable[[bytes, Approved], bool]]] = {
    extensions.BASIC_CONSTRAINTS: lambda value, _: value == b"\x30\x00",
    extensions.KEY_USAGE: _is_key_usage,
    extensions.EXTENDED_KEY_USAGE: _is_extended_key_usage,
    extensions.SUBJECT_KEY_IDENTIFIER: lambda value, approved: (
        value == b"\x04\x14" + approved.subject_key_identifier
    ),
    extensions.AUTHORITY_KEY_IDENTIFIER: _is_authority_key_identifier,
    extensions.CRL_DISTRIBUTION_POINTS: lambda value, approved: (
        _uris(value) == [approved.spec.crl_url]
    ),
    extensions.AUTHORITY_INFO_ACCESS: _is_information_access,
}
