"""What the portal wrote, read by asn1crypto: a mistake in our own code does not hide itself."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from asn1crypto import x509 as other
from hypothesis import given
from hypothesis import strategies as st

from ca.content import second_reader
from ca.content.builder import build_tbs
from ca.content.csr_review import ProfileSpec
from ca.content.linting import lint_tbs
from ca.content.second_reader import NotReadable, read
from ca.x509 import asn1, extensions, general_names, names
from ca.x509.asn1 import der, der_context, der_oid, der_sequence, der_set
from ca.x509.general_names import general_name
from ca.x509.names import DistinguishedName, NameAttribute, build_name
from tests.ca.forge import content, dns

FULL = ProfileSpec(san_kinds=("dns", "ip", "email", "uri", "upn"))


def test_a_kind_of_name_that_writer_and_reader_mix_up_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The table of kinds is one for both: by the first reader alone it looks as approved."""
    monkeypatch.setitem(general_names._IA5_TAGS, "dns", 0x81)
    monkeypatch.setitem(general_names._IA5_KINDS, 0x81, "dns")
    approved = content(sans=(general_name("dns", "r1.example"),))
    tbs = build_tbs(approved)
    assert (
        general_names.decode_general_names(general_names.encode_general_names(approved.sans))
        == approved.sans
    )
    assert "lint-san" in {finding.code for finding in lint_tbs(tbs, content=approved)}


def test_a_usage_that_writer_and_reader_mix_up_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extensions.KEY_USAGE_BITS, "data-encipherment", 5)
    approved = content(ProfileSpec(key_usages=("data-encipherment",)))
    codes = {finding.code for finding in lint_tbs(build_tbs(approved), content=approved)}
    assert "lint-extension" in codes


def test_a_subject_that_was_read_otherwise_than_it_stands_is_found() -> None:
    """The officer saw the text, the bytes say something else."""
    shown = build_name([("CN", "r1.example")])
    approved = content(None, DistinguishedName(shown.rdns, build_name([("CN", "r2.example")]).der))
    codes = {finding.code for finding in lint_tbs(build_tbs(approved), content=approved)}
    assert "lint-subject" in codes


@pytest.mark.parametrize("usage", extensions.KEY_USAGE_BITS)
def test_both_readers_name_the_bits_of_a_key_usage_alike(usage: str) -> None:
    value = other.KeyUsage(
        {usage.replace("-", "_").replace("content_commitment", "non_repudiation")}
    )
    assert extensions.decode_key_usage(value.dump()) == (usage,)


def test_both_readers_name_purposes_alike() -> None:
    known = {
        "server-auth": "server_auth",
        "client-auth": "client_auth",
        "code-signing": "code_signing",
        "email-protection": "email_protection",
        "time-stamping": "time_stamping",
        "ocsp-signing": "ocsp_signing",
        "eap-over-ppp": "eap_over_ppp",
        "eap-over-lan": "eap_over_lan",
        "ipsec-ike": "ipsec_ike",
        "smartcard-logon": "microsoft_smart_card_logon",
        "any": "any_extended_key_usage",
    }
    numbers = {
        name: other.KeyPurposeId.map(extensions.EXTENDED_KEY_USAGE_OIDS[name]) for name in known
    }
    assert numbers == known


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("dns", "xn--zrich-kva.example"),
        ("ip", "192.0.2.7"),
        ("ip", "2001:db8::7"),
        ("email", "r1@example.org"),
        ("uri", "https://r1.example/ü".encode("ascii", "ignore").decode()),
        ("upn", "r1@example.org"),
    ],
)
def test_both_readers_read_the_same_names(kind: str, value: str) -> None:
    written = general_names.encode_general_names([general_name(kind, value)])
    assert second_reader.general_names(written) == general_names.decode_general_names(written)
    assert second_reader.general_names(written)[0].value == value


def test_names_of_other_kinds_are_read_as_what_is_never_issued() -> None:
    other_name = der_context(0, der_oid("1.2.3"), der_context(0, b"\x05\x00"))
    written = der_sequence(dns("r1.example").der, der(0x88, b"\x2a\x03"), other_name)
    assert [name.kind for name in second_reader.general_names(written)] == ["dns", "other", "other"]


@pytest.mark.parametrize("tag", [0x0C, 0x13, 0x16, 0x12, 0x1A, 0x14, 0x1E, 0x1C], ids=asn1.tag_name)
def test_both_readers_read_the_same_subject(tag: int) -> None:
    encoded = "12".encode(names._ENCODINGS[tag])
    written = der_sequence(der_set(der_sequence(der_oid("2.5.4.3"), der(tag, encoded))))
    assert second_reader.name(read(written)) == names.decode_name(written)
    assert second_reader.name(read(written)).attributes == (NameAttribute("2.5.4.3", "12", tag),)


