from hashlib import sha256
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import AttributeOID
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.x509 import asn1
from ca.x509.csr import decode_csr, read_stored_csr
from ca.x509.errors import CsrAlgorithmRefused, CsrError, CsrMalformed, CsrSignatureInvalid
from ca.x509.general_names import general_name
from ca.x509.names import build_name
from ca.x509.public_keys import KeyFacts
from tests.ca.forge import (
    CHALLENGE,
    EXTENSION_REQUEST,
    SHA256_WITH_RSA,
    attribute,
    challenge,
    dns,
    extension,
    extension_request,
    info,
    raw_name,
    request,
    request_der,
    rsa_spki,
    san,
    signed,
    spki,
)
from tests.pki import ec_key, rsa_key

TRUE = b"\x01\x01\xff"
NONE = b"\x31\x00"
R1 = build_name([("CN", "r1.example")]).der
KEY_USAGE = extension("2.5.29.15", b"\x03\x02\x05\xa0")


def test_a_request_of_another_library_is_read_in_full() -> None:
    builder = x509.CertificateSigningRequestBuilder(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "r1")])
    )
    builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, b"open sesame")
    builder = builder.add_extension(
        x509.SubjectAlternativeName([x509.DNSName("r1.example")]), critical=True
    )
    signed = builder.sign(rsa_key("alice"), hashes.SHA256())
    der = signed.public_bytes(serialization.Encoding.DER)

    csr = decode_csr(der)

    assert (csr.der, csr.info_der) == (der, signed.tbs_certrequest_bytes)
    assert str(csr.subject) == "CN=r1"
    assert csr.spki_der == spki(rsa_key("alice"))
    assert csr.spki_sha256 == sha256(csr.spki_der).digest()
    assert csr.key == KeyFacts("rsa", 2048, None, 65537)
    assert csr.challenge_password == "open sesame"
    assert [(e.name, e.critical) for e in csr.requested_extensions] == [("subjectAltName", True)]
    assert csr.requested_sans == (dns("r1.example"),)


def test_the_challenge_does_not_show_in_the_representation() -> None:
    assert "open sesame" not in repr(request(None, challenge("open sesame")))


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        (KeyFacts("rsa", 2048, None, 3), "RSA 2048"),
        (KeyFacts("ec", 256, "P-256"), "EC P-256"),
        (KeyFacts("other", 0), "other"),
    ],
)
def test_keys_are_described_in_words(facts: KeyFacts, text: str) -> None:
    assert str(facts) == text


def test_a_request_without_the_attributes_field_is_read() -> None:
    csr = decode_csr(signed(info(R1, None)))
    assert csr.challenge_password is None
    assert csr.requested_extensions == ()


def test_attributes_in_any_order_are_read_as_strongswan_sends_them() -> None:
    both = [extension_request(san(dns("r1.example"))), challenge("open sesame")]
    for attributes in (both, both[::-1]):
        csr = decode_csr(signed(info(R1, attributes)))
        assert csr.challenge_password == "open sesame"
        assert csr.requested_sans == (dns("r1.example"),)


def test_unknown_attributes_say_nothing() -> None:
    friendly_name = attribute(
        "1.2.840.113549.1.9.20", asn1.der(asn1.BMP_STRING, "r1".encode("utf-16-be"))
    )
    assert request(None, friendly_name).requested_extensions == ()


@pytest.mark.parametrize(
    "oid", [EXTENSION_REQUEST, "1.3.6.1.4.1.311.2.1.14", "2.16.840.1.113733.1.9.8"]
)
def test_extensions_are_read_from_each_known_attribute(oid: str) -> None:
    assert [
        e.name for e in request(None, extension_request(KEY_USAGE, oid=oid)).requested_extensions
    ] == ["keyUsage"]


def test_an_unknown_extension_is_named_by_its_oid() -> None:
    csr = request(None, extension_request(extension("1.2.3", b"x", critical=b"\x01\x01\x00")))
    assert [(e.name, e.critical, e.value) for e in csr.requested_extensions] == [
        ("1.2.3", False, b"x")
    ]


