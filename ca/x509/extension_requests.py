"""Requested extensions of a PKCS #10 request (RFC 2985 5.4.2), from one or several lists.

PURE.
"""

from dataclasses import dataclass
from typing import Final

from ca.x509 import asn1, extensions
from ca.x509.asn1 import TLV, Asn1Error
from ca.x509.bounds import prescan
from ca.x509.general_names import decode_general_names
from ca.x509.name_matching import comparable_general_name

MAX_EXTENSIONS: Final = 32


@dataclass(frozen=True, slots=True)
class RequestedExtension:
    """An extension the requester would like; input to policy, never copied."""

    oid: str
    critical: bool
    value: bytes

    @property
    def name(self) -> str:
        return extensions.NAMES.get(self.oid, self.oid)


def decode_extensions(tlv: TLV) -> tuple[RequestedExtension, ...]:
    """Return the extensions of one list.

    Raises Asn1Error, also for an extension that it names twice.
    """
    members = asn1.sequence(tlv)
    if len(members) > MAX_EXTENSIONS:
        raise Asn1Error(f"{len(members)} requested extensions: at most {MAX_EXTENSIONS}")
    requested = tuple(map(_decode_extension, members))
    oids = [extension.oid for extension in requested]
    for extension in requested:
        if oids.count(extension.oid) > 1:
            raise Asn1Error(f"{extension.name}: requested more than once")
    return requested


def merged(
    before: tuple[RequestedExtension, ...], more: tuple[RequestedExtension, ...]
) -> tuple[RequestedExtension, ...]:
    """Merge two extension requests: some clients send a list under two identifiers, or in parts.

    An extension in both must be equal in both: no rule says which one would count. Raises
    Asn1Error, and NameMalformed for names that cannot be compared.
    """
    by_oid = {extension.oid: extension for extension in before}
    for extension in more:
        same = by_oid.setdefault(extension.oid, extension)
        if same.critical != extension.critical:
            raise Asn1Error(f"{extension.name}: requested twice, as critical and as not critical")
        if same.value != extension.value and _content(same) != _content(extension):
            raise Asn1Error(f"{extension.name}: requested twice, with different content")
    if len(by_oid) > MAX_EXTENSIONS:
        raise Asn1Error(f"{len(by_oid)} requested extensions: at most {MAX_EXTENSIONS}")
    return tuple(by_oid.values())


def _content(extension: RequestedExtension) -> object:
    """Return the content of an extension in normal form, without order and explicit defaults."""
    if extension.oid in extensions.NAMES:
        prescan(extension.value)
    match extension.oid:
        case extensions.SUBJECT_ALT_NAME:
            return frozenset(map(comparable_general_name, decode_general_names(extension.value)))
        case extensions.EXTENDED_KEY_USAGE:
            return frozenset(map(asn1.oid, asn1.sequence(asn1.parse_exact(extension.value))))
        case extensions.KEY_USAGE:
            return extensions.decode_key_usage(extension.value)
        case extensions.BASIC_CONSTRAINTS:
            members = asn1.sequence(asn1.parse_exact(extension.value))
            is_no_ca = [(member.tag, member.value) for member in members[:1]] == [
                (asn1.BOOLEAN, b"\x00")
            ]
            return [(member.tag, member.value) for member in (members[1:] if is_no_ca else members)]
        case _:
            return extension.value


def _decode_extension(tlv: TLV) -> RequestedExtension:
    members = asn1.sequence(tlv, 2)
    critical = len(members) == 3 and asn1.expect(members[1], asn1.BOOLEAN).value != b"\x00"
    value = asn1.octets(asn1.expect(members[-1], asn1.OCTET_STRING))
    if len(members) > 3:
        raise Asn1Error("requested extension: more than type, critical and value")
    return RequestedExtension(asn1.oid(members[0]), critical, value)
