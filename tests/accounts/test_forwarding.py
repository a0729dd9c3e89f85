"""Proxies name the client: every spelling of an address, in either header, and forged parts."""

import ipaddress
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import RequestFactory, override_settings
from hypothesis import given
from hypothesis import strategies as st

from accounts.network import proxy_notice
from accounts.network.addresses import client_address, forwarded_scheme
from accounts.network.forwarding import Hop, hops_of_forwarded, hops_of_x_forwarded_for, parse_node

PROXY = "192.0.2.1"
_ADDRESSES = st.ip_addresses()


@pytest.fixture(autouse=True)
def behind_a_proxy(settings: LazySettings, tmp_path: Path) -> Iterator[None]:
    settings.PORTAL_TRUSTED_PROXIES = (ipaddress.ip_network("192.0.2.0/24"),)
    settings.PORTAL_DATA = SimpleNamespace(proxy_notice=tmp_path / "proxy-notice")
    proxy_notice.forget()
    yield
    proxy_notice.forget()


def notice(settings: LazySettings) -> str:
    path: Path = settings.PORTAL_DATA.proxy_notice
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize(
    ("node", "address"),
    [
        ("198.51.100.23:51234", "198.51.100.23"),
        ("198.51.100.23:_hidden", "198.51.100.23"),
        ("[2001:db8:9::23]:443", "2001:db8:9::23"),
        ("[2001:db8:9::23]", "2001:db8:9::23"),
        ("2001:db8:9::23", "2001:db8:9::23"),
        ("  198.51.100.23  ", "198.51.100.23"),
        ('"198.51.100.23:80"', "198.51.100.23"),
        ('"[2001:DB8:9::23]:4711"', "2001:db8:9::23"),
        ("[fe80::1%eth0]:443", "fe80::1"),
        ("[fe80::1%25eth0]", "fe80::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:198.51.100.23", "198.51.100.23"),
        ("[::ffff:198.51.100.23]:443", "198.51.100.23"),
        ("[::ffff:c633:6417]", "198.51.100.23"),
    ],
)
def test_each_spelling_of_an_address_is_read(node: str, address: str) -> None:
    assert str(parse_node(node)) == address


@pytest.mark.parametrize(
    "node",
    [
        "",
        "unknown",
        "_gazonk",
        "_SEVKISEK:80",
        "device.example",
        "198.51.100",
        "198.51.100.256",
        "198.51.100.023",
        "198.51.100.23:",
        "198.51.100.23:123456",
        "198.51.100.23:http",
        "[198.51.100.23]:80",
        "[2001:db8::1",
        "2001:db8::1]",
        "[2001:db8::1]:",
        "[2001:db8::1]443",
        "2001:db8:::1",
        '"198.51.100.23',
        "198.51.100.23/32",
        "%eth0",
        "1",
    ],
)
def test_what_is_no_address_is_none(node: str) -> None:
    assert parse_node(node) is None


@given(_ADDRESSES, st.integers(0, 65_535), st.booleans(), st.booleans())
def test_every_address_is_read_with_and_without_port_and_quotes(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    port: int,
    has_port: bool,
    is_quoted: bool,
) -> None:
    node = f"[{address}]" if address.version == 6 else str(address)
    node = f"{node}:{port}" if has_port else node
    mapped = getattr(address, "ipv4_mapped", None)
    assert parse_node(f'"{node}"' if is_quoted else node) == (mapped or address)


@given(st.text(max_size=60))
def test_no_text_makes_the_readers_fail(text: str) -> None:
    parse_node(text)
    assert all(
        isinstance(hop, Hop)
        for hop in (*hops_of_forwarded(text, 3), *hops_of_x_forwarded_for(text, 3))
    )


@pytest.mark.parametrize(
    ("text", "hops"),
    [
        ("for=198.51.100.23", [Hop("198.51.100.23")]),
        ('For="[2001:db8:9::23]:4711"', [Hop("[2001:db8:9::23]:4711")]),
        ("for=198.51.100.23;proto=http;by=203.0.113.43", [Hop("198.51.100.23", "http")]),
        ("proto=HTTPS ; FOR = 198.51.100.23", [Hop("198.51.100.23", "https")]),
        ("for=192.0.2.43, for=198.51.100.17", [Hop("198.51.100.17"), Hop("192.0.2.43")]),
        ('for="a,b;c", for=unknown', [Hop("unknown"), Hop("a,b;c")]),
        ('for="a\\"b,\\\\", for=_x', [Hop("_x"), Hop('a"b,\\')]),
        ("by=203.0.113.43", [Hop("")]),
        ("for=1.2.3.4;for=5.6.7.8", [Hop("")]),
        ("for=1.2.3.4;proto=http;proto=https", [Hop("1.2.3.4")]),
        ("for=a,", [Hop(""), Hop("a")]),
        ("", []),
        ("   ", []),
    ],
)
def test_the_elements_of_forwarded_are_read_from_the_right(text: str, hops: list[Hop]) -> None:
    assert hops_of_forwarded(text, 5) == hops
    assert hops_of_forwarded(text, 1) == hops[:1]


