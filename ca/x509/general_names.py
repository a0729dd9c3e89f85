"""General names (RFC 5280 4.2.1.6): read tolerantly, written strictly."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast, get_args
from urllib.parse import urlsplit

from ca.x509 import asn1
from ca.x509.asn1 import TLV, Asn1Error
from ca.x509.bounds import prescan
from ca.x509.names import (
    MAX_NAME_BYTES,
    NameMalformed,
    check_size,
    decode_name,
    decode_text,
    oid_der,
)
from ca.x509.text import visible

MAX_GENERAL_NAMES: Final = 100
MAX_DNS_LENGTH: Final = 253
#: Of all names of a subjectAltName: more than 100 DNS names of maximum length.
MAX_GENERAL_NAMES_BYTES: Final = 32_768

GeneralNameKind = Literal["dns", "ip", "email", "uri", "upn", "dirname", "rid", "other"]
_UPN_OID: Final = "1.3.6.1.4.1.311.20.2.3"
_IA5_KINDS: Final[dict[int, GeneralNameKind]] = {0x81: "email", 0x82: "dns", 0x86: "uri"}
_IA5_TAGS: Final = {kind: tag for tag, kind in _IA5_KINDS.items()}


@dataclass(frozen=True, slots=True)
class GeneralName:
    """One name of a subjectAltName; an unknown kind has its OID or tag and its bytes in hex."""

    kind: GeneralNameKind
    value: str
    der: bytes

    def __str__(self) -> str:
        return f"{self.kind}:{visible(self.value)}"


def general_name(kind: str, value: str) -> GeneralName:
    """Encode a general name of kind dns, ip, email, uri or upn.

    Raises ValueError for another kind, or an invalid value.
    """
    if kind not in get_args(GeneralNameKind):
        raise ValueError(f"general name of kind {kind!r}: dns, ip, email, uri or upn is needed")
    name_kind = cast("GeneralNameKind", kind)
    if name_kind in _IA5_TAGS:
        return GeneralName(name_kind, value, asn1.der(_IA5_TAGS[name_kind], value.encode("ascii")))
    if name_kind == "ip":
        return GeneralName(name_kind, value, asn1.der(0x87, ipaddress.ip_address(value).packed))
    if name_kind == "upn":
        text = asn1.der(asn1.UTF8_STRING, value.encode())
        return GeneralName(
            name_kind, value, asn1.der_context(0, oid_der(_UPN_OID), asn1.der_context(0, text))
        )
    raise ValueError(f"general name of kind {kind!r}: dns, ip, email, uri or upn is needed")


def encode_general_names(names: Iterable[GeneralName]) -> bytes:
    return asn1.der_sequence(*(name.der for name in names))


def decode_general_names(der: bytes) -> tuple[GeneralName, ...]:
    """Read a GeneralNames value.

    Raises NameMalformed: unreadable, empty, more than 100 names, or too large.
    """
    check_size("subjectAltName", der, MAX_GENERAL_NAMES_BYTES)
    try:
        prescan(der)
        members = asn1.sequence(asn1.parse_exact(der))
        if not 1 <= len(members) <= MAX_GENERAL_NAMES:
            raise NameMalformed(f"subjectAltName of {len(members)} names: 1 to {MAX_GENERAL_NAMES}")
        return tuple(map(_decode_general_name, members))
    except Asn1Error as error:
        raise NameMalformed(f"subjectAltName: {error}") from error


def _decode_general_name(tlv: TLV) -> GeneralName:
    check_size("a name of the subjectAltName", tlv.raw, MAX_NAME_BYTES)
    if tlv.tag in _IA5_KINDS:
        kind = _IA5_KINDS[tlv.tag]
        if not tlv.value.isascii():
            raise NameMalformed(
                f"subjectAltName {kind}: not ASCII; an internationalized name is written as xn--"
            )
        return GeneralName(kind, tlv.value.decode("ascii"), tlv.raw)
    match tlv.tag:
        case 0x87:
            if len(tlv.value) not in {4, 16}:
                raise NameMalformed(f"subjectAltName ip of {len(tlv.value)} bytes: 4 or 16")
            return GeneralName("ip", str(ipaddress.ip_address(tlv.value)), tlv.raw)
        case 0xA0:
            return _decode_other_name(tlv)
        case 0xA4:
            return GeneralName("dirname", str(decode_name(tlv.value)), tlv.raw)
        case 0x88:
            return GeneralName("rid", asn1.oid(asn1.parse_exact(b"\x06" + tlv.raw[1:])), tlv.raw)
        case _:
            return GeneralName("other", f"tag {tlv.tag:#04x} {tlv.value.hex()}", tlv.raw)


def _decode_other_name(tlv: TLV) -> GeneralName:
    members = asn1.children(tlv)
    if len(members) != 2 or members[1].tag != 0xA0:
        raise NameMalformed("subjectAltName otherName: type and value are needed")
    oid = asn1.oid(members[0])
    if oid == _UPN_OID:
        return GeneralName("upn", decode_text(asn1.parse_exact(members[1].value)), tlv.raw)
    return GeneralName("other", f"{oid} {members[1].value.hex()}", tlv.raw)


# -------------------------------------------------------------------------------------- well formed

_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LABEL_WITH_UNDERSCORE: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_LOCAL_PART: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
)
#: Schemes have no case (RFC 3986 §3.1).
_URI: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):[!-~]+")
_UPN: Final = re.compile(r"[^@\s]+@[^@\s]+")


def general_name_fault(name: GeneralName, patterns: Sequence[str] | None = ()) -> str | None:
    """Return why the name is not well formed (RFC 5280 4.2.1.6, RFC 1123 2.1), or None.

    A leading `*.` is well formed here. `patterns` are those of a profile that the name matches: one
    that has an underscore itself admits it in a DNS name, one that has the scheme itself admits a
    URI without a host (`urn:`, `tag:`). None: as if there were such a pattern.
    """
    match name.kind:
        case "dns":
            has_underscore = patterns is None or any("_" in pattern for pattern in patterns)
            return _dns_fault(name.value.removeprefix("*."), has_underscore=has_underscore)
        case "ip":
            return None
        case "email":
            return _email_fault(name.value)
        case "uri":
            return _uri_fault(name.value, patterns)
        case "upn":
            return None if _UPN.fullmatch(name.value) else "user@realm is needed"
        case _:
            return "names of this kind are not issued"


def _dns_fault(value: str, *, has_underscore: bool = False) -> str | None:
    if not 1 <= len(value) <= MAX_DNS_LENGTH:
        return f"{len(value)} characters: 1 to {MAX_DNS_LENGTH}"
    labels = value.split(".")
    label = _LABEL_WITH_UNDERSCORE if has_underscore else _LABEL
    if not all(map(label.fullmatch, labels)):
        if all(map(_LABEL_WITH_UNDERSCORE.fullmatch, labels)):
            return "an underscore is issued only where a pattern of the profile has one"
        return "labels of a-z, 0-9 and inner hyphens are needed, 1 to 63 characters each"
    if labels[-1].isdigit():
        return "an IP address or number, not a host name"
    return None


def _email_fault(value: str) -> str | None:
    local, at, domain = value.rpartition("@")
    if not at or len(local) > 64 or not _LOCAL_PART.fullmatch(local):
        return "mailbox@domain is needed"
    return _dns_fault(domain.lower())


def _uri_fault(value: str, patterns: Sequence[str] | None) -> str | None:
    match = _URI.fullmatch(value)
    try:
        host = urlsplit(value).hostname
    except ValueError:
        host = None
    if match is None or (host is None and value.partition(":")[2].startswith("//")):
        return "scheme://host in ASCII is needed"
    if host is None and not _is_scheme_named(match[1], patterns):
        return (
            "without a host it is issued only where a pattern of the profile has its scheme, "
            f"{match[1].lower()}:"
        )
    return None


def _is_scheme_named(scheme: str, patterns: Sequence[str] | None) -> bool:
    """Whether a pattern has the scheme as a word: `urn:uuid:.*` and `(urn|tag):.*` do.

    `.*` does not.
    """
    if patterns is None:
        return True
    word = re.compile(rf"(?<![a-z0-9]){re.escape(scheme)}(?![a-z0-9])", re.IGNORECASE)
    return any(word.search(pattern) for pattern in patterns)
