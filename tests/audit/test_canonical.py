"""The canonical form: the same fact always has the same bytes."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.canonical import CanonicalValue, NotCanonical, canonical_json, leaf_hash

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
KEYS = st.text(alphabet=st.characters(max_codepoint=127))
SCALARS = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=20
)


@given(VALUES)
def test_canonical_bytes_read_back_to_the_same_value_and_the_same_bytes(
    value: CanonicalValue,
) -> None:
    canonical = canonical_json(value)
    assert json.loads(canonical) == value
    assert canonical_json(json.loads(canonical)) == canonical


@pytest.mark.parametrize("number", [0, 1, -1, 2**53 - 1, 1 - 2**53])
def test_integers_that_every_reader_holds_are_written_as_digits(number: int) -> None:
    assert canonical_json({"n": number}) == f'{{"n":{number}}}'.encode()


def test_the_vectors_of_the_rfc_that_our_restriction_allows() -> None:
    """RFC 8785 §3.2.2 and §3.2.3, without its floating-point numbers."""
    value = {
        "string": '€$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
        "numbers": [0, -7, 333333333],
    }
    assert (
        canonical_json(value)
        == (
            '{"literals":[null,true,false],"numbers":[0,-7,333333333],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
        ).encode()
    )


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"a": 1.5}, r"\$\.a: float has no canonical form"),
        ({"a": [1, {"b": 2**53}]}, r"\$\.a\[1\]\.b: integer beyond 2\^53"),
        ({"a": b"bytes"}, r"\$\.a: bytes"),
        ({"ä": 1}, "is not ASCII text"),
        ({1: 1}, "key 1 is not ASCII text"),
        ({"a": "\ud800"}, "lone surrogate"),
    ],
)
def test_what_has_no_canonical_form_is_named(
    value: Mapping[str, CanonicalValue], fault: str
) -> None:
    with pytest.raises(NotCanonical, match=fault):
        canonical_json(value)


def test_a_leaf_is_hashed_as_in_certificate_transparency() -> None:
    """RFC 6962 §2.1: SHA-256(0x00 || leaf); the digest of the empty leaf is in its test vectors."""
    assert (
        leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )
