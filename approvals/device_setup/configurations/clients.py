"""The clients with configurations: one table, read by the pages and the command."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from approvals.device_setup.configurations import cisco, firewalls, mdm, unix
from approvals.device_setup.configurations.apple import apple
from approvals.device_setup.configurations.facts import Configuration, ConfigurationFacts
from approvals.device_setup.configurations.windows import windows

TRIED: Final = "Tried with every change of the portal."
CHECKED: Final = "The file is checked with every change of the portal; no device was at hand."
BY_HAND: Final = (
    "Tried by hand; with every change of the portal, OpenSSL makes the request from it."
)
NOT_TRIED: Final = "Written from the vendor's documentation; no device was at hand to try it."


@dataclass(frozen=True, slots=True)
class Client:
    """One client: `slug` is its part of the address, `evidence` tells how it was tested."""

    slug: str
    name: str
    group: str
    evidence: str
    render: Callable[[ConfigurationFacts], Configuration]
    #: False for a client with its own challenge.
    takes_challenge: bool = True

    @property
    def is_apple(self) -> bool:
        """Whether there is a file to download in addition to the text."""
        return self.slug == APPLE


APPLE: Final = "apple"
#: Runs on the portal's own machine.
OWN_CLIENT: Final = "demo"
_PHONES, _NETWORK, _SERVERS = "Phones and desktops", "Network devices", "Servers and tests"
_ALL: Final = (
    Client(APPLE, "Apple iOS, iPadOS, macOS", _PHONES, CHECKED, apple),
    Client("windows", "Windows", _PHONES, NOT_TRIED, windows),
    Client("intune", "Microsoft Intune", _PHONES, NOT_TRIED, mdm.intune, takes_challenge=False),
    Client("jamf", "Jamf Pro", _PHONES, NOT_TRIED, mdm.jamf),
    Client("cisco-ios", "Cisco IOS, IOS-XE", _NETWORK, NOT_TRIED, cisco.ios),
    Client("cisco-asa", "Cisco ASA", _NETWORK, NOT_TRIED, cisco.asa),
    Client("junos", "Juniper Junos", _NETWORK, NOT_TRIED, firewalls.junos),
    Client("pan-os", "Palo Alto PAN-OS", _NETWORK, NOT_TRIED, firewalls.panos),
    Client("fortigate", "Fortinet FortiGate", _NETWORK, NOT_TRIED, firewalls.fortigate),
    Client("routeros", "MikroTik RouterOS", _NETWORK, NOT_TRIED, firewalls.routeros),
    Client("strongswan", "strongSwan pki", _SERVERS, TRIED, unix.strongswan),
    Client("certmonger", "certmonger", _SERVERS, TRIED, unix.certmonger),
    Client("sscep", "sscep", _SERVERS, BY_HAND, unix.sscep),
    Client(OWN_CLIENT, "This portal's test client", _SERVERS, TRIED, unix.own_client),
)
CLIENTS: Final[Mapping[str, Client]] = MappingProxyType({client.slug: client for client in _ALL})
