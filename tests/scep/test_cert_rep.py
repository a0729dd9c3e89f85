"""Answers out: the exact encoding that every known client reads, checked by other parsers."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from asn1crypto import cms
from cryptography.hazmat.primitives import serialization

from ca.x509.asn1 import PRINTABLE_STRING, UTF8_STRING, der, der_octets, der_sequence, der_set
from scep.protocol import constants as c
from scep.protocol.certificates import read_certificate
from scep.protocol.codec import decode_pki_message, encode_cert_rep, encode_degenerate
from scep.protocol.constants import FailInfo, PKIStatus
from scep.protocol.errors import Refused
from scep.protocol.messages import CertRep, PKIMessage
from tests.pki import RaKeys, certificate_der, rsa_key
from tests.scep.forge import ALICE_ID, NONCE, constant_entropy, ec_certificate, forge

RA = RaKeys()
EMPTY_DIGESTS = {
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "sha512": "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
    "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
}
DIGEST_OF_ALICE = hashlib.sha256(certificate_der("alice")).digest()


@pytest.fixture(scope="module")
def request_message() -> PKIMessage:
    return decode_pki_message(forge())


def pending(message: PKIMessage) -> bytes:
    return encode_cert_rep(
        CertRep(message.reply, PKIStatus.PENDING), signer=RA, entropy=constant_entropy()
    )


def failure(message: PKIMessage, text: str | None = "no ü") -> bytes:
    rep = CertRep(message.reply, PKIStatus.FAILURE, FailInfo.BAD_REQUEST, text)
    return encode_cert_rep(rep, signer=RA, entropy=constant_entropy())


def success(message: PKIMessage) -> bytes:
    rep = CertRep(
        message.reply,
        PKIStatus.SUCCESS,
        certificates=(certificate_der("alice"),),
        recipient=message.signer,
    )
    return encode_cert_rep(rep, signer=RA, entropy=constant_entropy())


def signed_data(encoded: bytes) -> cms.SignedData:
    content_info = cms.ContentInfo.load(encoded, strict=True)
    assert content_info["content_type"].native == "signed_data"
    return content_info["content"]


def attributes(encoded: bytes) -> dict[str, bytes]:
    signed_attributes = signed_data(encoded)["signer_infos"][0]["signed_attrs"]
    return {item["type"].dotted: item["values"].dump() for item in signed_attributes}


def test_constants_have_their_reference_bytes(request_message: PKIMessage) -> None:
    answer = failure(request_message)
    for reference in (
        "3011060A6086480186F845010902310313013 3",
        "3011060A6086480186F8450109033103130132",
        "3011060A6086480186F8450109043103130132",
        "3020060A6086480186F845010905311204104242424242424242424242424242424 2",
        "301806092A864886F70D010903310B06092A864886F70D010701",
        "300F06092A864886F70D010701A0020400",
        "06082B06010505071801",
        "300D06092A864886F70D0101010500",
        "300D06096086480165030402010500",
    ):
        assert bytes.fromhex(reference.replace(" ", "").lower()) in answer, reference
    assert bytes.fromhex("3011060A6086480186F8450109033103130133") in pending(request_message)
    assert bytes.fromhex("3011060A6086480186F8450109033103130130") in success(request_message)


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_the_digest_of_the_request_is_mirrored(digest: str) -> None:
    answer = signed_data(pending(decode_pki_message(forge(digest=digest))))
    assert answer["digest_algorithms"][0]["algorithm"].native == digest
    assert answer["signer_infos"][0]["digest_algorithm"]["algorithm"].native == digest


def test_d34_a_refused_digest_is_answered_with_sha256() -> None:
    with pytest.raises(Refused) as caught:
        decode_pki_message(forge(digest="md5"))
    assert caught.value.reply is not None
    rep = CertRep(caught.value.reply, PKIStatus.FAILURE, caught.value.fail_info, caught.value.text)
    answer = signed_data(encode_cert_rep(rep, signer=RA, entropy=constant_entropy()))
    assert answer["digest_algorithms"][0]["algorithm"].native == "sha256"


@pytest.mark.parametrize("digest", ["sha256", "sha512"])
def test_without_content_the_digest_is_that_of_nothing(digest: str) -> None:
    answer = pending(decode_pki_message(forge(digest=digest)))
    assert attributes(answer)["1.2.840.113549.1.9.4"] == der_set(
        der_octets(bytes.fromhex(EMPTY_DIGESTS[digest]))
    )


def test_a_failure_says_what_clients_need(request_message: PKIMessage) -> None:
    signed_attributes = attributes(failure(request_message))
    arc = "2.16.840.1.113733.1.9"
    assert signed_attributes[f"{arc}.2"] == der_set(der(PRINTABLE_STRING, b"3"))
    assert signed_attributes[f"{arc}.3"] == der_set(der(PRINTABLE_STRING, b"2"))
    assert signed_attributes[f"{arc}.4"] == der_set(der(PRINTABLE_STRING, b"2"))
    assert signed_attributes[f"{arc}.5"] == der_set(der_octets(b"\x42" * 16))
    assert signed_attributes[f"{arc}.6"] == der_set(der_octets(NONCE))
    assert signed_attributes[f"{arc}.7"] == der_set(der(PRINTABLE_STRING, ALICE_ID.encode()))
    assert signed_attributes["1.3.6.1.5.5.7.24.1"] == der_set(der(UTF8_STRING, "no ü".encode()))
    assert len(signed_attributes) == 9


def test_fail_info_is_written_with_the_numbers_of_the_rfc(request_message: PKIMessage) -> None:
    """RFC 8894 3.2.1.4: 0 badAlg, 1 badMessageCheck, 2 badRequest, 3 badTime, 4 badCertId."""
    for number, name in enumerate(
        ("BAD_ALG", "BAD_MESSAGE_CHECK", "BAD_REQUEST", "BAD_TIME", "BAD_CERT_ID")
    ):
        rep = CertRep(request_message.reply, PKIStatus.FAILURE, FailInfo[name])
        signed_attributes = attributes(encode_cert_rep(rep, signer=RA, entropy=constant_entropy()))
        assert signed_attributes["2.16.840.1.113733.1.9.4"] == der_set(
            der(PRINTABLE_STRING, str(number).encode())
        ), name


def test_a_failure_may_have_no_text(request_message: PKIMessage) -> None:
    assert "1.3.6.1.5.5.7.24.1" not in attributes(failure(request_message, None))


def test_pending_has_neither_fail_info_nor_text(request_message: PKIMessage) -> None:
    assert len(attributes(pending(request_message))) == 7


def test_the_transaction_id_is_echoed_byte_by_byte() -> None:
    message = decode_pki_message(forge(transaction_id="a@*_", transaction_id_tag=UTF8_STRING))
    assert attributes(pending(message))["2.16.840.1.113733.1.9.7"] == der_set(
        der(UTF8_STRING, b"a@*_")
    )


def test_signed_attributes_are_in_der_order_and_the_signature_covers_them(
    request_message: PKIMessage,
) -> None:
    info = signed_data(failure(request_message))["signer_infos"][0]
    encoded = [item.dump() for item in info["signed_attrs"]]
    assert encoded == sorted(encoded)
    signed = b"\x31" + info["signed_attrs"].dump()[1:]
    assert info["signature"].native == RA.sign(signed, "sha256")


def test_signer_info_is_spelled_as_openssl_does(request_message: PKIMessage) -> None:
    answer = signed_data(pending(request_message))
    info = answer["signer_infos"][0]
    assert (answer["version"].native, info["version"].native) == ("v1", "v1")
    assert info["signature_algorithm"].dump() == c.RSA_ENCRYPTION_ALGORITHM
    assert info["sid"].name == "issuer_and_serial_number"
    assert info["sid"].chosen["serial_number"].native == 0x1002
    assert [item.chosen.dump() for item in answer["certificates"]] == [RA.certificate_der]
    assert info["unsigned_attrs"].native is None


def test_success_is_encrypted_to_the_signer_of_the_request(request_message: PKIMessage) -> None:
    inner = cms.ContentInfo.load(
        signed_data(success(request_message))["encap_content_info"]["content"].native
    )
    assert inner["content_type"].native == "enveloped_data"
    enveloped = inner["content"]
    recipient = enveloped["recipient_infos"][0].chosen
    assert (enveloped["version"].native, recipient["version"].native) == ("v0", "v0")
    rid = request_message.signer.issuer_der + request_message.signer.serial_der
    assert recipient["rid"].dump().endswith(rid)
    assert recipient["key_encryption_algorithm"].dump() == c.RSA_ENCRYPTION_ALGORITHM
    assert enveloped["encrypted_content_info"]["content_encryption_algorithm"][
        "algorithm"
    ].dotted.endswith(".1.2")
    assert enveloped["encrypted_content_info"]["encrypted_content"].dump()[0] == 0x80


def test_a_degenerate_keeps_its_order_and_has_its_reference_frame() -> None:
    encoded = encode_degenerate(
        [certificate_der("ra"), certificate_der("ca"), certificate_der("alice")]
    )
    frame = bytes.fromhex("0201013100300b06092a864886f70d010701a0")
    assert frame in encoded
    assert encoded.endswith(b"\x31\x00")
    order = [item.chosen.dump() for item in signed_data(encoded)["certificates"]]
    assert order == [certificate_der("ra"), certificate_der("ca"), certificate_der("alice")]


def test_a_degenerate_may_hold_only_a_crl() -> None:
    crl = der_sequence(b"\x05\x00")
    assert b"\xa1\x04" + crl + b"\x31\x00" in encode_degenerate((), [crl])


@pytest.mark.parametrize(
    ("case", "pieces"),
    [
        ("FAILURE without failInfo", {"status": PKIStatus.FAILURE}),
        ("PENDING with failInfo", {"status": PKIStatus.PENDING, "fail_info": FailInfo.BAD_ALG}),
        ("PENDING with text", {"status": PKIStatus.PENDING, "fail_info_text": "x"}),
        ("PENDING with a certificate", {"status": PKIStatus.PENDING, "certificates": (b"x",)}),
        ("SUCCESS with nothing", {"status": PKIStatus.SUCCESS}),
        ("SUCCESS without a recipient", {"status": PKIStatus.SUCCESS, "certificates": (b"x",)}),
        (
            "SUCCESS for an EC key",
            {
                "status": PKIStatus.SUCCESS,
                "certificates": (b"x",),
                "recipient": read_certificate(ec_certificate()),
            },
        ),
    ],
)
def test_an_inconsistent_answer_cannot_exist(
    request_message: PKIMessage, case: str, pieces: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match="CertRep"):
        CertRep(request_message.reply, **pieces)  # type: ignore[arg-type]  # the pieces are fields of CertRep


@pytest.mark.usefixtures("starts_processes")
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_verifies_and_decrypts_a_success(
    request_message: PKIMessage, tmp_path: Path
) -> None:
    answer, ra, enveloped, key = (
        tmp_path / name for name in ("answer.der", "ra.pem", "env.der", "alice.pem")
    )
    answer.write_bytes(success(request_message))
    ra.write_text("\n".join(_pem(certificate_der(name)) for name in ("ra", "ca")))
    key.write_bytes(
        rsa_key("alice").private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    verify: list[str | Path] = [
        "openssl",
        "cms",
        "-verify",
        "-inform",
        "DER",
        "-in",
        answer,
        "-CAfile",
        ra,
        "-purpose",
        "any",
    ]
    subprocess.run([*verify, "-binary", "-out", enveloped], check=True, capture_output=True)
    decrypt: list[str | Path] = [
        "openssl",
        "cms",
        "-decrypt",
        "-inform",
        "DER",
        "-in",
        enveloped,
        "-inkey",
        key,
        "-binary",
    ]
    inner = subprocess.run(decrypt, check=True, capture_output=True).stdout
    assert inner == encode_degenerate([certificate_der("alice")])


def _pem(certificate: bytes) -> str:
    from cryptography import x509

    return (
        x509.load_der_x509_certificate(certificate)
        .public_bytes(serialization.Encoding.PEM)
        .decode()
    )
