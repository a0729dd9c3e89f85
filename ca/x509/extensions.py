"""Extensions by name: OIDs, key usages, purposes, and forbidden requests (RFC 5280 4.2)."""

from collections.abc import Sequence
from typing import Final, Protocol

from ca.x509 import asn1
from ca.x509.asn1 import Asn1Error
from ca.x509.bounds import prescan
from ca.x509.findings import Finding, refuse, warn

SUBJECT_KEY_IDENTIFIER: Final = "2.5.29.14"
KEY_USAGE: Final = "2.5.29.15"
SUBJECT_ALT_NAME: Final = "2.5.29.17"
BASIC_CONSTRAINTS: Final = "2.5.29.19"
CRL_NUMBER: Final = "2.5.29.20"
CRL_REASON: Final = "2.5.29.21"
INVALIDITY_DATE: Final = "2.5.29.24"
CRL_DISTRIBUTION_POINTS: Final = "2.5.29.31"
AUTHORITY_KEY_IDENTIFIER: Final = "2.5.29.35"
EXTENDED_KEY_USAGE: Final = "2.5.29.37"
AUTHORITY_INFO_ACCESS: Final = "1.3.6.1.5.5.7.1.1"
OCSP_NO_CHECK: Final = "1.3.6.1.5.5.7.48.1.5"
AD_OCSP: Final = "1.3.6.1.5.5.7.48.1"
AD_CA_ISSUERS: Final = "1.3.6.1.5.5.7.48.2"

NAMES: Final = {
    SUBJECT_KEY_IDENTIFIER: "subjectKeyIdentifier",
    KEY_USAGE: "keyUsage",
    SUBJECT_ALT_NAME: "subjectAltName",
    "2.5.29.18": "issuerAltName",
    BASIC_CONSTRAINTS: "basicConstraints",
    "2.5.29.30": "nameConstraints",
    CRL_DISTRIBUTION_POINTS: "cRLDistributionPoints",
    "2.5.29.32": "certificatePolicies",
    "2.5.29.33": "policyMappings",
    AUTHORITY_KEY_IDENTIFIER: "authorityKeyIdentifier",
    "2.5.29.36": "policyConstraints",
    EXTENDED_KEY_USAGE: "extendedKeyUsage",
    "2.5.29.54": "inhibitAnyPolicy",
    AUTHORITY_INFO_ACCESS: "authorityInfoAccess",
    "1.3.6.1.4.1.311.20.2": "Microsoft template name",
    "1.3.6.1.4.1.311.21.7": "Microsoft template information",
    "1.3.6.1.4.1.311.21.10": "Microsoft application policies",
    "1.3.6.1.4.1.311.25.2": "Active Directory security identifier",
}
# CRLReason of RFC 5280 5.3.1, as far as full CRLs over devices have them. `unspecified` is no
# extension at all.
CRL_REASON_CODES: Final = {
    "keyCompromise": 1,
    "affiliationChanged": 3,
    "superseded": 4,
    "cessationOfOperation": 5,
    "certificateHold": 6,
    "privilegeWithdrawn": 9,
}
# Only a certification authority may carry these.
_AUTHORITY_ONLY: Final = frozenset({"2.5.29.30", "2.5.29.33", "2.5.29.36", "2.5.29.54"})

# Bit numbers of RFC 5280 4.2.1.3.
KEY_USAGE_BITS: Final = {
    "digital-signature": 0,
    "content-commitment": 1,
    "key-encipherment": 2,
    "data-encipherment": 3,
    "key-agreement": 4,
    "key-cert-sign": 5,
    "crl-sign": 6,
    "encipher-only": 7,
    "decipher-only": 8,
}
AUTHORITY_KEY_USAGES: Final = frozenset({"key-cert-sign", "crl-sign"})
RSA_ONLY_KEY_USAGES: Final = frozenset({"key-encipherment", "data-encipherment"})
EC_ONLY_KEY_USAGES: Final = frozenset({"key-agreement"})

EXTENDED_KEY_USAGE_OIDS: Final = {
    "server-auth": "1.3.6.1.5.5.7.3.1",
    "client-auth": "1.3.6.1.5.5.7.3.2",
    "code-signing": "1.3.6.1.5.5.7.3.3",
    "email-protection": "1.3.6.1.5.5.7.3.4",
    "time-stamping": "1.3.6.1.5.5.7.3.8",
    "ocsp-signing": "1.3.6.1.5.5.7.3.9",
    "eap-over-ppp": "1.3.6.1.5.5.7.3.13",
    "eap-over-lan": "1.3.6.1.5.5.7.3.14",
    "ipsec-ike": "1.3.6.1.5.5.7.3.17",
    "ike-intermediate": "1.3.6.1.5.5.8.2.2",
    "smartcard-logon": "1.3.6.1.4.1.311.20.2.2",
    "any": "2.5.29.37.0",
}
_EXTENDED_KEY_USAGE_NAMES: Final = {oid: name for name, oid in EXTENDED_KEY_USAGE_OIDS.items()}


