"""Names and addresses that every machine uses for itself: such a certificate fits all machines.

PURE.
"""

import re
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

from ca.x509.general_names import GeneralName

_HOSTS: Final = frozenset(
    {"localhost", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback", "loopback"}
)
_DOMAINS: Final = frozenset({"", "localdomain", "localdomain4", "localdomain6", "local"})
_THIS_NETWORK: Final = IPv4Network("0.0.0.0/8")
#: IPv4-compatible addresses, and the prefixes of translators (RFC 6052): the last 32 bits are an
#: IPv4 address.
_EMBEDDING: Final = (
    IPv6Network("::/96"),
    IPv6Network("::ffff:0:0:0/96"),
    IPv6Network("64:ff9b::/96"),
)
#: Old forms of an IPv4 address in a URI: 127.1, 0x7f.1, 2130706433.
_NUMBER: Final = re.compile(r"[0-9a-fx.]+", re.IGNORECASE)


def is_loopback(name: GeneralName) -> bool:
    """Whether an alternative name means the machine itself: localhost, loopback, unspecified."""
    match name.kind:
        case "dns":
            return _is_loopback_host(name.value.removeprefix("*."))
        case "ip":
            return _is_loopback_address(ip_address(name.value))
        case "email" | "upn":
            return _is_loopback_host(name.value.rpartition("@")[2])
        case "uri":
            return _is_loopback_host(_host_of(name.value))
        case _:
            return False


def _host_of(uri: str) -> str:
    try:
        return urlsplit(uri).hostname or ""
    except ValueError:
        return ""


def _is_loopback_host(text: str) -> bool:
    host = text.strip("[]").rstrip(".").lower()
    address = _address(host)
    if address is not None:
        return _is_loopback_address(address)
    first, _, rest = host.partition(".")
    return host.rpartition(".")[2] == "localhost" or (first in _HOSTS and rest in _DOMAINS)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host)) if _NUMBER.fullmatch(host) else None
    except OSError:
        return None


def _is_loopback_address(address: IPv4Address | IPv6Address) -> bool:
    if address.is_loopback or address.is_unspecified or address in _THIS_NETWORK:
        return True
    return isinstance(address, IPv6Address) and any(map(_is_loopback_address, _embedded(address)))


def _embedded(address: IPv6Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses in an IPv6 address: mapped, compatible, translated, 6to4."""
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if any(address in network for network in _EMBEDDING):
        yield IPv4Address(int(address) & 0xFFFFFFFF)
