"""Where a request comes from."""

import ipaddress
from typing import Final

from django.conf import settings
from django.http import HttpRequest

from accounts.network import proxy_notice
from accounts.network.forwarding import (
    Address,
    Hop,
    hops_of_forwarded,
    hops_of_x_forwarded_for,
    parse_address,
    parse_node,
)

#: What PORTAL_PROXY_HEADER may name. The other one is not read: a proxy passes it on as any client
#: writes it.
X_FORWARDED_FOR: Final = "X-Forwarded-For"
FORWARDED: Final = "Forwarded"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: What is remembered of a connection without an address, as over a Unix socket.
UNKNOWN: Final = "0.0.0.0"  # noqa: S104 - a placeholder, nothing is bound to it
#: Headers in which proxies list the addresses that a request came through.
_PASSED_THROUGH: Final = ("HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP")
#: One IPv6 host can have every address of its subnet (RFC 7421), so limits count the subnet.
_IPV6_PREFIX: Final = 64


def client_address(request: HttpRequest) -> str:
    """The client's IP address: the peer's, or what named proxies say of the last hop before them.

    The header that PORTAL_PROXY_HEADER names is read from the right, one entry for each proxy that
    is named in PORTAL_TRUSTED_PROXIES, and no more than PORTAL_PROXY_HOPS: what stands further left
    may be of any origin. The number matters where clients live in the network of the proxies:
    without it their address would pass for one more proxy. A request whose entry is no address has
    the address of the proxy that wrote it, and that is told (`accounts.network.proxy_notice`).
    """
    peer = parse_address(request.META.get("REMOTE_ADDR", ""))
    if peer is None:
        return UNKNOWN
    return str(_through_proxies(request, peer)[0])


def forwarded_scheme(request: HttpRequest) -> str:
    """What named proxies say of the scheme by which the client called: http, https or, where
    nothing is said, empty.
    """
    peer = parse_address(request.META.get("REMOTE_ADDR", ""))
    if peer is None or not is_trusted_proxy(peer):
        return ""
    if settings.PORTAL_PROXY_HEADER == X_FORWARDED_FOR:
        scheme = request.META.get("HTTP_X_FORWARDED_PROTO", "").strip().lower()
    else:
        scheme = _through_proxies(request, peer)[1]
    return scheme if scheme in {"http", "https"} else ""


def _through_proxies(request: HttpRequest, peer: Address) -> tuple[Address, str]:
    """The address behind the named proxies, and the scheme that the last one of them heard."""
    scheme = ""
    for hop in _hops(request) if is_trusted_proxy(peer) else ():
        scheme = hop.scheme
        address = parse_node(hop.node)
        if address is None:
            proxy_notice.note(settings.PORTAL_PROXY_HEADER, hop.node, proxy=str(peer))
            break
        peer = address
        if not is_trusted_proxy(peer):
            break
    return peer, scheme


def _hops(request: HttpRequest) -> list[Hop]:
    read, other = (
        (hops_of_x_forwarded_for, FORWARDED)
        if settings.PORTAL_PROXY_HEADER == X_FORWARDED_FOR
        else (hops_of_forwarded, X_FORWARDED_FOR)
    )
    text = request.META.get(_key(settings.PORTAL_PROXY_HEADER), "")
    if not text.strip() and request.META.get(_key(other), "").strip():
        proxy_notice.note(
            settings.PORTAL_PROXY_HEADER, "", proxy=request.META["REMOTE_ADDR"], other=other
        )
    return read(text, settings.PORTAL_PROXY_HOPS)


def _key(header: str) -> str:
    return f"HTTP_{header.upper().replace('-', '_')}"


def network_of(address: str) -> str:
    """Return what limits count for an address: an IPv4 address itself, mapped into IPv6 or not; the
    /64 of an IPv6 one.

    A text that is no address stands for itself.
    """
    parsed = parse_address(address)
    if not isinstance(parsed, ipaddress.IPv6Address):
        return address if parsed is None else str(parsed)
    host_bits = parsed.max_prefixlen - _IPV6_PREFIX
    return str(ipaddress.IPv6Network((int(parsed) >> host_bits << host_bits, _IPV6_PREFIX)))


def is_trusted_proxy(address: Address) -> bool:
    """Whether the address is named in PORTAL_TRUSTED_PROXIES."""
    networks: tuple[Network, ...] = settings.PORTAL_TRUSTED_PROXIES
    return any(address in network for network in networks)


def is_from_trusted_proxy(request: HttpRequest) -> bool:
    """Whether the connection comes from a named proxy."""
    peer = parse_address(request.META.get("REMOTE_ADDR", ""))
    return peer is not None and is_trusted_proxy(peer)


def is_from_this_machine(request: HttpRequest) -> bool:
    """Whether the client, and not only the last proxy before the portal, is on the loopback
    interface.

    Every address that a proxy lists counts, whether the proxy is named in PORTAL_TRUSTED_PROXIES or
    not: a forged entry can only take the answer away. So do signs of a proxy that lists none:
    `Via`, which proxies alone write, and HTTP/1.0, which browsers do not speak and older nginx does
    unless told otherwise. A proxy of the same machine that shows neither looks like a browser.
    """
    if "HTTP_VIA" in request.META or request.META.get("SERVER_PROTOCOL") == "HTTP/1.0":
        return False
    listed = ",".join(request.META.get(header, "") for header in _PASSED_THROUGH).split(",")
    addresses = [
        parse_node(client_address(request)),
        *(parse_node(entry) for entry in listed if entry.strip()),
    ]
    is_local = all(address is not None and address.is_loopback for address in addresses)
    return is_local and "HTTP_FORWARDED" not in request.META
