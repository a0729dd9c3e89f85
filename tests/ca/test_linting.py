from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.content.builder import CertificateContent, assemble_certificate, build_tbs
from ca.content.csr_review import ProfileSpec
from ca.content.issuers import SignatureAlgorithm
from ca.content.linting import _lint_loads, lint_certificate, lint_tbs
from ca.x509 import asn1, extensions
from ca.x509.asn1 import der, der_context, der_octets, der_oid, der_sequence, der_set
from ca.x509.findings import Finding
from ca.x509.general_names import GeneralName, general_name
from ca.x509.names import build_name, decode_name
from keys.file import LoadedKey
from tests.ca.forge import content, dns, extension, raw_name, rsa_spki, spki
from tests.pki import ec_key, rsa_key

FULL = ProfileSpec(
    crl_url="http://pki.example/ca.crl",
    ca_issuers_url="http://pki.example/ca.cer",
    ocsp_url="http://pki.example/ocsp",
    subject_attributes=("CN", "C", "OU"),
)
CONTENT = content(FULL, sans=(dns("r1.example"), general_name("ip", "192.0.2.7")))
TBS = build_tbs(CONTENT)


def fields() -> list[bytes]:
    return [member.raw for member in asn1.sequence(asn1.parse_exact(TBS))]


def extension_list() -> dict[str, bytes]:
    members = asn1.sequence(asn1.parse_exact(asn1.parse_exact(fields()[7]).value))
    return {asn1.oid(asn1.sequence(member)[0]): member.raw for member in members}


def with_field(index: int, value: bytes) -> bytes:
    changed = fields()
    changed[index] = value
    return der_sequence(*changed)


def with_extensions(*values: bytes) -> bytes:
    return with_field(7, der_context(3, der_sequence(*values)))


def with_extension(oid: str, value: bytes, *, critical: bool = False) -> bytes:
    changed = extension_list()
    changed[oid] = extension(oid, value, critical=b"\x01\x01\xff" if critical else b"")
    return with_extensions(*changed.values())


def codes(findings: tuple[Finding, ...]) -> set[str]:
    assert all(finding.severity == "refuse" for finding in findings)
    return {finding.code for finding in findings}


@pytest.mark.parametrize(
    "clean",
    [
        pytest.param(CONTENT, id="all extensions"),
        pytest.param(content(), id="the least"),
        pytest.param(content(with_ec_key=True), id="EC"),
        pytest.param(content(None, build_name([]), (dns("r1.example"),)), id="empty subject"),
        pytest.param(content(ProfileSpec(validity_days=36500)), id="cut by the issuer"),
        pytest.param(
            content(ProfileSpec(extended_key_usages=(), ocsp_url="http://a.example/")),
            id="no purpose",
        ),
        pytest.param(
            content(ProfileSpec(extended_key_usages=("1.2.3.4",))), id="purpose by number"
        ),
        pytest.param(
            content(None, build_name([("CN", "Zürich"), ("C", "CH"), ("DC", "example")])),
            id="subject types",
        ),
    ],
)
def test_a_clean_certificate_gives_no_finding(clean: CertificateContent) -> None:
    tbs = build_tbs(clean)
    signature = LoadedKey.of(rsa_key("ca")).sign(tbs, "rsa-sha256")
    assert lint_tbs(tbs, content=clean) == ()
    assert lint_certificate(assemble_certificate(tbs, "rsa-sha256", signature), content=clean) == ()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(
            {"subject": build_name([("CN", "r2.example")])}, "lint-subject", id="another subject"
        ),
        pytest.param({"sans": (dns("r1.example"),)}, "lint-san", id="another SAN"),
        pytest.param({"sans": CONTENT.sans[::-1]}, "lint-san", id="another order"),
        pytest.param({"spki_der": spki(rsa_key("bob"))}, "lint-key", id="another key"),
        pytest.param(
            {"serial_number": CONTENT.serial_number + 1}, "lint-serial", id="another serial"
        ),
        pytest.param(
            {"not_before": CONTENT.not_before - timedelta(1)},
            "lint-validity",
            id="another beginning",
        ),
        pytest.param(
            {"not_after": CONTENT.not_after + timedelta(seconds=1)},
            "lint-validity",
            id="another end",
        ),
        pytest.param(
            {"spec": replace(FULL, validity_days=366)}, "lint-validity", id="another period"
        ),
        pytest.param(
            {"spec": replace(FULL, key_usages=("digital-signature",))},
            "lint-extension",
            id="another usage",
        ),
        pytest.param(
            {"spec": replace(FULL, extended_key_usages=("server-auth",))},
            "lint-extension",
            id="purpose",
        ),
        pytest.param(
            {"spec": replace(FULL, extended_key_usages=())}, "lint-extension", id="no purpose"
        ),
        pytest.param(
            {"spec": replace(FULL, crl_url="http://other.example/")},
            "lint-extension",
            id="another CRL",
        ),
        pytest.param({"spec": replace(FULL, ocsp_url="")}, "lint-extension", id="no OCSP"),
        pytest.param({"spec": replace(FULL, san_kinds=("dns",))}, "lint-san", id="kind"),
        pytest.param({"spec": replace(FULL, rsa_min_bits=3072)}, "lint-key", id="short key"),
        pytest.param({"spec": replace(FULL, rsa_exponents=(65539,))}, "lint-key", id="exponent"),
        pytest.param(
            {"spec": replace(FULL, subject_attributes=("O",))}, "lint-subject", id="attribute"
        ),
    ],
)
def test_a_certificate_that_is_not_what_was_approved_is_found(
    change: dict[str, Any], code: str
) -> None:
    assert code in codes(lint_tbs(TBS, content=replace(CONTENT, **change)))