@pytest.mark.parametrize(
    ("tag", "encoding"),
    [
        (0x0C, "utf-8"),
        (0x13, "ascii"),
        (0x16, "ascii"),
        (0x14, "latin-1"),
        (0x1E, "utf-16-be"),
        (0x1C, "utf-32-be"),
    ],
)
def test_a_challenge_of_any_string_type_is_the_same_text(tag: int, encoding: str) -> None:
    csr = request(None, attribute(CHALLENGE, asn1.der(tag, "S3same!".encode(encoding))))
    assert csr.challenge_password == "S3same!"


def test_an_empty_challenge_is_absent_and_a_long_one_is_read() -> None:
    assert request(None, challenge("")).challenge_password is None
    assert request(None, challenge("x" * 16384)).challenge_password == "x" * 16384


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        pytest.param(
            [challenge("a"), challenge("b")],
            "challengePassword: more than one",
            id="two challenges",
        ),
        pytest.param([attribute(CHALLENGE)], "challengePassword with 0 values", id="no value"),
        pytest.param(
            [attribute(CHALLENGE, b"\x0c\x01a", b"\x0c\x01b")], "with 2 values", id="two values"
        ),
        pytest.param([challenge("x" * 16385)], "of 16385 bytes", id="too long"),
        pytest.param([attribute(CHALLENGE, b"\x04\x01a")], "not a text type", id="no text"),
        pytest.param(
            [asn1.der_sequence(asn1.der_oid(CHALLENGE), b"\x31\x00", b"\x31\x00")],
            "exactly one",
            id="two sets",
        ),
        pytest.param(
            [attribute(EXTENSION_REQUEST)], "extensionRequest with 0 values", id="no list"
        ),
        pytest.param(
            [extension_request(KEY_USAGE, KEY_USAGE)],
            "keyUsage: requested more than once",
            id="twice",
        ),
        pytest.param(
            [extension_request(*[extension(f"1.2.{i}", b"") for i in range(33)])],
            "33 requested",
            id="33 extensions",
        ),
        pytest.param(
            [extension_request(asn1.der_sequence(asn1.der_oid("1.2.3")))],
            "SEQUENCE of 1",
            id="no value",
        ),
        pytest.param(
            [
                extension_request(
                    asn1.der_sequence(asn1.der_oid("1.2.3"), TRUE, b"\x04\x00", b"\x05\x00")
                )
            ],
            "OCTET STRING|tag 0x05|more than",
            id="four members",
        ),
        pytest.param(
            [
                extension_request(
                    asn1.der_sequence(
                        asn1.der_oid("1.2.3"), b"\x01\x01\xff", b"\x01\x01\xff", b"\x04\x00"
                    )
                )
            ],
            "more than type, critical and value",
            id="two booleans",
        ),
        pytest.param([extension_request(san())], "of 0 names", id="empty SAN"),
        pytest.param([extension_request(san(*[dns("r1")] * 101))], "of 101 names", id="101 names"),
        pytest.param(
            [extension_request(extension("2.5.29.17", b"\x30\x05"))], "beyond the end", id="cut SAN"
        ),
        pytest.param([b"\x30\x00"], "SEQUENCE of 0", id="empty attribute"),
    ],
)
def test_requests_that_are_broken_or_say_two_things_are_malformed(
    attributes: list[bytes], text: str
) -> None:
    with pytest.raises(CsrMalformed, match=text):
        decode_csr(signed(info(R1, attributes)))


@pytest.mark.parametrize(
    "der",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x30\x80" * 20, id="indefinite nesting"),
        pytest.param(b"\x30\x84\xff\xff\xff\xff", id="length of 4 GiB"),
        pytest.param(request_der() + b"\x00", id="trailing byte"),
        pytest.param(request_der()[:-1], id="truncated"),
        pytest.param(asn1.der_sequence(b"\x30\x00"), id="one member"),
        pytest.param(
            asn1.der_sequence(info(R1), SHA256_WITH_RSA, b"\x03\x01\x00", b"\x05\x00"),
            id="four members",
        ),
        pytest.param(signed(asn1.der_sequence(b"\x02\x01\x00", R1)), id="no key"),
        pytest.param(signed(info(R1, version=1)), id="version 1"),
        pytest.param(
            signed(info(raw_name(("2.5.4.3", 0x0C, b"\xff")))), id="invalid UTF-8 in the subject"
        ),
        pytest.param(
            signed(info(raw_name(*[("2.5.4.3", 0x0C, b"a")] * 33))), id="33 relative names"
        ),
    ],
)
def test_what_is_no_request_is_malformed(der: bytes) -> None:
    with pytest.raises(CsrMalformed):
        decode_csr(der)


