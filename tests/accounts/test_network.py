"""Where a request comes from."""

import ipaddress

import pytest
from django.conf import LazySettings
from django.test import RequestFactory

from accounts.network import UNKNOWN, client_address


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("198.51.100.9", "203.0.113.5", "198.51.100.9"),  # nobody named this peer
        ("192.0.2.1", "203.0.113.5", "203.0.113.5"),
        ("192.0.2.1", "10.9.9.9, 203.0.113.5", "203.0.113.5"),  # the left one was written by the client
        ("192.0.2.1", "2001:db8::5", "2001:db8::5"),
        ("192.0.2.1", "rubbish", "192.0.2.1"),
        ("192.0.2.1", "", "192.0.2.1"),
        ("::ffff:192.0.2.1", "203.0.113.5", "203.0.113.5"),
        ("::ffff:198.51.100.9", "", "198.51.100.9"),
        ("", "203.0.113.5", UNKNOWN),  # a Unix socket
    ],
)
def test_only_named_proxies_say_who_the_client_is(
    settings: LazySettings, rf: RequestFactory, peer: str, forwarded: str, client: str
) -> None:
    settings.PORTAL_TRUSTED_PROXIES = (ipaddress.ip_network("192.0.2.0/24"),)
    assert client_address(rf.get("/", REMOTE_ADDR=peer, headers={"x-forwarded-for": forwarded})) == client


@pytest.mark.parametrize(
    ("hops", "forwarded", "client"),
    [
        (1, "203.0.113.5, 192.0.2.2", "192.0.2.2"),  # a device in the network of the proxies that lies about itself
        (2, "203.0.113.5, 192.0.2.2", "203.0.113.5"),
        (2, "10.9.9.9, 203.0.113.5, 192.0.2.2", "203.0.113.5"),
        (2, "10.9.9.9, 192.0.2.3, 192.0.2.2", "192.0.2.3"),
        (3, "10.9.9.9, 192.0.2.3, 192.0.2.2", "10.9.9.9"),
        (3, "10.9.9.9, 203.0.113.5", "203.0.113.5"),  # a shorter way: the first stranger is the client
        (3, "192.0.2.4", "192.0.2.4"),
        (2, "203.0.113.5, rubbish", "192.0.2.1"),
    ],
)
def test_no_more_proxies_are_believed_than_there_are(
    settings: LazySettings, rf: RequestFactory, hops: int, forwarded: str, client: str
) -> None:
    settings.PORTAL_TRUSTED_PROXIES = (ipaddress.ip_network("192.0.2.0/24"),)
    settings.PORTAL_PROXY_HOPS = hops
    assert client_address(rf.get("/", REMOTE_ADDR="192.0.2.1", headers={"x-forwarded-for": forwarded})) == client
