"""Reading and writing TLVs: a round trip is exact, and hostile bytes are refused quickly."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.x509 import asn1
from ca.x509.asn1 import (
    DER_NULL,
    Asn1Error,
    der,
    der_integer,
    der_octets,
    der_oid,
    der_sequence,
    parse,
)
from ca.x509.bounds import DEFAULT_LIMITS, Limits, prescan, prescan_prefix

OIDS = ["1.2.840.113549.1.7.1", "2.16.840.1.113733.1.9.7", "2.999.3", "0.0", "1.39", "2.100.1.128"]


@given(st.integers(-(1 << 300), 1 << 300))
def test_an_integer_is_read_back(number: int) -> None:
    assert asn1.integer(parse(der_integer(number))) == number


@pytest.mark.parametrize(
    ("number", "encoded"),
    [
        (0, "020100"),
        (127, "02017f"),
        (128, "02020080"),
        (-128, "020180"),
        (-129, "0202ff7f"),
        (256, "02020100"),
    ],
)
def test_integers_are_minimal(number: int, encoded: str) -> None:
    assert der_integer(number).hex() == encoded


@pytest.mark.parametrize("dotted", OIDS)
def test_an_object_identifier_is_read_back(dotted: str) -> None:
    assert asn1.oid(parse(der_oid(dotted))) == dotted


def test_the_message_type_oid_has_its_reference_bytes() -> None:
    assert der_oid("2.16.840.1.113733.1.9.2").hex() == "060a6086480186f845010902"


def test_more_levels_than_the_limit_are_refused() -> None:
    deep = DER_NULL
    for _ in range(DEFAULT_LIMITS.max_depth):
        deep = der_sequence(deep)
    prescan(deep)
    with pytest.raises(Asn1Error, match="at most 24 levels"):
        prescan(der_sequence(deep))


@pytest.mark.parametrize("dotted", ["", "1", "a.b", "3.1", "1.40", "1.-2"])
def test_text_that_is_no_object_identifier_is_refused(dotted: str) -> None:
    with pytest.raises(Asn1Error, match="OBJECT IDENTIFIER"):
        der_oid(dotted)


@pytest.mark.parametrize("encoded", ["0600", "060180", "06022a86", "0641" + "2a" * 65, "020101"])
def test_bytes_that_are_no_object_identifier_are_refused(encoded: str) -> None:
    with pytest.raises(Asn1Error):
        asn1.oid(parse(bytes.fromhex(encoded)))


@given(st.binary(max_size=300), st.sampled_from([0x04, 0x13, 0x80]))
def test_content_is_read_back_whatever_its_length(content: bytes, tag: int) -> None:
    tlv = asn1.parse_exact(der(tag, content))
    assert (tlv.tag, tlv.value, tlv.raw) == (tag, content, der(tag, content))


@pytest.mark.parametrize("size", [127, 128, 255, 256, 65_536])
def test_lengths_are_minimal(size: int) -> None:
    encoded = der_octets(bytes(size))
    prescan(encoded, Limits(max_bytes=70_000))
    assert len(encoded) - size == (
        2 if size < 128 else 3 if size < 256 else 4 if size < 65_536 else 5
    )


def test_a_set_of_is_sorted_and_a_set_is_not() -> None:
    assert asn1.der_set_of(b"\x04\x01b", b"\x04\x01a") == b"\x31\x06\x04\x01a\x04\x01b"
    assert asn1.der_set(b"\x04\x01b", b"\x04\x01a") == b"\x31\x06\x04\x01b\x04\x01a"


def test_small_values_have_their_reference_bytes() -> None:
    assert (
        asn1.der_boolean(value=True) + asn1.der_boolean(value=False) == b"\x01\x01\xff\x01\x01\x00"
    )
    assert asn1.der_bit_string(b"\x80", 7) == b"\x03\x02\x07\x80"
    assert asn1.der_context(1, b"\x05\x00") == b"\xa1\x02\x05\x00"


def test_indefinite_lengths_are_walked() -> None:
    message = bytes.fromhex("30800401aa24800401bb24040402cccc00000201050000")
    prescan(message)
    outer = asn1.parse_exact(message)
    first, second, third = asn1.children(outer)
    assert (first.value, asn1.octets(second), asn1.integer(third)) == (b"\xaa", b"\xbb\xcc\xcc", 5)
    assert outer.is_indefinite
    assert outer.raw == message
    assert not first.is_indefinite
    assert repr(first) == "TLV(tag=0x04, 2:5)"


def test_nested_indefinite_values_end_where_they_should() -> None:
    value = b"\x30\x80" * 3 + b"\x30\x02\x05\x00" + b"\x00\x00" * 3
    prescan(value + b"")
    assert asn1.parse(value + b"rest").end == len(value)
    assert prescan_prefix(value + b"rest") == len(value)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("empty", b""),
        ("no length", b"\x30"),
        ("indefinite without end", b"\x30\x80"),
        ("indefinite with half an end", b"\x30\x80\x00"),
        ("end beyond the parent", b"\x30\x02\x30\x80\x00\x00"),
        ("indefinite primitive", b"\x04\x80\x00\x00"),
        ("long-form tag", b"\x3f" + b"\xff" * 60_000 + b"\x01\x00"),
        ("reserved tag 0", b"\x30\x02\x00\x00"),
        ("length of five octets", b"\x04\x85\x00\x00\x00\x00\x01a"),
        ("length of 2^32 - 1", b"\x04\x84\xff\xff\xff\xffa"),
        ("length octets cut off", b"\x04\x82\x01"),
        ("truncated", b"\x04\x05abc"),
        ("child beyond its parent", b"\x30\x03\x04\x05abcdef"),
        ("trailing", b"\x05\x00\x00"),
        ("deep", b"\x30\x80" * 30_000),
        ("deep and closed", b"\x30\x80" * 25 + b"\x00\x00" * 25),
        ("many", b"\x30\x82\xea\x60" + b"\x05\x00" * 30_000),
        ("long OID", b"\x06\x41" + b"\x2a" * 65),
        ("long INTEGER", b"\x02\x82\x04\x4d" + b"\x01" * 1_101),
        ("too large", b"\x04\x83\x01\x00\x00" + bytes(65_536)),
    ],
)
def test_the_prescan_refuses_quickly(case: str, message: bytes) -> None:
    started = time.thread_time()
    with pytest.raises(Asn1Error):
        prescan(message)
    assert time.thread_time() - started < 0.2, case


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_asn1error(message: bytes) -> None:
    try:
        prescan(message)
        waiting = [asn1.parse_exact(message)]
        while waiting:
            tlv = waiting.pop()
            if tlv.tag & asn1.CONSTRUCTED:
                waiting.extend(asn1.children(tlv))
    except Asn1Error:
        pass


@given(
    st.recursive(
        st.binary(max_size=9).map(der_octets),
        lambda inner: st.lists(inner).map(lambda v: der_sequence(*v)),
    )
)
def test_what_the_prescan_accepts_the_reader_reads(message: bytes) -> None:
    try:
        prescan(message)
    except Asn1Error:
        return
    assert asn1.parse_exact(message).raw == message


@pytest.mark.parametrize(
    ("case", "call"),
    [
        ("children of a primitive", lambda: asn1.children(parse(b"\x04\x00"))),
        ("trailing", lambda: asn1.parse_exact(b"\x05\x00\x05")),
        ("wrong tag", lambda: asn1.expect(parse(b"\x05\x00"), asn1.INTEGER)),
        ("short sequence", lambda: asn1.sequence(parse(b"\x30\x00"), 1)),
        ("two in an explicit tag", lambda: asn1.explicit(parse(b"\xa0\x04\x05\x00\x05\x00"), 0xA0)),
        ("empty integer", lambda: asn1.integer(parse(b"\x02\x00"))),
        ("not an integer", lambda: asn1.integer(parse(b"\x05\x00"))),
        ("unused bits", lambda: asn1.bit_string(parse(b"\x03\x02\x01\x80"))),
        ("empty bit string", lambda: asn1.bit_string(parse(b"\x03\x00"))),
        ("integer in a string", lambda: asn1.octets(parse(b"\x24\x03\x02\x01\x05"))),
        ("string too deep", lambda: asn1.octets(parse(b"\x24\x80" * 9 + b"\x00\x00" * 9))),
        ("indefinite never ends", lambda: parse(b"\x30\x80\x30\x80\x00\x00")),
    ],
)
def test_wrong_shapes_are_refused(case: str, call: object) -> None:
    assert callable(call), case
    with pytest.raises(Asn1Error):
        call()


def test_whole_bit_strings_and_explicit_values_are_read() -> None:
    assert asn1.bit_string(parse(b"\x03\x02\x00\x80")) == b"\x80"
    assert asn1.explicit(parse(b"\xa0\x02\x05\x00"), 0xA0).raw == asn1.DER_NULL
    assert len(asn1.sequence(parse(b"\x30\x02\x05\x00"), 1)) == 1