def test_a_request_over_another_key_is_a_signature_fault() -> None:
    with pytest.raises(CsrSignatureInvalid):
        decode_csr(signed(info(R1, spki_der=spki(rsa_key("bob"))), rsa_key("alice")))


def test_a_signature_algorithm_of_another_key_type_is_a_signature_fault() -> None:
    with pytest.raises(CsrSignatureInvalid, match="does not fit the rsa key"):
        decode_csr(signed(info(R1, spki_der=spki(rsa_key("alice"))), ec_key()))
    with pytest.raises(CsrSignatureInvalid, match="does not fit the ec key"):
        decode_csr(signed(info(R1, spki_der=spki(ec_key())), rsa_key("alice")))


def test_a_flipped_bit_in_the_content_is_a_signature_fault() -> None:
    with pytest.raises(CsrSignatureInvalid):
        decode_csr(request_der().replace(b"r1.example", b"r2.example"))


def test_an_ec_request_is_read() -> None:
    assert request(key=ec_key()).key == KeyFacts("ec", 256, "P-256")


@pytest.mark.parametrize("digest", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
def test_the_three_digests_are_accepted(
    digest: hashes.SHA256 | hashes.SHA384 | hashes.SHA512,
) -> None:
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    for key in (rsa_key("alice"), ec_key()):
        decode_csr(builder.sign(key, digest).public_bytes(serialization.Encoding.DER))
    pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
    decode_csr(
        builder.sign(rsa_key("alice"), digest, rsa_padding=pss).public_bytes(
            serialization.Encoding.DER
        )
    )


def _with_algorithm(*members: bytes) -> bytes:
    return asn1.der_sequence(info(R1), asn1.der_sequence(*members), asn1.der_bit_string(bytes(256)))


@pytest.mark.parametrize(
    ("oid", "digest"),
    [
        ("1.2.840.113549.1.1.4", "MD5"),
        ("1.2.840.113549.1.1.5", "SHA-1"),
        ("1.2.840.10045.4.1", "SHA-1"),
        ("1.2.840.113549.1.1.14", "SHA-224"),
    ],
)
def test_weak_digests_are_refused_by_name(oid: str, digest: str) -> None:
    with pytest.raises(
        CsrAlgorithmRefused, match=f"{digest}: SHA-256, SHA-384 or SHA-512 is needed"
    ):
        decode_csr(_with_algorithm(asn1.der_oid(oid), asn1.DER_NULL))


def test_an_unknown_signature_algorithm_is_refused() -> None:
    with pytest.raises(CsrAlgorithmRefused, match=r"1\.2\.3"):
        decode_csr(_with_algorithm(asn1.der_oid("1.2.3")))


PSS = asn1.der_oid("1.2.840.113549.1.1.10")
SHA256 = asn1.der_sequence(asn1.der_oid("2.16.840.1.101.3.4.2.1"))
SHA512 = asn1.der_sequence(asn1.der_oid("2.16.840.1.101.3.4.2.3"))
HASH = asn1.der_context(0, SHA256)
MGF1 = asn1.der_oid("1.2.840.113549.1.1.8")
MASK = asn1.der_context(1, asn1.der_sequence(MGF1, SHA256))


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        pytest.param([], "PSS digest SHA-1", id="defaults"),
        pytest.param([asn1.der_sequence()], "PSS digest SHA-1", id="empty"),
        pytest.param([asn1.der_sequence(HASH)], "MGF1 with the digest", id="no mask"),
        pytest.param(
            [asn1.der_sequence(HASH, asn1.der_context(1, asn1.der_sequence(MGF1, SHA512)))],
            "MGF1",
            id="other digest",
        ),
        pytest.param(
            [
                asn1.der_sequence(
                    HASH, asn1.der_context(1, asn1.der_sequence(asn1.der_oid("1.2.3"), SHA256))
                )
            ],
            "MGF1",
            id="no MGF1",
        ),
        pytest.param(
            [asn1.der_sequence(HASH, MASK, asn1.der_context(2, b"\x02\x02\x7f\xff"))],
            "salt",
            id="salt",
        ),
        pytest.param(
            [asn1.der_sequence(HASH, MASK, asn1.der_context(3, b"\x02\x01\x02"))],
            "trailer",
            id="trailer",
        ),
    ],
)
def test_pss_parameters_outside_the_allowed_are_refused(parameters: list[bytes], text: str) -> None:
    with pytest.raises(CsrAlgorithmRefused, match=text):
        decode_csr(_with_algorithm(PSS, *parameters))


