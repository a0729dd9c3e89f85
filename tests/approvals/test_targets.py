"""What the portal may call by itself: hosts that are listed, at addresses that are public or allowed."""

from ipaddress import ip_network

import pytest

from approvals.targets import AllowedHost, CallRules, TargetRefused, check_addresses, read_allowed_host, read_target

RULES = CallRules(
    hosts=tuple(map(read_allowed_host, ("mdm.example", "mdm.example:8443", "*.svc.example", "http://[::1]:80")))
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
    "text", ["", "*", "ftp://mdm.example", "mdm.example/path", "a b", "mdm.example:0", "x:99999", "*.*.x"]
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
        "127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.1", "224.0.0.1",
        "255.255.255.255", "240.0.0.1", "198.18.0.1", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::", "fe80::1%eth0", "localhost",
        "fec0::1", "5f00::1",
    ],
)  # fmt: skip
def test_addresses_inside_are_not_called(address: str) -> None:
    with pytest.raises(TargetRefused, match="not a public one"):
        check_addresses(["93.184.216.34", address], RULES, host="mdm.example")


def test_a_network_that_the_operator_names_may_be_called() -> None:
    rules = CallRules(networks=(ip_network("10.1.0.0/16"), ip_network("64:ff9b::/96")))
    assert check_addresses(["10.1.2.3", "64:ff9b::1"], rules, host="mdm.example") == ("10.1.2.3", "64:ff9b::1")
    assert check_addresses(["::ffff:10.1.2.3"], rules, host="mdm.example")
    with pytest.raises(TargetRefused):
        check_addresses(["10.2.0.1"], rules, host="mdm.example")


def test_a_name_without_an_address_is_refused() -> None:
    with pytest.raises(TargetRefused, match="no address"):
        check_addresses([], RULES, host="mdm.example")
