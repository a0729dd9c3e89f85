import random
from dataclasses import replace
from math import gcd, prod
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.content.csr_review import CsrReview, ProfileError, ProfileSpec, check_csr
from ca.content.weak_keys import has_close_factors, is_roca, modulus_faults
from ca.x509 import asn1
from ca.x509.csr import CertificationRequest
from ca.x509.general_names import GeneralName, general_name
from ca.x509.names import build_name
from ca.x509.public_keys import KeyFacts
from tests.ca.forge import dns, extension, extension_request, raw_name, request, rsa_spki, san
from tests.pki import ec_key, rsa_key

MODULUS = rsa_key("alice").public_key().public_numbers().n
CN = "2.5.4.3"


def codes(review: CsrReview, severity: str = "refuse") -> list[str]:
    return [finding.code for finding in review.findings if finding.severity == severity]


def with_key(modulus: int, exponent: int = 65537) -> CertificationRequest:
    """A request whose key no library would make or load."""
    facts = KeyFacts("rsa", modulus.bit_length(), None, exponent)
    return replace(request(), spki_der=rsa_spki(modulus, exponent), key=facts)


def with_sans(*names: GeneralName | bytes) -> CertificationRequest:
    return request(None, extension_request(san(*names)))


# ------------------------------------------------------------------------------------------ profile


def test_a_profile_survives_json() -> None:
    spec = ProfileSpec(
        subject_patterns={"CN": r"r\d+\.example"},
        san_patterns={"dns": (r"r\d+\.example",)},
        extended_key_usages=("client-auth", "1.3.6.1.5.5.7.3.17"),
        crl_url="http://pki.example/ca.crl",
    )
    again = ProfileSpec.from_json(spec.to_json())
    assert again == spec
    assert again.digest() == spec.digest()
    assert hash(again) == hash(spec)


def test_the_digest_is_stable_and_follows_each_field() -> None:
    spec = ProfileSpec()
    assert spec.digest().hex() == "71704a4e8546a7e53b85c1791c3f3995e070c3a937ebf238c336081878eb7756"
    assert (
        len(
            {
                spec.digest(),
                ProfileSpec(validity_days=366).digest(),
                ProfileSpec(san_required=True).digest(),
            }
        )
        == 3
    )


def test_patterns_cannot_be_changed_afterwards() -> None:
    patterns = {"CN": "r1"}
    spec = ProfileSpec(subject_patterns=patterns)
    patterns["CN"] = ".*"
    assert spec.subject_patterns["CN"] == "r1"
    assert not hasattr(spec.subject_patterns, "__setitem__")
    assert not hasattr(spec.san_patterns, "__setitem__")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("validity_days", 0),
        ("validity_days", True),
        ("validity_days", 1.5),
        ("validity_days", "365"),
        ("backdate_minutes", -1),
        ("backdate_minutes", 1441),
        ("rsa_min_bits", 1024),
        ("rsa_max_bits", 16384),
        ("rsa_min_bits", 8192),
        ("rsa_exponents", (3,)),
        ("rsa_exponents", (65538,)),
        ("rsa_exponents", 65537),
        ("rsa_exponents", (2**32 + 1,)),
        ("curves", ("P-224",)),
        ("curves", "P-256"),
        ("curves", ("P-256", "P-256")),
        ("key_usages", ()),
        ("key_usages", ("key-cert-sign",)),
        ("key_usages", ("digitalSignature",)),
        ("extended_key_usages", ("any",)),
        ("extended_key_usages", ("ocsp-signing",)),
        ("extended_key_usages", ("2.5.29.37.0",)),
        ("extended_key_usages", ("clientAuth",)),
        ("extended_key_usages", (1,)),
        ("subject_attributes", ("XX",)),
        ("subject_patterns", ["CN"]),
        ("subject_patterns", {"SN": "x"}),
        ("subject_patterns", {"CN": "("}),
        ("subject_patterns", {"CN": ""}),
        ("subject_patterns", {"CN": "a" * 201}),
        ("subject_patterns", {"CN": 1}),
        ("subject_patterns", {"CN": "a{99999999999999999999}"}),
        ("san_kinds", ("dirname",)),
        ("san_patterns", {"uri": (".*",)}),
        ("san_patterns", {"dns": ".*"}),
        ("san_patterns", {"dns": (".*",) * 21}),
        ("san_required", 1),
        ("crl_url", "https://pki.example/ca.crl"),
        ("crl_url", "http://"),
        ("crl_url", "http://[::1/"),
        ("crl_url", "http://pki.example/a b"),
        ("crl_url", "http://pki.example/{authority}.crl"),
        ("ca_issuers_url", "ldap://pki.example/"),
        ("ocsp_url", None),
    ],
)
def test_a_profile_that_cannot_be_names_its_field(field: str, value: Any) -> None:
    with pytest.raises(ProfileError, match=field):
        ProfileSpec.from_json({field: value})


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ProfileError, match="profile 'validity'"):
        ProfileSpec.from_json({"validity": 1})