def _issuer(**changes: Any) -> CertificateContent:
    return replace(CONTENT, issuer=replace(CONTENT.issuer, **changes))


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        pytest.param(
            _issuer(subject_der=build_name([("CN", "Other")]).der), "lint-issuer", id="name"
        ),
        pytest.param(
            _issuer(subject_key_identifier=b"k" * 20), "lint-extension", id="key identifier"
        ),
        pytest.param(_issuer(signature_algorithm="ecdsa-sha256"), "lint-algorithm", id="algorithm"),
        pytest.param(
            _issuer(not_after=CONTENT.not_after - timedelta(1)), "lint-validity", id="ends before"
        ),
        pytest.param(
            _issuer(not_before=CONTENT.not_before + timedelta(1)),
            "lint-validity",
            id="begins after",
        ),
    ],
)
def test_a_certificate_below_another_issuer_is_found(
    changed: CertificateContent, code: str
) -> None:
    assert code in codes(lint_tbs(TBS, content=changed))


UTC_2049 = der_sequence(der(0x17, b"261121083015Z"), der(0x18, b"20271121083014Z"))


@pytest.mark.parametrize(
    ("tbs", "code"),
    [
        pytest.param(
            with_field(0, der_context(0, asn1.der_integer(1))), "lint-version", id="version 2"
        ),
        pytest.param(with_field(1, b"\x02\x01\x07"), "lint-serial", id="short serial"),
        pytest.param(with_field(1, der(2, b"\x80" * 18)), "lint-serial", id="negative serial"),
        pytest.param(
            with_field(1, der(2, b"\x00\x80" + b"\x01" * 17)), "lint-serial", id="leading zero"
        ),
        pytest.param(
            with_field(2, bytes.fromhex("300d06092a864886f70d0101050500")),
            "lint-algorithm",
            id="SHA-1",
        ),
        pytest.param(with_field(4, UTC_2049), "lint-time", id="GeneralizedTime before 2050"),
        pytest.param(
            with_field(4, der_sequence(der(0x17, b"261121083015Z"))),
            "lint-unreadable",
            id="one time",
        ),
        pytest.param(
            with_field(5, raw_name(("2.5.4.3", 0x13, b"r1.example"))),
            "lint-subject",
            id="string type",
        ),
        pytest.param(
            with_field(5, raw_name(("2.5.4.99", 0x0C, b"x"))), "lint-subject", id="attribute"
        ),
        pytest.param(
            with_field(5, raw_name(("2.5.4.3", 0x0C, b"a" * 65))), "lint-subject", id="length"
        ),
        pytest.param(
            with_field(5, raw_name(("2.5.4.3", 0x0C, b""))), "lint-subject", id="empty value"
        ),
        pytest.param(
            with_field(5, raw_name(*[("2.5.4.3", 0x0C, b"r1")] * 2)), "lint-subject", id="two CN"
        ),
        pytest.param(
            with_field(5, raw_name(("2.5.4.3", 0x0C, b"r1\x00"))), "text-hidden", id="NUL"
        ),
        pytest.param(
            with_field(5, raw_name(("2.5.4.3", 0x0C, b"\xff"))), "lint-unreadable", id="UTF-8"
        ),
        pytest.param(with_field(6, b"\x30\x00"), "lint-unreadable", id="no key"),
        pytest.param(
            with_field(7, der_context(2, b"\x30\x00")), "lint-structure", id="no extensions"
        ),
        pytest.param(der_sequence(*fields()[:7]), "lint-structure", id="seven members"),
        pytest.param(der_sequence(*fields(), b"\x05\x00"), "lint-structure", id="nine members"),
        pytest.param(TBS[:-1], "lint-unreadable", id="truncated"),
        pytest.param(TBS + b"\x00", "lint-unreadable", id="trailing"),
        pytest.param(b"", "lint-unreadable", id="nothing"),
    ],
)
def test_fields_that_are_wrong_are_found(tbs: bytes, code: str) -> None:
    assert code in codes(lint_tbs(tbs, content=CONTENT))