_ELEMENTS = {
    "X-Forwarded-For": (
        "198.51.100.23",
        "198.51.100.23:51234",
        " 198.51.100.23 ",
        '"198.51.100.23:80"',
        "[::ffff:198.51.100.23]:1",
    ),
    "Forwarded": (
        "for=198.51.100.23",
        'for="198.51.100.23:51234"',
        "proto=https; For=198.51.100.23 ;by=_proxy",
        'by="a,b";for="198.51.100.23"',
        'for="[::ffff:198.51.100.23]:1";host="x\\",y"',
    ),
}


_HOSTILE = (
    'for="',
    '"',
    "\\",
    'for="\\',
    "for=1.2.3.4",
    "1.2.3.4, 5.6.7.8",
    'for="1.2.3.4;',
    ";,=",
)


@pytest.mark.parametrize(
    ("header", "element"), [(name, each) for name, every in _ELEMENTS.items() for each in every]
)
@given(left=st.text(st.characters(max_codepoint=255), max_size=40) | st.sampled_from(_HOSTILE))
def test_nothing_that_stands_further_left_changes_the_entry_of_the_proxy(
    header: str, element: str, left: str
) -> None:
    meta: dict[str, Any] = {f"HTTP_{header.upper().replace('-', '_')}": f"{left},{element}"}
    with override_settings(PORTAL_PROXY_HEADER=header):
        assert (
            client_address(RequestFactory().get("/", REMOTE_ADDR=PROXY, **meta)) == "198.51.100.23"
        )


@pytest.mark.parametrize(
    ("hops", "text", "client"),
    [
        (1, 'for="[2001:db8:9::23]:80", for=192.0.2.2', "192.0.2.2"),
        (2, 'for="[2001:db8:9::23]:80", for=192.0.2.2', "2001:db8:9::23"),
        (2, 'for=10.9.9.9, for="203.0.113.5:99", for="192.0.2.2:5"', "203.0.113.5"),
        (2, "for=10.9.9.9, for=192.0.2.3, for=192.0.2.2", "192.0.2.3"),
        (3, "for=10.9.9.9, for=203.0.113.5", "203.0.113.5"),
        (2, "for=203.0.113.5, for=unknown", "192.0.2.1"),
        (2, "for=_hidden, for=192.0.2.2", "192.0.2.2"),
    ],
)
def test_only_as_many_forwarded_proxies_are_believed_as_there_are(
    settings: LazySettings, rf: RequestFactory, hops: int, text: str, client: str
) -> None:
    settings.PORTAL_PROXY_HEADER, settings.PORTAL_PROXY_HOPS = "Forwarded", hops
    assert client_address(rf.get("/", REMOTE_ADDR=PROXY, headers={"forwarded": text})) == client


@pytest.mark.parametrize("other", ["10.9.9.9", "10.9.9.9:80", "unknown", "127.0.0.1", "[::1]:1"])
def test_the_header_that_is_not_chosen_is_never_read(
    settings: LazySettings, rf: RequestFactory, other: str
) -> None:
    both = {"x-forwarded-for": other, "forwarded": "for=203.0.113.5;proto=https"}
    settings.PORTAL_PROXY_HEADER = "Forwarded"
    assert client_address(rf.get("/", REMOTE_ADDR=PROXY, headers=both)) == "203.0.113.5"
    both = {"x-forwarded-for": "203.0.113.5:81", "forwarded": f'for="{other}"'}
    settings.PORTAL_PROXY_HEADER = "X-Forwarded-For"
    assert client_address(rf.get("/", REMOTE_ADDR=PROXY, headers=both)) == "203.0.113.5"
    assert notice(settings) == ""