class Requested(Protocol):
    """The parts of a requested extension that are needed here."""

    @property
    def oid(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> bytes: ...


def key_usages_for(key_usages: Sequence[str], key_algorithm: str) -> tuple[str, ...]:
    """Return the granted key usages that fit the key (RFC 8813 3): an EC key enciphers no keys."""
    impossible = RSA_ONLY_KEY_USAGES if key_algorithm == "ec" else EC_ONLY_KEY_USAGES
    return tuple(usage for usage in key_usages if usage not in impossible)


def decode_key_usage(value: bytes) -> tuple[str, ...]:
    """The names of the bits set. Raises Asn1Error."""
    body = asn1.expect(asn1.parse_exact(value), asn1.BIT_STRING).value
    if not 1 <= len(body) <= 3 or body[0] > 7:
        raise Asn1Error(f"keyUsage of {len(body)} bytes")
    bits = int.from_bytes(body[1:], "big") << (16 - 8 * (len(body) - 1))
    return tuple(name for name, bit in KEY_USAGE_BITS.items() if bits & 0x8000 >> bit)


def decode_extended_key_usage(value: bytes) -> tuple[str, ...]:
    """The purposes by name where known, else as dotted OID. Raises Asn1Error."""
    oids = map(asn1.oid, asn1.sequence(asn1.parse_exact(value), 1))
    return tuple(_EXTENDED_KEY_USAGE_NAMES.get(oid, oid) for oid in oids)


def extended_key_usage_oid(name: str) -> str:
    return EXTENDED_KEY_USAGE_OIDS.get(name, name)


def check_requested(
    requested: Sequence[Requested], *, key_usages: Sequence[str], extended_key_usages: Sequence[str]
) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """Return findings, and the names of dropped extensions.

    Nothing is copied; extensions that the profile grants anyway make no finding.
    """
    findings: list[Finding] = []
    dropped: list[str] = []
    for extension in requested:
        try:
            prescan(extension.value)
            finding = _check_one(extension, key_usages, extended_key_usages)
        except Asn1Error:
            finding = refuse("extension-malformed", f"requested {extension.name}: cannot be read")
        if finding is not None:
            findings.append(finding)
            dropped.append(extension.name)
    return tuple(findings), tuple(dropped)


def _check_one(
    extension: Requested, key_usages: Sequence[str], extended_key_usages: Sequence[str]
) -> Finding | None:
    if extension.oid in _AUTHORITY_ONLY:
        return refuse(
            "extension-forbidden",
            f"requested {extension.name}: only a certification authority has it",
        )
    match extension.oid:
        case (
            "2.5.29.17" | "2.5.29.14"
        ):  # the names are checked one by one; the key identifier is computed
            return None
        case "2.5.29.19":
            return _check_basic_constraints(extension.value)
        case "2.5.29.15":
            return _check_key_usage(decode_key_usage(extension.value), key_usages)
        case "2.5.29.37":
            return _check_purposes(decode_extended_key_usage(extension.value), extended_key_usages)
        case _:
            return warn("extension-dropped", f"requested {extension.name}: not issued")


def _check_basic_constraints(value: bytes) -> Finding | None:
    members = asn1.sequence(asn1.parse_exact(value))
    if not members or [(m.tag, m.value) for m in members] == [(asn1.BOOLEAN, b"\x00")]:
        return None
    return refuse(
        "extension-forbidden", "requested basicConstraints: a device is no certification authority"
    )


def _check_key_usage(usages: Sequence[str], granted: Sequence[str]) -> Finding | None:
    authority = [usage for usage in usages if usage in AUTHORITY_KEY_USAGES]
    if authority:
        return refuse(
            "extension-forbidden", f"requested keyUsage {', '.join(authority)}: never for a device"
        )
    return _not_granted("keyUsage", usages, granted)


def _check_purposes(usages: Sequence[str], granted: Sequence[str]) -> Finding | None:
    return _not_granted("extendedKeyUsage", usages, granted)


def _not_granted(name: str, usages: Sequence[str], granted: Sequence[str]) -> Finding | None:
    extra = [usage for usage in usages if usage not in granted]
    if not extra:
        return None
    return warn(
        "extension-dropped", f"requested {name} {', '.join(extra[:8])}: not granted by the profile"
    )