def _unsorted() -> bytes:
    pair = [der_sequence(der_oid(oid), der(0x0C, b"r1")) for oid in ("2.5.4.11", "2.5.4.3")]
    return der_sequence(der_set(*pair))


def test_several_attributes_in_one_relative_name_are_found_even_if_approved() -> None:
    subject = decode_name(_unsorted())
    tbs = build_tbs(replace(CONTENT, subject=subject))
    assert {"lint-der", "lint-subject"} <= codes(
        lint_tbs(tbs, content=replace(CONTENT, subject=subject))
    )


@pytest.mark.parametrize(
    ("tbs", "text"),
    [
        pytest.param(
            with_field(0, b"\xa0\x81\x03\x02\x01\x02"),
            "length not in its shortest",
            id="long length",
        ),
        pytest.param(
            with_field(0, b"\xa0\x80\x02\x01\x02\x00\x00"),
            "length not in its shortest",
            id="indefinite",
        ),
        pytest.param(
            with_field(1, b"\x02\x12\x00" + bytes(range(1, 18))),
            "INTEGER not in its",
            id="long integer",
        ),
        pytest.param(
            with_extension(extensions.BASIC_CONSTRAINTS, b"\x30\x03\x01\x01\x00", critical=True),
            "BOOLEAN that is not TRUE",
            id="default written",
        ),
        pytest.param(
            with_extension(extensions.BASIC_CONSTRAINTS, b"\x30\x81\x00", critical=True),
            "length not in its shortest",
            id="inside an extension",
        ),
        pytest.param(with_field(5, _unsorted()), "SET OF that is not sorted", id="unsorted set"),
    ],
)
def test_what_is_not_der_is_found(tbs: bytes, text: str) -> None:
    findings = lint_tbs(tbs, content=CONTENT)
    assert any(finding.code == "lint-der" and text in finding.text for finding in findings), (
        findings
    )


def _points(*names: bytes) -> bytes:
    return der_sequence(der_sequence(der_context(0, der_context(0, *names))))


CRL = der(0x86, b"http://pki.example/ca.crl")


