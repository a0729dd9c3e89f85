"""Where a request comes from."""

import ipaddress
from typing import Final

from django.conf import settings
from django.http import HttpRequest

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: What is remembered of a connection without an address, as over a Unix socket.
UNKNOWN: Final = "0.0.0.0"  # noqa: S104 - a placeholder, nothing is bound to it


def client_address(request: HttpRequest) -> str:
    """The client's IP address: the peer's, or what named proxies say of the last hop before them.

    `X-Forwarded-For` is read from the right, one entry for each proxy that is named in PORTAL_TRUSTED_PROXIES, and no
    more than PORTAL_PROXY_HOPS: what stands further left was written by whoever wanted to. The number matters where
    clients live in the network of the proxies: without it their address would pass for one more proxy.
    """
    peer = _address(request.META.get("REMOTE_ADDR", ""))
    if peer is None:
        return UNKNOWN
    if not is_trusted_proxy(peer):
        return str(peer)
    hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    for hop in hops[: -settings.PORTAL_PROXY_HOPS - 1 : -1]:
        found = _address(hop.strip())
        if found is None:
            break
        peer = found
        if not is_trusted_proxy(peer):
            break
    return str(peer)


def is_trusted_proxy(address: Address) -> bool:
    """Whether the address is named in PORTAL_TRUSTED_PROXIES."""
    networks: tuple[Network, ...] = settings.PORTAL_TRUSTED_PROXIES
    return any(address in network for network in networks)


def is_from_trusted_proxy(request: HttpRequest) -> bool:
    """Whether the connection comes from a named proxy."""
    peer = _address(request.META.get("REMOTE_ADDR", ""))
    return peer is not None and is_trusted_proxy(peer)


def is_from_this_machine(request: HttpRequest) -> bool:
    """Whether the connection comes over the loopback interface."""
    peer = _address(request.META.get("REMOTE_ADDR", ""))
    return peer is not None and peer.is_loopback


def _address(text: str) -> Address | None:
    """The address in a text, an IPv4 address mapped into IPv6 as IPv4; None for anything else."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