def test_pss_with_the_default_salt_and_trailer_is_only_a_signature_fault_here() -> None:
    with pytest.raises(CsrSignatureInvalid):
        decode_csr(
            _with_algorithm(
                PSS, asn1.der_sequence(HASH, MASK, asn1.der_context(3, b"\x02\x01\x01"))
            )
        )


def test_pss_over_an_ec_key_is_a_signature_fault() -> None:
    der = asn1.der_sequence(
        info(R1, spki_der=spki(ec_key())), asn1.der_sequence(PSS), asn1.der_bit_string(b"x")
    )
    with pytest.raises(CsrSignatureInvalid):
        decode_csr(der)


def test_a_pss_salt_that_is_no_integer_is_malformed() -> None:
    with pytest.raises(CsrMalformed):
        decode_csr(
            _with_algorithm(PSS, asn1.der_sequence(HASH, MASK, asn1.der_context(2, b"\x05\x00")))
        )


def _ec_spki(curve: bytes, point: bytes) -> bytes:
    return asn1.der_sequence(
        asn1.der_sequence(asn1.der_oid("1.2.840.10045.2.1"), curve), asn1.der_bit_string(point)
    )


P256 = asn1.der_oid("1.2.840.10045.3.1.7")
ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()


@pytest.mark.parametrize(
    ("spki_der", "text"),
    [
        pytest.param(rsa_spki(2**510 + 1), "RSA 511: 512 to 8192", id="511 bits"),
        pytest.param(rsa_spki(0), "RSA 0: 512 to 8192", id="zero"),
        pytest.param(rsa_spki(2**8192 + 1), "RSA 8193: 512 to 8192", id="8193 bits"),
        pytest.param(rsa_spki(2**60_000 + 1), "RSA 60001: 512 to 8192", id="60001 bits"),
        pytest.param(
            rsa_spki(2**2047 + 1, 2**256 + 1), "RSA exponent of 33 bytes", id="long exponent"
        ),
        pytest.param(rsa_spki(2**2047 + 1, 1), "RSA 2048: not a valid public key", id="exponent 1"),
        pytest.param(
            _ec_spki(asn1.der_oid("1.3.132.0.10"), b"\x04" + bytes(64)),
            "EC curve 1.3.132",
            id="secp256k1",
        ),
        pytest.param(
            _ec_spki(b"\x30\x00", b"\x04" + bytes(64)), "explicit parameters", id="explicit"
        ),
        pytest.param(_ec_spki(b"", b"\x04" + bytes(64)), "explicit parameters", id="no parameters"),
        pytest.param(_ec_spki(P256, b"\x02" + bytes(32)), "compressed", id="compressed"),
        pytest.param(
            _ec_spki(P256, b"\x04" + b"\x01" * 64), "EC P-256: not a valid", id="not on the curve"
        ),
        pytest.param(
            ED25519.public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            ),
            r"key type 1\.3\.101\.112",
            id="Ed25519",
        ),
    ],
)
def test_keys_never_accepted_are_refused_before_arithmetic(spki_der: bytes, text: str) -> None:
    with pytest.raises(CsrAlgorithmRefused, match=text):
        decode_csr(signed(info(R1, spki_der=spki_der)))


def test_a_negative_modulus_is_malformed() -> None:
    with pytest.raises(CsrMalformed, match="negative"):
        decode_csr(signed(info(R1, spki_der=rsa_spki(-(2**2046)))))


def test_the_key_is_kept_in_its_der_form() -> None:
    bits = asn1.bit_string(asn1.sequence(asn1.parse_exact(spki(rsa_key("alice"))))[1])
    bloated = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00" + asn1.der_bit_string(
        bits
    )
    assert decode_csr(signed(info(R1, spki_der=asn1.der_sequence(bloated)))).spki_der == spki(
        rsa_key("alice")
    )


