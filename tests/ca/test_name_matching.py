"""When two names are equal (RFC 5280 §7.1): an encoder's choices make no difference."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ca.x509 import asn1
from ca.x509.general_names import GeneralName, general_name
from ca.x509.name_matching import comparable_general_name, comparable_name, comparable_text, is_like
from ca.x509.names import build_name, build_rdns, decode_name
from tests.ca.forge import raw_name

OIDS = {
    "CN": "2.5.4.3",
    "O": "2.5.4.10",
    "OU": "2.5.4.11",
    "L": "2.5.4.7",
    "DC": "0.9.2342.19200300.100.1.25",
}
WORDS = st.lists(
    st.text("abcdefghijklmnopqrstuvwxyzäéßñøжλ0123456789-'.", min_size=1, max_size=8),
    min_size=1,
    max_size=4,
)
ATTRIBUTES = st.lists(
    st.tuples(st.sampled_from(sorted(OIDS)), WORDS.map(" ".join)), min_size=1, max_size=5
)


def blanks(value: str, number: int) -> str:
    return (" " * number) + value.replace(" ", " " * (number + 1)) + (" " * number)


def encoded(attributes: list[tuple[str, str]], tag: int, encoding: str) -> bytes:
    return raw_name(*((OIDS[name], tag, value.encode(encoding)) for name, value in attributes))


TAGS = st.sampled_from(
    [
        (asn1.UTF8_STRING, "utf-8"),
        (asn1.BMP_STRING, "utf-16-be"),
        (asn1.UNIVERSAL_STRING, "utf-32-be"),
    ]
)


@settings(max_examples=200, deadline=None)
@given(
    ATTRIBUTES,
    TAGS,
    st.integers(0, 2),
    st.sampled_from([str.upper, str.lower, str.title, str.swapcase]),
)
def test_string_type_case_and_blanks_are_no_difference(
    attributes: list[tuple[str, str]], tag: tuple[int, str], number: int, change: type[str]
) -> None:
    other = [(name, blanks(change(value), number)) for name, value in attributes]
    name = decode_name(encoded(other, *tag))
    assert comparable_name(name) == comparable_name(
        build_name((OIDS[kind], value) for kind, value in attributes)
    )


@settings(max_examples=200, deadline=None)
@given(ATTRIBUTES, st.randoms(use_true_random=False))
def test_the_order_of_relative_names_is_a_difference_and_within_one_it_is_none(
    attributes: list[tuple[str, str]], random: object
) -> None:
    turned = attributes[::-1]
    assume(
        [(name, comparable_text(value)) for name, value in turned]
        != [(n, comparable_text(v)) for n, v in attributes]
    )
    assert comparable_name(build_name(turned)) != comparable_name(build_name(attributes))
    assert comparable_name(build_rdns([turned])) == comparable_name(build_rdns([attributes]))
    if len(attributes) > 1:
        assert comparable_name(build_rdns([attributes])) != comparable_name(build_name(attributes))


@settings(deadline=None)
@given(ATTRIBUTES, ATTRIBUTES)
def test_names_that_would_read_alike_as_one_text_are_two_names(
    left: list[tuple[str, str]], right: list[tuple[str, str]]
) -> None:
    joined = [("CN", ", ".join(f"{name}={value}" for name, value in left))]
    assert comparable_name(build_name(joined)) != comparable_name(build_name([*left, *right]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Straße", "STRASSE"),
        ("ﬁle", "FILE"),
        ("Å", "Å"),
        ("a\u00adb", "AB"),
        ("a\u3000 \tb", "A B"),
        ("\uff32\uff4f\uff55\uff54\uff45\uff52", "router"),
    ],
)
def test_what_rfc_4518_prepares_alike_is_alike(one: str, other: str) -> None:
    assert comparable_text(one) == comparable_text(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("r1", "r2"), ("a b", "ab"), ("paypal", "p\u0430ypal"), ("r1", "r1."), ("i", "\u0131")],
)
def test_what_is_not_alike_stays_two(one: str, other: str) -> None:
    assert comparable_text(one) != comparable_text(other)


@pytest.mark.parametrize(
    ("kind", "one", "other", "same"),
    [
        ("dns", "R1.Example", "r1.example", True),
        ("email", "Noc@EXAMPLE.org", "Noc@example.org", True),
        ("email", "noc@example.org", "Noc@example.org", False),
        ("uri", "HTTPS://u@EXAMPLE.org:8443/A?b", "https://u@example.org:8443/A?b", True),
        ("uri", "https://example.org/A", "https://example.org/a", False),
        ("uri", "URN:uuid:1", "urn:uuid:1", True),
        ("uri", "https://[::1/", "HTTPS://[::1/", True),
        ("ip", "2001:db8:0::7", "2001:db8::7", True),
        ("upn", "a@b", "A@b", False),
    ],
)
def test_alternative_names_are_compared_by_the_rules_of_their_kind(
    kind: str, one: str, other: str, same: bool
) -> None:
    names = [
        general_name(kind, str(GeneralName("dns", value, b"").value)) for value in (one, other)
    ]
    if kind == "ip":
        names = [GeneralName("ip", "2001:db8::7", name.der) for name in names]
    assert (comparable_general_name(names[0]) == comparable_general_name(names[1])) is same


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=20), st.binary(min_size=1, max_size=20))
def test_a_kind_that_is_not_read_is_compared_by_its_bytes(one: bytes, other: bytes) -> None:
    names = [GeneralName("other", "the same text", der) for der in (one, other)]
    assert (comparable_general_name(names[0]) == comparable_general_name(names[1])) is (
        one == other
    )


READ_ALIKE = [
    ([("O", "Example"), ("OU", "PKI")], [("OU", "PKI"), ("O", "Example")]),
    ([("DC", "org"), ("DC", "example")], [("DC", "example"), ("DC", "org")]),
    (
        [("C", "CZ"), ("O", "Example"), ("OU", "Root")],
        [("OU", "root"), ("C", "cz"), ("O", "EXAMPLE")],
    ),
    ([("CN", "Root"), ("O", "Example")], [("CN", "ROOT")]),
    ([("O", "Example"), ("CN", "Root CA")], [("CN", "root  ca"), ("O", "Another company")]),
]
TOLD_APART = [
    ([("O", "Example"), ("OU", "PKI")], [("O", "PKI"), ("OU", "Example")]),
    ([("O", "Example"), ("OU", "PKI")], [("O", "Example")]),
    ([("CN", "Root CA"), ("O", "Example")], [("CN", "Root"), ("O", "Example")]),
    ([("CN", "Root CA")], [("O", "Root CA")]),
    ([("OU", "PKI"), ("OU", "PKI")], [("OU", "PKI")]),
]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [*((*pair, True) for pair in READ_ALIKE), *((*pair, False) for pair in TOLD_APART)],
)
def test_names_that_people_read_alike(
    one: list[tuple[str, str]], other: list[tuple[str, str]], alike: bool
) -> None:
    first, second = comparable_name(build_name(one)), comparable_name(build_name(other))
    assert is_like(first, second) is is_like(second, first) is alike
