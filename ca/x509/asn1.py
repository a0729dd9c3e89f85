"""The only reader and writer of ASN.1 tag-length-value triples (X.690, BER in, DER out).

`ca.x509.bounds` bounds hostile input in linear time before anything else looks at it. `parse` and
`children` then walk the original bytes without copying them, so that a signature is always verified
over exactly what was received.
"""

from __future__ import annotations

from typing import Final, NamedTuple

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OBJECT_IDENTIFIER: Final = 0x06
UTF8_STRING: Final = 0x0C
PRINTABLE_STRING: Final = 0x13
T61_STRING: Final = 0x14
IA5_STRING: Final = 0x16
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
UNIVERSAL_STRING: Final = 0x1C
BMP_STRING: Final = 0x1E
SEQUENCE: Final = 0x30
SET: Final = 0x31
CONTEXT: Final = 0x80
CONSTRUCTED: Final = 0x20

DER_NULL: Final = b"\x05\x00"

_TAG_NAMES: Final = {
    BOOLEAN: "BOOLEAN",
    INTEGER: "INTEGER",
    BIT_STRING: "BIT STRING",
    OCTET_STRING: "OCTET STRING",
    NULL: "NULL",
    OBJECT_IDENTIFIER: "OBJECT IDENTIFIER",
    UTF8_STRING: "UTF8String",
    0x12: "NumericString",
    PRINTABLE_STRING: "PrintableString",
    T61_STRING: "T61String",
    IA5_STRING: "IA5String",
    UTC_TIME: "UTCTime",
    GENERALIZED_TIME: "GeneralizedTime",
    0x1A: "VisibleString",
    UNIVERSAL_STRING: "UniversalString",
    BMP_STRING: "BMPString",
    SEQUENCE: "SEQUENCE",
    SET: "SET",
}

_MAX_OID_BYTES: Final = 64
_MAX_CONSTRUCTED_STRING_DEPTH: Final = 8
END_OF_CONTENTS: Final = b"\x00\x00"


class Asn1Error(ValueError):
    """The bytes are not the expected ASN.1, or exceed a limit."""


class TLV(NamedTuple):
    """One value inside `data`: it spans `start:end`, its content octets are `content:stop`.

    `stop` and `end` differ only for an indefinite length, by the two end-of-contents octets.
    """

    data: bytes
    tag: int
    start: int
    content: int
    stop: int
    end: int

    def __repr__(self) -> str:
        return f"TLV(tag={self.tag:#04x}, {self.start}:{self.end})"

    @property
    def raw(self) -> bytes:
        """The whole value as received: identifier, length and content octets."""
        return self.data[self.start : self.end]

    @property
    def value(self) -> bytes:
        """The content octets as received."""
        return self.data[self.content : self.stop]

    @property
    def is_indefinite(self) -> bool:
        return self.stop != self.end


# ------------------------------------------------------------------------------------------ reading


def tag_name(tag: int) -> str:
    """The name of a universal type, such as "OCTET STRING"; "[3]" for a context-specific tag."""
    return _TAG_NAMES.get(tag) or (
        f"[{tag & 0x1F}]" if tag & 0xC0 == CONTEXT else f"tag {tag:#04x}"
    )


def parse(data: bytes, start: int = 0, stop: int | None = None) -> TLV:
    """Read the value that begins at `start` and ends at or before `stop`. Raises Asn1Error."""
    wall = len(data) if stop is None else stop
    tag, content, length = header(data, start, wall)
    if length >= 0:
        return TLV(data, tag, start, content, content + length, content + length)
    end = _skip_indefinite(data, content, wall)
    return TLV(data, tag, start, content, end - 2, end)


def parse_exact(data: bytes) -> TLV:
    """Read the one value `data` consists of. Raises Asn1Error when bytes follow it."""
    tlv = parse(data)
    if tlv.end != len(data):
        raise Asn1Error(f"trailing bytes: {len(data) - tlv.end} after the value")
    return tlv


