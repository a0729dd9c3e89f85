"""The client of our own: it believes only answers that are for its request and from the RA."""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from cryptography import x509

from ca.x509.asn1 import der_octets, der_sequence
from scep.client import (
    CaCertificates,
    Identity,
    ScepClient,
    build_cert_poll,
    build_csr,
    build_pkcs_req,
)
from scep.protocol import constants as c
from scep.protocol.capabilities import capabilities
from scep.protocol.codec import decode_pki_message, encode_cert_rep, encode_degenerate
from scep.protocol.constants import FailInfo, MessageType, PKIStatus
from scep.protocol.envelope import open_envelope
from scep.protocol.messages import CertRep
from scep.protocol.requests import BadCertRep, ReceivedCertRep, SentRequest, decode_cert_rep
from scep.protocol.signed_data import encode_signed_data
from scep.transport import HttpAnswer, HttpError, fetch
from tests.pki import RaKeys, certificate_der, rsa_key
from tests.scep.forge import attribute, identity, sender_nonce, text_attribute

RA = RaKeys()
URL = "http://pki.example/scep/devices"


@dataclass
class SmallServer:
    """Answers as an enrollment server would: the first request PENDING, later ones `then`."""

    then: PKIStatus = PKIStatus.SUCCESS
    seen: int = 0
    single: bool = False

    def __call__(self, url: str, body: bytes | None) -> HttpAnswer:
        query = parse_qs(urlsplit(url).query)
        operation = query["operation"][0]
        if operation == "GetCACaps":
            return HttpAnswer(
                200, "text/plain", capabilities(renewal=True, next_ca=False, legacy=False)
            )
        if operation == "GetCACert":
            return self._certificates()
        message = (
            body
            if body is not None
            else base64.b64decode(unquote(urlsplit(url).query.split("message=")[1]))
        )
        return HttpAnswer(200, "application/x-pki-message", self._answer(message))

    def _certificates(self) -> HttpAnswer:
        if self.single:
            return HttpAnswer(200, "application/x-x509-ca-cert", certificate_der("ra"))
        order = encode_degenerate([certificate_der("ca"), certificate_der("ra")])
        return HttpAnswer(200, "application/x-x509-ca-ra-cert", order)

    def _answer(self, der_message: bytes) -> bytes:
        message = decode_pki_message(der_message)
        if message.message_type is not MessageType.CERT_POLL:
            open_envelope(message, recipients=[RA], entropy=os.urandom)
        self.seen += 1
        rep = CertRep(message.reply, PKIStatus.PENDING)
        if self.seen > 1 and self.then is PKIStatus.FAILURE:
            rep = CertRep(
                message.reply, PKIStatus.FAILURE, FailInfo.BAD_REQUEST, "rejected by an officer"
            )
        elif self.seen > 1:
            certificates = (certificate_der("alice"),)
            rep = CertRep(
                message.reply,
                PKIStatus.SUCCESS,
                certificates=certificates,
                recipient=message.signer,
            )
        return encode_cert_rep(rep, signer=RA, entropy=os.urandom)


@pytest.fixture
def csr_der() -> bytes:
    return build_csr(
        rsa_key("alice"), "alice.example", dns_names=["alice.example"], challenge_password="secret"
    )


@pytest.mark.parametrize("use_get", [False, True])
def test_alice_waits_and_gets_her_certificate(csr_der: bytes, use_get: bool) -> None:
    client = ScepClient(URL, SmallServer(), use_get=use_get)
    assert "POSTPKIOperation" in client.get_ca_caps()
    assert client.enroll(csr_der, identity()).status is PKIStatus.PENDING
    answer = client.poll(identity())
    assert answer.status is PKIStatus.SUCCESS
    assert answer.certificates == (certificate_der("alice"),)


def test_alice_is_told_why_she_gets_none(csr_der: bytes) -> None:
    client = ScepClient(
        URL, SmallServer(then=PKIStatus.FAILURE, single=True), digest="sha512", cipher="aes-256-cbc"
    )
    client.enroll(csr_der, identity(), transaction_id="t-1")
    answer = client.poll(identity(), transaction_id="t-1", subject_der=identity().subject_der)
    assert (answer.status, answer.fail_info) == (PKIStatus.FAILURE, FailInfo.BAD_REQUEST)
    assert answer.fail_info_text == "rejected by an officer"


def test_a_renewal_is_signed_by_the_old_certificate(csr_der: bytes) -> None:
    old = Identity(certificate_der("alice"), rsa_key("alice"))
    message = decode_pki_message(
        build_pkcs_req(csr_der, old, certificate_der("ra"), renewal=True).der
    )
    assert (message.message_type, message.signer.der) == (
        MessageType.RENEWAL_REQ,
        certificate_der("alice"),
    )
    client = ScepClient(URL, SmallServer(seen=1))
    assert client.enroll(csr_der, old, renewal=True).status is PKIStatus.SUCCESS