# ---------------------------------------------------------------------------------------------- key


def test_a_good_request_gives_no_finding() -> None:
    review = check_csr(with_sans(dns("r1.example")), ProfileSpec())
    assert review.findings == ()
    assert review.dropped == ()
    assert not review.refused
    assert str(review.subject) == "CN=r1.example, O=Example"
    assert review.sans == (dns("r1.example"),)


def test_a_good_ec_request_gives_no_finding() -> None:
    assert check_csr(request(key=ec_key()), ProfileSpec()).findings == ()


@pytest.mark.parametrize(
    ("curves", "text"), [(("P-384",), "allowed are P-384"), ((), "allowed are no EC keys")]
)
def test_a_curve_that_is_not_allowed_is_refused(curves: tuple[str, ...], text: str) -> None:
    (finding,) = check_csr(request(key=ec_key()), ProfileSpec(curves=curves)).findings
    assert (finding.code, finding.text) == ("key-curve", f"EC P-256: {text}")


def test_a_key_that_none_of_the_usages_fits_is_refused() -> None:
    spec = ProfileSpec(key_usages=("key-encipherment",))
    assert codes(check_csr(request(key=ec_key()), spec)) == ["key-usage"]
    assert not check_csr(request(), spec).refused


@pytest.mark.parametrize(
    ("modulus", "text"),
    [
        (2**1023 + 1, "RSA 1024: at least 2048"),
        (2**8191 + 1, "RSA 8192: at most 4096"),
        (2**2048 + 1, "RSA 2049: a multiple of 8 is needed"),
        (2**2047 + 2, "RSA 2048: the modulus is even; a new key is needed"),
    ],
)
def test_rsa_sizes_and_moduli_are_judged(modulus: int, text: str) -> None:
    assert [finding.text for finding in check_csr(with_key(modulus), ProfileSpec()).findings] == [
        text
    ]


@pytest.mark.parametrize("exponent", [1, 3, 65539, 2**200 + 1])
def test_an_exponent_that_is_not_listed_is_refused(exponent: int) -> None:
    (finding,) = check_csr(with_key(MODULUS, exponent), ProfileSpec()).findings
    assert finding.text.startswith(f"RSA 2048 exponent {str(exponent)[:20]}")
    assert finding.text.endswith("allowed is 65537")


def test_an_exponent_that_is_listed_is_accepted() -> None:
    assert not check_csr(
        with_key(MODULUS, 65539), ProfileSpec(rsa_exponents=(65537, 65539))
    ).refused


