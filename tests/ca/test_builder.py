import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, ExtensionOID
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.content.builder import (
    IssuerFacts,
    IssuerUnusable,
    algorithm_identifier,
    assemble_certificate,
    build_ca_tbs,
    build_service_tbs,
    build_tbs,
    new_serial_number,
    validity,
)
from ca.content.csr_review import ProfileSpec, check_csr
from ca.content.issuers import decode_time
from ca.x509 import asn1, extensions
from ca.x509.general_names import general_name
from ca.x509.names import DistinguishedName, build_name, decode_name
from keys.file import LoadedKey
from tests.ca.forge import (
    NOW,
    SERIAL,
    content,
    dns,
    extension,
    extension_request,
    issuer,
    request,
    spki,
)
from tests.pki import certificate_der, ec_key, rsa_key

FULL = ProfileSpec(
    extended_key_usages=("client-auth", "ipsec-ike", "1.2.3.4"),
    crl_url="http://pki.example/ca.crl",
    ca_issuers_url="http://pki.example/ca.cer",
    ocsp_url="http://pki.example/ocsp",
)
CENTURY = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2119, 12, 31, tzinfo=UTC))


def sealed(tbs: bytes, name: str = "ca") -> x509.Certificate:
    """The certificate that the recorded CA makes of the bytes."""
    signature = LoadedKey.of(rsa_key(name)).sign(tbs, "rsa-sha256")
    return x509.load_der_x509_certificate(assemble_certificate(tbs, "rsa-sha256", signature))


def pem(path: Path, *certificates: x509.Certificate) -> str:
    path.write_bytes(b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates))
    return str(path)


def openssl(*arguments: str) -> str:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.usefixtures("starts_processes")
def test_openssl_reads_and_verifies_a_full_certificate(tmp_path: Path) -> None:
    certificate = sealed(
        build_tbs(content(FULL, sans=(dns("r1.example"), general_name("ip", "2001:db8::7"))))
    )
    leaf = pem(tmp_path / "leaf.pem", certificate)
    root = pem(tmp_path / "root.pem", x509.load_der_x509_certificate(certificate_der("ca")))

    moment = str(int(NOW.timestamp()))
    assert "OK" in openssl("verify", "-x509_strict", "-attime", moment, "-CAfile", root, leaf)
    text = openssl("x509", "-in", leaf, "-noout", "-text")

    for line in (
        "Version: 3 (0x2)",
        "Subject: CN = r1.example",
        "X509v3 Basic Constraints: critical\n                CA:FALSE",
        "X509v3 Key Usage: critical\n                Digital Signature, Key Encipherment",
        "TLS Web Client Authentication, ipsec Internet Key Exchange, 1.2.3.4",
        "DNS:r1.example, IP Address:2001:DB8:0:0:0:0:0:7",
        "URI:http://pki.example/ca.crl",
        "OCSP - URI:http://pki.example/ocsp",
        "CA Issuers - URI:http://pki.example/ca.cer",
    ):
        assert line in text, line


def test_fields_are_those_of_the_content() -> None:
    fields = content(FULL, sans=(dns("r1.example"),))
    certificate = sealed(build_tbs(fields))
    ca = x509.load_der_x509_certificate(certificate_der("ca"))

    assert certificate.version is x509.Version.v3
    assert certificate.serial_number == SERIAL
    assert certificate.issuer.public_bytes() == ca.subject.public_bytes()
    assert certificate.subject.public_bytes() == fields.subject.der
    assert (certificate.not_valid_before_utc, certificate.not_valid_after_utc) == (
        fields.not_before,
        fields.not_after,
    )
    assert isinstance(certificate.signature_hash_algorithm, hashes.SHA256)
    certificate.verify_directly_issued_by(ca)
    identifiers = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    of_ca = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert identifiers == x509.AuthorityKeyIdentifier(of_ca.digest, None, None)
    own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert own == x509.SubjectKeyIdentifier.from_public_key(rsa_key("alice").public_key())


