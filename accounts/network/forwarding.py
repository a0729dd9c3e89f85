"""Reads the headers in which proxies name the client: `X-Forwarded-For` and `Forwarded` (RFC 7239).

PURE.

Both headers are read from the right, where the nearest proxy writes. Other parties, up to the
client itself, wrote the parts further left; those must not change how the right part is read, for
example by an unclosed quote.
"""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: A port, or an obfuscated one (RFC 7239 section 6.3).
_PORT: Final = r"(?::(?:\d{1,5}|_[A-Za-z0-9._-]+))?"
_BRACKETED: Final = re.compile(rf"\[([0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)(?:%[^\]]*)?\]{_PORT}")
_BARE_V4: Final = re.compile(rf"([0-9.]+){_PORT}")
_BARE_V6: Final = re.compile(r"([0-9A-Fa-f:.]+)(?:%.*)?")
_ESCAPED: Final = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Hop:
    """The entry of one proxy: its client (`node`, as written) and the client's scheme, if given."""

    node: str
    scheme: str = ""


def hops_of_x_forwarded_for(text: str, most: int) -> list[Hop]:
    """Return at most the last `most` entries of the header, the last one first."""
    return (
        [Hop(entry.strip()) for entry in reversed(text.rsplit(",", most)[-most:])]
        if text.strip()
        else []
    )


def hops_of_forwarded(text: str, most: int) -> list[Hop]:
    """Return the last `most` elements of the header (RFC 7239 section 4), the last one first."""
    return (
        [_hop(element) for element in islice(_from_right(text, ","), most)] if text.strip() else []
    )


def parse_node(text: str) -> Address | None:
    """Return the address of a node, without port, brackets, quotes and zone.

    IPv4 mapped into IPv6 becomes IPv4. Returns None for anything else: `unknown`, a hidden name
    such as `_gazonk`.
    """
    node = _unquoted(text.strip())
    match = _BRACKETED.fullmatch(node) or _BARE_V4.fullmatch(node) or _BARE_V6.fullmatch(node)
    return parse_address(match[1]) if match else None


def parse_address(text: str) -> Address | None:
    """Parse an IP address; IPv4 mapped into IPv6 becomes IPv4. Returns None for any other text."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _hop(element: str) -> Hop:
    values: dict[str, list[str]] = {"for": [], "proto": []}
    for pair in _from_right(element, ";"):
        name, _, value = pair.partition("=")
        values.setdefault(name.strip().lower(), []).append(_unquoted(value.strip()))
    nodes, schemes = values["for"], values["proto"]
    return Hop(nodes[0] if len(nodes) == 1 else "", schemes[0].lower() if len(schemes) == 1 else "")


def _from_right(text: str, separator: str) -> Iterator[str]:
    """Split a text, last part first; separators inside quotes do not count."""
    end, is_quoted = len(text), False
    for at in range(len(text) - 1, -1, -1):
        if text[at] == '"' and not _is_escaped(text, at):
            is_quoted = not is_quoted
        elif text[at] == separator and not is_quoted:
            yield text[at + 1 : end].strip()
            end = at
    yield text[:end].strip()


def _is_escaped(text: str, at: int) -> bool:
    start = at
    while start and text[start - 1] == "\\":
        start -= 1
    return (at - start) % 2 == 1


def _unquoted(text: str) -> str:
    is_quoted = len(text) >= 2 and text[0] == text[-1] == '"'
    return _ESCAPED.sub(r"\1", text[1:-1]) if is_quoted else text
