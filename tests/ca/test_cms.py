"""CMS messages of certificates: certs-only, and the signed one of GetNextCACert."""

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ca.content.builder import assemble_certificate, build_ca_tbs
from ca.x509.cms import encode_degenerate, encode_next_certificates
from ca.x509.names import build_name
from keys.file import LoadedKey, PrivateKey
from scep.protocol.requests import BadCertRep, decode_next_certificates, read_certificates
from tests.ca.test_builder import CENTURY
from tests.pki import certificate_der, ec_key, rsa_key

P384 = ec.derive_private_key(0x5EED, ec.SECP384R1())
NEXT = (certificate_der("ra"), certificate_der("ca"))


def root(key: PrivateKey) -> tuple[LoadedKey, bytes]:
    """A self-signed CA over a key."""
    loaded = LoadedKey.of(key)
    tbs = build_ca_tbs(
        issuer=None,
        subject=build_name([("CN", "Current CA")]),
        spki_der=loaded.spki_der,
        serial_number=7,
        not_before=CENTURY[0],
        not_after=CENTURY[1],
    )
    algorithm = loaded.signature_algorithm
    return loaded, assemble_certificate(tbs, algorithm, loaded.sign(tbs, algorithm))


def answer(key: PrivateKey, certificates: tuple[bytes, ...] = NEXT) -> tuple[bytes, bytes]:
    loaded, der = root(key)
    message = encode_next_certificates(
        certificates, signer_der=der, algorithm=loaded.signature_algorithm, sign=loaded.sign
    )
    return message, der


def test_a_certs_only_message_has_the_frame_of_the_rfc_and_the_order_given() -> None:
    message = encode_degenerate(NEXT)
    assert message.endswith(b"".join(NEXT) + b"\x31\x00")
    assert bytes.fromhex("020101 3100 300b06092a864886f70d010701 a0") in message
    assert read_certificates(message) == NEXT
    assert read_certificates(encode_degenerate(NEXT[::-1])) == NEXT[::-1]


@pytest.mark.usefixtures("starts_processes")
@pytest.mark.parametrize("key", [rsa_key("ca"), ec_key(), P384], ids=["rsa", "p256", "p384"])
def test_every_kind_of_ca_key_signs_and_openssl_reads_it(key: PrivateKey, tmp_path: Path) -> None:
    message, signer = answer(key)
    assert decode_next_certificates(message, trusted=(signer,)) == NEXT
    (tmp_path / "answer.der").write_bytes(message)
    (tmp_path / "ca.pem").write_bytes(
        x509.load_der_x509_certificate(signer).public_bytes(Encoding.PEM)
    )
    verify = [
        "openssl",
        "cms",
        "-verify",
        "-inform",
        "DER",
        "-in",
        "answer.der",
        "-CAfile",
        "ca.pem",
        "-out",
        "inner",
    ]
    done = subprocess.run(
        verify, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "inner").read_bytes() == encode_degenerate(NEXT)


def test_the_next_certificates_stand_inside_and_next_to_the_signer_who_comes_first() -> None:
    message, signer = answer(rsa_key("ca"))
    outer = read_certificates(message)
    assert outer == (signer, *NEXT)
    both, _ = answer(rsa_key("ca"), (*NEXT, signer))
    assert read_certificates(both) == (signer, *NEXT), "a shared root is there once"


def test_a_changed_answer_another_signer_and_no_signer_are_not_believed() -> None:
    message, signer = answer(rsa_key("ca"))
    for wrong in (message[:-1] + bytes((message[-1] ^ 1,)), b"\x30\x00", encode_degenerate(NEXT)):
        with pytest.raises(BadCertRep):
            decode_next_certificates(wrong, trusted=(signer,))
    with pytest.raises(BadCertRep, match="not the current CA"):
        decode_next_certificates(message, trusted=NEXT)


def test_an_unknown_algorithm_is_named() -> None:
    loaded, signer = root(rsa_key("ca"))
    with pytest.raises(ValueError, match="'rsa-md5': allowed are rsa-sha256"):
        encode_next_certificates(NEXT, signer_der=signer, algorithm="rsa-md5", sign=loaded.sign)
