"""One exchange with another machine: limited in time and size, at the checked address only."""

import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from time import monotonic
from typing import Any
from unittest import mock

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from outbound import http
from outbound.errors import NoAnswer
from outbound.http import HttpReply, call
from outbound.url_rules import CallRules, read_allowed_host
from tests.pki import rsa_key
from tests.world import now

LOOPBACK = (ip_network("127.0.0.0/8"),)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def listening(
    handle: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None
) -> Iterator[int]:
    """Hand the first connection to `handle`, in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    handle(tls.wrap_socket(connection, server_side=True) if tls else connection)
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
    thread.join(5)


def rules(*hosts: str) -> CallRules:
    return CallRules(hosts=tuple(map(read_allowed_host, hosts)), networks=LOOPBACK)


def both(port: int) -> CallRules:
    """Loopback by IPv4 and IPv6."""
    return CallRules(rules(f"http://mdm.example:{port}").hosts, (*LOOPBACK, ip_network("::1/128")))


def call_port(port: int, seconds: float = 5.0) -> HttpReply:
    return call(
        f"http://127.0.0.1:{port}/x",
        rules=rules(f"http://127.0.0.1:{port}"),
        body=b"{}",
        seconds=seconds,
    )


def answering(data: bytes) -> Callable[[socket.socket], None]:
    def handle(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(data)

    return handle


def test_an_answer_that_comes_in_time_is_returned_whatever_its_status() -> None:
    with listening(answering(OK)) as port:
        assert call_port(port) == HttpReply(200, b"ok")
    with listening(
        answering(b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n")
    ) as port:
        assert call_port(port) == HttpReply(302, b"")


def test_an_answer_in_drops_ends_with_the_time_and_not_with_the_answer() -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(200):
            threading.Event().wait(0.05)
            connection.sendall(b"X-%d: drip\r\n" % number)

    with listening(drip) as port:
        started = monotonic()
        with pytest.raises(NoAnswer, match=r"no answer within 0\.4 s"):
            call_port(port, seconds=0.4)
        assert monotonic() - started < 5  # the drops take ten seconds


def test_a_body_without_an_end_is_cut_at_its_limit() -> None:
    def pour(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with listening(pour) as port, pytest.raises(NoAnswer, match="longer than 65,536 bytes"):
        call_port(port)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
    ],
)
def test_what_is_not_http_is_no_answer(data: bytes) -> None:
    with (
        listening(answering(data)) as port,
        pytest.raises(NoAnswer, match=r"not HTTP|reset|RemoteDisconnected"),
    ):
        call_port(port)


def test_a_port_without_a_listener_is_no_answer() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(NoAnswer, match="refused"):
            call_port(bound.getsockname()[1])


def test_the_address_that_was_checked_is_the_one_that_is_called_and_the_host_keeps_its_name() -> (
    None
):
    heard: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        heard.append(connection.recv(65536))
        connection.sendall(OK)

    names: list[str] = []
    real = socket.getaddrinfo

    def ask(host: str, *arguments: Any, **options: Any) -> Any:
        names.append(host)
        return real("127.0.0.1" if host == "mdm.example" else host, *arguments, **options)

    with listening(handle) as port, mock.patch("socket.getaddrinfo", side_effect=ask):
        call(
            f"http://mdm.example:{port}/",
            rules=rules(f"http://mdm.example:{port}"),
            body=b"",
            seconds=5,
        )
    assert names == [
        "mdm.example",
        "127.0.0.1",
    ]  # the name once: a second answer could be another one
    assert f"Host: mdm.example:{port}\r\n".encode() in heard[0]


def test_a_second_address_is_tried_when_the_first_does_not_answer() -> None:
    with (
        listening(answering(OK)) as port,
        mock.patch("outbound.http._resolve", return_value=["::1", "127.0.0.1"]),
    ):
        reply = call(f"http://mdm.example:{port}/", rules=both(port), body=b"", seconds=5)
    assert reply.status == 200


@pytest.mark.parametrize(
    ("fault", "text"),
    [(socket.gaierror(-2, "x"), "the name is not known"), (UnicodeError(), "OSError")],
)
def test_a_name_that_does_not_resolve_is_no_answer(fault: Exception, text: str) -> None:
    with mock.patch("socket.getaddrinfo", side_effect=fault), pytest.raises(NoAnswer, match=text):
        call("https://mdm.example/", rules=rules("mdm.example"), seconds=5)


def test_a_resolver_that_does_not_answer_blocks_no_caller() -> None:
    gate = threading.Event()
    with mock.patch("socket.getaddrinfo", side_effect=lambda *_, **__: gate.wait(20) and []):
        with pytest.raises(NoAnswer, match=r"no answer within 0\.1 s"):
            call("https://mdm.example/", rules=rules("mdm.example"), seconds=0.1)
        gate.set()


def test_a_name_that_leads_inside_is_refused_before_anything_is_sent() -> None:
    with (
        mock.patch("outbound.http._resolve", return_value=["10.0.0.1"]),
        pytest.raises(NoAnswer, match=r"10\.0\.0\.1"),
    ):
        call(
            "https://mdm.example/",
            rules=CallRules(hosts=(read_allowed_host("mdm.example"),)),
            seconds=5,
        )


def test_proxies_of_the_environment_are_not_used() -> None:
    with (
        listening(answering(OK)) as port,
        mock.patch.dict(os.environ, {"http_proxy": "http://127.0.0.1:1/"}),
    ):
        assert call_port(port).status == 200


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A TLS certificate for mdm.example, with its key, that trusts itself."""
    key = rsa_key("bob")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mdm.example")])
    created = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now() - timedelta(days=1))
        .not_valid_after(now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("mdm.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "tls.pem"
    pem = serialization.Encoding.PEM
    clear = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(created.public_bytes(pem) + clear)
    return file


@pytest.mark.parametrize(
    ("name", "is_trusted", "works"),
    [("mdm.example", True, True), ("mdm.example", False, False), ("other.example", True, False)],
)
def test_tls_is_checked_against_the_name_and_not_against_the_address(
    certificate: Path, name: str, is_trusted: bool, works: bool
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    trusts = ssl.create_default_context(cafile=str(certificate) if is_trusted else None)
    with (
        listening(answering(OK), context) as port,
        mock.patch.object(http, "_tls", return_value=trusts),
        mock.patch.object(http, "_resolve", return_value=["127.0.0.1"]),
    ):
        if works:
            assert (
                call(
                    f"https://{name}:{port}/", rules=rules(f"{name}:{port}"), body=b"", seconds=5
                ).body
                == b"ok"
            )
        else:
            with pytest.raises(NoAnswer, match="certificate is not trusted"):
                call(f"https://{name}:{port}/", rules=rules(f"{name}:{port}"), body=b"", seconds=5)


def test_the_real_context_checks_names_and_knows_no_old_tls() -> None:
    context = http._tls()
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
