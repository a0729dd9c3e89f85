from typing import Any

import pytest

from ca.x509 import asn1
from ca.x509.general_names import (
    GeneralName,
    _is_scheme_named,
    decode_general_names,
    encode_general_names,
    general_name,
    general_name_fault,
)
from ca.x509.names import NameMalformed, build_name, decode_name
from ca.x509.text import punycode_shown, text_findings, visible
from tests.ca.forge import raw_name

CN, O = "2.5.4.3", "2.5.4.10"  # noqa: E741 - the attribute's own short name


@pytest.mark.parametrize(
    ("tag", "content", "value"),
    [
        pytest.param(0x0C, "Zürich".encode(), "Zürich", id="UTF8String"),
        pytest.param(
            0x13, b"r1_lab*@home", "r1_lab*@home", id="PrintableString with forbidden characters"
        ),
        pytest.param(0x16, b"alice@example", "alice@example", id="IA5String"),
        pytest.param(0x14, b"Z\xfcrich", "Zürich", id="T61String read as Latin-1"),
        pytest.param(0x1E, "Zürich".encode("utf-16-be"), "Zürich", id="BMPString"),
        pytest.param(0x1C, "Zürich".encode("utf-32-be"), "Zürich", id="UniversalString"),
        pytest.param(0x12, b"42", "42", id="NumericString"),
        pytest.param(0x1A, b"r1", "r1", id="VisibleString"),
    ],
)
def test_every_string_type_is_read_and_kept(tag: int, content: bytes, value: str) -> None:
    der = raw_name((CN, tag, content))
    name = decode_name(der)
    assert (name.attributes[0].value, name.attributes[0].tag, name.der) == (value, tag, der)


@pytest.mark.parametrize(
    ("tag", "content"),
    [
        pytest.param(0x0C, b"\xff\xfe", id="invalid UTF-8"),
        pytest.param(0x0C, b"\xed\xa0\x80", id="surrogate in UTF-8"),
        pytest.param(0x13, b"Z\xfcrich", id="PrintableString beyond ASCII"),
        pytest.param(0x1E, b"\x00a\x00", id="odd BMPString"),
        pytest.param(0x1C, b"\x00\x11\x00\x00", id="UniversalString beyond Unicode"),
        pytest.param(0x04, b"r1", id="OCTET STRING"),
    ],
)
def test_text_that_is_not_valid_in_its_encoding_is_malformed(tag: int, content: bytes) -> None:
    with pytest.raises(NameMalformed):
        decode_name(raw_name((CN, tag, content)))


def _attribute(*members: bytes) -> bytes:
    return asn1.der_sequence(asn1.der_oid(CN), *members)


R1 = asn1.der(0x0C, b"r1")


@pytest.mark.parametrize(
    "der",
    [
        pytest.param(b"\x30", id="truncated"),
        pytest.param(b"\x30\x00\x00", id="trailing byte"),
        pytest.param(asn1.der_set(), id="no SEQUENCE"),
        pytest.param(asn1.der_sequence(asn1.der_set()), id="empty relative name"),
        pytest.param(asn1.der_sequence(asn1.der_sequence()), id="no SET"),
        pytest.param(asn1.der_sequence(asn1.der_set(_attribute())), id="no value"),
        pytest.param(asn1.der_sequence(asn1.der_set(_attribute(R1, R1))), id="two values"),
        pytest.param(raw_name(*[(CN, 0x0C, b"r1")] * 33), id="33 relative names"),
        pytest.param(
            asn1.der_sequence(asn1.der_set(*[_attribute(R1)] * 33)), id="33 attributes in one"
        ),
    ],
)
def test_what_is_no_name_is_malformed(der: bytes) -> None:
    with pytest.raises(NameMalformed):
        decode_name(der)


def test_a_multi_valued_relative_name_is_flagged() -> None:
    both = asn1.der_set(_attribute(R1), asn1.der_sequence(asn1.der_oid(O), R1))
    name = decode_name(asn1.der_sequence(both))
    assert name.is_multi_valued
    assert str(name) == "CN=r1+O=r1"