def test_the_same_content_gives_the_same_bytes() -> None:
    assert build_tbs(content(FULL)) == build_tbs(content(FULL))


def test_what_the_profile_does_not_give_is_left_out() -> None:
    certificate = sealed(
        build_tbs(content(ProfileSpec(extended_key_usages=(), key_usages=("digital-signature",))))
    )
    assert [e.oid.dotted_string for e in certificate.extensions] == [
        extensions.BASIC_CONSTRAINTS,
        extensions.KEY_USAGE,
        extensions.SUBJECT_KEY_IDENTIFIER,
        extensions.AUTHORITY_KEY_IDENTIFIER,
    ]


def test_one_information_address_alone_is_written() -> None:
    certificate = sealed(build_tbs(content(ProfileSpec(ocsp_url="http://pki.example/ocsp"))))
    (access,) = certificate.extensions.get_extension_for_class(
        x509.AuthorityInformationAccess
    ).value
    assert access.access_method == AuthorityInformationAccessOID.OCSP


@pytest.mark.parametrize(("attributes", "critical"), [([], True), ([("CN", "r1")], False)])
def test_alternative_names_are_critical_where_the_subject_is_empty(
    attributes: list[tuple[str, str]], critical: bool
) -> None:
    certificate = sealed(build_tbs(content(None, build_name(attributes), (dns("r1.example"),))))
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert extension.critical is critical


def test_an_ec_key_enciphers_no_keys() -> None:
    certificate = sealed(build_tbs(content(with_ec_key=True)))
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_encipherment


def test_an_ec_key_of_a_profile_for_encipherment_only_has_no_usage() -> None:
    with pytest.raises(ValueError, match="no usage is left"):
        build_tbs(content(ProfileSpec(key_usages=("key-encipherment",)), with_ec_key=True))


@pytest.mark.parametrize(
    ("usages", "value"),
    [
        (("digital-signature",), "03020780"),
        (("digital-signature", "key-encipherment"), "030205a0"),
        (("content-commitment", "decipher-only"), "0303074080"),
    ],
)
def test_named_bits_are_minimal(usages: tuple[str, ...], value: str) -> None:
    tbs_bytes = build_tbs(content(ProfileSpec(key_usages=usages)))
    assert asn1.der_octets(bytes.fromhex(value)) in tbs_bytes


def test_times_switch_their_type_in_2050() -> None:
    spec = ProfileSpec(validity_days=30 * 365)
    tbs = build_tbs(content(spec))
    assert b"\x17\x0d261121083015Z\x18\x0f20561113083014Z" in tbs
    assert sealed(tbs).not_valid_after_utc == datetime(2056, 11, 13, 8, 30, 14, tzinfo=UTC)
    first = datetime(2050, 1, 1, tzinfo=UTC)
    for end, written in (
        (first - timedelta(seconds=1), b"\x17\x0d491231235959Z"),
        (first, b"\x18\x0f20500101000000Z"),
    ):
        assert written in build_tbs(replace(content(spec), not_after=end))


# --------------------------------------------------------------------------------- serial, validity


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=18, max_size=20))
def test_serial_numbers_are_positive_and_fill_their_octets(entropy: bytes) -> None:
    number = new_serial_number(entropy)
    octets = asn1.der_integer(number)[2:]
    assert len(octets) == len(entropy)
    assert 1 <= octets[0] <= 0x7F
    assert octets[1:] == entropy[1:]


@pytest.mark.parametrize("size", [0, 17, 21])
def test_a_serial_number_needs_its_entropy(size: int) -> None:
    with pytest.raises(ValueError, match="18 to 20 are needed"):
        new_serial_number(bytes(size))


@pytest.mark.parametrize("serial_number", [0, -1, 1 << 159])
def test_a_serial_number_outside_the_rfc_is_refused(serial_number: int) -> None:
    with pytest.raises(ValueError, match="serial number"):
        _service_tbs(serial_number=serial_number)


