"""The targets the portal may call: listed hosts, at public or allowed addresses."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given, strategies

from outbound.url_rules import (
    AllowedHost,
    CallRules,
    TargetRefused,
    check_addresses,
    read_allowed_host,
    read_target,
)

RULES = CallRules(
    hosts=tuple(
        map(
            read_allowed_host,
            ("mdm.example", "mdm.example:8443", "*.svc.example", "http://[::1]:80"),
        )
    )
)


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("mdm.example", AllowedHost("https", "mdm.example", 443)),
        ("MDM.Example:8443", AllowedHost("https", "mdm.example", 8443)),
        ("*.example", AllowedHost("https", "*.example", 443)),
        ("http://127.0.0.1:9000", AllowedHost("http", "127.0.0.1", 9000)),
        ("[fd00::1]:8443", AllowedHost("https", "fd00::1", 8443)),
        ("https://[fd00::1]", AllowedHost("https", "fd00::1", 443)),
    ],
)
def test_an_entry_of_the_list_is_a_host_with_scheme_and_port(text: str, entry: AllowedHost) -> None:
    assert read_allowed_host(text) == entry


@pytest.mark.parametrize(
    "text",
    ["", "*", "ftp://mdm.example", "mdm.example/path", "a b", "mdm.example:0", "x:99999", "*.*.x"],
)
def test_what_is_no_host_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="which is not a host"):
        read_allowed_host(text)


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("https://mdm.example", "mdm.example", "/"),
        ("https://mdm.example:443/a?b=c", "mdm.example", "/a?b=c"),
        ("https://MDM.example:8443/scep", "mdm.example:8443", "/scep"),
        ("https://a.b.svc.example/", "a.b.svc.example", "/"),
        ("http://[::1]/x", "[::1]", "/x"),
    ],
)
def test_a_listed_host_may_be_called(url: str, authority: str, path: str) -> None:
    target = read_target(url, RULES)
    assert (target.authority, target.path) == (authority, path)
    assert str(target) == f"{target.scheme}://{authority}{path}"


@pytest.mark.parametrize(
    "url",
    [
        "http://mdm.example/",  # plain HTTP was not allowed
        "https://mdm.example:444/",
        "https://svc.example/",  # below it, not itself
        "https://evilsvc.example/",
        "https://mdm.example.evil.example/",
        "https://10.0.0.1/",
        "https://[::1]/",
    ],
)
def test_a_host_that_is_not_listed_is_not_called(url: str) -> None:
    with pytest.raises(TargetRefused, match="not on the list"):
        read_target(url, RULES)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mdm.example",
        "ftp://mdm.example/",
        "https://alice:secret@mdm.example/",
        "https://mdm.example@evil.example/",
        "https://mdm.example/#part",
        "https://mdm.example:0/",
        "https://mdm.example:x/",
        "https://[::1/",
        "https://mdm.exämple/",
        "https://*.svc.example/",
        "https://mdm.example/a b",
        "https://mdm.example/" + "a" * 500,
    ],
)
def test_an_odd_url_is_refused(url: str) -> None:
    with pytest.raises(TargetRefused):
        read_target(url, RULES)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"])
def test_public_addresses_may_be_called(address: str) -> None:
    assert check_addresses([address, address], RULES, host="mdm.example") == (address,)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.1", "224.0.0.1",
        "255.255.255.255", "240.0.0.1", "198.18.0.1", "::1", "::", "fe80::1", "fd00::1", "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::",
        "fe80::1%eth0", "localhost",
        "fec0::1", "5f00::1",
    ],
)  # fmt: skip
def test_addresses_inside_are_not_called(address: str) -> None:
    with pytest.raises(TargetRefused, match="not a public one"):
        check_addresses(["93.184.216.34", address], RULES, host="mdm.example")


#: The IANA IPv4 and IPv6 special-purpose address registries: blocks that are not globally
#: reachable, or not applicable.
NOT_GLOBAL = (
    "0.0.0.0/8", "0.0.0.0/32", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24", "192.0.0.0/29", "192.0.0.8/32", "192.0.0.170/32", "192.0.0.171/32",
    "192.0.2.0/24",
    "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "240.0.0.0/4",
    "255.255.255.255/32", "::1/128", "::/128", "::ffff:0:0/96", "64:ff9b:1::/48", "100::/64",
    "100:0:0:1::/64",
    "2001::/23", "2001::/32", "2001:2::/48", "2001:10::/28", "2001:db8::/32", "2002::/16",
    "3fff::/20", "5f00::/16",
    "fc00::/7", "fe80::/10",
)  # fmt: skip
#: In the registries called globally reachable, and not called all the same: see the table of the
#: product.
LEADS_ANYWHERE = (
    "192.0.0.9/32", "192.0.0.10/32", "64:ff9b::/96", "2001:1::1/128", "2001:1::2/128",
    "2001:1::3/128", "2001:3::/32",
    "2001:4:112::/48", "2001:20::/28", "2001:30::/28",
)  # fmt: skip
#: Not in the registries: multicast (RFC 5771, 4291), IPv4-compatible, site-local and unassigned
#: addresses.
NO_UNICAST = (
    "224.0.0.0/4",
    "ff00::/8",
    "fec0::/10",
    "::/96",
    "200::/7",
    "400::/6",
    "4000::/3",
    "e000::/4",
)
GLOBAL = (
    "1.1.1.0/24", "9.255.255.255/32", "11.0.0.0/32", "100.63.255.255/32", "100.128.0.0/32",
    "128.0.0.0/32",
    "169.253.255.255/32", "172.15.255.255/32", "172.32.0.0/32", "192.0.1.0/24", "192.31.196.0/24",
    "192.52.193.0/24",
    "192.175.48.0/24", "198.17.255.255/32", "198.20.0.0/32", "203.0.114.0/32",
    "223.255.255.255/32", "2000::/16",
    "2001:200::/24", "2001:db7::/32", "2001:db9::/32", "2003::/16", "2620:4f:8000::/48",
    "2a00::/12", "3ffe::/16",
)  # fmt: skip


@pytest.mark.parametrize("network", [*NOT_GLOBAL, *LEADS_ANYWHERE, *NO_UNICAST])
@given(data=strategies.data())
def test_no_address_of_a_special_purpose_network_is_called(
    network: str, data: strategies.DataObject
) -> None:
    inside = ip_network(network)
    first, last = int(inside.network_address), int(inside.broadcast_address)
    number = data.draw(strategies.sampled_from([first, last]) | strategies.integers(first, last))
    address = type(inside.network_address)(number)
    if network == "::ffff:0:0/96":  # judged by the IPv4 address inside
        address = IPv6Address(f"::ffff:10.{number & 0xFF}.0.1")
    with pytest.raises(TargetRefused, match="not a public one"):
        check_addresses([str(address)], RULES, host="mdm.example")
    if isinstance(address, IPv4Address):
        with pytest.raises(TargetRefused):
            check_addresses([f"::ffff:{address}"], RULES, host="mdm.example")


@pytest.mark.parametrize("network", GLOBAL)
@given(data=strategies.data())
def test_every_address_next_to_the_special_networks_is_called(
    network: str, data: strategies.DataObject
) -> None:
    inside = ip_network(network)
    number = data.draw(
        strategies.integers(int(inside.network_address), int(inside.broadcast_address))
    )
    address = str(type(inside.network_address)(number))
    assert check_addresses([address], RULES, host="mdm.example") == (address,)


def test_a_network_that_the_operator_names_may_be_called() -> None:
    rules = CallRules(networks=(ip_network("10.1.0.0/16"), ip_network("64:ff9b::/96")))
    assert check_addresses(["10.1.2.3", "64:ff9b::1"], rules, host="mdm.example") == (
        "10.1.2.3",
        "64:ff9b::1",
    )
    assert check_addresses(["::ffff:10.1.2.3"], rules, host="mdm.example")
    with pytest.raises(TargetRefused):
        check_addresses(["10.2.0.1"], rules, host="mdm.example")


def test_a_name_without_an_address_is_refused() -> None:
    with pytest.raises(TargetRefused, match="no address"):
        check_addresses([], RULES, host="mdm.example")
