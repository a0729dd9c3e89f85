"""A second reader for what the portal itself wrote: asn1crypto, which shares nothing with
`ca.x509.asn1` (ADR 8).

The builder and the reader of requests stand on the same code; read by that code, a mistake in it
would hide itself. asn1crypto reads tolerantly: what must be DER is written again here and compared.
Only `prescan` is shared. It comes first, and it can only refuse.

PURE.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache, wraps
from typing import Final, NamedTuple, ParamSpec, TypeVar

from asn1crypto import core, parser, x509

from ca.x509.asn1 import tag_name
from ca.x509.bounds import prescan
from ca.x509.general_names import GeneralName, GeneralNameKind
from ca.x509.names import DistinguishedName, NameAttribute

CONSTRUCTED: Final = 0x20
BOOLEAN: Final[int] = core.Boolean.tag
INTEGER: Final[int] = core.Integer.tag
BIT_STRING: Final[int] = core.BitString.tag
OCTET_STRING: Final[int] = core.OctetString.tag
OBJECT_IDENTIFIER: Final[int] = core.ObjectIdentifier.tag
UTC_TIME: Final[int] = core.UTCTime.tag
SEQUENCE: Final[int] = CONSTRUCTED | core.Sequence.tag
SET: Final[int] = CONSTRUCTED | core.Set.tag

_TEXTS: Final = {
    kind.tag: kind
    for kind in (
        core.UTF8String,
        core.PrintableString,
        core.IA5String,
        core.NumericString,
        core.VisibleString,
        core.TeletexString,
        core.BMPString,
        core.UniversalString,
    )
}
_ASCII: Final = frozenset(
    kind.tag
    for kind in (core.PrintableString, core.IA5String, core.NumericString, core.VisibleString)
)
_TIMES: Final = {kind.tag: kind for kind in (core.UTCTime, core.GeneralizedTime)}
_URI: Final = "uniform_resource_identifier"
_KINDS: Final[dict[str, GeneralNameKind]] = {
    "dns_name": "dns",
    "rfc822_name": "email",
    _URI: "uri",
    "ip_address": "ip",
}
_UPN: Final = "1.3.6.1.4.1.311.20.2.3"

#: What asn1crypto raises for bad bytes, at once or late: it reads when it is asked.
UNREADABLE: Final = (ValueError, TypeError, AttributeError, LookupError, OverflowError)

P = ParamSpec("P")
R = TypeVar("R")


class NotReadable(ValueError):
    """The bytes are not what they should be, or exceed a limit."""


class Value(NamedTuple):
    """One value as asn1crypto parsed it; `tag` is the identifier octet, `start` where it begins."""

    start: int
    tag: int
    header: bytes
    contents: bytes
    trailer: bytes

    @property
    def raw(self) -> bytes:
        """The whole value as it stands."""
        return self.header + self.contents + self.trailer

    @property
    def has_shortest_length(self) -> bool:
        """Whether asn1crypto would write the same header (X.690 10.1)."""
        written: bytes = parser.emit(
            self.tag >> 6, self.tag >> 5 & 1, self.tag & 0x1F, self.contents
        )
        return not self.trailer and written == self.raw


def _guarded(read: Callable[P, R]) -> Callable[P, R]:
    """NotReadable for all that asn1crypto raises for bad bytes."""

    @wraps(read)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return read(*args, **kwargs)
        except NotReadable:
            raise
        except UNREADABLE as error:
            raise NotReadable(str(error)) from error

    return guarded


# ---------------------------------------------------------------------------------------- structure


@_guarded
def read(data: bytes) -> Value:
    """The one value that `data` consists of, within the limits of `prescan`. Raises NotReadable."""
    prescan(data)
    return _value(data, 0)


@_guarded
def members(value: Value) -> list[Value]:
    """The values directly inside a constructed value. Raises NotReadable."""
    if not value.tag & CONSTRUCTED:
        raise NotReadable(f"{tag_name(value.tag)}: a constructed value is needed")
    values: list[Value] = []
    position, begin = 0, value.start + len(value.header)
    while position < len(value.contents):
        member = _value(value.contents[position:], begin + position)
        values.append(member)
        position += len(member.raw)
    return values


def _value(data: bytes, start: int) -> Value:
    class_, method, tag, header, contents, trailer = parser.parse(data)
    return Value(start, class_ << 6 | method << 5 | tag, header, contents, trailer)


def sequence(value: Value, minimum: int = 0) -> list[Value]:
    """The members of a SEQUENCE with at least `minimum` members. Raises NotReadable."""
    values = members(expect(value, SEQUENCE))
    if len(values) < minimum:
        raise NotReadable(f"SEQUENCE of {len(values)}: at least {minimum} members are needed")
    return values


def expect(value: Value, tag: int) -> Value:
    """The same value, if it has this identifier octet. Raises NotReadable."""
    if value.tag != tag:
        raise NotReadable(f"{tag_name(value.tag)}: {tag_name(tag)} is needed")
    return value


def written_sequence(*parts: bytes) -> bytes:
    """A SEQUENCE around encoded members, written by asn1crypto."""
    written: bytes = parser.emit(0, 1, core.Sequence.tag, b"".join(parts))
    return written


# ------------------------------------------------------------------------------------------- values


def oid(value: Value) -> str:
    """The dotted form. Raises NotReadable."""
    return _dotted(expect(value, OBJECT_IDENTIFIER).raw)


@lru_cache(maxsize=256)
@_guarded
def _dotted(raw: bytes) -> str:
    dotted: str = core.ObjectIdentifier.load(raw, strict=True).dotted
    # asn1crypto drops an arc without an end, and reads an empty value.
    if core.ObjectIdentifier(dotted).dump() != raw:
        raise NotReadable(f"OBJECT IDENTIFIER {dotted}: not in its shortest form")
    return dotted


@_guarded
def integer(value: Value) -> int:
    """The number in an INTEGER. Raises NotReadable."""
    number: int = core.Integer.load(expect(value, INTEGER).raw, strict=True).native
    return number


def bit_string(value: Value) -> bytes:
    """The octets of a BIT STRING without unused bits. Raises NotReadable."""
    contents = expect(value, BIT_STRING).contents
    if not contents or contents[0]:
        raise NotReadable("BIT STRING: whole octets are needed")
    return contents[1:]


@_guarded
def time(value: Value) -> datetime:
    """UTCTime or GeneralizedTime with seconds and Z (RFC 5280 4.1.2.5). Raises NotReadable."""
    kind = _TIMES.get(value.tag)
    if kind is None:
        raise NotReadable(f"tag {value.tag:#04x}: a time is needed")
    moment: datetime = kind.load(value.raw, strict=True).native
    if kind(moment).contents != value.contents:
        raise NotReadable("time: YYYYMMDDhhmmssZ is needed")
    return moment


def name(value: Value) -> DistinguishedName:
    """A Name, attribute by attribute. Raises NotReadable."""
    rdns = [map(_attribute, members(expect(rdn, SET))) for rdn in sequence(value)]
    return DistinguishedName(tuple(map(tuple, rdns)), value.raw)


def _attribute(value: Value) -> NameAttribute:
    parts = sequence(value, 2)
    if len(parts) != 2:
        raise NotReadable(f"name attribute of {len(parts)} members: type and value are needed")
    return NameAttribute(oid(parts[0]), _text(parts[1]), parts[1].tag)


@_guarded
def _text(value: Value) -> str:
    kind = _TEXTS.get(value.tag)
    if kind is None or (value.tag in _ASCII and not value.contents.isascii()):
        raise NotReadable(f"{tag_name(value.tag)}: not a text type, or not valid in it")
    text: str = kind.load(value.raw, strict=True).native
    return text


# --------------------------------------------------------------------------------------- extensions


@_guarded
def general_names(der: bytes) -> tuple[GeneralName, ...]:
    """A GeneralNames value, name by name. Raises NotReadable."""
    prescan(der)
    return tuple(map(_general_name, x509.GeneralNames.load(der, strict=True)))


def _general_name(name: x509.GeneralName) -> GeneralName:
    raw, contents = name.dump(), name.chosen.contents
    kind = _KINDS.get(name.name)
    if kind == "ip":
        return GeneralName(kind, str(ipaddress.ip_address(contents)), raw)
    if kind is not None:
        # Not `.native`: it shows an international name decoded, and the bytes are what counts.
        return GeneralName(kind, contents.decode("ascii"), raw)
    if name.name == "other_name" and name.chosen["type_id"].dotted == _UPN:
        return GeneralName("upn", name.chosen["value"].parse(core.UTF8String).native, raw)
    return GeneralName("other", f"{name.name} {contents.hex()}", raw)


@_guarded
def key_usages(der: bytes) -> frozenset[str]:
    """The names of the bits set, in asn1crypto's words; none unless written as DER wants it.

    Raises NotReadable.
    """
    prescan(der)
    usages: set[str] = x509.KeyUsage.load(der, strict=True).native
    return frozenset(usages if x509.KeyUsage(usages).dump() == der else ())


@_guarded
def key_purposes(der: bytes) -> list[str]:
    """The purposes of an extendedKeyUsage by number, in their order. Raises NotReadable."""
    prescan(der)
    return [purpose.dotted for purpose in x509.ExtKeyUsageSyntax.load(der, strict=True)]


@_guarded
def distribution_points(der: bytes) -> list[str]:
    """The addresses of a CRLDistributionPoints value of full names only. Raises NotReadable."""
    prescan(der)
    addresses: list[str] = []
    for point in x509.CRLDistributionPoints.load(der, strict=True):
        if len(members(_value(point.dump(), 0))) != 1:
            raise NotReadable("cRLDistributionPoints: a point of one full name is needed")
        addresses += map(_address, point["distribution_point"].chosen)
    return addresses


@_guarded
def information_access(der: bytes) -> list[tuple[str, str]]:
    """Methods by number and their addresses, in their order. Raises NotReadable."""
    prescan(der)
    return [
        (access["access_method"].dotted, _address(access["access_location"]))
        for access in x509.AuthorityInfoAccessSyntax.load(der, strict=True)
    ]


def _address(name: x509.GeneralName) -> str:
    if name.name != _URI:
        raise NotReadable(f"address {name.name}: a URI is needed")
    text: str = name.chosen.contents.decode("ascii")
    return text
