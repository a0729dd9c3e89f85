"""Names that pass the door pass the signer: no approved request is refused by lint."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.content.builder import build_tbs
from ca.content.csr_review import CaRecords, ProfileSpec, check_csr
from ca.content.linting import lint_tbs
from ca.x509 import asn1
from ca.x509.general_names import GeneralName, general_name
from ca.x509.name_matching import comparable_name
from ca.x509.names import ATTRIBUTE_TYPES, build_name, build_rdns
from tests.ca.forge import content, dns, extension_request, raw_name, request, san
from tests.pki import ec_key

SCRIPTS = (
    "abzAZ",
    "0123456789",
    "äéßøŁ",
    "абвЯ",
    "αβγΩ",
    "אבג",
    "عربي",
    "東京",
    "あア",
    "한국",
    "ไทย",
    "'-. _,+=@*/()",
)
TEXTS = st.lists(st.sampled_from(SCRIPTS), min_size=1, max_size=3).flatmap(
    lambda parts: st.text("".join(parts), min_size=1, max_size=40)
)
NAMES = sorted(ATTRIBUTE_TYPES)
RDNS = st.lists(
    st.lists(
        st.tuples(st.sampled_from(NAMES), TEXTS),
        min_size=1,
        max_size=3,
        unique_by=lambda pair: pair,
    ),
    max_size=5,
)
HOSTS = st.from_regex(r"\A(\*\.)?[a-zA-Z0-9_-]{1,12}(\.[a-zA-Z0-9_-]{1,12}){0,3}\Z")
URIS = st.from_regex(r"\A[A-Za-z][A-Za-z0-9+.-]{0,12}:(//)?[!-~]{1,40}\Z")
SANS = st.lists(
    st.one_of(
        HOSTS.map(lambda value: ("dns", value)),
        st.ip_addresses().map(lambda value: ("ip", str(value))),
        st.from_regex(r"\A[a-zA-Z0-9.+]{1,10}@[a-zA-Z0-9.-]{1,20}\Z").map(
            lambda value: ("email", value)
        ),
        URIS.map(lambda value: ("uri", value)),
        TEXTS.map(lambda value: ("upn", f"{value}@example.org")),
    ),
    max_size=4,
)
SPECS = st.builds(
    lambda multi, patterns, attributes: ProfileSpec(
        multi_valued_rdns=multi,
        san_kinds=("dns", "ip", "email", "uri", "upn"),
        san_patterns=patterns,
        subject_attributes=attributes,
    ),
    st.booleans(),
    st.sampled_from(
        [{}, {"dns": (r"[^*]*_.*|[^_]*", r"\*\..*"), "uri": (r"(urn|tag|x):.*", ".*")}]
    ),
    st.sampled_from([tuple(NAMES), ("CN", "O", "OU")]),
)


@settings(max_examples=400, deadline=None)
@given(RDNS, SANS, SPECS, st.booleans())
def test_what_passes_the_door_passes_the_signer(
    rdns: list[list[tuple[str, str]]],
    sans: list[tuple[str, str]],
    spec: ProfileSpec,
    with_ec_key: bool,
) -> None:
    asked = (
        [extension_request(san(*(general_name(kind, value) for kind, value in sans)))]
        if sans
        else []
    )
    csr = request(build_rdns(rdns), *asked, key=ec_key() if with_ec_key else None)
    review = check_csr(csr, spec)
    if review.refused:
        return
    certificate = content(spec, review.subject, review.sans, with_ec_key=with_ec_key)
    assert lint_tbs(build_tbs(certificate), content=certificate) == ()


MIXED = [
    "p\u0430ypal",
    "Иван's iPhone",
    "Ωmega",
    "東京-router-λ",
    "\u0440\u0430ypal.example",
    "ﾄｳｷｮｳ tokyo",
]


@pytest.mark.parametrize("value", MIXED)
def test_a_mixed_script_name_that_the_door_takes_is_issued(value: str) -> None:
    review = check_csr(request(build_name([("CN", value)])), ProfileSpec())
    assert ("warn", "text-mixed-scripts") in {(f.severity, f.code) for f in review.findings}
    assert not review.refused
    certificate = content(ProfileSpec(), review.subject)
    assert lint_tbs(build_tbs(certificate), content=certificate) == ()


# ------------------------------------------------------------------------ several attributes in one

SEVERAL = [
    [[("serialNumber", "FCH1"), ("unstructuredName", "r1.example")], [("O", "Example")]],
    [[("OU", "a"), ("OU", "b")], [("CN", "r1")]],
    [[("CN", "r1"), ("O", "Example"), ("L", "Brno")]],
    [[("O", "Example")], [("UID", "7"), ("CN", "r1")]],
    [[("CN", "r1"), ("serialNumber", "1")], [("OU", "x"), ("OU", "y")]],
]


@pytest.mark.parametrize("rdns", SEVERAL)
def test_several_attributes_in_one_relative_name_are_issued_where_the_profile_says_so(
    rdns: Any,
) -> None:
    csr = request(build_rdns(rdns))
    assert [f.code for f in check_csr(csr, ProfileSpec()).findings] == ["subject-multi-valued"]
    spec = ProfileSpec(multi_valued_rdns=True)
    review = check_csr(csr, spec)
    assert review.findings == ()
    assert review.subject.der == csr.subject.der
    assert str(review.subject).count("+") == sum(len(rdn) - 1 for rdn in rdns)
    certificate = content(spec, review.subject)
    assert lint_tbs(build_tbs(certificate), content=certificate) == ()


def test_the_digest_of_a_version_without_the_switch_is_what_it_was() -> None:
    assert "multi_valued_rdns" not in ProfileSpec().to_json()
    assert ProfileSpec.from_json(ProfileSpec(multi_valued_rdns=True).to_json()).multi_valued_rdns


# ----------------------------------------------------------- names that only a pattern lets through


@pytest.mark.parametrize(
    ("kind", "value", "patterns", "passes"),
    [
        ("uri", "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", (), False),
        ("uri", "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", (".*",), False),
        (
            "uri",
            "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            (r"urn:uuid:[0-9a-f-]{36}",),
            True,
        ),
        (
            "uri",
            "URN:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            (r"(?i)urn:uuid:[0-9a-f-]{36}",),
            True,
        ),
        ("uri", "tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-2-3-1104", (r"(urn|tag):.*",), True),
        ("uri", "tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-2-3-1104", (r"stag:.*|.*",), False),
        ("uri", "IntuneDeviceId://f81d4fae", (), True),
        ("uri", "INTUNEdeviceid://f81d4fae", (r"(?i)intunedeviceid://.*",), True),
        ("uri", "urn:", (r"urn:.*",), False),
        ("uri", "1urn:x", (r"1urn:.*",), False),
        ("uri", "https://", (r"https:.*",), False),
        ("dns", "printer_7.example", (), False),
        ("dns", "printer_7.example", (r".*\.example",), False),
        ("dns", "printer_7.example", (r"printer_\d\.example",), True),
        ("dns", "_dmarc.example", (r"[a-z_]+\.example",), True),
        ("dns", "print er_7.example", (r".*_.*",), False),
        ("email", "noc@mail_1.example", (r".*_.*",), False),
    ],
)
def test_uris_without_a_host_and_underscores_pass_where_a_pattern_names_them(
    kind: str, value: str, patterns: tuple[str, ...], passes: bool
) -> None:
    spec = ProfileSpec(
        san_kinds=("dns", "email", "uri"), san_patterns={kind: patterns} if patterns else {}
    )
    review = check_csr(request(None, extension_request(san(general_name(kind, value)))), spec)
    assert review.refused is not passes, review.findings
    if passes:
        certificate = content(spec, review.subject, review.sans)
        assert lint_tbs(build_tbs(certificate), content=certificate) == ()


# ----------------------------------------------------------------------------------- reserved names

AUTHORITY = [("CN", "Issuing CA"), ("O", "Example Org")]


def utf8(*values: str) -> bytes:
    return raw_name(
        *(
            (oid, asn1.UTF8_STRING, value.encode())
            for oid, value in zip(("2.5.4.3", "2.5.4.10"), values, strict=True)
        )
    )


@pytest.mark.parametrize(
    ("subject", "refused"),
    [
        (build_name(AUTHORITY).der, True),
        (utf8("ISSUING ca", "example  ORG"), True),
        (raw_name(("2.5.4.3", 0x13, b"issuing CA"), ("2.5.4.10", 0x14, b"Example Org")), True),
        (
            raw_name(
                ("2.5.4.3", 0x1E, "Issuing CA".encode("utf-16-be")),
                ("2.5.4.10", 0x0C, b"Example Org"),
            ),
            True,
        ),
        (utf8(" Issuing CA", "Example Org "), True),
        (build_name(AUTHORITY[::-1]).der, False),
        (build_name(AUTHORITY[:1]).der, False),
        (utf8("Issuing CA 2", "Example Org"), False),
    ],
)
def test_the_name_of_an_authority_is_refused_however_it_is_written(
    subject: bytes, refused: bool
) -> None:
    records = CaRecords(reserved=frozenset({comparable_name(build_name(AUTHORITY))}))
    review = check_csr(
        request(subject, extension_request(san(dns("r1.example")))), ProfileSpec(), records
    )
    assert (
        "subject-authority" in {f.code for f in review.findings if f.severity == "refuse"}
    ) is refused


def test_a_kind_that_is_never_issued_stays_refused() -> None:
    name = GeneralName("dirname", "CN=r1", asn1.der_context(4, build_name([("CN", "r1")]).der))
    assert check_csr(request(None, extension_request(san(name))), ProfileSpec()).refused
