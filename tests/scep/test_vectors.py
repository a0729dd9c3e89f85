"""Messages recorded from real programs, see tests/vectors/scep/README.md."""

from __future__ import annotations

import contextlib
from hashlib import md5, sha1, sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.x509.asn1 import der_integer, parse_exact, sequence
from ca.x509.csr import decode_csr
from ca.x509.names import build_name
from scep.protocol.certificates import read_certificate, read_issuer_and_serial
from scep.protocol.codec import decode_pki_message
from scep.protocol.constants import MessageType
from scep.protocol.envelope import open_content, open_envelope
from scep.protocol.errors import Malformed, Refused
from tests.ca.forge import spki
from tests.pki import RaKeys, certificate_der, rsa_key
from tests.scep.forge import ALICE_ID, forge, random_bytes

VECTORS = Path(__file__).parents[1] / "vectors" / "scep"
STRONGSWAN = (VECTORS / "strongswan-5.9.8-pkcsreq.der").read_bytes()
CSR = (VECTORS / "strongswan-5.9.8.csr.der").read_bytes()
INDEFINITE_LENGTH = 0x80
RA = RaKeys()


def jscep(name: str) -> bytes:
    """One of the messages of jscep."""
    return (VECTORS / f"jscep-2.5.7-snapshot-{name}.der").read_bytes()


@pytest.mark.parametrize(
    ("name", "message_type", "digest"),
    [
        ("strongswan-5.9.8-pkcsreq", MessageType.PKCS_REQ, "sha256"),
        ("strongswan-5.9.8-pkcsreq-pss-sha384", MessageType.PKCS_REQ, "sha384"),
        ("strongswan-5.9.8-certpoll", MessageType.CERT_POLL, "sha256"),
    ],
)
def test_strongswan_is_understood(name: str, message_type: MessageType, digest: str) -> None:
    message = decode_pki_message((VECTORS / f"{name}.der").read_bytes())
    assert (message.message_type, message.digest_algorithm) == (message_type, digest)
    assert message.transaction_id == ALICE_ID
    assert len(message.sender_nonce) == 16
    assert open_envelope(message, recipients=[RA], entropy=random_bytes).startswith(b"\x30")


def test_the_renewal_of_strongswan_is_signed_by_the_certificate_and_asks_for_another_key() -> None:
    message = decode_pki_message((VECTORS / "strongswan-5.9.8-renewalreq.der").read_bytes())
    assert message.message_type is MessageType.RENEWAL_REQ
    assert message.signer.der == certificate_der("alice")
    csr = decode_csr(open_envelope(message, recipients=[RA], entropy=random_bytes))
    assert csr.spki_sha256 != message.signer.spki_sha256


def test_certmonger_is_understood() -> None:
    message = decode_pki_message((VECTORS / "certmonger-0.79.17-pkcsreq.der").read_bytes())
    assert (message.message_type, message.digest_algorithm) == (MessageType.PKCS_REQ, "sha256")
    assert message.transaction_id.isdecimal()
    csr = decode_csr(open_envelope(message, recipients=[RA], entropy=random_bytes))
    assert (csr.challenge_password, csr.spki_sha256) == ("secret", message.signer.spki_sha256)


@pytest.mark.parametrize(
    ("name", "message_type"),
    [("pkcsreq", MessageType.PKCS_REQ), ("certpoll", MessageType.CERT_POLL)],
)
def test_sscep_is_understood(name: str, message_type: MessageType) -> None:
    message = decode_pki_message((VECTORS / f"sscep-0.10.0-{name}.der").read_bytes())
    assert (message.message_type, message.digest_algorithm) == (message_type, "sha512")
    assert (
        message.transaction_id
        == md5(message.signer.spki_der, usedforsecurity=False).hexdigest().upper()
    )
    assert message.signer.serial_der == b"\x02\x20" + message.transaction_id[:31].encode() + b"\0"
    assert message.signer.is_self_issued
    assert open_envelope(message, recipients=[RA], entropy=random_bytes).startswith(b"\x30")


def test_the_poll_of_sscep_is_signed_by_the_key_of_its_request_and_another_certificate() -> None:
    request, poll = (
        decode_pki_message((VECTORS / f"sscep-0.10.0-{name}.der").read_bytes())
        for name in ("pkcsreq", "certpoll")
    )
    assert request.signer.spki_sha256 == poll.signer.spki_sha256
    assert request.transaction_id == poll.transaction_id
    assert request.signer.der != poll.signer.der
    csr = decode_csr(open_envelope(request, recipients=[RA], entropy=random_bytes))
    assert (csr.challenge_password, csr.spki_sha256) == ("secret", poll.signer.spki_sha256)


def test_the_renewal_of_sscep_is_a_pkcsreq_signed_by_the_certificate_and_asks_for_another_key() -> (
    None
):
    message = decode_pki_message((VECTORS / "sscep-0.10.0-renewal.der").read_bytes())
    assert (message.message_type, message.signer.der) == (
        MessageType.PKCS_REQ,
        certificate_der("alice"),
    )
    csr = decode_csr(open_envelope(message, recipients=[RA], entropy=random_bytes))
    assert csr.spki_sha256 != message.signer.spki_sha256