def children(tlv: TLV) -> list[TLV]:
    """The values directly inside a constructed value. Raises Asn1Error."""
    data, position, stop = tlv.data, tlv.content, tlv.stop
    if not tlv.tag & CONSTRUCTED:
        raise Asn1Error(f"{tag_name(tlv.tag)}: a constructed value is needed")
    members: list[TLV] = []
    while position < stop:
        tag, content, length = header(data, position, stop)
        if length >= 0:
            end = content + length
            members.append(TLV(data, tag, position, content, end, end))
        else:
            end = _skip_indefinite(data, content, stop)
            members.append(TLV(data, tag, position, content, end - 2, end))
        position = end
    return members


def expect(tlv: TLV, tag: int) -> TLV:
    """The same value, if it has this identifier octet. Raises Asn1Error."""
    if tlv.tag != tag:
        raise Asn1Error(f"{tag_name(tlv.tag)}: {tag_name(tag)} is needed")
    return tlv


def sequence(tlv: TLV, minimum: int = 0) -> list[TLV]:
    """The members of a SEQUENCE with at least `minimum` members. Raises Asn1Error."""
    members = children(expect(tlv, SEQUENCE))
    if len(members) < minimum:
        raise Asn1Error(f"SEQUENCE of {len(members)}: at least {minimum} members are needed")
    return members


def explicit(tlv: TLV, tag: int) -> TLV:
    """The one value inside an explicitly tagged value. Raises Asn1Error."""
    inside = children(expect(tlv, tag))
    if len(inside) != 1:
        raise Asn1Error(f"tag {tag:#04x} around {len(inside)} values: one is needed")
    return inside[0]


def octets(tlv: TLV) -> bytes:
    """Return the octets of an OCTET STRING or implicitly tagged one, joining its segments.

    Raises Asn1Error for a segment that is not an OCTET STRING or nested deeper than 8.
    """
    if not tlv.tag & CONSTRUCTED:
        return tlv.value
    joined: list[bytes] = []
    waiting = [(segment, 1) for segment in reversed(children(tlv))]
    while waiting:
        segment, depth = waiting.pop()
        if segment.tag == OCTET_STRING:
            joined.append(segment.value)
        elif segment.tag == OCTET_STRING | CONSTRUCTED and depth < _MAX_CONSTRUCTED_STRING_DEPTH:
            waiting.extend((inner, depth + 1) for inner in reversed(children(segment)))
        else:
            raise Asn1Error(
                f"tag {segment.tag:#04x} in a constructed OCTET STRING of depth {depth}"
            )
    return b"".join(joined)


def integer(tlv: TLV) -> int:
    """The number in an INTEGER; an empty one is refused. Raises Asn1Error."""
    if tlv.tag != INTEGER or tlv.content == tlv.stop:
        raise Asn1Error(
            f"{tag_name(tlv.tag)} of {tlv.stop - tlv.content} bytes: an INTEGER is needed"
        )
    return int.from_bytes(tlv.data[tlv.content : tlv.stop], "big", signed=True)


def oid(tlv: TLV) -> str:
    """The dotted form of an OBJECT IDENTIFIER of at most 64 content octets. Raises Asn1Error."""
    body = expect(tlv, OBJECT_IDENTIFIER).value
    if not body or len(body) > _MAX_OID_BYTES or body[-1] & 0x80:
        raise Asn1Error(f"OBJECT IDENTIFIER of {len(body)} bytes is not valid")
    arcs: list[int] = []
    arc = 0
    for octet in body:
        arc = arc << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, [first, arcs[0] - 40 * first, *arcs[1:]]))


def bit_string(tlv: TLV) -> bytes:
    """The octets of a BIT STRING without unused bits. Raises Asn1Error."""
    body = expect(tlv, BIT_STRING).value
    if not body or body[0]:
        raise Asn1Error("BIT STRING: whole octets are needed")
    return body[1:]


