"""Where a request comes from."""

import ipaddress

import pytest
from django.conf import LazySettings
from django.test import RequestFactory

from accounts.network.addresses import UNKNOWN, client_address, is_from_this_machine


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("198.51.100.9", "203.0.113.5", "198.51.100.9"),  # a peer that is no trusted proxy
        ("192.0.2.1", "203.0.113.5", "203.0.113.5"),
        (
            "192.0.2.1",
            "10.9.9.9, 203.0.113.5",
            "203.0.113.5",
        ),  # the left one was written by the client
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
    assert (
        client_address(rf.get("/", REMOTE_ADDR=peer, headers={"x-forwarded-for": forwarded}))
        == client
    )


@pytest.mark.parametrize(
    ("hops", "forwarded", "client"),
    [
        (
            1,
            "203.0.113.5, 192.0.2.2",
            "192.0.2.2",
        ),  # a device in the network of the proxies that lies about itself
        (2, "203.0.113.5, 192.0.2.2", "203.0.113.5"),
        (2, "10.9.9.9, 203.0.113.5, 192.0.2.2", "203.0.113.5"),
        (2, "10.9.9.9, 192.0.2.3, 192.0.2.2", "192.0.2.3"),
        (3, "10.9.9.9, 192.0.2.3, 192.0.2.2", "10.9.9.9"),
        (
            3,
            "10.9.9.9, 203.0.113.5",
            "203.0.113.5",
        ),  # a shorter way: the first stranger is the client
        (3, "192.0.2.4", "192.0.2.4"),
        (2, "203.0.113.5, rubbish", "192.0.2.1"),
    ],
)
def test_only_as_many_proxies_are_believed_as_there_are(
    settings: LazySettings, rf: RequestFactory, hops: int, forwarded: str, client: str
) -> None:
    settings.PORTAL_TRUSTED_PROXIES = (ipaddress.ip_network("192.0.2.0/24"),)
    settings.PORTAL_PROXY_HOPS = hops
    assert (
        client_address(rf.get("/", REMOTE_ADDR="192.0.2.1", headers={"x-forwarded-for": forwarded}))
        == client
    )


@pytest.mark.parametrize(
    ("peer", "headers", "is_here"),
    [
        ("127.0.0.1", {}, True),
        ("::1", {}, True),
        ("::ffff:127.0.0.1", {}, True),
        (
            "127.0.0.1",
            {"x-forwarded-for": "127.0.0.1"},
            True,
        ),  # a browser and a proxy on the machine of the portal
        ("127.0.0.1", {"x-forwarded-for": "::1, 127.0.0.1"}, True),
        ("127.0.0.1", {"x-forwarded-for": "203.0.113.5"}, False),
        ("127.0.0.1", {"x-forwarded-for": "203.0.113.5, 127.0.0.1"}, False),
        ("127.0.0.1", {"x-forwarded-for": "127.0.0.1, 2001:db8::5"}, False),
        ("127.0.0.1", {"x-forwarded-for": "unknown"}, False),
        ("127.0.0.1", {"x-real-ip": "203.0.113.5"}, False),
        ("127.0.0.1", {"forwarded": "for=203.0.113.5;proto=http"}, False),
        ("203.0.113.5", {"x-forwarded-for": "127.0.0.1"}, False),
        ("", {}, False),  # a Unix socket
    ],
)
@pytest.mark.parametrize(
    "proxies", [(), (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))]
)
def test_the_client_is_on_this_machine_and_not_only_the_proxy_before_the_portal(
    settings: LazySettings,
    rf: RequestFactory,
    proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...],
    peer: str,
    headers: dict[str, str],
    is_here: bool,
) -> None:
    settings.PORTAL_TRUSTED_PROXIES = proxies
    settings.PORTAL_PROXY_HOPS = 2
    assert is_from_this_machine(rf.get("/", REMOTE_ADDR=peer, headers=headers)) is is_here


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1"])
@pytest.mark.parametrize(
    ("protocol", "headers", "is_here"),
    [
        ("HTTP/1.1", {}, True),
        ("HTTP/2", {}, True),
        ("HTTP/1.1", {"connection": "close"}, True),
        (
            "HTTP/1.0",
            {},
            False,
        ),  # nginx with `proxy_pass http://localhost:8000` and no further line
        ("HTTP/1.0", {"connection": "close", "x-forwarded-for": "127.0.0.1"}, False),
        ("HTTP/1.1", {"via": "1.1 proxy.example"}, False),
        ("HTTP/1.1", {"via": "1.0 localhost", "x-forwarded-for": "127.0.0.1"}, False),
    ],
)
def test_what_a_proxy_shows_without_naming_a_client_is_no_browser(
    settings: LazySettings,
    rf: RequestFactory,
    peer: str,
    protocol: str,
    headers: dict[str, str],
    is_here: bool,
) -> None:
    settings.PORTAL_TRUSTED_PROXIES = ()
    request = rf.get("/", REMOTE_ADDR=peer, SERVER_PROTOCOL=protocol, headers=headers)
    assert is_from_this_machine(request) is is_here
