"""The addresses that the portal may call, so that no profile opens a way into the network.

PURE. Both gates are shut until the operator opens them: the host of a URL must be on a list, and
every address of the host at the moment of the call must be public, or in a network on a second
list. The caller must connect to the address that was checked, and not resolve the host again.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

Network = IPv4Network | IPv6Network
PORTS: Final = {"https": 443, "http": 80}
MAX_URL: Final = 500

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\]")
_PATH: Final = re.compile(r"(?:/[!-~]*)?")
#: All global unicast addresses (RFC 4291 §2.4).
_UNICAST: Final = IPv6Network("2000::/3")
#: All blocks of the IANA special-purpose address registries (RFC 6890) that are not globally
#: reachable, and multicast. The table stands here since each release of Python knows another part
#: of the registries. Three kinds are refused as a whole, although parts are reachable: 192.0.0.0/24
#: and 2001::/23 (anycast of protocols may end in the own network), and addresses that carry an IPv4
#: address to wherever a translator leads (RFC 6052, 3056, 4380).
_SPECIAL_4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared, of carriers
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays, deprecated
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarking
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, limited broadcast
        ),
    )
)
_SPECIAL_6: Final = tuple(
    map(
        IPv6Network,
        (
            "64:ff9b::/96",  # IPv4 behind a translator
            "64:ff9b:1::/48",  # the same, local
            "2001::/23",  # protocol assignments, with Teredo, benchmarking and ORCHID
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4
            "3fff::/20",  # documentation
        ),
    )
)


class TargetRefused(ValueError):
    """A URL or an address that may not be called; names it and the reason."""


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """One host that may be called, with scheme and port. A leading `*.` covers every name below."""

    scheme: str
    host: str
    port: int

    def covers(self, scheme: str, host: str, port: int) -> bool:
        """Return whether this entry allows that host."""
        if (scheme, port) != (self.scheme, self.port):
            return False
        return host.endswith(self.host[1:]) if self.host.startswith("*.") else host == self.host

    def __str__(self) -> str:
        text = self.host if self.port == PORTS[self.scheme] else f"{self.host}:{self.port}"
        return text if self.scheme == "https" else f"http://{text}"


@dataclass(frozen=True, slots=True)
class CallRules:
    """The operator's lists: allowed hosts, and non-public networks that may be reached."""

    hosts: tuple[AllowedHost, ...] = ()
    networks: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be called, in parts; `host` has no brackets, `path` includes the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Return the value of the Host header (RFC 9110 §7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def read_allowed_host(text: str) -> AllowedHost:
    """Parse one entry of the list: `mdm.example`, `mdm.example:8443` or `*.mdm.example`.

    A leading `http://` allows plain HTTP. Raises ValueError with the rest of a sentence about the
    setting.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "https", text
    name, port = _split_port(rest.lower())
    if scheme not in PORTS or not _NAME.fullmatch(name) or not 0 < (port or PORTS[scheme]) < 65536:
        raise ValueError(
            f"has {text!r}, which is not a host, for example mdm.example or mdm.example:8443"
        )
    return AllowedHost(scheme, name.strip("[]"), port or PORTS[scheme])


def read_target(url: str, rules: CallRules) -> Target:
    """Split a URL and check its host.

    Raises TargetRefused for an invalid URL and for a host that is not on the list.
    """
    parts = _split(url)
    host = parts.hostname or ""
    if parts.scheme not in PORTS or not host or "@" in parts.netloc or parts.fragment:
        raise TargetRefused(f"{_shown(url)}: not an https address like https://mdm.example/scep")
    port = _port(parts, url)
    name = f"[{host}]" if ":" in host else host
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    if (
        not _NAME.fullmatch(name)
        or name.startswith("*")
        or not _PATH.fullmatch(path)
        or len(url) > MAX_URL
    ):
        raise TargetRefused(
            f"{_shown(url)}: host and path need plain characters, and at most {MAX_URL} of them"
        )
    if not any(entry.covers(parts.scheme, host, port) for entry in rules.hosts):
        missing = AllowedHost(parts.scheme, name, port)
        raise TargetRefused(
            f"{missing}: not on the list of hosts that may be called, see PORTAL_WEBHOOK_HOSTS"
        )
    return Target(parts.scheme, host, port, path or "/")


def check_addresses(addresses: Iterable[str], rules: CallRules, *, host: str) -> tuple[str, ...]:
    """Return the addresses of a host if all of them may be called; else raise TargetRefused.

    One refused address is enough: the name's owner could offer the others to get past.
    """
    distinct = tuple(dict.fromkeys(addresses))
    if not distinct:
        raise TargetRefused(f"{host}: the name has no address")
    for text in distinct:
        if not _may_be_called(text, rules.networks):
            raise TargetRefused(
                f"{host}: its address {text} is not a public one, see PORTAL_WEBHOOK_NETWORKS"
            )
    return distinct


def _may_be_called(text: str, networks: Sequence[Network]) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks) or _is_public(address)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether the address is global unicast; in IPv6, only 2000::/3 is."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_4)
    return address in _UNICAST and not any(address in network for network in _SPECIAL_6)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise TargetRefused(
            f"{_shown(url)}: not an https address like https://mdm.example/scep"
        ) from None


def _port(parts: SplitResult, url: str) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise TargetRefused(f"{_shown(url)}: the port is a number from 1 to 65535")
    return port or PORTS[parts.scheme]


def _split_port(text: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(.*):([0-9]{1,5})", text) if not text.endswith("]") else None
    return (match[1], int(match[2]) or 65536) if match else (text, None)


def _shown(url: str) -> str:
    return repr(url if len(url) <= 100 else f"{url[:97]}...")