GOOD = request_der(
    None, challenge("open sesame"), extension_request(san(dns("r1.example")), KEY_USAGE)
)


@settings(max_examples=150, deadline=None)
@given(
    position=st.integers(0, len(GOOD) - 1), octets=st.binary(max_size=4), length=st.integers(0, 4)
)
def test_a_damaged_request_raises_only_request_errors(
    position: int, octets: bytes, length: int
) -> None:
    damaged = GOOD[:position] + octets + GOOD[position + length :]
    if damaged == GOOD:
        return
    try:
        csr = decode_csr(damaged)
    except CsrError:
        return
    # Only bytes outside the signed part may differ, such as an algorithm parameter.
    assert csr.info_der == decode_csr(GOOD).info_der


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_noise_raises_only_malformed(noise: bytes) -> None:
    with pytest.raises(CsrMalformed):
        decode_csr(noise)


def test_recorded_keys_are_of_the_kinds_these_tests_need() -> None:
    assert isinstance(rsa_key("alice"), rsa.RSAPrivateKey)
    assert isinstance(ec_key().curve, ec.SECP256R1)


@pytest.mark.parametrize(
    ("tag", "encoding"),
    [(0x0C, "utf-8"), (0x13, "ascii"), (0x1E, "utf-16-be"), (0x1C, "utf-32-be")],
)
def test_a_stored_request_keeps_everything_but_the_challenge(tag: int, encoding: str) -> None:
    text = "S3same!".encode(encoding)
    asked = attribute(CHALLENGE, asn1.der(tag, text)), extension_request(san(dns("r1.example")))
    csr = request(None, *asked)
    stored = csr.stored_der
    assert len(stored) == len(csr.der)
    assert text in csr.der
    assert text not in stored
    again = read_stored_csr(stored)
    assert (again.subject, again.spki_der, again.requested_extensions) == (
        csr.subject,
        csr.spki_der,
        csr.requested_extensions,
    )
    assert again.challenge_password is None
    assert again.stored_der == stored


def test_a_request_without_a_challenge_is_stored_as_received() -> None:
    csr = request(None)
    assert csr.stored_der == csr.der
    assert read_stored_csr(csr.der) == csr


def test_a_stored_request_that_is_damaged_is_malformed() -> None:
    with pytest.raises(CsrMalformed):
        read_stored_csr(request(None).der[:-1])


# ----------------------------------------------------------------------- several extension requests

MICROSOFT = "1.3.6.1.4.1.311.2.1.14"
VERISIGN = "2.16.840.1.113733.1.9.8"
_PURPOSES = [asn1.der_oid(f"1.3.6.1.5.5.7.3.{number}") for number in range(1, 6)]


def purposes(*requested: bytes) -> bytes:
    return extension("2.5.29.37", asn1.der_sequence(*requested))


def in_lists(*lists: tuple[str, list[bytes]]) -> tuple[tuple[str, bool, bytes], ...]:
    """The extensions of a request that has each list in an attribute of its own."""
    csr = request(None, *(extension_request(*requested, oid=oid) for oid, requested in lists))
    return tuple((asked.oid, asked.critical, asked.value) for asked in csr.requested_extensions)


_WANTED = st.lists(
    st.tuples(st.integers(1, 9), st.booleans()), max_size=8, unique_by=lambda wanted: wanted[0]
).map(
    lambda wanted: [
        extension(f"1.2.3.{number}", bytes([number]), critical=TRUE if is_critical else b"")
        for number, is_critical in wanted
    ]
)


@given(_WANTED, st.sampled_from([EXTENSION_REQUEST, MICROSOFT, VERISIGN]), st.randoms())
def test_the_same_list_again_in_any_order_is_one(
    requested: list[bytes], oid: str, chance: Random
) -> None:
    again = list(requested)
    chance.shuffle(again)
    alone = in_lists((EXTENSION_REQUEST, requested))
    assert in_lists((EXTENSION_REQUEST, requested), (oid, again)) == alone
    assert set(
        in_lists((oid, again), (EXTENSION_REQUEST, requested), (MICROSOFT, requested))
    ) == set(alone)