def test_names_are_shown_in_the_order_of_the_bytes_and_cannot_pretend() -> None:
    name = decode_name(
        raw_name(
            (O, 0x0C, b"Exp, CN=boss"), (CN, 0x0C, "r1\u202e\n".encode()), ("2.5.4.99", 0x0C, b"x")
        )
    )
    assert str(name) == r"O=Exp\, CN\=boss, CN=r1<U+202E><U+000A>, 2.5.4.99=x"
    assert name.values("CN") == ("r1\u202e\n",)


@pytest.mark.parametrize(
    ("name", "value", "tag"),
    [
        ("CN", "r1", asn1.UTF8_STRING),
        ("C", "CH", asn1.PRINTABLE_STRING),
        ("serialNumber", "A*1", asn1.UTF8_STRING),
        ("emailAddress", "a@example", asn1.IA5_STRING),
        ("DC", "zürich", asn1.UTF8_STRING),
        ("2.5.4.99", "x", asn1.UTF8_STRING),
    ],
)
def test_attributes_are_written_in_the_type_of_the_rfc(name: str, value: str, tag: int) -> None:
    built = build_name([(name, value)])
    assert built.attributes[0].tag == tag
    assert decode_name(built.der) == built


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("dns", "r1.example"),
        ("ip", "192.0.2.7"),
        ("ip", "2001:db8::7"),
        ("email", "alice@example.org"),
        ("uri", "https://example.org/r1"),
        ("upn", "alice@zürich.example"),
    ],
)
def test_general_names_are_written_and_read_back(kind: str, value: str) -> None:
    name = general_name(kind, value)
    assert decode_general_names(encode_general_names([name])) == (name,)
    assert str(name) == f"{kind}:{value}"
    assert general_name_fault(name) is None


@pytest.mark.parametrize("kind", ["dirname", "other", "x400"])
def test_other_kinds_are_not_written(kind: str) -> None:
    with pytest.raises(ValueError, match="dns, ip, email, uri or upn"):
        general_name(kind, "x")


OTHER = asn1.der_oid("1.2.3")


@pytest.mark.parametrize(
    ("der", "kind", "value"),
    [
        (asn1.der_context(4, build_name([("CN", "r1")]).der), "dirname", "CN=r1"),
        (asn1.der(0x88, b"\x2a\x03"), "rid", "1.2.3"),
        (asn1.der_context(0, OTHER, asn1.der_context(0, R1)), "other", "1.2.3 0c027231"),
        (asn1.der_context(3, R1), "other", "tag 0xa3 0c027231"),
    ],
)
def test_names_that_are_never_issued_are_still_shown(der: bytes, kind: str, value: str) -> None:
    (name,) = decode_general_names(asn1.der_sequence(der))
    assert (name.kind, name.value, name.der) == (kind, value, der)
    assert general_name_fault(name) == "names of this kind are not issued"


@pytest.mark.parametrize(
    "der",
    [
        pytest.param(asn1.der_sequence(), id="none"),
        pytest.param(asn1.der_sequence(*[general_name("dns", "r1").der] * 101), id="101 names"),
        pytest.param(asn1.der_sequence(asn1.der(0x87, bytes(5))), id="address of 5 bytes"),
        pytest.param(asn1.der_sequence(asn1.der(0x82, b"r\xe9")), id="not ASCII"),
        pytest.param(asn1.der_sequence(asn1.der_context(0, OTHER)), id="otherName without value"),
        pytest.param(asn1.der_sequence(asn1.der_context(0, OTHER, R1)), id="otherName not tagged"),
        pytest.param(b"\x30\x05", id="truncated"),
    ],
)
def test_what_are_no_general_names_is_malformed(der: bytes) -> None:
    with pytest.raises(NameMalformed, match="subjectAltName"):
        decode_general_names(der)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("dns", ""),
        ("dns", "a..b"),
        ("dns", "r1.example."),
        ("dns", "R1.example"),
        ("dns", "-r1.example"),
        ("dns", "r_1.example"),
        ("dns", "r1 .example"),
        ("dns", "r1\0.example"),
        ("dns", "a.*.example"),
        ("dns", "*"),
        ("dns", "192.0.2.7"),
        ("dns", "a" * 64 + ".example"),
        ("dns", ".".join(["a" * 60] * 5)),
        ("email", "alice"),
        ("email", "@example.org"),
        ("email", "a b@example.org"),
        ("email", "alice@ex_ample.org"),
        ("email", "a" * 65 + "@example.org"),
        ("uri", "urn:uuid:1"),
        ("uri", "https://"),
        ("uri", "https://[::1/"),
        ("uri", "https://exam ple/"),
        ("uri", "//example.org/"),
        ("upn", "alice"),
        ("upn", "a@b@c"),
    ],
)
def test_names_that_are_not_well_formed_have_a_fault(kind: Any, value: str) -> None:
    assert general_name_fault(GeneralName(kind, value, b"")) is not None


