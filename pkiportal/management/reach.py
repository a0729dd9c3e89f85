"""The addresses of a portal for people and devices, and advice if none can be reached."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from approvals.device_setup.configurations.addresses import names_this_machine

#: Addresses to listen on that mean every interface.
EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to


@dataclass(frozen=True, slots=True)
class Reach:
    """The addresses on which a portal listens, and its public address."""

    bind: tuple[str, int]
    public_url: str
    host_name: str
    #: Whether the web server itself speaks TLS, and the address for devices without it.
    has_tls: bool = False
    http_bind: tuple[str, int] | None = None

    @property
    def pages(self) -> str:
        """The address of the pages; without TLS the one on this machine, the only one served.

        May be empty.
        """
        if self.public_url.startswith("https://"):
            return self.public_url
        host, port = self.bind
        return f"http://localhost:{port}" if host in EVERYWHERE or _is_loopback(host) else ""

    @property
    def devices(self) -> str:
        """The address for devices: without TLS if the portal offers that."""
        if self.http_bind is None:
            return self.public_url
        host = urlsplit(self.public_url).hostname or self.host_name
        return f"http://{_in_url(host)}:{self.http_bind[1]}"

    @property
    def nearby(self) -> str:
        """The SCEP address for a client on this machine, without TLS if possible."""
        if self.has_tls and self.http_bind is None:
            return self.public_url
        host, port = self.http_bind or self.bind
        is_local = host in EVERYWHERE or _is_loopback(host)
        return f"http://{'localhost' if is_local else _in_url(host)}:{port}"

    def advice(self) -> list[str]:
        """Return advice for reaching this portal from elsewhere; "" if it can be reached."""
        return [*self._browsers(), *self._devices()]

    def _browsers(self) -> list[str]:
        if self.public_url.startswith("https://"):
            return []
        host, port = self.bind
        tls = (
            "start with --tls-cert FILE --tls-key FILE, or put a proxy with TLS before it "
            "(docs/operations.md)"
        )
        if not self.pages:
            return [
                (
                    f"The pages need TLS, or localhost, and this portal listens on {host} alone: "
                    "no "
                    "browser can use them."
                ),
                f"    Listen on this machine too, with --bind 0.0.0.0:{port}, or",
                f"    {tls}",
            ]
        return [
            "Without TLS the pages open on this machine only. From another machine:",
            (
                f"    ssh -L {port}:localhost:{port} {self.host_name}    and open {self.pages}/ "
                "there, "
                "or"
            ),
            f"    {tls}",
        ]

    def _devices(self) -> list[str]:
        if not names_this_machine(self.devices):
            return []
        port = (self.http_bind or self.bind)[1]
        scheme = "https" if self.has_tls else "http"
        lines = [
            (
                "Devices cannot use this address, it means themselves. Name the portal as they "
                "reach "
                "it, with"
            )
        ]
        lines.append(
            f"    PORTAL_PUBLIC_URL={scheme}://{self.host_name}:{self.bind[1]} ./portal up ..."
        )
        if _is_loopback((self.http_bind or self.bind)[0]):
            lines.append(f"    and let it listen for them: --bind 0.0.0.0:{port}")
        return lines


def _is_loopback(host: str) -> bool:
    return names_this_machine(f"//{_in_url(host)}") and host not in EVERYWHERE


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