@given(_WANTED, st.integers(0, 8), st.sampled_from([EXTENSION_REQUEST, MICROSOFT, VERISIGN]))
def test_a_list_in_two_parts_is_the_whole_list(requested: list[bytes], at: int, oid: str) -> None:
    assert in_lists((EXTENSION_REQUEST, requested[:at]), (oid, requested[at:])) == in_lists(
        (EXTENSION_REQUEST, requested)
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(
            extension("1.2.3", b"x"),
            extension("1.2.3", b"x", critical=b"\x01\x01\x00"),
            id="FALSE written",
        ),
        pytest.param(
            extension("1.2.3", b"x", critical=TRUE),
            extension("1.2.3", b"x", critical=b"\x01\x01\x01"),
            id="TRUE as 01",
        ),
        pytest.param(
            san(dns("a.example"), dns("b.example")),
            san(dns("b.example"), dns("a.example")),
            id="names turned",
        ),
        pytest.param(purposes(*_PURPOSES), purposes(*reversed(_PURPOSES)), id="purposes turned"),
        pytest.param(KEY_USAGE, KEY_USAGE, id="key usage"),
        pytest.param(
            san(general_name("ip", "2001:db8::7")),
            san(general_name("ip", "2001:db8::7")),
            id="an address",
        ),
    ],
)
@pytest.mark.parametrize("oid", [EXTENSION_REQUEST, MICROSOFT, VERISIGN])
def test_what_says_the_same_is_one_however_it_is_written(
    first: bytes, second: bytes, oid: str
) -> None:
    assert in_lists((EXTENSION_REQUEST, [first]), (oid, [second])) == in_lists(
        (EXTENSION_REQUEST, [first])
    )


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        pytest.param(
            san(dns("a.example")),
            san(dns("b.example")),
            "subjectAltName: requested twice, with different",
            id="names",
        ),
        pytest.param(
            san(dns("a.example")),
            san(dns("a.example"), dns("b.example")),
            "subjectAltName: requested twice",
            id="a name more",
        ),
        pytest.param(
            purposes(_PURPOSES[0]),
            purposes(_PURPOSES[1]),
            "extendedKeyUsage: requested twice",
            id="purposes",
        ),
        pytest.param(
            KEY_USAGE,
            extension("2.5.29.15", b"\x03\x02\x01\x06"),
            "keyUsage: requested twice",
            id="key usage",
        ),
        pytest.param(
            extension("1.2.3", b"x"),
            extension("1.2.3", b"x", critical=TRUE),
            "1.2.3: requested twice, as critical",
            id="critical",
        ),
        pytest.param(
            san(dns("a.example")),
            extension("2.5.29.17", b"\x30\x05"),
            "beyond the end",
            id="one cannot be read",
        ),
    ],
)
@pytest.mark.parametrize("oid", [EXTENSION_REQUEST, MICROSOFT, VERISIGN])
def test_lists_that_contradict_each_other_are_refused_in_words(
    first: bytes, second: bytes, text: str, oid: str
) -> None:
    for lists in (
        ((EXTENSION_REQUEST, [first]), (oid, [second])),
        ((oid, [second]), (EXTENSION_REQUEST, [first])),
    ):
        with pytest.raises(CsrMalformed, match=text):
            in_lists(*lists)


def test_two_lists_in_one_attribute_are_read_like_two_attributes() -> None:
    lists = [asn1.der_sequence(KEY_USAGE), asn1.der_sequence(san(dns("a.example")), KEY_USAGE)]
    csr = request(None, attribute(EXTENSION_REQUEST, *lists))
    assert [asked.name for asked in csr.requested_extensions] == ["keyUsage", "subjectAltName"]


def test_all_lists_together_have_as_many_extensions_as_one_may_have() -> None:
    halves = [
        [extension(f"1.2.{number}", b"") for number in range(start, start + 17)]
        for start in (0, 17)
    ]
    with pytest.raises(CsrMalformed, match="34 requested extensions: at most 32"):
        in_lists((EXTENSION_REQUEST, halves[0]), (MICROSOFT, halves[1]))
    assert len(in_lists((EXTENSION_REQUEST, halves[0][:16]), (MICROSOFT, halves[1][:16]))) == 32
