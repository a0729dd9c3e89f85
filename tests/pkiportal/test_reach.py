"""Addresses in the output of `./portal up`: each one works, or a sentence says that none does."""

from pathlib import Path

import pytest
from django.conf import LazySettings

from pkiportal.environment.datafolder import DataFolder
from pkiportal.management.profile_facts import nearby_scep_url
from pkiportal.management.reach import Reach

HOST = "ca-host"


def text_of(reach: Reach) -> str:
    return "\n".join(reach.advice())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "0.0.0.0", "::"])
@pytest.mark.parametrize("port", [80, 8000, 54321])
def test_without_tls_the_pages_are_localhost_and_the_way_there_is_ssh(host: str, port: int) -> None:
    reach = Reach((host, port), f"http://localhost:{port}", HOST)
    assert reach.pages == f"http://localhost:{port}"
    assert f"ssh -L {port}:localhost:{port} {HOST} " in text_of(reach)
    assert "--tls-cert" in text_of(reach)
    assert f"PORTAL_PUBLIC_URL=http://{HOST}:{port}" in text_of(reach)
    assert (f"--bind 0.0.0.0:{port}" in text_of(reach)) == (host not in {"0.0.0.0", "::"})


@pytest.mark.parametrize(
    "public", ["http://pki.example:8000", "http://10.2.3.4:8000", "http://[2001:db8::7]:8000"]
)
def test_a_name_without_tls_is_for_devices_and_the_pages_stay_on_the_machine(public: str) -> None:
    reach = Reach(("0.0.0.0", 8000), public, HOST)
    assert reach.pages == "http://localhost:8000"
    assert reach.devices == public
    assert "PORTAL_PUBLIC_URL" not in text_of(reach)
    assert "ssh -L 8000:localhost:8000" in text_of(reach)


@pytest.mark.parametrize("host", ["10.0.0.5", "192.0.2.1", "2001:db8::1", "pki.example", "fd00::2"])
def test_an_address_of_the_network_alone_without_tls_opens_no_page(host: str) -> None:
    shown = f"[{host}]" if ":" in host else host
    reach = Reach((host, 8000), f"http://{shown}:8000", HOST)
    assert reach.pages == ""
    assert f"listens on {host} alone: no browser can use them" in text_of(reach)
    assert "--bind 0.0.0.0:8000" in text_of(reach)


@pytest.mark.parametrize(
    ("http_bind", "devices", "nearby"),
    [
        (("0.0.0.0", 8080), "http://pki.example:8080", "http://localhost:8080"),
        (("::", 81), "http://pki.example:81", "http://localhost:81"),
        (("127.0.0.1", 8081), "http://pki.example:8081", "http://localhost:8081"),
        (("10.0.0.5", 80), "http://pki.example:80", "http://10.0.0.5:80"),
        (("2001:db8::9", 8082), "http://pki.example:8082", "http://[2001:db8::9]:8082"),
    ],
)
def test_with_tls_devices_are_given_the_address_without(
    http_bind: tuple[str, int], devices: str, nearby: str
) -> None:
    reach = Reach(
        ("0.0.0.0", 8443), "https://pki.example:8443", HOST, has_tls=True, http_bind=http_bind
    )
    assert (reach.pages, reach.devices, reach.nearby) == (
        "https://pki.example:8443",
        devices,
        nearby,
    )
    assert reach.advice() == []


@pytest.mark.parametrize(
    "bind",
    [("0.0.0.0", 8443), ("127.0.0.1", 443), ("10.0.0.5", 443), ("::", 443), ("pki.example", 1)],
)
def test_with_tls_alone_everything_is_the_public_address(bind: tuple[str, int]) -> None:
    reach = Reach(bind, "https://pki.example", HOST, has_tls=True)
    assert {reach.pages, reach.devices, reach.nearby} == {"https://pki.example"}
    assert reach.advice() == []


def test_behind_a_proxy_with_tls_the_demo_goes_straight_to_the_portal() -> None:
    reach = Reach(("127.0.0.1", 8000), "https://pki.example", HOST)
    assert (reach.pages, reach.nearby) == ("https://pki.example", "http://localhost:8000")
    assert reach.advice() == []


def test_tls_under_the_name_localhost_still_tells_devices_nothing() -> None:
    reach = Reach(("0.0.0.0", 8443), "https://localhost:8443", HOST, has_tls=True)
    assert f"PORTAL_PUBLIC_URL=https://{HOST}:8443" in text_of(reach)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://pki.example\nhttp://localhost:8080\n", "http://localhost:8080"),
        ("https://pki.example\n", "http://ours.example"),  # as portal 0.1.0 wrote it
        ("", "http://ours.example"),
        (None, "http://ours.example"),
        ("http://localhost:1\nhttp://[2001:db8::9]:8082", "http://[2001:db8::9]:8082"),
    ],
)
def test_the_demo_takes_the_address_that_the_running_portal_noted(
    settings: LazySettings, tmp_path: Path, text: str | None, expected: str
) -> None:
    settings.PORTAL_DATA = DataFolder(tmp_path)
    settings.PORTAL_PUBLIC_URL = "http://ours.example"
    if text is not None:
        (tmp_path / "address").write_text(text)
    assert nearby_scep_url("demo") == f"{expected}/scep/demo/"