def test_certificates_and_crls_are_asked_for() -> None:
    client = ScepClient(URL, SmallServer(seen=1))
    alice = identity()
    assert client.get_cert(alice.issuer_der, alice.serial_der, alice).certificates
    assert client.get_crl(alice.issuer_der, alice.serial_der, alice).status is PKIStatus.SUCCESS


def test_the_csr_says_what_was_asked_for(csr_der: bytes) -> None:
    request = x509.load_der_x509_csr(csr_der)
    assert request.is_signature_valid
    assert (
        request.attributes.get_attribute_for_oid(x509.oid.AttributeOID.CHALLENGE_PASSWORD).value
        == b"secret"
    )
    bare = x509.load_der_x509_csr(build_csr(rsa_key("bob"), "bob.example"))
    assert (len(bare.extensions), len(bare.attributes)) == (0, 0)


def test_a_crl_is_delivered(csr_der: bytes) -> None:
    crl = der_sequence(der_octets(b"crl"))
    sent = build_pkcs_req(csr_der, identity(), certificate_der("ra"))
    message = decode_pki_message(sent.der)
    rep = CertRep(message.reply, PKIStatus.SUCCESS, crls=(crl,), recipient=message.signer)
    answer = encode_cert_rep(rep, signer=RA, entropy=os.urandom)
    read_back = decode_cert_rep(
        answer, sent=sent, recipient=identity(), trusted=[certificate_der("ra")]
    )
    assert (read_back.certificates, read_back.crls) == ((), (crl,))


def test_answers_with_oaep_are_not_decrypted() -> None:
    with pytest.raises(ValueError, match="OAEP"):
        identity().decrypt(b"", "sha256")


# ------------------------------------------------------------------------------ distrust of answers


@pytest.fixture
def sent(csr_der: bytes) -> SentRequest:
    return build_pkcs_req(csr_der, identity(), certificate_der("ra"))


def read(answer: bytes, sent: SentRequest) -> ReceivedCertRep:
    return decode_cert_rep(answer, sent=sent, recipient=identity(), trusted=[certificate_der("ra")])


def answer_with(
    sent: SentRequest, *, replace_with: dict[bytes, bytes], content: bytes = b""
) -> bytes:
    """A signed answer to `sent` in which some attributes are others; an empty one leaves it out."""
    attributes = {
        c.ATTR_MESSAGE_TYPE: text_attribute(c.ATTR_MESSAGE_TYPE, "3"),
        c.ATTR_PKI_STATUS: text_attribute(c.ATTR_PKI_STATUS, "3"),
        c.ATTR_TRANSACTION_ID: text_attribute(c.ATTR_TRANSACTION_ID, sent.transaction_id),
        c.ATTR_RECIPIENT_NONCE: attribute(c.ATTR_RECIPIENT_NONCE, der_octets(sent.sender_nonce)),
        c.ATTR_SENDER_NONCE: sender_nonce(),
    } | replace_with
    return encode_signed_data(content, attributes.values(), digest="sha256", signer=RA)


def test_a_plain_answer_is_believed(sent: SentRequest) -> None:
    assert read(answer_with(sent, replace_with={}), sent).status is PKIStatus.PENDING


@pytest.mark.parametrize(
    ("attribute_oid", "value"),
    [
        (c.ATTR_MESSAGE_TYPE, text_attribute(c.ATTR_MESSAGE_TYPE, "19")),
        (c.ATTR_MESSAGE_TYPE, b""),
        (c.ATTR_TRANSACTION_ID, text_attribute(c.ATTR_TRANSACTION_ID, "other")),
        (c.ATTR_RECIPIENT_NONCE, attribute(c.ATTR_RECIPIENT_NONCE, der_octets(b"other"))),
        (c.ATTR_RECIPIENT_NONCE, b""),
        (c.ATTR_SENDER_NONCE, b""),
        (c.ATTR_PKI_STATUS, text_attribute(c.ATTR_PKI_STATUS, "1")),
        (c.ATTR_PKI_STATUS, text_attribute(c.ATTR_PKI_STATUS, "2")),
        (c.ATTR_PKI_STATUS, text_attribute(c.ATTR_PKI_STATUS, "0")),
        (c.ATTR_PKI_STATUS, b""),
    ],
)
def test_an_answer_for_another_client_is_not_believed(
    sent: SentRequest, attribute_oid: bytes, value: bytes
) -> None:
    with pytest.raises(BadCertRep):
        read(answer_with(sent, replace_with={attribute_oid: value}), sent)


def test_a_failure_without_text_has_none(sent: SentRequest) -> None:
    failed = {
        c.ATTR_PKI_STATUS: text_attribute(c.ATTR_PKI_STATUS, "2"),
        c.ATTR_FAIL_INFO: text_attribute(c.ATTR_FAIL_INFO, "4"),
    }
    answer = read(answer_with(sent, replace_with=failed), sent)
    assert (answer.fail_info, answer.fail_info_text) == (FailInfo.BAD_CERT_ID, None)


def test_an_answer_signed_by_another_key_is_not_believed(sent: SentRequest) -> None:
    with pytest.raises(BadCertRep, match="RA certificate"):
        decode_cert_rep(
            answer_with(sent, replace_with={}),
            sent=sent,
            recipient=identity(),
            trusted=[certificate_der("ca")],
        )


