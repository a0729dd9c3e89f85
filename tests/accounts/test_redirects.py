"""After a sign-in the browser goes on to this origin only."""

from urllib.parse import quote

import pytest
from django.test import Client, RequestFactory
from hypothesis import given, strategies

from accounts.models.people import User
from accounts.roles import Role
from accounts.sign_in.adapter import is_same_origin
from tests.world import create_person

ELSEWHERE = (
    "http://localhost",
    "http://localhost:8000/queue/",
    "http://127.0.0.1/",
    "http://[::1]:8000/",
    "https://localhost/",
    "http://testserver/",  # the same host without TLS
    "https://testserver:8443/",
    "https://testserver.evil.example/",
    "https://testserver@evil.example/",
    "https://alice:secret@testserver/",
    "https:///evil.example/",
    "https:evil.example",
    "//evil.example/",
    "///evil.example/",
    "////evil.example/",
    "/\\evil.example/",
    "\\\\evil.example/",
    "\\/evil.example/",
    "/\t/evil.example/",
    "/\n/evil.example/",
    "\t//evil.example/",
    " //evil.example/",
    "/\r/evil.example",
    "/queue//evil",
    "https://testserver\\@evil.example/",
    "https://testserver\t.evil.example/",
    "https://testserver:443@evil.example/",
    "https://testserver:port/",
    "https://[testserver/",
    "http:\\\\evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "ftp://testserver/",
    "queue/",
    "?next=/",
    "",
    "\x00/queue/",
    "/queue/\x00",
    "/" + "a" * 5000,
)
HERE = (
    "/",
    "/queue/",
    "/requests/1/?q=a%2F%2Fb&next=//x",
    "/queue/#top",
    "https://testserver/queue/",
)
ALSO_HERE = (
    "https://TestServer/queue/",
    "https://testserver:443/queue/",
    "https://testserver",
    "/queue/?q=a//b",
    "/%5Cevil/",
)


@pytest.fixture
def olga(db: None) -> User:
    return create_person("olga", Role.OFFICER)


@pytest.mark.parametrize("target", ELSEWHERE)
def test_no_user_is_sent_elsewhere_after_signing_in(olga: User, target: str) -> None:
    client = Client()
    form = {"login": "olga", "password": "olgaolga", "next": target}
    answer = client.post(f"/account/login/?next={quote(target)}", form, secure=True)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
    signed_out = client.post("/account/logout/", {"next": target}, secure=True)
    assert signed_out.headers["Location"] == "/account/login/"


@pytest.mark.parametrize("target", HERE)
def test_the_page_that_was_asked_for_comes_after_the_sign_in(olga: User, target: str) -> None:
    form = {"login": "olga", "password": "olgaolga", "next": target}
    answer = Client().post("/account/login/", form, secure=True)
    assert (answer.status_code, answer.headers["Location"]) == (302, target)


@pytest.mark.parametrize("target", [*HERE, *ALSO_HERE])
def test_a_target_is_here_by_scheme_host_and_port(rf: RequestFactory, target: str) -> None:
    assert is_same_origin(target, rf.get("/", secure=True))


@pytest.mark.parametrize(
    ("host", "target", "is_here"),
    [
        ("testserver:8000", "http://testserver:8000/queue/", True),
        ("testserver:8000", "http://testserver/queue/", False),
        ("testserver:8000", "http://testserver:80/queue/", False),
        ("testserver", "http://testserver:80/queue/", True),
        ("testserver", "https://testserver/queue/", False),
        ("127.0.0.1:8000", "http://localhost:8000/", False),
        ("[::1]:8000", "http://[::1]:8000/", True),
        ("[::1]:8000", "http://[::2]:8000/", False),
    ],
)
def test_the_port_counts_too(rf: RequestFactory, host: str, target: str, is_here: bool) -> None:
    assert is_same_origin(target, rf.get("/", headers={"host": host})) is is_here


@given(
    prefix=strategies.text("/\\ \t\r\n\x0b\x0c\x00:@?#.", max_size=6),
    host=strategies.sampled_from(
        ["evil.example", "localhost", "127.0.0.1", "testserver.evil.example"]
    ),
    rest=strategies.text("/\\ \t@:?#ab", max_size=6),
    scheme=strategies.sampled_from(["", "http:", "https:", "HTTPS:", "h\tttps:"]),
)
def test_no_spelling_of_another_host_is_here(
    prefix: str, host: str, rest: str, scheme: str
) -> None:
    target = f"{scheme}{prefix}{host}{rest}"
    if is_same_origin(target, RequestFactory().get("/", secure=True)):
        assert target.startswith("/")
        path = target.partition("?")[0].partition("#")[0]
        assert "//" not in path
        assert not set(target) & set("\\ \t\r\n\x0b\x0c\x00")
