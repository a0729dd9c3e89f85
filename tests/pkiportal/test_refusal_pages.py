"""Opened under another name, the portal says under which name it opens."""

import pytest
from django.conf import LazySettings
from django.test import Client

HOSTS = [
    "192.0.2.7",
    "192.0.2.7:8000",
    "[2001:db8::1]:8000",
    "another.example",
    "pki",
    "a_b",
    "pki.example.evil.example",
]
at_each_other_name = pytest.mark.parametrize("host", HOSTS)


def opened(host: str, *, path: str = "/account/login/", secure: bool = False) -> str:
    answer = Client(REMOTE_ADDR="192.0.2.99").get(path, headers={"host": host}, secure=secure)
    assert answer.status_code == 400
    text = answer.content.decode()
    assert host.removesuffix(":8000") not in text, "the client chose it"
    return text


@at_each_other_name
def test_without_tls_it_names_the_way_by_ssh(db: None, settings: LazySettings, host: str) -> None:
    settings.PORTAL_BIND = ("0.0.0.0", 8123)
    settings.ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", "ca.internal.test"]
    text = opened(host)
    assert "ssh -L 8123:localhost:8123 MACHINE" in text
    assert "http://localhost:8123/" in text
    assert "--tls-cert" in text
    assert "PORTAL_PUBLIC_URL" in text
    assert "<code>localhost</code>, <code>ca.internal.test</code>" in text


@at_each_other_name
@pytest.mark.parametrize("path", ["/", "/queue/", "/account/setup/abc", "/admin/"])
def test_with_tls_it_names_the_address(
    db: None, settings: LazySettings, host: str, path: str
) -> None:
    settings.PORTAL_IS_HTTPS = True
    settings.PORTAL_PUBLIC_URL = "https://ca.internal.test:8443"
    settings.ALLOWED_HOSTS = [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "ca.internal.test",
        "more.internal.test",
    ]
    text = opened(host, path=path, secure=True)
    assert '<a href="https://ca.internal.test:8443/">' in text
    assert "<code>more.internal.test</code>" in text
    assert "PORTAL_ALLOWED_HOSTS" in text
    assert "ssh" not in text


def test_another_bad_request_says_nothing_of_names(db: None) -> None:
    fields = "&".join(f"field{number}=" for number in range(1_001))
    answer = Client(raise_request_exception=False).post(
        "/account/login/", fields, content_type="application/x-www-form-urlencoded"
    )
    assert answer.status_code == 400
    assert "This cannot be read" in answer.content.decode()
