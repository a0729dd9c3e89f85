"""How large a body may be, by path."""

import re
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver
from hypothesis import given
from hypothesis import strategies as st

from approvals.challenges.lists import MAX_BYTES
from inspector.pasted import MAX_CHARACTERS
from pkiportal.web.bodies import (
    LARGER,
    SMALL,
    Bound,
    LengthUnknown,
    TooLarge,
    body_length,
    bound_of,
)

#: The addresses that take more than a small body, and whether a file.
MORE = {
    "profiles/<slug:slug>/challenges/list": True,
    "devices/<slug:group_slug>/add": True,
    "inspector/": False,
}
SAMPLES = {
    "uuid": "0b3f6c1e-1111-4222-8333-444455556666",
    "slug": "routers",
    "str": "x" * 20,
    "int": "7",
    "path": "a/b",
}


def routes(patterns: list[URLPattern | URLResolver], before: str = "") -> Iterator[str]:
    """Every route of the portal, without anchors."""
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        else:
            yield route


def example(route: str) -> str:
    """An address of a route."""
    filled = re.sub(
        r"<(?:(\w+):)?\w+>",
        lambda match: SAMPLES[match[1] or "str"],
        re.sub(r"\(\?P<\w+>[^)]*\)", "x", route),
    )
    return "/" + re.sub(r"[\\^$]|\(\?:.*?\)\??|[?*+]", "", filled)


ROUTES = sorted(set(routes(get_resolver().url_patterns)))


@pytest.mark.parametrize("route", ROUTES)
def test_every_address_has_the_small_bound_unless_it_is_named(route: str) -> None:
    bound = bound_of(example(route))
    if route in MORE:
        assert bound.size > SMALL.size
        assert bound.takes_files == MORE[route]
    else:
        assert bound == SMALL


def test_every_line_of_the_table_is_an_address_of_the_portal() -> None:
    assert set(MORE) <= set(ROUTES)
    assert len(ROUTES) > 60
    for pattern, _ in LARGER:
        assert [route for route in MORE if pattern.fullmatch(example(route))]


def test_what_the_portal_reads_fits_its_bound() -> None:
    assert SMALL.size >= settings.PORTAL_SCEP_MAX_BYTES
    for route, takes_files in MORE.items():
        assert bound_of(example(route)).size >= (MAX_BYTES if takes_files else MAX_CHARACTERS)
        assert bound_of(example(route)).seconds <= 30
    assert SMALL.seconds <= 10


PATHS = [
    *(example(route) for route in ROUTES),
    "/",
    "",
    "//",
    "/account/login",
    "/inspector",
    "/devices/a/b/add",
]


@given(st.sampled_from(PATHS), st.integers(0, 10_000_000))
def test_a_length_is_taken_up_to_the_bound_and_not_one_byte_more(path: str, length: int) -> None:
    bound = bound_of(path)
    if length <= bound.size:
        assert body_length(path, length=str(length), is_chunked=False) == length
    else:
        with pytest.raises(TooLarge, match=str(bound.size)):
            body_length(path, length=str(length), is_chunked=False)


@given(
    st.sampled_from(PATHS),
    st.one_of(st.text(min_size=1), st.from_regex(r"[-+]?\d+(e\d+|\.\d*|_\d)", fullmatch=True)),
)
def test_only_plain_digits_are_a_length(path: str, length: str) -> None:
    if length.isascii() and length.isdecimal():
        return
    with pytest.raises(LengthUnknown):
        body_length(path, length=length, is_chunked=False)


def test_a_length_of_thousands_of_digits_is_too_large_at_once() -> None:
    with pytest.raises(TooLarge):
        body_length("/", length="9" * 100_000, is_chunked=False)


@pytest.mark.parametrize("length", ["", "0", "5", "65536", "99999999"])
def test_a_chunked_body_has_no_length_whatever_else_it_says(length: str) -> None:
    with pytest.raises(LengthUnknown):
        body_length("/", length=length, is_chunked=True)


def test_no_body_is_no_length() -> None:
    assert body_length("/account/login/", length="", is_chunked=False) == 0
    assert Bound(1, 1).takes_files is False