@pytest.mark.parametrize("flip", [-1, -300, -420])
def test_a_changed_answer_is_not_believed(sent: SentRequest, flip: int) -> None:
    answer = bytearray(answer_with(sent, replace_with={}))
    answer[flip] ^= 1
    with pytest.raises(BadCertRep):
        read(bytes(answer), sent)


def test_an_answer_without_signer_is_not_believed(sent: SentRequest) -> None:
    with pytest.raises(BadCertRep, match="0 signers"):
        read(encode_degenerate([certificate_der("ra")]), sent)


# ---------------------------------------------------------------------------------- GetCACert, HTTP


def test_roles_are_found_by_key_usage() -> None:
    certificates = CaCertificates.from_certificates([certificate_der("ca"), certificate_der("ra")])
    assert certificates.encryption_der == certificate_der("ra")
    assert certificates.signing_ders == (certificate_der("ra"), certificate_der("ca"))
    assert certificates.certificates == (certificate_der("ca"), certificate_der("ra"))


def test_a_certificate_without_extensions_may_do_everything() -> None:
    alone = identity().certificate_der
    assert CaCertificates.from_certificates([alone]).encryption_der == alone


def test_a_ca_that_cannot_decrypt_is_not_enough() -> None:
    with pytest.raises(BadCertRep, match="keyEncipherment"):
        CaCertificates.from_certificates([certificate_der("ca")])


def test_unreadable_ca_certificates_are_reported() -> None:
    client = ScepClient(
        URL, lambda _url, _body: HttpAnswer(200, "application/x-x509-ca-ra-cert", b"junk")
    )
    with pytest.raises(BadCertRep, match="not readable"):
        client.get_ca_cert()


def test_ca_certificates_that_are_no_certificates_are_reported() -> None:
    odd = certificate_der("ca").replace(bytes.fromhex("0603551d0f"), bytes.fromhex("0603551d13"))
    version_18 = certificate_der("ca").replace(
        bytes.fromhex("a003020102"), bytes.fromhex("a003020112"), 1
    )
    assert certificate_der("ca") not in (odd, version_18)
    for der in (b"\x30\x03\x02\x01\x00", certificate_der("ca")[:-1], odd, version_18):
        with pytest.raises(BadCertRep, match=r"^GetCACert: a certificate is not readable"):
            CaCertificates.from_certificates((der,))


def test_an_http_error_is_reported_with_its_text() -> None:
    client = ScepClient(
        URL, lambda _url, _body: HttpAnswer(503, "text/plain", b"come back later\n")
    )
    with pytest.raises(HttpError, match="HTTP 503 come back later") as caught:
        client.get_ca_caps()
    assert caught.value.status == 503


@pytest.mark.parametrize("url", ["ftp://pki.example/", "file:///etc/passwd", "pki.example"])
def test_only_http_urls_are_fetched(url: str) -> None:
    with pytest.raises(HttpError, match="http://") as caught:
        fetch(url, None)
    assert caught.value.status is None


class EchoHandler(BaseHTTPRequestHandler):
    """Echoes the request."""

    def do_GET(self) -> None:
        self._say(self.path.encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._say(self.headers["Content-Type"].encode() + b" " + body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""

    def _say(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def echo_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), EchoHandler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_get_and_post_go_over_http(echo_url: str) -> None:
    assert fetch(f"{echo_url}?operation=GetCACaps", None).body == b"/?operation=GetCACaps"
    assert fetch(f"{echo_url}/scep", None).body == b"/scep"
    answer = fetch(f"{echo_url}/scep?operation=PKIOperation", b"message")
    assert (answer.status, answer.content_type, answer.body) == (
        200,
        "text/plain",
        b"application/x-pki-message message",
    )


def test_localhost_is_this_machine_where_nothing_resolves_names(
    echo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def resolve_addresses_only(host: str, *rest: Any, **more: Any) -> Any:
        if host.replace(".", "").isdigit():
            return resolve(host, *rest, **more)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve_addresses_only)
    port = urlsplit(echo_url).port
    assert fetch(f"http://localhost:{port}/scep", None).body == b"/scep"
    for other in ("localhost.example", "localhosts", "pki"):
        with pytest.raises(HttpError, match="Name or service not known"):
            fetch(f"http://{other}:{port}/scep", None)


def test_a_server_that_is_not_there_is_reported() -> None:
    with pytest.raises(HttpError, match=r"127\.0\.0\.1:1"):
        fetch("http://127.0.0.1:1/scep", None)


def test_a_poll_names_issuer_and_subject() -> None:
    poll = decode_pki_message(
        build_cert_poll(identity(), certificate_der("ra"), transaction_id="t-9").der
    )
    assert (poll.message_type, poll.transaction_id) == (MessageType.CERT_POLL, "t-9")
    content = open_envelope(poll, recipients=[RA], entropy=os.urandom)
    assert content == der_sequence(RA.issuer_der, identity().subject_der)
