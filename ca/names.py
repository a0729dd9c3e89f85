"""Distinguished names and general names (RFC 5280 4.1.2.4, 4.2.1.6, appendix A): read tolerantly, written strictly."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Final, Literal, cast, get_args
from urllib.parse import urlsplit

from ca import asn1
from ca.asn1 import TLV, Asn1Error
from ca.findings import Finding
from ca.text import punycode_shown, text_findings, visible

__all__ = [
    "ATTRIBUTE_TYPES",
    "MAX_GENERAL_NAMES",
    "MAX_RDNS",
    "AttributeType",
    "DistinguishedName",
    "Finding",
    "GeneralName",
    "GeneralNameKind",
    "NameAttribute",
    "NameMalformed",
    "attribute_tag",
    "build_name",
    "build_rdns",
    "decode_general_names",
    "decode_name",
    "decode_text",
    "encode_general_names",
    "general_name",
    "general_name_fault",
    "punycode_shown",
    "text_findings",
    "visible",
]

MAX_RDNS: Final = 32
MAX_GENERAL_NAMES: Final = 100
MAX_DNS_LENGTH: Final = 253
#: Of one name as encoded. Every upper bound of RFC 5280 appendix A together is less; each character costs a look.
MAX_NAME_BYTES: Final = 8_192
#: Of all names of a subjectAltName: 100 DNS names of the greatest length, and more.
MAX_GENERAL_NAMES_BYTES: Final = 32_768


class NameMalformed(ValueError):
    """A Name or GeneralNames value that cannot be read."""


@dataclass(frozen=True, slots=True)
class AttributeType:
    """A subject attribute that may stand in a certificate: upper bound in characters and string type written."""

    name: str
    oid: str
    max_length: int
    tag: int = asn1.UTF8_STRING


_TYPES: Final = (
    AttributeType("CN", "2.5.4.3", 64),
    AttributeType("SN", "2.5.4.4", 64),
    AttributeType("serialNumber", "2.5.4.5", 64, asn1.PRINTABLE_STRING),
    AttributeType("C", "2.5.4.6", 2, asn1.PRINTABLE_STRING),
    AttributeType("L", "2.5.4.7", 128),
    AttributeType("ST", "2.5.4.8", 128),
    AttributeType("street", "2.5.4.9", 128),
    AttributeType("O", "2.5.4.10", 64),
    AttributeType("OU", "2.5.4.11", 64),
    AttributeType("title", "2.5.4.12", 64),
    AttributeType("GN", "2.5.4.42", 64),
    AttributeType("UID", "0.9.2342.19200300.100.1.1", 128),
    AttributeType("DC", "0.9.2342.19200300.100.1.25", 63, asn1.IA5_STRING),
    AttributeType("emailAddress", "1.2.840.113549.1.9.1", 255, asn1.IA5_STRING),
    # Cisco routers put these two, and serialNumber, into the subject.
    AttributeType("unstructuredName", "1.2.840.113549.1.9.2", 255),
    AttributeType("unstructuredAddress", "1.2.840.113549.1.9.8", 255),
)
ATTRIBUTE_TYPES: Final = {kind.name: kind for kind in _TYPES}
_TYPE_BY_OID: Final = {kind.oid: kind for kind in _TYPES}

_ENCODINGS: Final = {
    asn1.UTF8_STRING: "utf-8",
    asn1.PRINTABLE_STRING: "ascii",  # read tolerantly: clients put @, * and _ into it
    asn1.IA5_STRING: "ascii",
    0x12: "ascii",  # NumericString
    0x1A: "ascii",  # VisibleString
    asn1.T61_STRING: "latin-1",
    asn1.BMP_STRING: "utf-16-be",
    asn1.UNIVERSAL_STRING: "utf-32-be",
}
_PRINTABLE: Final = re.compile(r"[A-Za-z0-9 '()+,\-./:=?]*")


@dataclass(frozen=True, slots=True)
class NameAttribute:
    """One attribute of a name; `tag` is its ASN.1 string type."""

    oid: str
    value: str
    tag: int

    @property
    def name(self) -> str:
        """The short name, such as "CN", else the dotted OID."""
        kind = _TYPE_BY_OID.get(self.oid)
        return self.oid if kind is None else kind.name


@dataclass(frozen=True, slots=True)
class DistinguishedName:
    """A name in the order of its encoding: relative names of one attribute or several.

    `der` is exactly what was read or will be written.
    """

    rdns: tuple[tuple[NameAttribute, ...], ...]
    der: bytes

    @property
    def attributes(self) -> tuple[NameAttribute, ...]:
        """Every attribute of every relative name."""
        return tuple(chain.from_iterable(self.rdns))

    @property
    def is_multi_valued(self) -> bool:
        """Whether a relative name has several attributes."""
        return any(len(rdn) > 1 for rdn in self.rdns)

    def __str__(self) -> str:
        return ", ".join("+".join(f"{a.name}={_escaped(a.value)}" for a in rdn) for rdn in self.rdns)

    def values(self, name: str) -> tuple[str, ...]:
        """All values of the attribute with this short name or OID."""
        return tuple(a.value for a in self.attributes if a.name == name)


def _escaped(value: str) -> str:
    return visible(re.sub(r"([,=+\\])", r"\\\1", value))


def decode_text(tlv: TLV) -> str:
    """The text of an ASN.1 string of any type. Raises NameMalformed: no string, or not valid in its encoding."""
    encoding = _ENCODINGS.get(tlv.tag)
    if encoding is None:
        raise NameMalformed(f"{asn1.tag_name(tlv.tag)}: not a text type")
    try:
        return tlv.value.decode(encoding)
    except UnicodeDecodeError:
        raise NameMalformed(f"{asn1.tag_name(tlv.tag)} whose text is not valid {encoding}") from None


def decode_name(der: bytes) -> DistinguishedName:
    """Read a Name. Raises NameMalformed: not a Name, more than 32 relative names, or more than 8 KiB."""
    _check_size("name", der, MAX_NAME_BYTES)
    try:
        return _decode_name(der)
    except Asn1Error as error:
        raise NameMalformed(f"name: {error}") from error


def _check_size(what: str, der: bytes, most: int) -> None:
    if len(der) > most:
        raise NameMalformed(f"{what} of {len(der)} bytes: at most {most}")


def _decode_name(der: bytes) -> DistinguishedName:
    rdns = asn1.sequence(asn1.parse_exact(der))
    if len(rdns) > MAX_RDNS:
        raise NameMalformed(f"name of {len(rdns)} parts: at most {MAX_RDNS}")
    found: list[tuple[NameAttribute, ...]] = []
    count = 0
    for rdn in rdns:
        members = asn1.children(asn1.expect(rdn, asn1.SET))
        count += len(members)
        if not members or count > MAX_RDNS:
            raise NameMalformed(f"name part of {len(members)} attributes: 1 to {MAX_RDNS} in all")
        found.append(tuple(map(_decode_attribute, members)))
    return DistinguishedName(tuple(found), der)


def _decode_attribute(tlv: TLV) -> NameAttribute:
    members = asn1.sequence(tlv, 2)
    if len(members) != 2:
        raise NameMalformed(f"name attribute of {len(members)} members: type and value are needed")
    oid = asn1.oid(members[0])
    try:
        return NameAttribute(oid, decode_text(members[1]), members[1].tag)
    except NameMalformed as error:
        kind = _TYPE_BY_OID.get(oid)
        raise NameMalformed(f"name attribute {kind.name if kind else oid}: {error}") from error


def attribute_tag(oid: str, value: str) -> int:
    """The string type written for a value: PrintableString or IA5String where RFC 5280 names them, else UTF8String."""
    kind = _TYPE_BY_OID.get(oid)
    if kind is None or kind.tag == asn1.UTF8_STRING:
        return asn1.UTF8_STRING
    if kind.tag == asn1.PRINTABLE_STRING:
        return asn1.PRINTABLE_STRING if _PRINTABLE.fullmatch(value) else asn1.UTF8_STRING
    return asn1.IA5_STRING if value.isascii() else asn1.UTF8_STRING


def build_name(attributes: Iterable[tuple[str, str]]) -> DistinguishedName:
    """Write a Name from pairs of (short name or OID, value), one attribute in each relative name."""
    return build_rdns([pair] for pair in attributes)


def build_rdns(rdns: Iterable[Iterable[tuple[str, str]]]) -> DistinguishedName:
    """Write a Name from relative names, each of pairs as for `build_name`; within one, DER has its own order."""
    written: list[tuple[NameAttribute, ...]] = []
    parts: list[bytes] = []
    for rdn in rdns:
        members = sorted(map(_written_attribute, rdn), key=lambda member: member[1])
        written.append(tuple(attribute for attribute, _ in members))
        parts.append(asn1.der_set(*(encoded for _, encoded in members)))
    return DistinguishedName(tuple(written), asn1.der_sequence(*parts))


def _written_attribute(pair: tuple[str, str]) -> tuple[NameAttribute, bytes]:
    name, value = pair
    oid = ATTRIBUTE_TYPES[name].oid if name in ATTRIBUTE_TYPES else name
    tag = attribute_tag(oid, value)
    encoded = asn1.der(tag, value.encode(_ENCODINGS[tag]))
    return NameAttribute(oid, value, tag), asn1.der_sequence(_oid_der(oid), encoded)


@lru_cache(maxsize=256)
def _oid_der(oid: str) -> bytes:
    return asn1.der_oid(oid)


# -------------------------------------------------------------------------------------------------- general names

GeneralNameKind = Literal["dns", "ip", "email", "uri", "upn", "dirname", "rid", "other"]
_UPN_OID: Final = "1.3.6.1.4.1.311.20.2.3"
_IA5_KINDS: Final[dict[int, GeneralNameKind]] = {0x81: "email", 0x82: "dns", 0x86: "uri"}
_IA5_TAGS: Final = {kind: tag for tag, kind in _IA5_KINDS.items()}


@dataclass(frozen=True, slots=True)
class GeneralName:
    """One name of a subjectAltName; of an unknown kind the value is its OID or tag and its bytes in hex."""

    kind: GeneralNameKind
    value: str
    der: bytes

    def __str__(self) -> str:
        return f"{self.kind}:{visible(self.value)}"


def general_name(kind: str, value: str) -> GeneralName:
    """Write a general name of kind dns, ip, email, uri or upn. ValueError: another kind, or no such value."""
    if kind not in get_args(GeneralNameKind):
        raise ValueError(f"general name of kind {kind!r}: dns, ip, email, uri or upn is needed")
    known = cast("GeneralNameKind", kind)
    if known in _IA5_TAGS:
        return GeneralName(known, value, asn1.der(_IA5_TAGS[known], value.encode("ascii")))
    if known == "ip":
        return GeneralName(known, value, asn1.der(0x87, ipaddress.ip_address(value).packed))
    if known == "upn":
        text = asn1.der(asn1.UTF8_STRING, value.encode())
        return GeneralName(known, value, asn1.der_context(0, _oid_der(_UPN_OID), asn1.der_context(0, text)))
    raise ValueError(f"general name of kind {kind!r}: dns, ip, email, uri or upn is needed")


def encode_general_names(names: Iterable[GeneralName]) -> bytes:
    return asn1.der_sequence(*(name.der for name in names))


def decode_general_names(der: bytes) -> tuple[GeneralName, ...]:
    """Read a GeneralNames value. Raises NameMalformed: unreadable, none or more than 100 names, or too large."""
    _check_size("subjectAltName", der, MAX_GENERAL_NAMES_BYTES)
    try:
        asn1.prescan(der)
        members = asn1.sequence(asn1.parse_exact(der))
        if not 1 <= len(members) <= MAX_GENERAL_NAMES:
            raise NameMalformed(f"subjectAltName of {len(members)} names: 1 to {MAX_GENERAL_NAMES}")
        return tuple(map(_decode_general_name, members))
    except Asn1Error as error:
        raise NameMalformed(f"subjectAltName: {error}") from error


def _decode_general_name(tlv: TLV) -> GeneralName:
    _check_size("a name of the subjectAltName", tlv.raw, MAX_NAME_BYTES)
    if tlv.tag in _IA5_KINDS:
        kind = _IA5_KINDS[tlv.tag]
        if not tlv.value.isascii():
            raise NameMalformed(f"subjectAltName {kind}: not ASCII; an internationalized name is written as xn--")
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


# ------------------------------------------------------------------------------------------------------- well formed

_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LABEL_WITH_UNDERSCORE: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_LOCAL_PART: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
#: Schemes have no case (RFC 3986 §3.1).
_URI: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):[!-~]+")
_UPN: Final = re.compile(r"[^@\s]+@[^@\s]+")


def general_name_fault(name: GeneralName, patterns: Sequence[str] | None = ()) -> str | None:
    """Why the name is not well formed (RFC 5280 4.2.1.6, RFC 1123 2.1), or None. A leading `*.` is well formed here.

    `patterns` are those of a profile that the name matches: one that has an underscore itself admits it in a DNS name,
    one that has the scheme itself admits a URI without a host (`urn:`, `tag:`). None: as if there were such a pattern.
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
    found = _URI.fullmatch(value)
    try:
        host = urlsplit(value).hostname
    except ValueError:
        host = None
    if found is None or (host is None and value.partition(":")[2].startswith("//")):
        return "scheme://host in ASCII is needed"
    if host is None and not _is_scheme_named(found[1], patterns):
        return f"without a host it is issued only where a pattern of the profile has its scheme, {found[1].lower()}:"
    return None


def _is_scheme_named(scheme: str, patterns: Sequence[str] | None) -> bool:
    """Whether one of the patterns has the scheme as a word: `urn:uuid:.*` and `(urn|tag):.*` do, `.*` does not."""
    if patterns is None:
        return True
    word = re.compile(rf"(?<![a-z0-9]){re.escape(scheme)}(?![a-z0-9])", re.IGNORECASE)
    return any(word.search(pattern) for pattern in patterns)
