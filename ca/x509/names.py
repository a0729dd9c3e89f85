"""Distinguished names (RFC 5280 4.1.2.4, appendix A): read tolerantly, written strictly."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Final

from ca.x509 import asn1
from ca.x509.asn1 import TLV, Asn1Error
from ca.x509.text import visible

MAX_RDNS: Final = 32
#: Of one encoded name. All upper bounds of RFC 5280 appendix A together are less; each character
#: costs time.
MAX_NAME_BYTES: Final = 8_192


class NameMalformed(ValueError):
    """A Name or GeneralNames value that cannot be read."""


@dataclass(frozen=True, slots=True)
class AttributeType:
    """A subject attribute of certificates: its maximum length and its string type."""

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

    `der` holds exactly the read or written bytes.
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
        return ", ".join(
            "+".join(f"{a.name}={_escaped(a.value)}" for a in rdn) for rdn in self.rdns
        )

    def values(self, name: str) -> tuple[str, ...]:
        """All values of the attribute with this short name or OID."""
        return tuple(a.value for a in self.attributes if a.name == name)


def _escaped(value: str) -> str:
    return visible(re.sub(r"([,=+\\])", r"\\\1", value))


def decode_text(tlv: TLV) -> str:
    """Return the text of an ASN.1 string of any type.

    Raises NameMalformed for another type, or an invalid encoding.
    """
    encoding = _ENCODINGS.get(tlv.tag)
    if encoding is None:
        raise NameMalformed(f"{asn1.tag_name(tlv.tag)}: not a text type")
    try:
        return tlv.value.decode(encoding)
    except UnicodeDecodeError:
        raise NameMalformed(
            f"{asn1.tag_name(tlv.tag)} whose text is not valid {encoding}"
        ) from None


def decode_name(der: bytes) -> DistinguishedName:
    """Read a Name. Raises NameMalformed; limits are 32 relative names and 8 KiB."""
    check_size("name", der, MAX_NAME_BYTES)
    try:
        return _decode_name(der)
    except Asn1Error as error:
        raise NameMalformed(f"name: {error}") from error


def check_size(what: str, der: bytes, most: int) -> None:
    """Refuse an encoding of more than so many bytes. Raises NameMalformed."""
    if len(der) > most:
        raise NameMalformed(f"{what} of {len(der)} bytes: at most {most}")


def _decode_name(der: bytes) -> DistinguishedName:
    rdns = asn1.sequence(asn1.parse_exact(der))
    if len(rdns) > MAX_RDNS:
        raise NameMalformed(f"name of {len(rdns)} parts: at most {MAX_RDNS}")
    relative_names: list[tuple[NameAttribute, ...]] = []
    count = 0
    for rdn in rdns:
        members = asn1.children(asn1.expect(rdn, asn1.SET))
        count += len(members)
        if not members or count > MAX_RDNS:
            raise NameMalformed(f"name part of {len(members)} attributes: 1 to {MAX_RDNS} in all")
        relative_names.append(tuple(map(_decode_attribute, members)))
    return DistinguishedName(tuple(relative_names), der)


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
    """Return the string type of a value: Printable or IA5 as RFC 5280 requires, else UTF8String."""
    kind = _TYPE_BY_OID.get(oid)
    if kind is None or kind.tag == asn1.UTF8_STRING:
        return asn1.UTF8_STRING
    if kind.tag == asn1.PRINTABLE_STRING:
        return asn1.PRINTABLE_STRING if _PRINTABLE.fullmatch(value) else asn1.UTF8_STRING
    return asn1.IA5_STRING if value.isascii() else asn1.UTF8_STRING


def build_name(attributes: Iterable[tuple[str, str]]) -> DistinguishedName:
    """Encode a Name from (short name or OID, value) pairs, one attribute per relative name."""
    return build_rdns([pair] for pair in attributes)


def build_rdns(rdns: Iterable[Iterable[tuple[str, str]]]) -> DistinguishedName:
    """Encode a Name from relative names, each with pairs as for `build_name`, in DER order."""
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
    return NameAttribute(oid, value, tag), asn1.der_sequence(oid_der(oid), encoded)


@lru_cache(maxsize=256)
def oid_der(oid: str) -> bytes:
    """The encoding of an object identifier; names have few of them."""
    return asn1.der_oid(oid)
