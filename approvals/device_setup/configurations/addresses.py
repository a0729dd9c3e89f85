"""Addresses that a device cannot reach: names and numbers of its own machine."""

import ipaddress
import socket
from typing import Final
from urllib.parse import urlsplit

_OWN_NAMES: Final = (
    "localhost",
    "localhost.localdomain",
    "localhost4",
    "localhost6",
    "ip6-localhost",
    "ip6-loopback",
)


def names_this_machine(url: str) -> bool:
    """Whether the host of an address is the reader's machine: localhost, loopback, unspecified.

    See RFC 6761 §6.3.
    """
    host = (urlsplit(url).hostname or "").rstrip(".").lower()
    if host in _OWN_NAMES or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and (address.is_loopback or address.is_unspecified)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the host as an address, also from short forms (127.1, 0x7f000001); None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, ValueError):
            return None
    return getattr(address, "ipv4_mapped", None) or address