def test_small_factors_are_found() -> None:
    for prime in (3, 701, 65521):
        assert modulus_faults(prime * (MODULUS // prime | 1)) == (
            "the modulus has a prime factor below 65536",
        )


def _coprime(number: int, step: int) -> int:
    small = prod(range(3, 1000, 2))
    while gcd(number, small) != 1 or modulus_faults(number) == (
        "the modulus has a prime factor below 65536",
    ):
        number += step
    return number


def test_close_factors_are_found_and_squares_too() -> None:
    first = _coprime(2**1023 + 2**500 + 1, 2)
    second = _coprime(first + 2, 2)
    assert modulus_faults(first * second) == ("the prime factors are close to each other (Fermat)",)
    assert has_close_factors(first * first)
    assert not has_close_factors(MODULUS)


def test_keys_of_the_flawed_generator_are_found() -> None:
    """Numbers of the form of CVE-2017-15361 for 2048-bit keys; they need not be prime here."""
    primes = [n for n in range(2, 702) if all(n % d for d in range(2, n))][:126]
    primorial = prod(primes)
    chance = random.Random(15361)  # noqa: S311 - the same numbers each time
    weak_primes = []
    for _ in range(2):
        form = pow(65537, chance.randrange(2**64), primorial)
        start = (1 << 1023) // primorial + chance.getrandbits(40)
        weak_primes.append(_coprime(start * primorial + form, primorial))
    assert is_roca(weak_primes[0] * weak_primes[1])
    assert (
        modulus_faults(weak_primes[0] * weak_primes[1])[-1]
        == "made by a flawed generator (ROCA, CVE-2017-15361)"
    )
    assert not any(
        is_roca(rsa_key(name).public_key().public_numbers().n)
        for name in ("alice", "bob", "ra", "ca")
    )


# ------------------------------------------------------------------------------------------ subject


def test_the_subject_is_written_in_the_types_of_the_rfc() -> None:
    asked = raw_name(("2.5.4.6", 0x0C, b"CH"), (CN, 0x1E, "Zürich".encode("utf-16-be")))
    review = check_csr(request(asked), ProfileSpec())
    assert review.findings == ()
    assert review.subject == build_name([("C", "CH"), ("CN", "Zürich")])


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ([(CN, 0x0C, b"r1"), (CN, 0x0C, b"r2")], ["subject-two-cn"]),
        ([("2.5.4.99", 0x0C, b"x")], ["subject-attribute"]),
        ([("2.5.4.42", 0x0C, b"Alice")], ["subject-attribute"]),
        ([(CN, 0x0C, b"")], ["subject-value"]),
        ([(CN, 0x0C, b"a" * 65)], ["subject-value"]),
        ([("2.5.4.6", 0x13, b"ch")], ["subject-value"]),
        ([("2.5.4.6", 0x13, b"CHE")], ["subject-value"]),
        ([("2.5.4.5", 0x0C, b"A*1")], ["subject-value"]),
        ([(CN, 0x0C, b"r1\x00")], ["text-hidden"]),
        ([(CN, 0x0C, "r1\u202e".encode())], ["text-hidden"]),
        ([(CN, 0x0C, b"r1\x1b[0m")], ["text-hidden"]),
        ([(CN, 0x0C, b" r1")], ["text-space"]),
    ],
)
def test_subjects_that_are_refused(
    attributes: list[tuple[str, int, bytes]], expected: list[str]
) -> None:
    review = check_csr(request(raw_name(*attributes)), ProfileSpec())
    assert codes(review) == expected
    assert review.refused


def test_a_multi_valued_relative_name_is_refused() -> None:
    parts = [
        asn1.der_sequence(asn1.der_oid(oid), asn1.der(0x0C, b"r1")) for oid in (CN, "2.5.4.10")
    ]
    assert codes(check_csr(request(asn1.der_sequence(asn1.der_set(*parts))), ProfileSpec())) == [
        "subject-multi-valued"
    ]


def test_mixed_scripts_are_only_a_warning() -> None:
    review = check_csr(request(build_name([("CN", "p\u0430ypal")])), ProfileSpec())
    assert codes(review, "warn") == ["text-mixed-scripts"]
    assert not review.refused


@pytest.mark.parametrize(
    ("value", "refused"),
    [("r12.example", False), ("r12.example.org", True), ("xr12.example", True)],
)
def test_a_subject_pattern_matches_the_whole_value(value: str, refused: bool) -> None:
    spec = ProfileSpec(subject_patterns={"CN": r"r\d+\.example"})
    assert check_csr(request(build_name([("CN", value)])), spec).refused is refused


def test_an_overlong_value_is_never_matched() -> None:
    spec = ProfileSpec(subject_patterns={"CN": r"(a+)+"})
    review = check_csr(request(build_name([("CN", "a" * 5000 + "b")])), spec)
    assert codes(review) == ["subject-value", "subject-pattern", "subject-long"]


def test_a_country_without_an_allowed_attribute_list_names_what_is_allowed() -> None:
    (finding,) = check_csr(
        request(build_name([("CN", "r1")])), ProfileSpec(subject_attributes=())
    ).findings
    assert finding.text == "CN 'r1': not an allowed attribute; allowed are none"


