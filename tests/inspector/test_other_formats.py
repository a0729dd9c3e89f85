"""What people paste that is no SCEP message is named, with its main fields and without secrets."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509 import ocsp
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.x509.asn1 import der, der_context, der_octets, der_oid, der_sequence, parse_exact, sequence
from inspector.decoding import decode
from inspector.other_formats import section_of
from inspector.outline import outline_of
from inspector.report import Report
from tests.pki import certificate_der, ec_key, rsa_key

FORMATS = Path(__file__).parents[1] / "vectors" / "formats"
NOW = datetime(2026, 11, 21, 8, 30, 15, tzinfo=UTC)
ALICE = x509.load_der_x509_certificate(certificate_der("alice"))
CA = x509.load_der_x509_certificate(certificate_der("ca"))
CANARY = b"canary-of-formats-4711"


def recorded(name: str) -> bytes:
    return (FORMATS / f"{name}.der").read_bytes()


def rows(report: Report) -> dict[str, str]:
    (section,) = report.sections
    return {row.name: row.value for row in section.rows}


PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey


def pkcs8(key: PrivateKey, *, passphrase: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, encryption)


def bundle(*, passphrase: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return pkcs12.serialize_key_and_certificates(CANARY, rsa_key("alice"), ALICE, [CA], encryption)


def ocsp_answer(status: ocsp.OCSPCertStatus, *, by_key: bool = True) -> bytes:
    is_revoked = status is ocsp.OCSPCertStatus.REVOKED
    kind = ocsp.OCSPResponderEncoding.HASH if by_key else ocsp.OCSPResponderEncoding.NAME
    builder = ocsp.OCSPResponseBuilder().add_response(
        ALICE,
        CA,
        hashes.SHA256(),
        status,
        NOW,
        None if is_revoked else NOW + timedelta(days=1),
        NOW if is_revoked else None,
        x509.ReasonFlags.key_compromise if is_revoked else None,
    )
    signed = builder.responder_id(kind, CA).certificates([CA]).sign(rsa_key("ca"), hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


def token() -> bytes:
    return sequence(parse_exact(recorded("timestamp-response")))[1].raw


def test_a_pkcs12_file_under_a_passphrase_is_described() -> None:
    report = decode(recorded("pkcs12"), known={})
    assert report.kind == "PKCS #12 file"
    assert rows(report) == {
        "version": "v3",
        "integrity": "MAC with SHA256, 2048 rounds",
        "encrypted part": "AES256-CBC, PBKDF2 with SHA256, 2048 rounds",
        "private key": "AES256-CBC, PBKDF2 with SHA256, 2048 rounds",
        "private keys under a passphrase": "1",
    }
    assert "stays closed" in report.sections[0].verdict


def test_a_pkcs12_file_without_a_passphrase_is_warned_of() -> None:
    report = decode(recorded("pkcs12-open"), known={})
    assert rows(report)["certificate"] == "CN=Time of Tests"
    assert rows(report)["private keys without a passphrase"] == "1"
    assert rows(report)["integrity"] == "none"
    assert report.sections[0].tone == "bad"
    assert rows(decode(bundle(), known={}))["certificates"] == "2"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (rsa_key("alice"), "RSA 2048"),
        (ec_key(), "EC secp256r1"),
        (Ed25519PrivateKey.from_private_bytes(b"k" * 32), "ed25519"),
    ],
)
def test_a_bare_private_key_is_named_and_warned_of(key: PrivateKey, said: str) -> None:
    report = decode(pkcs8(key), known={})
    assert report.kind == "private key (PKCS #8)"
    assert rows(report) == {"algorithm": said}
    assert report.sections[0].tone == "bad"
    assert "make a new one" in report.sections[0].verdict


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (pkcs8(ec_key(), passphrase=CANARY), "AES256-CBC, PBKDF2 with SHA256, "),
        (recorded("pkcs8-scrypt"), "AES256-CBC, scrypt"),
        (recorded("pkcs8-pbes1"), "pkcs12_sha1_tripledes_3key, 2048 rounds"),
    ],
)
def test_an_encrypted_private_key_is_described(data: bytes, said: str) -> None:
    report = decode(data, known={})
    assert report.kind == "encrypted private key (PKCS #8)"
    assert rows(report)["encryption"].startswith(said)


def test_no_private_value_and_no_name_of_a_file_is_shown() -> None:
    key = rsa_key("alice")
    assert isinstance(key, RSAPrivateKey)
    numbers = key.private_numbers()
    for data in (pkcs8(key), bundle(), bundle(passphrase=CANARY)):
        shown = repr(decode(data, known={})) + repr(outline_of(data))
        for number in (numbers.d, numbers.p, numbers.q, numbers.dmp1):
            assert str(number) not in shown
            assert f"{number:x}"[:40] not in shown.lower()
        assert CANARY.decode() not in shown


def test_an_ocsp_answer_is_described() -> None:
    report = decode(ocsp_answer(ocsp.OCSPCertStatus.GOOD), known={})
    assert report.kind == "OCSP answer"
    found = rows(report)
    assert found["responseStatus"] == "successful"
    assert found["responder"].startswith("key ")
    assert found["certificates"] == "1"
    assert found[f"serial number {ALICE.serial_number:x}"] == (
        "good; as of 2026-11-21 08:30:15 UTC, until 2026-11-22 08:30:15 UTC"
    )
    assert "not verified" in report.sections[0].verdict


def test_an_ocsp_answer_says_since_when_and_why_a_certificate_is_revoked() -> None:
    found = rows(decode(ocsp_answer(ocsp.OCSPCertStatus.REVOKED, by_key=False), known={}))
    assert found["responder"] == "O=Example, CN=Test CA"
    assert found[f"serial number {ALICE.serial_number:x}"] == (
        "revoked at 2026-11-21 08:30:15 UTC, key_compromise; as of 2026-11-21 08:30:15 UTC"
    )


def test_an_ocsp_refusal_is_described() -> None:
    refusal = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.UNAUTHORIZED)
    report = decode(refusal.public_bytes(Encoding.DER), known={})
    assert rows(report) == {"responseStatus": "unauthorized"}
    assert "refused" in report.sections[0].verdict


@pytest.mark.parametrize(
    ("data", "kind"),
    [(recorded("timestamp-response"), "time-stamp answer"), (token(), "time-stamp token")],
)
def test_a_time_stamp_is_described(data: bytes, kind: str) -> None:
    report = decode(data, known={})
    assert report.kind == kind
    found = rows(report)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(b"pki portal")
    assert found["hashedMessage"] == digest.finalize().hex()
    assert found["policy"] == "1.2.3.4.1"
    assert found["genTime"].endswith(" UTC")
    assert found["tsa"] == "CN=Time of Tests"


def test_a_refused_time_stamp_is_described() -> None:
    report = decode(recorded("timestamp-rejection"), known={})
    assert rows(report) == {
        "status": "rejection",
        "statusString": "Message digest algorithm is not supported.",
        "failInfo": "bad_alg",
    }


def test_many_parts_are_cut_and_counted() -> None:
    part = der_sequence(der_oid("1.2.840.113549.1.7.1"), der_context(0, der_octets(der_sequence())))
    bag = der_sequence(der_oid("1.2.840.113549.1.12.10.1.5"), der_context(0, der_sequence()))
    full = der_sequence(
        der_oid("1.2.840.113549.1.7.1"), der_context(0, der_octets(der_sequence(bag)))
    )
    shrouded = der_sequence(
        der_oid("1.2.840.113549.1.12.10.1.2"),
        der_context(0, recorded("pkcs8-pbes1")),
    )
    many = der_sequence(
        der_oid("1.2.840.113549.1.7.1"), der_context(0, der_octets(der_sequence(*[shrouded] * 30)))
    )
    safe = der_octets(der_sequence(part, full, many))
    data = der_sequence(
        b"\x02\x01\x03", der_sequence(der_oid("1.2.840.113549.1.7.1"), der_context(0, safe))
    )
    assert rows(decode(data, known={}))["not shown"] == "14 more"


SEEDS = [
    *(path.read_bytes() for path in sorted(FORMATS.glob("*.der"))),
    token(),
    pkcs8(rsa_key("alice")),
    ocsp_answer(ocsp.OCSPCertStatus.GOOD),
]


@settings(max_examples=400, deadline=None)
@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, 40),
)
def test_no_bytes_make_it_fail(seed: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(seed[: len(seed) - cut] if cut < 20 else seed)
    for position, octet in changes:
        data[position % len(data)] = octet
    decode(bytes(data), known={})


ID_DATA = der_oid("1.2.840.113549.1.7.1")


def _token_around(content: bytes, kind: str = "1.2.840.113549.1.9.16.1.4") -> bytes:
    inside = der_sequence(der_oid(kind), der_context(0, content))
    signed = der_sequence(b"\x02\x01\x03", b"\x31\x00", inside, b"\x31\x00")
    return der_sequence(der_oid("1.2.840.113549.1.7.2"), der_context(0, signed))


def _certificate_bag(content: bytes) -> bytes:
    bag = der_sequence(der_oid("1.2.840.113549.1.9.22.1"), der_context(0, der_octets(content)))
    safe = der_sequence(der_sequence(der_oid("1.2.840.113549.1.12.10.1.3"), der_context(0, bag)))
    part = der_sequence(ID_DATA, der_context(0, der_octets(safe)))
    whole = der_sequence(ID_DATA, der_context(0, der_octets(der_sequence(part))))
    return der_sequence(b"\x02\x01\x03", whole)


def test_a_token_in_parts_is_read_and_another_content_is_none() -> None:
    imprint = der_sequence(der_sequence(der_oid("2.16.840.1.101.3.4.2.1")), der_octets(b"h" * 32))
    moment = der(0x18, b"20261121083015Z")
    said = der_sequence(b"\x02\x01\x01", der_oid("1.2.3"), imprint, b"\x02\x01\x07", moment)
    parts = der(0x24, der_octets(said[:9]), der_octets(said[9:]))
    found = rows(decode(_token_around(parts), known={}))
    assert found["genTime"] == "2026-11-21 08:30:15 UTC"
    assert "tsa" not in found
    assert section_of(_token_around(parts, kind="1.2.840.113549.1.7.1")) is None


@pytest.mark.parametrize("size", [16_000, 60_000])
def test_a_bomb_inside_octets_is_refused_before_asn1crypto_sees_it(size: int) -> None:
    """64 KiB of one long-form tag take asn1crypto 0.7 s; `prescan` does not look into octets."""
    bomb = b"\x1f" + b"\xff" * size
    wrapped = der_sequence(der_oid("1.2.840.113549.1.7.1"), der_context(0, der_octets(bomb)))
    for data in (
        der_sequence(b"\x02\x01\x03", wrapped),
        der_sequence(
            b"\x02\x01\x00",
            der_sequence(der_oid("1.2.840.113549.1.1.1"), b"\x05\x00"),
            der_octets(bomb),
        ),
        der_sequence(
            b"\x0a\x01\x00",
            der_context(0, der_sequence(der_oid("1.3.6.1.5.5.7.48.1.1"), der_octets(bomb))),
        ),
        _token_around(der_octets(bomb)),
        _certificate_bag(bomb),
        bomb,
    ):
        begun = time.thread_time()
        assert section_of(data) is None
        assert time.thread_time() - begun < 0.03


def test_what_has_the_shape_only_is_not_named() -> None:
    sequences = der_sequence(der_sequence(), der_sequence())
    assert section_of(sequences) is None
    assert section_of(der_sequence(der(0x0A, b"\x00"))) is not None
    assert section_of(b"") is None
    assert decode(sequences, known={}).kind == "not a SCEP message"


def test_the_outline_names_object_identifiers() -> None:
    lines, end = outline_of(recorded("pkcs12"))
    assert end == ""
    texts = {line.text for line in lines}
    assert "1.2.840.113549.1.7.1 data" in texts
    assert "2.16.840.1.101.3.4.2.1 sha256" in texts
    assert outline_of(b"\x06\x03\x2a\x03\x04")[0][0].text == "1.2.3.4"
    assert outline_of(b"\x06\x02\x2a\x83")[0][0].text == ""