def test_validity_counts_both_its_ends() -> None:
    spec = ProfileSpec(validity_days=90, backdate_minutes=60)
    not_before, not_after = validity(spec, issuer(), NOW + timedelta(microseconds=7))
    assert not_before == NOW - timedelta(hours=1)
    assert not_after - not_before + timedelta(seconds=1) == timedelta(days=90)


def test_validity_stays_inside_that_of_the_issuer() -> None:
    first, last = issuer().not_before, issuer().not_after
    assert validity(ProfileSpec(), issuer(), first)[0] == first
    assert validity(ProfileSpec(), issuer(), last)[1] == last


@pytest.mark.parametrize("seconds", [-1, 1])
def test_an_issuer_outside_its_own_time_is_refused(seconds: int) -> None:
    moment = issuer().not_before if seconds < 0 else issuer().not_after
    with pytest.raises(IssuerUnusable, match="only"):
        validity(ProfileSpec(), issuer(), moment + timedelta(seconds=seconds))


def test_an_end_before_the_beginning_is_refused() -> None:
    with pytest.raises(ValueError, match="before it begins"):
        _service_tbs(not_before=NOW, not_after=NOW - timedelta(seconds=1))


# ---------------------------------------------------------------------------- services, authorities


def _service_tbs(
    *,
    serial_number: int = SERIAL,
    not_before: datetime = CENTURY[0],
    not_after: datetime = CENTURY[1],
    spki_der: bytes | None = None,
) -> bytes:
    return build_service_tbs(
        issuer=issuer(),
        subject=build_name([("CN", "Example RA")]),
        spki_der=spki_der or spki(rsa_key("ra")),
        serial_number=serial_number,
        period=(not_before, not_after),
    )


def test_an_ra_certificate_signs_and_has_keys_enciphered_to_it() -> None:
    certificate = sealed(_service_tbs())
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment, usage.key_cert_sign) == (
        True,
        True,
        False,
    )
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_oid(ExtensionOID.EXTENDED_KEY_USAGE)


def test_an_ra_certificate_needs_an_rsa_key() -> None:
    with pytest.raises(ValueError, match="needs an RSA key"):
        _service_tbs(spki_der=spki(ec_key()))


def _authority_tbs(name: str, spki_der: bytes, parent: IssuerFacts | None) -> bytes:
    return build_ca_tbs(
        issuer=parent,
        subject=build_name([("CN", name), ("O", "Example")]),
        spki_der=spki_der,
        serial_number=SERIAL,
        not_before=CENTURY[0],
        not_after=CENTURY[1],
    )


@pytest.mark.usefixtures("starts_processes")
def test_root_issuing_authority_and_device_form_a_chain(tmp_path: Path) -> None:
    key = LoadedKey.of(ec_key())
    root_tbs = _authority_tbs("Root", key.spki_der, None)
    root_der = assemble_certificate(root_tbs, "ecdsa-sha256", key.sign(root_tbs, "ecdsa-sha256"))
    issuing_tbs = _authority_tbs(
        "Issuing", spki(rsa_key("bob")), IssuerFacts.from_certificate(root_der)
    )
    issuing_der = assemble_certificate(
        issuing_tbs, "ecdsa-sha256", key.sign(issuing_tbs, "ecdsa-sha256")
    )
    facts = IssuerFacts.from_certificate(issuing_der)
    leaf_tbs = build_service_tbs(
        issuer=facts,
        subject=build_name([("CN", "r1")]),
        spki_der=spki(rsa_key("alice")),
        serial_number=SERIAL,
        period=CENTURY,
    )

    root, issuing, leaf = (
        x509.load_der_x509_certificate(root_der),
        x509.load_der_x509_certificate(issuing_der),
        sealed(leaf_tbs, "bob"),
    )
    paths = [
        pem(tmp_path / f"{n}.pem", c)
        for n, c in (("root", root), ("issuing", issuing), ("leaf", leaf))
    ]
    assert "OK" in openssl(
        "verify", "-x509_strict", "-CAfile", paths[0], "-untrusted", paths[1], paths[2]
    )
    limits = [
        c.extensions.get_extension_for_class(x509.BasicConstraints).value for c in (root, issuing)
    ]
    assert limits == [
        x509.BasicConstraints(ca=True, path_length=None),
        x509.BasicConstraints(ca=True, path_length=0),
    ]
    assert "Digital Signature, Certificate Sign, CRL Sign" in openssl(
        "x509", "-in", paths[1], "-noout", "-text"
    )
    assert facts.signature_algorithm == "rsa-sha256"
    assert facts.subject_der == issuing.subject.public_bytes()