def test_an_empty_subject_needs_an_alternative_name() -> None:
    assert codes(check_csr(request(build_name([])), ProfileSpec())) == ["subject-empty"]
    review = check_csr(
        request(build_name([]), extension_request(san(dns("r1.example")))), ProfileSpec()
    )
    assert codes(review, "info") == ["subject-empty"]
    assert not review.refused


# -------------------------------------------------------------------------------- alternative names


def test_a_required_alternative_name_is_missed() -> None:
    assert codes(check_csr(request(), ProfileSpec(san_required=True))) == ["san-required"]


def test_dns_names_are_written_in_lower_case() -> None:
    review = check_csr(with_sans(dns("R1.Example")), ProfileSpec())
    assert review.sans == (dns("r1.example"),)
    assert review.findings == ()


ALL_KINDS = ProfileSpec(san_kinds=("dns", "ip", "email", "uri", "upn"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (dns("r1_x.example"), ["san-malformed"]),
        (dns("r1.example."), ["san-malformed"]),
        (dns("192.0.2.7"), ["san-malformed"]),
        (dns("r1\0.example"), ["text-hidden", "san-malformed"]),
        (dns("*.example"), ["san-wildcard"]),
        (general_name("email", "alice"), ["san-malformed"]),
        (general_name("uri", "urn:uuid:1"), ["san-malformed"]),
        (general_name("uri", "https://example.org/" + "a" * 250), ["san-length"]),
        (general_name("upn", "alice\u202e@example.org"), ["text-hidden"]),
        (general_name("upn", "alice@example.org"), []),
        (general_name("ip", "192.0.2.7"), []),
        (asn1.der_context(4, build_name([("CN", "r1")]).der), ["san-kind"]),
    ],
)
def test_alternative_names_are_judged_one_by_one(
    name: GeneralName | bytes, expected: list[str]
) -> None:
    assert codes(check_csr(with_sans(dns("r1.example"), name), ALL_KINDS)) == expected


def test_a_kind_that_is_not_allowed_is_named() -> None:
    (finding,) = check_csr(
        with_sans(general_name("upn", "admin@example.org")), ProfileSpec()
    ).findings
    assert (
        finding.text
        == "subjectAltName upn 'admin@example.org': kind not allowed; allowed are dns, ip"
    )


def test_no_kind_at_all_is_named_so() -> None:
    (finding,) = check_csr(with_sans(dns("r1.example")), ProfileSpec(san_kinds=())).findings
    assert finding.text.endswith("allowed are none")


def test_a_name_twice_is_refused_once() -> None:
    review = check_csr(
        with_sans(dns("r1.example"), dns("R1.example"), dns("r1.example")), ProfileSpec()
    )
    assert [f.text for f in review.findings] == ["subjectAltName dns 'r1.example': present 3 times"]


@pytest.mark.parametrize(
    ("patterns", "value", "expected"),
    [
        ((r"r\d+\.example",), "r1.example", []),
        ((r"r\d+\.example", r"s\d+\.example"), "s1.example", []),
        ((r"r\d+\.example",), "r1.example.org", ["san-pattern"]),
        ((r".*\.example",), "*.example", ["san-wildcard"]),
        ((r"\*\.example",), "*.example", []),
        ((r"\*\.example",), "*.example.org", ["san-wildcard"]),
    ],
)
def test_patterns_admit_whole_names_and_wildcards_only_by_asterisk(
    patterns: tuple[str, ...], value: str, expected: list[str]
) -> None:
    assert (
        codes(check_csr(with_sans(dns(value)), ProfileSpec(san_patterns={"dns": patterns})))
        == expected
    )


def test_punycode_is_shown_and_reserved_names_are_a_warning() -> None:
    review = check_csr(
        with_sans(dns("xn--zrich-kva.example"), dns("r1.local"), dns("r1.example")), ProfileSpec()
    )
    assert [f.text for f in review.findings if f.severity == "info"] == [
        "subjectAltName dns 'xn--zrich-kva.example': reads as zürich.example"
    ]
    assert codes(review, "warn") == ["san-reserved"]


def test_a_common_name_that_is_a_host_but_no_alternative_name_is_a_warning() -> None:
    assert codes(check_csr(with_sans(dns("r2.example")), ProfileSpec()), "warn") == [
        "cn-not-in-san"
    ]


# --------------------------------------------------------------------------------------- extensions


