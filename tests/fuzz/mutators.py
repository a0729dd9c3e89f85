"""Mutations of BER that replace whole values.

Every choice comes from the `Random` argument. `Tree` is an index over one encoded value. A
mutation replaces one value in it and corrects the lengths around it, so that a reader also reaches
the bytes after it. Some mutations leave lengths wrong on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Final, NamedTuple

from ca.x509.asn1 import CONSTRUCTED, der, der_octets, der_oid, der_sequence
from scep.protocol import constants as c

MAX_BYTES: Final = 80_000  # a little more than any door takes
_MAX_NODES: Final = 2_000


class Node(NamedTuple):
    """One value: its start, the start and end of its content, its end, and its parent node."""

    start: int
    content: int
    stop: int
    end: int
    parent: int


@dataclass(frozen=True)
class Tree:
    """The values of one encoding in the order they stand.

    Bytes that are no BER give one node or none.
    """

    data: bytes
    nodes: tuple[Node, ...]

    @classmethod
    def of(cls, data: bytes) -> Tree:
        nodes: list[Node] = []
        _index(data, 0, len(data), -1, nodes)
        return cls(data, tuple(nodes))

    def raw(self, number: int) -> bytes:
        return self.data[self.nodes[number].start : self.nodes[number].end]

    def value(self, number: int) -> bytes:
        return self.data[self.nodes[number].content : self.nodes[number].stop]

    def tag(self, number: int) -> int:
        return self.data[self.nodes[number].start]

    def siblings(self, number: int) -> list[int]:
        parent = self.nodes[number].parent
        return [
            index
            for index, node in enumerate(self.nodes)
            if node.parent == parent and index != number
        ]

    def replaced(self, number: int, new: bytes) -> bytes:
        """The encoding with another value in this place, and right definite lengths around it."""
        node, body = self.nodes[number], new
        start, end, parent = node.start, node.end, node.parent
        while parent >= 0:
            around = self.nodes[parent]
            body = self.data[around.content : start] + body + self.data[end : around.stop]
            if around.stop == around.end:
                body = der(self.data[around.start], body)
            else:
                body = self.data[around.start : around.content] + body + b"\x00\x00"
            start, end, parent = around.start, around.end, around.parent
        return self.data[:start] + body + self.data[end:]


def _index(data: bytes, start: int, stop: int, parent: int, nodes: list[Node]) -> None:
    """Index the values of `start:stop` and those inside them; stops at bytes that are not BER."""
    waiting = [(start, stop, parent)]
    while waiting:
        position, wall, above = waiting.pop()
        while position + 2 <= wall and len(nodes) < _MAX_NODES:
            node = _node(data, position, wall, above)
            if node is None:
                break
            nodes.append(node)
            if data[position] & CONSTRUCTED or _holds_values(data, node):
                waiting.append((node.content, node.stop, len(nodes) - 1))
            position = node.end


def _node(data: bytes, position: int, wall: int, above: int) -> Node | None:
    length, content = data[position + 1], position + 2
    if length == 0x80:
        end = data.rfind(b"\x00\x00", content, wall)
        return Node(position, content, end, end + 2, above) if end >= 0 else None
    if length > 0x80:
        count = length & 0x7F
        length, content = int.from_bytes(data[content : content + count], "big"), content + count
    return (
        Node(position, content, content + length, content + length, above)
        if content + length <= wall
        else None
    )


def _holds_values(data: bytes, node: Node) -> bool:
    """Whether an OCTET STRING holds exactly one SEQUENCE: an extension, or an inner message."""
    if data[node.start] != 0x04 or data[node.content : node.content + 1] != b"\x30":
        return False
    inner = _node(data, node.content, node.stop, 0) if node.stop - node.content > 2 else None
    return inner is not None and inner.end == node.stop


@lru_cache(maxsize=256)
def tree_of(data: bytes) -> Tree:
    return Tree.of(data)


# ----------------------------------------------------------------------------------- new values

OIDS: Final = tuple(
    {
        *(
            value
            for name, value in vars(c).items()
            if isinstance(value, bytes) and value[:1] == b"\x06"
        ),
        *(
            oid
            for table in (c.DIGESTS, c.REFUSED_DIGESTS, c.RSA_SIGNATURES, c.ECDSA_SIGNATURES)
            for oid in table
        ),
        *(oid for table in (c.REFUSED_SIGNATURES, c.CIPHERS, c.REFUSED_CIPHERS) for oid in table),
        *map(
            der_oid,
            ("2.5.4.3", "2.5.29.17", "2.5.29.19", "2.5.29.37", "1.3.6.1.4.1.311.20.2.3", "1.2.3.4"),
        ),
        *map(
            der_oid,
            (
                "1.2.840.113549.1.9.7",
                "1.2.840.113549.1.9.14",
                "1.2.840.113549.1.9.16.1.9",
                "2.999.4294967296",
            ),
        ),
    }
)
TEXTS: Final = (
    b"",
    b"\x00",
    b"19",
    b"18",
    b"-1",
    b"r1.example\x00.evil",
    b"<script>alert(1)</script>",
    b"=cmd|' /C calc'!A0",
    b"a\r\nSet-Cookie: x",
    b"\x1b[31m",
    "\u202eexample".encode(),
    "e\u0301\u0301".encode() * 300,
    b"\xff\xfe\xfd",
    b"\xed\xa0\x80",
    "\U0001f4a9".encode("utf-16-be"),
    b"xn--" + b"9" * 200,
    b"*.example",
    b"a" * 5_000,
    b"1.2.3.4",
    b"[::ffff:1]",
    b"http://[::1",
    b"%s%n{0}{{x}}",
)
NUMBERS: Final = (
    b"",
    b"\x00",
    b"\x01",
    b"\x7f",
    b"\x80",
    b"\xff" * 4,
    b"\x00" * 9,
    b"\xff" * 200,
    b"\x7f" + b"\xff" * 1_100,
)
TAGS: Final = (
    0x01,
    0x02,
    0x03,
    0x04,
    0x05,
    0x06,
    0x0C,
    0x13,
    0x14,
    0x16,
    0x17,
    0x18,
    0x1C,
    0x1E,
    0x1F,
    0x30,
    0x31,
)
OTHER_TAGS: Final = (
    0x00,
    0x09,
    0x0A,
    0x24,
    0x3F,
    0x80,
    0x81,
    0x82,
    0x86,
    0x87,
    0x88,
    0xA0,
    0xA1,
    0xA3,
    0xA4,
    0xBF,
    0xFF,
)
LENGTHS: Final = (
    b"\x00",
    b"\x7f",
    b"\x80",
    b"\x81\x00",
    b"\x82\xff\xff",
    b"\x84\xff\xff\xff\xff",
    b"\x84\x00\x00\x00\x01",
)
LONG: Final = (b"\x88" + b"\xff" * 8, b"\xff", b"\x85\x00\x00\x00\x00\x05")

# ---------------------------------------------------------------------------------------- mutations

Mutation = Callable[[Random, Tree, bytes], bytes]


def flip_bits(chance: Random, tree: Tree, other: bytes) -> bytes:
    data = bytearray(tree.data or b"\x00")
    for _ in range(chance.choice((1, 1, 2, 8))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def set_bytes(chance: Random, tree: Tree, other: bytes) -> bytes:
    data = bytearray(tree.data or b"\x00")
    start = chance.randrange(len(data))
    for position in range(start, min(start + chance.choice((1, 1, 2, 4)), len(data))):
        data[position] = chance.choice((0x00, 0x01, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    return bytes(data)


def truncate(chance: Random, tree: Tree, other: bytes) -> bytes:
    return tree.data[: chance.randrange(len(tree.data) + 1)]


def insert_bytes(chance: Random, tree: Tree, other: bytes) -> bytes:
    at = chance.randrange(len(tree.data) + 1)
    return tree.data[:at] + chance.randbytes(chance.choice((1, 2, 16, 300))) + tree.data[at:]


def append(chance: Random, tree: Tree, other: bytes) -> bytes:
    return tree.data + chance.choice((b"\x00", b"\r\n", b"\x00\x00", b"\x30\x80", other))


def wrong_length(chance: Random, tree: Tree, other: bytes) -> bytes:
    """Another length field, nothing else adjusted."""
    node = chance.choice(tree.nodes)
    field = chance.choice(
        (*LENGTHS, *LONG, bytes((tree.data[node.start + 1] ^ 1 << chance.randrange(7),)))
    )
    return tree.data[: node.start + 1] + field + tree.data[node.content :]


def long_length(chance: Random, tree: Tree, other: bytes) -> bytes:
    """Write a correct length in more bytes than needed."""
    number = _pick(chance, tree)
    node = tree.nodes[number]
    width = chance.choice((1, 2, 3, 4, 5))
    length = (node.stop - node.content).to_bytes(8, "big")[-width:]
    return tree.replaced(
        number, bytes((tree.tag(number), 0x80 | width)) + length + tree.value(number)
    )


def change_tag(chance: Random, tree: Tree, other: bytes) -> bytes:
    number = _pick(chance, tree)
    return tree.replaced(number, bytes((chance.choice(TAGS + OTHER_TAGS),)) + tree.raw(number)[1:])


def delete(chance: Random, tree: Tree, other: bytes) -> bytes:
    return tree.replaced(_pick(chance, tree), b"")


def duplicate(chance: Random, tree: Tree, other: bytes) -> bytes:
    number = _pick(chance, tree)
    return tree.replaced(number, tree.raw(number) * chance.choice((2, 2, 3, 9, 17, 33, 101)))


def repeat_to_the_limit(chance: Random, tree: Tree, other: bytes) -> bytes:
    """As many copies as a message can hold."""
    number = _pick(chance, tree)
    node = tree.nodes[number]
    room = chance.choice((20_000, 60_000, 65_000)) - len(tree.data)
    return tree.replaced(number, tree.raw(number) * max(1, room // max(1, node.end - node.start)))


def swap(chance: Random, tree: Tree, other: bytes) -> bytes:
    """Exchange two neighboring values; without neighbors any two that are not nested."""
    number = _pick(chance, tree)
    siblings = tree.siblings(number)
    if not siblings:
        return flip_bits(chance, tree, other)
    first, second = sorted((number, chance.choice(siblings)))
    one, two = tree.nodes[first], tree.nodes[second]
    data = tree.data
    return (
        data[: one.start]
        + tree.raw(second)
        + data[one.end : two.start]
        + tree.raw(first)
        + data[two.end :]
    )


def move(chance: Random, tree: Tree, other: bytes) -> bytes:
    """One value in the place of another of the same message."""
    return tree.replaced(_pick(chance, tree), tree.raw(_pick(chance, tree)))


def splice(chance: Random, tree: Tree, other: bytes) -> bytes:
    """A value of another message in the place of one of this."""
    donor = tree_of(other)
    if not donor.nodes:
        return insert_bytes(chance, tree, other)
    return tree.replaced(_pick(chance, tree), donor.raw(chance.randrange(len(donor.nodes))))


def nest(chance: Random, tree: Tree, other: bytes) -> bytes:
    number = _pick(chance, tree)
    inner = tree.raw(number)
    tags = chance.choice(((0x30,), (0x31,), (0xA0,), (0x24,), (0x30, 0xA0)))
    for level in range(chance.choice((1, 2, 8, 23, 24, 25, 200, 2_000))):
        inner = der(tags[level % len(tags)], inner)
    return tree.replaced(number, inner[-60_000:] if len(inner) > 60_000 else inner)


def nest_indefinite(chance: Random, tree: Tree, other: bytes) -> bytes:
    number = _pick(chance, tree)
    depth = chance.choice((1, 3, 8, 24, 100, 5_000, 15_000))
    return tree.replaced(
        number,
        b"\x30\x80" * depth + tree.raw(number) + b"\x00\x00" * chance.choice((depth, depth - 1)),
    )


def indefinite(chance: Random, tree: Tree, other: bytes) -> bytes:
    """One value of indefinite length; a string becomes a constructed one in pieces."""
    number = _pick(chance, tree)
    tag, value = tree.tag(number), tree.value(number)
    if not tag & CONSTRUCTED:
        size = chance.choice((1, 7, 100, 1_000))
        value = b"".join(
            der_octets(value[at : at + size]) for at in range(0, min(len(value), 3_000), size)
        )
    return tree.replaced(
        number,
        bytes((tag | CONSTRUCTED, 0x80)) + value + chance.choice((b"\x00\x00", b"", b"\x00")),
    )


def another_oid(chance: Random, tree: Tree, other: bytes) -> bytes:
    numbers = [number for number in range(len(tree.nodes)) if tree.tag(number) == 0x06]
    if not numbers:
        return change_tag(chance, tree, other)
    odd = (
        b"\x06\x00",
        b"\x06\x01\x80",
        der(6, b"\x81" * chance.choice((10, 64, 65, 5_000)) + b"\x01"),
    )
    return tree.replaced(chance.choice(numbers), chance.choice(OIDS + odd))


def another_value(chance: Random, tree: Tree, other: bytes) -> bytes:
    """Other content under the same tag."""
    number = _pick(chance, tree)
    node = tree.nodes[number]
    length = node.stop - node.content
    contents = (
        *TEXTS,
        *NUMBERS,
        bytes(length),
        b"\xff" * length,
        tree.value(number)[:-1],
        chance.randbytes(length),
    )
    return tree.replaced(number, der(tree.tag(number), chance.choice(contents)))


def huge_value(chance: Random, tree: Tree, other: bytes) -> bytes:
    number = _pick(chance, tree)
    pattern = chance.choice(
        (b"\x00", b"\xff", b"a", b"\xcc\x81", b"\xd8\x00", b"\x30\x00", b"\x05\x00", b"\x81")
    )
    return tree.replaced(
        number,
        der(tree.tag(number), pattern * (chance.choice((1_000, 16_500, 60_000)) // len(pattern))),
    )


def another_text(chance: Random, tree: Tree, other: bytes) -> bytes:
    number = _pick(chance, tree)
    return tree.replaced(
        number, der(chance.choice((0x0C, 0x13, 0x14, 0x16, 0x1A, 0x1C, 0x1E)), chance.choice(TEXTS))
    )


def many_names(chance: Random, tree: Tree, other: bytes) -> bytes:
    """Replace a value by a name or list of many short members."""
    number = _pick(chance, tree)
    text = der(chance.choice((0x0C, 0x13, 0x82, 0x1E)), chance.choice(TEXTS))
    member = chance.choice(
        (
            text,
            der_sequence(der_oid("2.5.4.3"), text),
            der(0x31, der_sequence(der_oid("2.5.4.3"), text)),
        )
    )
    return tree.replaced(
        number,
        der_sequence(
            member * min(chance.choice((2, 32, 33, 100, 101, 3_900)), 60_000 // len(member))
        ),
    )


#: Each with its weight. Those that make large values cost time and stand back.
MUTATIONS: Final[dict[Mutation, int]] = {
    flip_bits: 10,
    set_bytes: 10,
    truncate: 3,
    insert_bytes: 3,
    append: 2,
    wrong_length: 6,
    long_length: 4,
    change_tag: 10,
    delete: 8,
    duplicate: 6,
    repeat_to_the_limit: 1,
    swap: 6,
    move: 8,
    splice: 8,
    nest: 2,
    nest_indefinite: 1,
    indefinite: 6,
    another_oid: 10,
    another_value: 12,
    huge_value: 1,
    another_text: 6,
    many_names: 2,
}
_CHOICES: Final = tuple(MUTATIONS)
_WEIGHTS: Final = tuple(MUTATIONS.values())


def mutate(chance: Random, data: bytes, others: Sequence[bytes], most: int = 4) -> bytes:
    """One to `most` mutations of `data`, one after the other, at most MAX_BYTES long."""
    for mutation in chance.choices(_CHOICES, _WEIGHTS, k=chance.choice((1, 1, 1, 1, 2, most))):
        tree = tree_of(data)
        mutated = (
            mutation(chance, tree, chance.choice(others))
            if tree.nodes
            else _without_structure(chance, tree)
        )
        data = mutated[:MAX_BYTES]
    return data


def _without_structure(chance: Random, tree: Tree) -> bytes:
    return chance.choice((flip_bits, set_bytes, insert_bytes, truncate))(chance, tree, b"")


def _pick(chance: Random, tree: Tree) -> int:
    return chance.randrange(len(tree.nodes))