def header(data: bytes, position: int, wall: int) -> tuple[int, int, int]:
    """Tag, start of the content and its length (-1: indefinite) of the value at `position`."""
    if position + 2 > wall:
        raise Asn1Error(f"truncated at byte {position}")
    tag, length = data[position], data[position + 1]
    content = position + 2
    if tag & 0x1F == 0x1F or not tag:
        raise Asn1Error(f"tag {tag:#04x} at byte {position} is not used in these formats")
    if length >= 0x80:
        if length == 0x80:
            if not tag & CONSTRUCTED:
                raise Asn1Error(f"indefinite length of a primitive value at byte {position}")
            return tag, content, -1
        count = length & 0x7F
        if count > 4 or content + count > wall:
            raise Asn1Error(f"length of {count} octets at byte {position}")
        length = int.from_bytes(data[content : content + count], "big")
        content += count
    if content + length > wall:
        raise Asn1Error(f"length {length} at byte {position} goes beyond the end")
    return tag, content, length


def _skip_indefinite(data: bytes, position: int, wall: int) -> int:
    """Return the end of the indefinite-length value whose content starts at `position`.

    The end-of-contents octets are included.
    """
    depth = 1
    while depth:
        if data[position : position + 2] == END_OF_CONTENTS and position + 2 <= wall:
            depth -= 1
            position += 2
            continue
        _, content, length = header(data, position, wall)
        if length < 0:
            depth += 1
            position = content
        else:
            position = content + length
    return position


# ------------------------------------------------------------------------------------------ writing


def der(tag: int, *parts: bytes) -> bytes:
    """One DER value: identifier octet `tag`, minimal definite length, `parts` joined as content."""
    body = b"".join(parts)
    length = len(body)
    if length < 0x80:
        return bytes((tag, length)) + body
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + body


def der_sequence(*parts: bytes) -> bytes:
    return der(SEQUENCE, *parts)


def der_set(*parts: bytes) -> bytes:
    """A SET with members in the given order (one member, or where the order carries meaning)."""
    return der(SET, *parts)


def der_set_of(*parts: bytes) -> bytes:
    """A SET OF in DER order (X.690 11.6)."""
    return der(SET, *sorted(parts))


def der_integer(number: int) -> bytes:
    return der(
        INTEGER,
        number.to_bytes(
            number.bit_length() // 8 + 1 if number >= 0 else (number + 1).bit_length() // 8 + 1,
            "big",
            signed=True,
        ),
    )


def der_boolean(*, value: bool) -> bytes:
    return b"\x01\x01\xff" if value else b"\x01\x01\x00"


def der_oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER from its dotted form. Raises Asn1Error when the text is none."""
    try:
        arcs = [int(arc) for arc in dotted.split(".")]
    except ValueError:
        raise Asn1Error(f"OBJECT IDENTIFIER {dotted!r}: dotted numbers are needed") from None
    if len(arcs) < 2 or min(arcs) < 0 or arcs[0] > 2 or (arcs[0] < 2 and arcs[1] > 39):
        raise Asn1Error(f"OBJECT IDENTIFIER {dotted!r} is not valid")
    return der(OBJECT_IDENTIFIER, *map(_base128, [40 * arcs[0] + arcs[1], *arcs[2:]]))


def der_octets(value: bytes) -> bytes:
    return der(OCTET_STRING, value)


def der_bit_string(value: bytes, unused_bits: int = 0) -> bytes:
    return der(BIT_STRING, bytes((unused_bits,)), value)


def der_context(number: int, *parts: bytes) -> bytes:
    """A constructed context-specific value `[number]`: explicit, or an implicit SEQUENCE or SET."""
    return der(CONTEXT | CONSTRUCTED | number, *parts)


def _base128(arc: int) -> bytes:
    encoded = [arc & 0x7F]
    while arc := arc >> 7:
        encoded.append(0x80 | arc & 0x7F)
    return bytes(reversed(encoded))