def reviewed(oid: str, value: bytes) -> CsrReview:
    return check_csr(request(None, extension_request(extension(oid, value))), ProfileSpec())


@pytest.mark.parametrize(
    ("oid", "value"),
    [
        pytest.param("2.5.29.19", b"\x30\x03\x01\x01\xff", id="CA:TRUE"),
        pytest.param(
            "2.5.29.19", b"\x30\x06\x01\x01\xff\x02\x01\x00", id="CA:TRUE with path length"
        ),
        pytest.param("2.5.29.19", b"\x30\x03\x02\x01\x00", id="path length alone"),
        pytest.param("2.5.29.15", b"\x03\x02\x02\x84", id="keyCertSign"),
        pytest.param("2.5.29.15", b"\x03\x02\x01\x02", id="cRLSign"),
        pytest.param("2.5.29.30", b"\x30\x00", id="nameConstraints"),
        pytest.param("2.5.29.33", b"\x30\x00", id="policyMappings"),
    ],
)
def test_what_only_an_authority_has_is_refused(oid: str, value: bytes) -> None:
    review = reviewed(oid, value)
    assert codes(review) == ["extension-forbidden"]
    assert len(review.dropped) == 1


@pytest.mark.parametrize(
    ("oid", "value", "text"),
    [
        (
            "2.5.29.15",
            b"\x03\x02\x06\xc0",
            "requested keyUsage content-commitment: not granted by the profile",
        ),
        (
            "2.5.29.15",
            b"\x03\x03\x07\x00\x80",
            "requested keyUsage decipher-only: not granted by the profile",
        ),
        (
            "2.5.29.37",
            asn1.der_sequence(asn1.der_oid("1.3.6.1.4.1.311.20.2.2"), asn1.der_oid("1.2.3")),
            "requested extendedKeyUsage smartcard-logon, 1.2.3: not granted by the profile",
        ),
        (
            "1.3.6.1.4.1.311.25.2",
            b"\x30\x00",
            "requested Active Directory security identifier: not issued",
        ),
        ("1.2.3", b"\x05\x00", "requested 1.2.3: not issued"),
    ],
)
def test_what_is_not_granted_is_dropped_with_a_warning(oid: str, value: bytes, text: str) -> None:
    review = reviewed(oid, value)
    assert [(f.severity, f.text) for f in review.findings] == [("warn", text)]
    assert len(review.dropped) == 1
    assert text.startswith(f"requested {review.dropped[0]}")


@pytest.mark.parametrize(
    ("oid", "value"),
    [
        ("2.5.29.19", b"\x30\x00"),
        ("2.5.29.19", b"\x30\x03\x01\x01\x00"),
        ("2.5.29.15", b"\x03\x02\x05\xa0"),
        ("2.5.29.37", asn1.der_sequence(asn1.der_oid("1.3.6.1.5.5.7.3.2"))),
        ("2.5.29.14", b"\x04\x01x"),
    ],
)
def test_what_the_profile_gives_anyway_is_silent(oid: str, value: bytes) -> None:
    review = reviewed(oid, value)
    assert review.findings == ()
    assert review.dropped == ()


@pytest.mark.parametrize(
    ("oid", "value"),
    [
        ("2.5.29.15", b""),
        ("2.5.29.15", b"\x03\x00"),
        ("2.5.29.15", b"\x03\x02\x09\x80"),
        ("2.5.29.15", b"\x03\x05\x00\x80\x00\x00\x00"),
        ("2.5.29.37", b"\x30\x00"),
        ("2.5.29.19", b"\x04\x00"),
    ],
)
def test_extensions_that_cannot_be_read_are_refused(oid: str, value: bytes) -> None:
    assert codes(reviewed(oid, value)) == ["extension-malformed"]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(deadline=None)  # each example signs a request
@given(st.lists(TEXT, max_size=3), st.lists(TEXT, max_size=3))
def test_every_finding_is_a_visible_sentence(
    common_names: list[str], principals: list[str]
) -> None:
    subject = build_name([("CN", value) for value in common_names])
    names = tuple(general_name("upn", value) for value in principals)
    csr = replace(request(), subject=subject, requested_sans=names)
    for finding in check_csr(csr, ALL_KINDS).findings:
        assert finding.text.replace("…", "").isprintable()