@pytest.mark.parametrize(
    ("name", "message_type", "serial"),
    [("getcert", MessageType.GET_CERT, 4099), ("getcrl", MessageType.GET_CRL, 4098)],
)
def test_sscep_names_the_ra_where_the_issuer_belongs(
    name: str, message_type: MessageType, serial: int
) -> None:
    message = decode_pki_message((VECTORS / f"sscep-0.10.0-{name}.der").read_bytes())
    assert (message.message_type, message.transaction_id) == (message_type, "SSCEP transactionId")
    content = open_envelope(message, recipients=[RA], entropy=random_bytes)
    assert read_issuer_and_serial(content) == (
        read_certificate(certificate_der("ra")).subject_der,
        der_integer(serial),
    )


@pytest.mark.parametrize(
    ("name", "message_type", "key"),
    [
        ("pkcsreq", MessageType.PKCS_REQ, "alice"),
        ("certpoll", MessageType.CERT_POLL, "alice"),
        ("renewal-pkcsreq", MessageType.PKCS_REQ, "device-1"),
        ("renewalreq", MessageType.RENEWAL_REQ, "device-1"),
    ],
)
def test_jscep_is_understood_in_ber_and_names_the_transaction_by_the_key_asked_for(
    name: str, message_type: MessageType, key: str
) -> None:
    der = jscep(name)
    assert der[1] == INDEFINITE_LENGTH
    message = decode_pki_message(der)
    assert (message.message_type, message.digest_algorithm) == (message_type, "sha512")
    assert message.transaction_id == sha1(spki(rsa_key(key)), usedforsecurity=False).hexdigest()
    assert len(message.sender_nonce) == 16


def test_the_request_of_jscep_has_the_challenge_and_is_signed_with_its_key() -> None:
    message = decode_pki_message(jscep("pkcsreq"))
    csr = decode_csr(open_envelope(message, recipients=[RA], entropy=random_bytes))
    assert (csr.challenge_password, csr.spki_sha256) == ("secret", message.signer.spki_sha256)


def test_the_poll_of_jscep_names_the_ca_and_the_subject_of_its_request() -> None:
    opened = open_envelope(
        decode_pki_message(jscep("certpoll")), recipients=[RA], entropy=random_bytes
    )
    issuer, subject = sequence(parse_exact(opened), 2)
    assert issuer.raw == read_certificate(certificate_der("ca")).subject_der
    assert subject.raw == build_name([("CN", "alice.example")]).der


@pytest.mark.parametrize(
    ("name", "message_type"), [("getcert", MessageType.GET_CERT), ("getcrl", MessageType.GET_CRL)]
)
def test_jscep_asks_for_a_certificate_and_a_crl_by_the_name_of_the_ca(
    name: str, message_type: MessageType
) -> None:
    message = decode_pki_message(jscep(name))
    assert (message.message_type, message.transaction_id) == (message_type, "0")
    assert message.signer.der == certificate_der("alice")
    content = open_envelope(message, recipients=[RA], entropy=random_bytes)
    serial = read_certificate(certificate_der("alice")).serial_der
    assert read_issuer_and_serial(content) == (
        read_certificate(certificate_der("ca")).subject_der,
        serial,
    )


@pytest.mark.parametrize("name", ["renewal-pkcsreq", "renewalreq"])
def test_both_renewals_of_jscep_are_signed_by_the_certificate_and_ask_for_another_key(
    name: str,
) -> None:
    message = decode_pki_message(jscep(name))
    assert message.signer.der == certificate_der("alice")
    csr = decode_csr(open_envelope(message, recipients=[RA], entropy=random_bytes))
    assert csr.spki_sha256 == sha256(spki(rsa_key("device-1"))).digest()


def test_the_des_of_scepclient_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="digest algorithm SHA-1: use SHA-256"):
        decode_pki_message((VECTORS / "scepclient-2.1.0-pkcsreq-des.der").read_bytes())


def test_the_request_and_the_poll_of_strongswan_are_signed_by_one_key() -> None:
    poll = decode_pki_message((VECTORS / "strongswan-5.9.8-certpoll.der").read_bytes())
    assert poll.signer.spki_sha256 == decode_pki_message(STRONGSWAN).signer.spki_sha256


def test_the_csr_inside_is_what_strongswan_made() -> None:
    assert (
        open_envelope(decode_pki_message(STRONGSWAN), recipients=[RA], entropy=random_bytes) == CSR
    )


@pytest.mark.parametrize("name", ["openssl-3.0-aes256-stream", "openssl-3.0-oaep-sha256-keyid"])
def test_envelopes_of_openssl_open(name: str) -> None:
    envelope = (VECTORS / f"{name}.der").read_bytes()
    assert open_content(envelope, [RA], random_bytes) == CSR
    assert (
        open_envelope(
            decode_pki_message(forge(content=envelope)), recipients=[RA], entropy=random_bytes
        )
        == CSR
    )


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_no_mutation_of_a_real_message_raises_anything_else(data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(STRONGSWAN) - 1))
    chunk = data.draw(st.binary(max_size=4))
    mutated = STRONGSWAN[:position] + chunk + STRONGSWAN[position + data.draw(st.integers(0, 4)) :]
    with contextlib.suppress(Malformed, Refused):
        open_envelope(decode_pki_message(mutated), recipients=[RA], entropy=random_bytes)
