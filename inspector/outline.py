"""The outline of any bytes as BER: the position and length of each value.

The walk is one of its own: it goes on in bytes that are cut off, which every parser refuses. What a
value means is asn1crypto's to say, which knows some hundred object identifiers by name.

PURE; never raises.

Text and octets are left out, whatever they are: a challenge password is text too.
"""

from typing import Final

from asn1crypto import algos, cms, keys, ocsp, pkcs12, x509

from ca.content.second_reader import (
    CONSTRUCTED,
    INTEGER,
    OBJECT_IDENTIFIER,
    NotReadable,
    oid,
    read,
)
from inspector.report import Line

MAX_LINES: Final = 300
MAX_DEPTH: Final = 24
_OPEN: Final = -1
_VOCABULARIES: Final = (
    x509.NameType,
    x509.ExtensionId,
    x509.KeyPurposeId,
    x509.AccessMethod,
    keys.PublicKeyAlgorithmId,
    keys.NamedCurve,
    algos.SignedDigestAlgorithmId,
    algos.DigestAlgorithmId,
    algos.EncryptionAlgorithmId,
    algos.KdfAlgorithmId,
    algos.HmacAlgorithmId,
    cms.ContentType,
    cms.CMSAttributeType,
    pkcs12.BagId,
    pkcs12.CertId,
    pkcs12.AttributeType,
    ocsp.ResponseType,
)
_NAMES: Final = {
    0x01: "BOOLEAN",
    0x02: "INTEGER",
    0x03: "BIT STRING",
    0x04: "OCTET STRING",
    0x05: "NULL",
    0x06: "OBJECT IDENTIFIER",
    0x0C: "UTF8String",
    0x13: "PrintableString",
    0x14: "T61String",
    0x16: "IA5String",
    0x17: "UTCTime",
    0x18: "GeneralizedTime",
    0x1E: "BMPString",
    0x30: "SEQUENCE",
    0x31: "SET",
}


def outline_of(data: bytes) -> tuple[tuple[Line, ...], str]:
    """Return the values in order, and the reason for an early end (empty: read to the end)."""
    lines: list[Line] = []
    walls: list[int] = []  # ends of the open values, _OPEN for indefinite length
    position = 0
    while (position := _leave(data, position, walls)) < len(data):
        if len(lines) >= MAX_LINES:
            return tuple(lines), f"only the first {MAX_LINES} values are shown"
        header = _header(data, position)
        if isinstance(header, str):
            return tuple(lines), header
        tag, content, length = header
        lines.append(
            Line(
                position,
                len(walls),
                _name(tag),
                length,
                _text(data, tag, position, content, length),
            )
        )
        following = _enter(header, position, walls, len(data))
        if isinstance(following, str):
            return tuple(lines), following
        position = following
    is_cut = any(wall == _OPEN or wall > len(data) for wall in walls)
    return tuple(
        lines
    ), f"byte {position}: the bytes end inside a value, something is missing" if is_cut else ""


def _leave(data: bytes, position: int, walls: list[int]) -> int:
    """Close the values that end here; returns the position of the next value."""
    while walls:
        if walls[-1] == _OPEN:
            if data[position : position + 2] != b"\x00\x00":
                break
            position += 2
        elif position < walls[-1]:
            break
        walls.pop()
    return position


def _enter(header: tuple[int, int, int], position: int, walls: list[int], size: int) -> int | str:
    """Return the next position: inside a constructed value (even a truncated one), or after it."""
    tag, content, length = header
    if tag & CONSTRUCTED and len(walls) < MAX_DEPTH:
        walls.append(content + length if length >= 0 else _OPEN)
        return content
    if length < 0:
        return f"byte {position}: nested deeper than {MAX_DEPTH} levels"
    if content + length > size:
        return (
            f"byte {position}: a value of {length} bytes goes {content + length - size} bytes "
            "beyond the end"
        )
    return content + length


def _header(data: bytes, position: int) -> tuple[int, int, int] | str:
    """Return tag, content position and length (-1: indefinite), or the fault."""
    if position + 2 > len(data):
        return f"byte {position}: the bytes end in the middle of a value"
    tag, first = data[position], data[position + 1]
    if tag & 0x1F == 0x1F or not tag:
        return f"byte {position}: tag {tag:#04x} is not used in these formats"
    if first < 0x80:
        return tag, position + 2, first
    if first == 0x80:
        return (
            (tag, position + 2, -1)
            if tag & CONSTRUCTED
            else f"byte {position}: a simple value without a length"
        )
    count = first & 0x7F
    content = position + 2 + count
    if count > 4 or content > len(data):
        return f"byte {position}: a length of {count} bytes"
    return tag, content, int.from_bytes(data[position + 2 : content], "big")


def _name(tag: int) -> str:
    if tag & 0xC0 == 0x80:
        return f"[{tag & 0x1F}]"
    return _NAMES.get(tag, f"tag {tag:#04x}")


def _text(data: bytes, tag: int, start: int, content: int, length: int) -> str:
    end = content + length
    if length < 0 or end > len(data):
        return ""
    if tag == INTEGER and 0 < length <= 8:
        return str(int.from_bytes(data[content:end], "big", signed=True))
    if tag == OBJECT_IDENTIFIER:
        return _identifier(data[start:end])
    return ""


def _identifier(raw: bytes) -> str:
    """The dotted form, and its name where there is one."""
    try:
        dotted = oid(read(raw))
    except NotReadable:
        return ""
    names = (vocabulary.map(dotted) for vocabulary in _VOCABULARIES)
    label = next((name for name in names if name != dotted), "")
    return f"{dotted} {label}" if label else dotted