@pytest.mark.parametrize(
    ("header", "headers", "scheme"),
    [
        ("X-Forwarded-For", {"x-forwarded-proto": " HTTPS "}, "https"),
        ("X-Forwarded-For", {"forwarded": "for=203.0.113.5;proto=https"}, ""),
        ("X-Forwarded-For", {"x-forwarded-proto": "ftp"}, ""),
        (
            "Forwarded",
            {"forwarded": "for=203.0.113.5;proto=https", "x-forwarded-proto": "http"},
            "https",
        ),
        (
            "Forwarded",
            {"forwarded": "for=203.0.113.5;proto=http", "x-forwarded-proto": "https"},
            "http",
        ),
        ("Forwarded", {"forwarded": "for=203.0.113.5", "x-forwarded-proto": "https"}, ""),
        ("Forwarded", {"forwarded": "proto=https;for=unknown"}, "https"),
        ("Forwarded", {"forwarded": "proto=https;for=1.2.3.4, for=203.0.113.5"}, ""),
    ],
)
def test_the_scheme_comes_from_the_same_header(
    settings: LazySettings, rf: RequestFactory, header: str, headers: dict[str, str], scheme: str
) -> None:
    settings.PORTAL_PROXY_HEADER = header
    assert forwarded_scheme(rf.get("/", REMOTE_ADDR=PROXY, headers=headers)) == scheme
    assert forwarded_scheme(rf.get("/", REMOTE_ADDR="198.51.100.9", headers=headers)) == ""
    assert forwarded_scheme(rf.get("/", REMOTE_ADDR="", headers=headers)) == ""


@pytest.mark.parametrize(
    ("header", "headers", "sentence"),
    [
        (
            "X-Forwarded-For",
            {"x-forwarded-for": "10.1.1.1, unknown"},
            "wrote 'unknown' into X-Forwarded-For, which is no address",
        ),
        (
            "X-Forwarded-For",
            {"x-forwarded-for": "10.1.1.1,"},
            "wrote '' into X-Forwarded-For, which is no address",
        ),
        (
            "X-Forwarded-For",
            {"x-forwarded-for": "device\x1b[7m"},
            "wrote 'device?[7m' into X-Forwarded-For, which is no address",
        ),
        (
            "X-Forwarded-For",
            {"forwarded": "for=203.0.113.5"},
            "sends Forwarded and no X-Forwarded-For",
        ),
        (
            "Forwarded",
            {"forwarded": "for=_gazonk;by=x"},
            "wrote '_gazonk' into Forwarded, which is no address",
        ),
        ("Forwarded", {"x-forwarded-for": "203.0.113.5"}, "sends X-Forwarded-For and no Forwarded"),
    ],
)
def test_an_entry_that_is_no_address_counts_as_the_proxys_and_is_told_once(
    settings: LazySettings,
    rf: RequestFactory,
    caplog: pytest.LogCaptureFixture,
    header: str,
    headers: dict[str, str],
    sentence: str,
) -> None:
    settings.PORTAL_PROXY_HEADER = header
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert client_address(rf.get("/", REMOTE_ADDR=PROXY, headers=headers)) == PROXY
    assert notice(settings) == f"{PROXY} {sentence}\n"
    assert sum("proxy.no_address" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-forwarded-for": ""},
        {"x-forwarded-for": "203.0.113.5"},
        {"forwarded": ""},
        {"x-forwarded-for": "unknown, 203.0.113.5"},
    ],
)
def test_nothing_is_told_where_the_proxy_says_it_or_speaks_for_itself(
    settings: LazySettings, rf: RequestFactory, headers: dict[str, str]
) -> None:
    client_address(rf.get("/", REMOTE_ADDR=PROXY, headers=headers))
    client_address(rf.get("/", REMOTE_ADDR="198.51.100.9", headers={"x-forwarded-for": "unknown"}))
    assert notice(settings) == ""


def test_the_file_is_written_again_after_an_hour_and_the_log_is_not(
    settings: LazySettings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([100.0, 3_699.0, 3_701.0])
    monkeypatch.setattr("accounts.network.proxy_notice.time.monotonic", lambda: next(moments))
    for entry in ("one", "two", "three"):
        proxy_notice.note("Forwarded", entry, proxy=PROXY)
    assert "'three'" in notice(settings)
    assert sum("proxy.no_address" in record.getMessage() for record in caplog.records) == 1


def test_a_folder_that_cannot_be_written_harms_no_request(
    settings: LazySettings, rf: RequestFactory
) -> None:
    settings.PORTAL_DATA = SimpleNamespace(proxy_notice=Path("/nowhere/at/all"))
    assert (
        client_address(rf.get("/", REMOTE_ADDR=PROXY, headers={"x-forwarded-for": "unknown"}))
        == PROXY
    )
    assert proxy_notice.last(now=0.0, within=1.0) == ""


def test_a_fleet_behind_a_gateway_that_adds_ports_is_told_apart(rf: RequestFactory) -> None:
    entries = [f"203.0.113.{number}:{50_000 + number}" for number in range(1, 6)]
    entries += [f"[2001:db8:{number}::7]:{443 + number}" for number in range(1, 6)]
    requests = [
        rf.get("/", REMOTE_ADDR=PROXY, headers={"x-forwarded-for": entry}) for entry in entries
    ]
    expected = {f"203.0.113.{number}" for number in range(1, 6)} | {
        f"2001:db8:{number}::7" for number in range(1, 6)
    }
    assert {client_address(request) for request in requests} == expected
