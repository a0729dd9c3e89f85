"""The address, scheme and network of a client."""

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

#: The headers that PORTAL_PROXY_HEADER may name. The other one is ignored: a proxy passes it on
#: exactly as a client wrote it.
X_FORWARDED_FOR: Final = "X-Forwarded-For"
FORWARDED: Final = "Forwarded"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: The address recorded for a connection without one, such as over a Unix socket.
UNKNOWN: Final = "0.0.0.0"  # noqa: S104 - a placeholder, nothing is bound to it
#: Headers in which proxies list the addresses that a request came through.
_PASSED_THROUGH: Final = ("HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP")
#: One IPv6 host can use every address of its subnet (RFC 7421), so limits count the subnet.
_IPV6_PREFIX: Final = 64


def client_address(request: HttpRequest) -> str:
    """Return the client's IP address: the peer's, or the one that trusted proxies report.

    The header named by PORTAL_PROXY_HEADER is read from the right, one entry for each proxy listed
    in PORTAL_TRUSTED_PROXIES, and at most PORTAL_PROXY_HOPS entries: a client can forge everything
    further left. The maximum matters where clients live in the network of the proxies: without it
    their address would pass for one more proxy. If an entry is not an address, the request gets the
    address of the proxy that wrote it, and the operator is told (`accounts.network.proxy_notice`).
    """
    peer = parse_address(request.META.get("REMOTE_ADDR", ""))
    if peer is None:
        return UNKNOWN
    return str(_through_proxies(request, peer)[0])


def forwarded_scheme(request: HttpRequest) -> str:
    """Return the client's scheme as trusted proxies report it: "http", "https" or ""."""
    peer = parse_address(request.META.get("REMOTE_ADDR", ""))
    if peer is None or not is_trusted_proxy(peer):
        return ""
    if settings.PORTAL_PROXY_HEADER == X_FORWARDED_FOR:
        scheme = request.META.get("HTTP_X_FORWARDED_PROTO", "").strip().lower()
    else:
        scheme = _through_proxies(request, peer)[1]
    return scheme if scheme in {"http", "https"} else ""


def _through_proxies(request: HttpRequest, peer: Address) -> tuple[Address, str]:
    """Return the client's address behind trusted proxies, and the scheme the last of them saw."""
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
    """Return the network that limits count for an address.

    For IPv4 (mapped into IPv6 or not) it is the address itself, for IPv6 its /64. Text that is not
    an address is returned as it is.
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
    """Whether the client itself, and not only the last proxy, is on the loopback interface.

    Every address that a proxy lists counts, whether or not the proxy is listed in
    PORTAL_TRUSTED_PROXIES: a forged entry can only turn the answer to False. Signs of a proxy that
    lists no address count too: `Via`, which only proxies write, and HTTP/1.0, which browsers do not
    speak and older versions of nginx use by default. A proxy on the same machine without either
    sign cannot be told from a browser.
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