@pytest.mark.parametrize(
    ("curve", "algorithm"), [(ec.SECP256R1(), "ecdsa-sha256"), (ec.SECP384R1(), "ecdsa-sha384")]
)
def test_the_curve_decides_the_digest(curve: ec.EllipticCurve, algorithm: str) -> None:
    key = LoadedKey.of(ec.derive_private_key(7, curve))
    tbs = _authority_tbs("Root", key.spki_der, None)
    certificate = assemble_certificate(tbs, algorithm, key.sign(tbs, algorithm))
    assert algorithm_identifier(algorithm) in tbs
    assert IssuerFacts.from_certificate(certificate).signature_algorithm == algorithm


def test_other_curves_are_no_authorities() -> None:
    with pytest.raises(IssuerUnusable, match="RSA, P-256 or P-384"):
        _authority_tbs("Root", spki(ec.derive_private_key(7, ec.SECP521R1())), None)


def test_an_ed25519_key_is_no_authority() -> None:
    key = asn1.der_sequence(
        asn1.der_sequence(asn1.der_oid("1.3.101.112")), asn1.der_bit_string(bytes(32))
    )
    with pytest.raises(IssuerUnusable, match=r"1\.3\.101\.112"):
        _authority_tbs("Root", key, None)


def test_an_unknown_signature_algorithm_is_refused() -> None:
    with pytest.raises(ValueError, match="rsa-sha1"):
        assemble_certificate(b"\x30\x00", "rsa-sha1", b"")


# ------------------------------------------------------------------------------------------- issuer


def test_the_facts_of_an_issuer_are_its_own_bytes() -> None:
    ca = x509.load_der_x509_certificate(certificate_der("ca"))
    facts = issuer()
    assert facts.subject_der == ca.subject.public_bytes()
    assert facts.spki_der == spki(rsa_key("ca"))
    assert (facts.not_before, facts.not_after) == (ca.not_valid_before_utc, ca.not_valid_after_utc)


def _with_extensions(*requested: bytes) -> bytes:
    members = asn1.sequence(asn1.sequence(asn1.parse_exact(certificate_der("ca")))[0])
    fields = [member.raw for member in members[:7]]
    return asn1.der_sequence(
        asn1.der_sequence(*fields, asn1.der_context(3, asn1.der_sequence(*requested))),
        b"\x30\x00",
        b"\x03\x01\x00",
    )


CA_TRUE = extension("2.5.29.19", b"\x30\x03\x01\x01\xff")
CERT_SIGN = extension("2.5.29.15", b"\x03\x02\x02\x04")


@pytest.mark.parametrize(
    ("der", "text"),
    [
        pytest.param(b"", "truncated", id="nothing"),
        pytest.param(certificate_der("alice"), "basicConstraints", id="a device"),
        pytest.param(_with_extensions(), "basicConstraints", id="no extensions"),
        pytest.param(
            _with_extensions(extension("2.5.29.19", b"\x30\x03\x01\x01\x00")),
            "basicConst",
            id="CA:FALSE",
        ),
        pytest.param(
            _with_extensions(extension("2.5.29.19", b"\x30\x03\x02\x01\x00")),
            "basicConst",
            id="length only",
        ),
        pytest.param(_with_extensions(CA_TRUE), "without keyCertSign", id="no key usage"),
        pytest.param(
            _with_extensions(CA_TRUE, extension("2.5.29.15", b"\x03\x02\x07\x80")),
            "without keyCertSign",
            id="signs",
        ),
        pytest.param(
            _with_extensions(CA_TRUE, CERT_SIGN), "no subjectKeyIdentifier", id="no key identifier"
        ),
        pytest.param(
            asn1.der_sequence(asn1.der_sequence(*[b"\x05\x00"] * 7), b"\x30\x00", b"\x03\x01\x00"),
            "not version 3",
            id="version 1",
        ),
    ],
)
def test_certificates_that_cannot_issue_say_why(der: bytes, text: str) -> None:
    with pytest.raises(IssuerUnusable, match=text):
        IssuerFacts.from_certificate(der)