def test_a_wildcard_is_well_formed_and_a_name_of_253_characters_too() -> None:
    longest = ".".join(["a" * 62, "a" * 63, "a" * 63, "a" * 62])
    assert len(longest) == 253
    for value in ("*.example", longest):
        assert general_name_fault(GeneralName("dns", value, b"")) is None


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("r1.example", []),
        ("Zürich", []),
        ("東京ルータ", []),
        ("r1\0", ["text-hidden"]),
        ("r1\x1b[31m", ["text-hidden"]),
        ("r1\x85", ["text-hidden"]),
        ("r1\u202egpj", ["text-hidden"]),
        ("r1\u200b", ["text-hidden"]),
        ("r1\u00a0x", ["text-hidden"]),
        ("r1\u3164", ["text-hidden"]),
        ("r1\U000e0101", ["text-hidden"]),
        (" r1", ["text-space"]),
        ("r1 ", ["text-space"]),
        ("Zu\u0308rich", ["text-not-nfc"]),
        ("p\u0430ypal", ["text-mixed-scripts"]),
    ],
)
def test_text_that_deceives_is_found(text: str, codes: list[str]) -> None:
    findings = text_findings(text, "CN")
    assert [finding.code for finding in findings] == codes
    assert all(
        finding.text.startswith("CN '") and visible(finding.text) == finding.text
        for finding in findings
    )
    assert {f.severity for f in findings} <= (
        {"warn"} if "text-mixed-scripts" in codes else {"refuse"}
    )


def test_long_text_is_cut_inside_a_sentence() -> None:
    (finding,) = text_findings("a" * 5000 + "\0", "CN")
    assert len(finding.text) < 120


def test_hidden_characters_are_written_out() -> None:
    assert visible("a\u202e\x00\u00ad\U000e0041é b") == "a<U+202E><U+0000><U+00AD><U+E0041>é b"
    assert visible("plain") == "plain"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("r1.example", None),
        ("xn--zrich-kva.example", "zürich.example"),
        ("xn--\u00ff.example", "<not decodable>.example"),
        ("xn--a!.example", "<not decodable>.example"),
    ],
)
def test_punycode_is_decoded_next_to_the_raw_name(value: str, shown: str | None) -> None:
    assert punycode_shown(value) == shown


def test_a_name_is_refused_by_its_size_before_each_character_is_looked_at() -> None:
    long = "\u202e" * 2_700
    assert len(decode_name(build_name([("CN", long)]).der).attributes) == 1
    with pytest.raises(NameMalformed, match=r"^name of 8\d\d\d bytes: at most 8192"):
        decode_name(build_name([("CN", long + "x" * 200)]).der)


def test_alternative_names_are_refused_by_their_size_one_by_one_and_all_together() -> None:
    one = general_name("upn", "a@" + "x" * 8_000)
    assert len(decode_general_names(encode_general_names([one]))) == 1
    for names in ([general_name("upn", "a@" + "x" * 8_200)], [one] * 5):
        with pytest.raises(NameMalformed, match=r"subjectAltName of \d+ bytes: at most"):
            decode_general_names(encode_general_names(names))


@pytest.mark.parametrize("scheme", ["urn", "tag", "spiffe", "URN", "did"])
def test_a_scheme_needs_no_pattern_where_no_patterns_are_asked_for(scheme: str) -> None:
    assert _is_scheme_named(scheme, None)
    assert not _is_scheme_named(scheme, [])
