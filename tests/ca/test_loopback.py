"""Names by which every machine means itself are recognised in any spelling, and no others."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.content.csr_review import ProfileSpec, check_csr
from ca.content.loopback import is_loopback
from ca.x509.general_names import GeneralName, general_name
from tests.ca.forge import extension_request, request, san

LOCAL = st.one_of(st.integers(0x7F000000, 0x7FFFFFFF), st.integers(0, 0x00FFFFFF)).map(IPv4Address)
PREFIXES = [0, 0xFFFF << 32, 0x64FF9B << 96, 0xFFFF << 48]


@settings(deadline=None)
@given(LOCAL, st.sampled_from(PREFIXES), st.integers(0, 2**80 - 1))
def test_every_loopback_and_unspecified_address_is_seen_in_both_families(
    address: IPv4Address, prefix: int, rest: int
) -> None:
    assert is_loopback(general_name("ip", str(address)))
    assert is_loopback(general_name("ip", str(IPv6Address(prefix | int(address)))))
    assert is_loopback(
        general_name("ip", str(IPv6Address((0x2002 << 112) | (int(address) << 80) | rest)))
    ), "6to4"


@settings(deadline=None)
@given(st.integers(0x01000000, 0x7EFFFFFF) | st.integers(0x80000000, 2**32 - 1))
def test_no_other_ipv4_address_is(number: int) -> None:
    assert not is_loopback(general_name("ip", str(IPv4Address(number))))
    assert not is_loopback(general_name("ip", str(IPv6Address((0xFFFF << 32) | number))))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("dns", "localhost"),
        ("dns", "localhost."),
        ("dns", "LocalHost"),
        ("dns", "www.localhost"),
        ("dns", "*.localhost"),
        ("dns", "localhost.localdomain"),
        ("dns", "localhost6.localdomain6"),
        ("dns", "ip6-localhost"),
        ("dns", "ip6-loopback"),
        ("ip", "::1"),
        ("ip", "::"),
        ("email", "root@localhost"),
        ("upn", "admin@localhost.localdomain"),
        ("uri", "https://localhost:8443/x"),
        ("uri", "HTTPS://[::1]/"),
        ("uri", "http://127.1/"),
        ("uri", "http://0x7f.1/"),
        ("uri", "http://2130706433/"),
    ],
)
def test_every_spelling_meets_an_officer(kind: str, value: str) -> None:
    name = general_name(kind, value)
    assert is_loopback(name)
    spec = ProfileSpec(
        san_kinds=("dns", "ip", "email", "uri", "upn"), san_patterns={"dns": (".*", r"\*\..*")}
    )
    review = check_csr(request(None, extension_request(san(name))), spec)
    assert review.refused or [f.code for f in review.findings if f.severity == "officer"] == [
        "san-loopback"
    ]
    assert review.refused is value.endswith("."), (
        "a final dot is no DNS name of a certificate at all"
    )


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("dns", "localhost.example"),
        ("dns", "mylocalhost"),
        ("dns", "r1.local"),
        ("ip", "192.0.2.1"),
        ("ip", "2001:db8::1"),
        ("ip", "64:ff9b::c000:201"),
        ("email", "localhost@example.org"),
        ("uri", "https://example.org/localhost"),
        ("uri", "https://[::1/"),
        ("uri", "urn:uuid:1"),
        ("uri", "http://127.1.2.3.4/"),
    ],
)
def test_other_names_do_not(kind: str, value: str) -> None:
    assert not is_loopback(general_name(kind, value))


def test_what_is_not_read_is_not_judged() -> None:
    assert not is_loopback(GeneralName("other", "1.2.3", b""))