@pytest.mark.parametrize(
    ("tag", "text", "moment"),
    [
        (0x17, b"491231235959Z", datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (0x17, b"500101000000Z", datetime(1950, 1, 1, tzinfo=UTC)),
        (0x18, b"20500101000000Z", datetime(2050, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_are_read(tag: int, text: bytes, moment: datetime) -> None:
    assert decode_time(asn1.parse(asn1.der(tag, text))) == moment


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (0x17, b"4912312359Z"),
        (0x18, b"20500101000000.5Z"),
        (0x18, b"20501301000000Z"),
        (0x18, b"20500101000000+0100"),
        (0x0C, b"20500101000000Z"),
    ],
)
def test_other_forms_of_time_are_refused(tag: int, text: bytes) -> None:
    with pytest.raises(asn1.Asn1Error, match="time"):
        decode_time(asn1.parse(asn1.der(tag, text)))


# ----------------------------------------------------------------------------------------- property

OIDS = st.sampled_from(
    [
        *(oid for oid in extensions.NAMES if oid != extensions.SUBJECT_ALT_NAME),
        "1.2.3.4",
        "1.3.6.1.4.1.311.25.2",
        "2.5.29.99",
    ]
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(OIDS, st.binary(min_size=24, max_size=60), max_size=6))
def test_requested_extensions_never_reach_the_certificate(requested: dict[str, bytes]) -> None:
    asked = extension_request(*(extension(oid, value) for oid, value in requested.items()))
    csr = request(None, asked)
    review = check_csr(csr, ProfileSpec())
    tbs = build_tbs(content(None, review.subject, review.sans))

    assert tbs == build_tbs(content(None, check_csr(request(), ProfileSpec()).subject))
    assert not any(value in tbs for value in requested.values())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.from_regex(r"[a-z]{1,20}\.example", fullmatch=True), max_size=5, unique=True))
def test_exactly_the_approved_names_stand_in_the_certificate(hosts: list[str]) -> None:
    sans = tuple(map(dns, hosts))
    certificate = sealed(build_tbs(content(None, None, sans)))
    names = [
        e.value for e in certificate.extensions if isinstance(e.value, x509.SubjectAlternativeName)
    ]
    assert [names[0].get_values_for_type(x509.DNSName)] == [hosts] if hosts else names == []


def test_an_issuer_name_in_an_unusual_string_type_is_kept() -> None:
    name: DistinguishedName = decode_name(
        asn1.der_sequence(
            asn1.der_set(asn1.der_sequence(asn1.der_oid("2.5.4.3"), asn1.der(0x14, b"Z\xfcrich")))
        )
    )
    facts = IssuerFacts(name.der, b"k" * 20, "rsa-sha256", *CENTURY, spki(rsa_key("ca")))
    tbs = build_service_tbs(
        issuer=facts,
        subject=build_name([("CN", "r1")]),
        spki_der=spki(rsa_key("alice")),
        serial_number=SERIAL,
        period=(NOW, NOW),
    )
    assert asn1.sequence(asn1.parse_exact(tbs))[3].raw == name.der


def test_purposes_have_their_registered_numbers() -> None:
    assert (
        extensions.extended_key_usage_oid("client-auth")
        == ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string
    )
    assert (
        extensions.extended_key_usage_oid("ipsec-ike")
        == ExtendedKeyUsageOID.IPSEC_IKE.dotted_string
    )