@pytest.mark.parametrize(
    ("tbs", "name"),
    [
        pytest.param(with_extension("1.2.3", b"\x05\x00"), "1.2.3: not given", id="unknown"),
        pytest.param(
            with_extension("2.5.29.32", b"\x30\x00"),
            "certificatePolicies: not given",
            id="policies",
        ),
        pytest.param(
            with_extension("2.5.29.19", b"\x30\x03\x01\x01\xff", critical=True),
            "basicConstraints",
            id="CA",
        ),
        pytest.param(
            with_extension("2.5.29.19", b"\x30\x00"),
            "basicConstraints: critical is False",
            id="critical",
        ),
        pytest.param(
            with_extension("2.5.29.15", b"\x03\x02\x01\xa6", critical=True),
            "keyUsage",
            id="certSign",
        ),
        pytest.param(
            with_extension("2.5.29.15", b"\x03\x02\x04\xa0", critical=True),
            "keyUsage",
            id="not minimal",
        ),
        pytest.param(
            with_extension("2.5.29.15", b"\x03\x02\x05\x00", critical=True),
            "keyUsage",
            id="no bits",
        ),
        pytest.param(
            with_extension(
                "2.5.29.37", der_sequence(der_oid("1.3.6.1.5.5.7.3.2"), der_oid("2.5.29.37.0"))
            ),
            "extendedKeyUsage",
            id="any purpose",
        ),
        pytest.param(
            with_extension("2.5.29.14", der_octets(b"k" * 20)), "subjectKeyIdentifier", id="SKI"
        ),
        pytest.param(
            with_extension("2.5.29.35", der_sequence(der(0x80, b"k" * 20))),
            "authorityKeyIdentifier",
            id="AKI",
        ),
        pytest.param(
            with_extension("2.5.29.31", _points(CRL, CRL)),
            "cRLDistributionPoints",
            id="two addresses",
        ),
        pytest.param(
            with_extension("2.5.29.31", _points(der(0x86, b"https://x"))),
            "cRLDistributionPoints",
            id="CRL",
        ),
        pytest.param(
            with_extension(extensions.AUTHORITY_INFO_ACCESS, b"\x30\x00"),
            "authorityInfoAccess",
            id="AIA",
        ),
        pytest.param(
            with_extension(
                "2.5.29.17", der_sequence(*(n.der for n in CONTENT.sans)), critical=True
            ),
            "subjectAltName: critical is True",
            id="SAN critical",
        ),
        pytest.param(
            with_extensions(*extension_list().values(), extension_list()["2.5.29.14"]),
            "twice",
            id="twice",
        ),
        *(
            pytest.param(
                with_extensions(
                    *(value for other, value in extension_list().items() if other != oid)
                ),
                f"{extensions.NAMES[oid]}: missing",
                id=f"without {extensions.NAMES[oid]}",
            )
            for oid in extension_list()
        ),
    ],
)
def test_extensions_that_are_wrong_are_named(tbs: bytes, name: str) -> None:
    findings = lint_tbs(tbs, content=CONTENT)
    assert any(finding.code == "lint-extension" and name in finding.text for finding in findings), (
        findings
    )


@pytest.mark.parametrize(
    "name", [dns("R1.example"), dns("192.0.2.7"), dns("r1\0"), general_name("email", "x")]
)
def test_names_that_are_not_well_formed_are_found_even_if_approved(name: GeneralName) -> None:
    approved = content(ProfileSpec(san_kinds=("dns", "email")), sans=(name,))
    assert codes(lint_tbs(build_tbs(approved), content=approved)) == {"lint-san"}


def test_a_name_twice_is_found_even_if_approved() -> None:
    approved = content(sans=(dns("r1.example"), dns("r1.example")))
    assert codes(lint_tbs(build_tbs(approved), content=approved)) == {"lint-san"}


@pytest.mark.parametrize(
    "spki_der",
    [
        pytest.param(rsa_spki(2**1023 + 1), id="RSA 1024"),
        pytest.param(rsa_spki(2**2048 + 1), id="RSA 2049"),
        pytest.param(rsa_spki(2**2047 + 1, 3), id="exponent 3"),
        pytest.param(rsa_spki(2**2047 + 1, 1), id="not a key"),
        pytest.param(spki(ec.derive_private_key(7, ec.SECP521R1())), id="P-521"),
    ],
)
def test_keys_outside_the_profile_are_found_even_if_approved(spki_der: bytes) -> None:
    approved = replace(CONTENT, spki_der=spki_der)
    assert "lint-key" in codes(lint_tbs(build_tbs(approved), content=approved))