def test_times_are_read() -> None:
    moment = datetime(2026, 11, 21, 8, 30, 15, tzinfo=UTC)
    assert second_reader.time(read(der(0x17, b"261121083015Z"))) == moment
    assert second_reader.time(read(der(0x18, b"20261121083015Z"))) == moment


ATTRIBUTE = der_oid("2.5.4.3")


@pytest.mark.parametrize(
    ("look", "bad"),
    [
        pytest.param(read, b"", id="nothing"),
        pytest.param(read, b"\x05\x00\x00", id="trailing byte"),
        pytest.param(read, b"\x1f" + b"\xff" * 60_000, id="long tag"),
        pytest.param(lambda bad: second_reader.members(read(bad)), b"\x05\x00", id="no members"),
        pytest.param(lambda bad: second_reader.oid(read(bad)), b"\x05\x00", id="no OID"),
        pytest.param(lambda bad: second_reader.oid(read(bad)), b"\x06\x00", id="empty OID"),
        pytest.param(
            lambda bad: second_reader.oid(read(bad)), b"\x06\x03\x2b\x65\xf0", id="open arc"
        ),
        pytest.param(
            lambda bad: second_reader.oid(read(bad)), b"\x06\x04\x2b\x80\x80\x01", id="long arc"
        ),
        pytest.param(lambda bad: second_reader.integer(read(bad)), b"\x05\x00", id="no INTEGER"),
        pytest.param(lambda bad: second_reader.bit_string(read(bad)), b"\x03\x00", id="no bits"),
        pytest.param(
            lambda bad: second_reader.bit_string(read(bad)), b"\x03\x02\x01\x80", id="seven bits"
        ),
        pytest.param(lambda bad: second_reader.time(read(bad)), b"\x05\x00", id="no time"),
        pytest.param(
            lambda bad: second_reader.time(read(bad)), der(0x17, b"2611210830Z"), id="no seconds"
        ),
        pytest.param(
            lambda bad: second_reader.time(read(bad)),
            der(0x17, b"261121083015+0000"),
            id="time zone",
        ),
        pytest.param(
            lambda bad: second_reader.time(read(bad)), der(0x17, b"269921083015Z"), id="month 99"
        ),
        pytest.param(
            lambda bad: second_reader.name(read(bad)),
            der_sequence(der_set(der_sequence(ATTRIBUTE, b"\x05\x00"))),
            id="no text",
        ),
        pytest.param(
            lambda bad: second_reader.name(read(bad)),
            der_sequence(der_set(der_sequence(ATTRIBUTE, der(0x13, b"\xe4")))),
            id="not ASCII",
        ),
        pytest.param(
            lambda bad: second_reader.name(read(bad)),
            der_sequence(der_set(der_sequence(ATTRIBUTE, der(0x0C, b"\xff")))),
            id="not UTF-8",
        ),
        pytest.param(
            lambda bad: second_reader.name(read(bad)),
            der_sequence(der_set(der_sequence(ATTRIBUTE, der(0x0C, b"a"), b"\x05\x00"))),
            id="three members",
        ),
        pytest.param(
            second_reader.general_names, der_sequence(der(0x87, b"12345")), id="five bytes of IP"
        ),
        pytest.param(second_reader.general_names, b"\x05\x00", id="no names"),
        pytest.param(second_reader.general_names, der_sequence(der(0x82, b"\xe4")), id="DNS ä"),
        pytest.param(second_reader.key_usages, b"\x05\x00", id="no key usage"),
        pytest.param(second_reader.key_purposes, b"\x05\x00", id="no purposes"),
        pytest.param(second_reader.distribution_points, b"\x30\x02\x30\x00", id="empty point"),
        pytest.param(
            second_reader.distribution_points,
            der_sequence(
                der_sequence(
                    der_context(0, der_context(0, der(0x86, b"http://a/"))), b"\x81\x02\x01\x06"
                )
            ),
            id="reasons",
        ),
        pytest.param(
            second_reader.distribution_points,
            der_sequence(der_sequence(der_context(0, der_context(0, der(0x82, b"a"))))),
            id="no URI",
        ),
        pytest.param(second_reader.information_access, b"\x30\x02\x30\x00", id="empty access"),
    ],
)
def test_what_is_not_as_it_should_be_is_refused(
    look: Callable[[bytes], object], bad: bytes
) -> None:
    with pytest.raises(NotReadable):
        look(bad)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for look in (
        lambda der: second_reader.name(read(der)),
        second_reader.general_names,
        second_reader.key_usages,
        second_reader.key_purposes,
        second_reader.distribution_points,
        second_reader.information_access,
    ):
        try:
            look(data)
        except NotReadable:
            continue