def test_a_value_that_another_decoder_refuses_is_found() -> None:
    approved = content(sans=(GeneralName("dns", "r1", der(0x87, b"12345")),))
    assert "lint-unreadable" in codes(lint_tbs(build_tbs(approved), content=approved))


# ------------------------------------------------------------------------------------- certificates


def signature(name: str = "ca") -> bytes:
    return LoadedKey.of(rsa_key(name)).sign(TBS, "rsa-sha256")


ECDSA = bytes.fromhex("300a06082a8648ce3d040302")


@pytest.mark.parametrize(
    ("der_bytes", "code"),
    [
        pytest.param(
            assemble_certificate(TBS, "rsa-sha256", signature("bob")),
            "lint-signature",
            id="other key",
        ),
        pytest.param(
            assemble_certificate(TBS, "ecdsa-sha256", signature()),
            "lint-algorithm",
            id="outer algorithm",
        ),
        pytest.param(
            assemble_certificate(TBS, "rsa-sha256", bytes(9000)), "lint-size", id="too large"
        ),
        pytest.param(der_sequence(TBS, ECDSA), "lint-structure", id="two members"),
        pytest.param(der_sequence(TBS, ECDSA, b"\x05\x00"), "lint-unreadable", id="no signature"),
        pytest.param(b"\x30", "lint-unreadable", id="truncated"),
    ],
)
def test_certificates_that_are_wrong_are_found(der_bytes: bytes, code: str) -> None:
    assert code in codes(lint_certificate(der_bytes, content=CONTENT))


def _below(issuer_spki: bytes, algorithm: SignatureAlgorithm) -> CertificateContent:
    return replace(
        CONTENT, issuer=replace(CONTENT.issuer, spki_der=issuer_spki, signature_algorithm=algorithm)
    )


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(ec_key(), "ecdsa-sha256"), (ec.derive_private_key(7, ec.SECP384R1()), "ecdsa-sha384")],
)
def test_signatures_of_ec_authorities_are_verified(
    key: ec.EllipticCurvePrivateKey, algorithm: SignatureAlgorithm
) -> None:
    loaded = LoadedKey.of(key)
    approved = _below(loaded.spki_der, algorithm)
    tbs = build_tbs(approved)
    certificate = assemble_certificate(tbs, algorithm, loaded.sign(tbs, algorithm))
    assert lint_certificate(certificate, content=approved) == ()
    assert codes(lint_certificate(certificate[:-3] + b"abc", content=approved)) & {"lint-signature"}


def test_an_issuer_key_of_another_kind_verifies_nothing() -> None:
    ed25519 = der_sequence(der_sequence(der_oid("1.3.101.112")), asn1.der_bit_string(bytes(32)))
    facts = _below(ed25519, "rsa-sha256")
    certificate = assemble_certificate(TBS, "rsa-sha256", signature())
    assert codes(lint_certificate(certificate, content=facts)) == {"lint-signature"}


@pytest.mark.parametrize(
    "tbs",
    [
        pytest.param(b"\x30\x00", id="no certificate"),
        pytest.param(with_field(0, der_context(0, asn1.der_integer(1))), id="version"),
        pytest.param(with_extensions(*[extension_list()["2.5.29.14"]] * 2), id="twice"),
        pytest.param(
            with_extension("2.5.29.17", der_sequence(der_context(3, b"\x30\x00"))), id="X.400"
        ),
    ],
)
def test_the_other_decoder_has_a_say(tbs: bytes) -> None:
    assert codes(tuple(_lint_loads(tbs, CONTENT.issuer))) == {"lint-unreadable"}


@settings(max_examples=300, deadline=None)
@given(position=st.integers(0, len(TBS) - 1), octet=st.integers(0, 255))
def test_no_single_byte_can_change_unnoticed(position: int, octet: int) -> None:
    changed = TBS[:position] + bytes((octet,)) + TBS[position + 1 :]
    assert (lint_tbs(changed, content=CONTENT) == ()) is (changed == TBS)
