"""Wrong passwords lock out the right people, and a stranger learns nothing from the answers."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.cookies import Morsel
from unittest import mock

import pytest
from django.conf import settings
from django.core import signing
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from accounts.models.people import User
from accounts.roles import Role
from accounts.sign_in import sign_in_limits
from accounts.sign_in.throttle import BackOff, Limit
from audit.models import AuditEntry
from tests.pages import signed_in
from tests.world import create_person

LOGIN = "/account/login/"
ATTACKER, OFFICE = "198.51.100.7", "192.0.2.9"
PAUSE = "Too many failed login attempts. Try again later."
WRONG = "not correct"


@pytest.fixture
def alice(db: None) -> User:
    return create_person("alice", Role.OFFICER)


@pytest.fixture(autouse=True)
def one_moment() -> Iterator[None]:
    """No window ends while a test runs."""
    with mock.patch("django.utils.timezone.now", return_value=timezone.now()):
        yield


def post(client: Client, name: str, password: str, address: str) -> HttpResponse:
    answer = client.post(
        LOGIN, {"login": name, "password": password}, secure=True, REMOTE_ADDR=address
    )
    assert isinstance(answer, HttpResponse)
    return answer


def is_in(answer: HttpResponse) -> bool:
    return answer.status_code == 302


def wrong(times: int, *, name: str = "alice", address: str = ATTACKER) -> list[str]:
    """Try this number of wrong passwords, and return the answer to each."""
    answers = [
        post(Client(), name, f"wrong {number}", address).content.decode() for number in range(times)
    ]
    return [PAUSE if PAUSE in text else WRONG if WRONG in text else text for text in answers]


def fingers(times: int) -> None:
    """Try wrong passwords for Alice from this number of networks, four from each."""
    for number in range(times):
        wrong(4, address=f"2001:db8:{number}::7" if number % 2 else f"203.0.113.{number}")


@pytest.mark.parametrize(
    ("attacker", "officer"),
    [
        ("198.51.100.7", "192.0.2.9"),
        ("198.51.100.7", "198.51.100.8"),
        ("2001:db8:1::1", "2001:db8:2::1"),
        ("2001:db8:1::1", "192.0.2.9"),
        ("::ffff:198.51.100.7", "198.51.100.9"),
    ],
)
def test_wrong_passwords_from_one_network_keep_no_one_out_elsewhere(
    alice: User, attacker: str, officer: str
) -> None:
    assert wrong(7, address=attacker) == [WRONG] * 5 + [PAUSE] * 2
    assert not is_in(post(Client(), "alice", "alicealice", attacker))
    assert is_in(post(Client(), "alice", "alicealice", officer))


@pytest.mark.parametrize(
    "same",
    ["2001:db8:1::2", "2001:db8:1:0:ffff::1", "2001:db8:1::", "2001:db8:1:0::8", "2001:db8:1::3"],
)
def test_another_address_of_the_same_network_escapes_no_pause(alice: User, same: str) -> None:
    wrong(5, address="2001:db8:1::1")
    assert wrong(1, address=same) == [PAUSE]


@pytest.mark.parametrize(
    "spelling", ["ALICE", "Alice", " alice ", "\uff41\uff4c\uff49\uff43\uff45", "alIce"]
)
def test_another_spelling_of_a_name_escapes_no_pause(alice: User, spelling: str) -> None:
    wrong(5)
    assert wrong(1, name=spelling) == [PAUSE]


@pytest.mark.parametrize("name", ["alice", "unknown", "ALICE", "alice2", "x" * 150])
def test_a_name_that_does_not_exist_is_answered_like_one_that_does(alice: User, name: str) -> None:
    client = Client()
    post(client, "alice", "alicealice", OFFICE)
    assert wrong(7, name=name) == [WRONG] * 5 + [PAUSE] * 2
    sealed = client.cookies[settings.PORTAL_BROWSER_COOKIE_NAME].value
    guesser = Client()
    guesser.cookies[settings.PORTAL_BROWSER_COOKIE_NAME] = sealed
    guesser.cookies[settings.PORTAL_BROWSER_COOKIE_NAME]["path"] = "/"
    if name.lower() != "alice":
        assert PAUSE in post(guesser, name, "wrong", ATTACKER).content.decode()


@pytest.mark.parametrize(
    "address", [ATTACKER, OFFICE, "2001:db8::1", "203.0.113.1", "::ffff:198.51.100.7"]
)
def test_a_browser_that_has_signed_in_before_passes_whatever_others_try(
    alice: User, address: str
) -> None:
    browser = Client()
    assert is_in(post(browser, "alice", "alicealice", OFFICE))
    browser.post("/account/logout/", secure=True)
    with mock.patch.object(
        sign_in_limits, "PERSON", BackOff("sign-in as", 6, timedelta(days=1), timedelta(hours=1))
    ):
        fingers(4)
        wrong(12)
        assert not is_in(post(Client(), "alice", "alicealice", "192.0.2.200"))
        assert is_in(post(browser, "alice", "alicealice", address))


@pytest.mark.parametrize("free", [4, 6, 8, 12, 17])
def test_wrong_passwords_from_many_networks_are_slowed_down(alice: User, free: int) -> None:
    limit = BackOff("sign-in as", free, timedelta(days=1), timedelta(minutes=15))
    with mock.patch.object(sign_in_limits, "PERSON", limit):
        statuses = [wrong(1, address=f"203.0.113.{number}")[0] for number in range(free + 4)]
        assert statuses == [WRONG] * (free + 1) + [PAUSE] * 3
        with mock.patch(
            "django.utils.timezone.now", return_value=timezone.now() + timedelta(seconds=1)
        ):
            assert is_in(post(Client(), "alice", "alicealice", OFFICE))


def test_a_known_browser_is_counted_by_itself_and_then_like_any_other(alice: User) -> None:
    browser = Client()
    post(browser, "alice", "alicealice", OFFICE)
    browser.post("/account/logout/", secure=True)
    statuses = [
        post(browser, "alice", f"wrong {number}", OFFICE).content.decode() for number in range(17)
    ]
    assert [PAUSE in text for text in statuses] == [False] * 15 + [True] * 2


def test_one_network_tries_only_as_many_names_as_it_may(alice: User) -> None:
    assert [wrong(1, name=f"name{number}")[0] for number in range(12)] == [WRONG] * 10 + [PAUSE] * 2
    assert not is_in(post(Client(), "alice", "alicealice", ATTACKER))
    assert is_in(post(Client(), "alice", "alicealice", OFFICE))


def test_right_passwords_are_no_failures_and_yet_bounded(alice: User) -> None:
    statuses = [is_in(post(Client(), "alice", "alicealice", OFFICE)) for _ in range(31)]
    assert statuses == [True] * 30 + [False]
    with mock.patch(
        "django.utils.timezone.now", return_value=timezone.now() + timedelta(minutes=1)
    ):
        assert is_in(post(Client(), "alice", "alicealice", OFFICE))


def test_a_sign_in_that_is_not_looked_at_costs_no_hash_and_is_on_record(alice: User) -> None:
    wrong(5, address="2001:db8:1::1")
    with mock.patch.object(User, "check_password") as looked_at:
        wrong(3, address="2001:db8:1::2")
    looked_at.assert_not_called()
    entry = AuditEntry.objects.filter(event="user:sign-in-fail").latest("id")
    assert entry.data["cause"] == "too many wrong names or passwords"
    assert entry.private_values.get(path="actor.address").value == "2001:db8:1::/64"
    assert entry.private_values.get(path="data.tried").value == "alice"


@pytest.mark.usefixtures("transactional_db")
def test_many_wrong_passwords_at_once_are_all_counted(transactional_db: None) -> None:
    create_person("alice", Role.OFFICER)
    gate, looked_at = threading.Barrier(8), list[str]()

    def run(number: int) -> None:
        try:
            client = Client()
            gate.wait()
            looked_at.append(post(client, "alice", f"wrong {number}", ATTACKER).content.decode())
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(WRONG in text for text in looked_at) == 5
    assert sum(PAUSE in text for text in looked_at) == 3


# --------------------------------------------------------------------------------------- the cookie


def cookie(client: Client) -> Morsel[str]:
    return client.cookies[settings.PORTAL_BROWSER_COOKIE_NAME]


def is_known(client: Client, name: str = "alice") -> bool:
    """Whether this browser may sign in although wrong passwords came from elsewhere."""
    limit = Limit("none from", 0, timedelta(minutes=1))
    with mock.patch.object(sign_in_limits, "NETWORK", limit):
        return PAUSE not in post(client, name, "wrong", OFFICE).content.decode()


def signed_out(name: str = "alice", client: Client | None = None) -> Client:
    """A browser in which this person signed in, and then out."""
    client = client or Client()
    assert is_in(post(client, name, name * 2, OFFICE))
    client.post("/account/logout/", secure=True)
    return client


def test_the_cookie_lasts_and_no_script_reads_it(alice: User) -> None:
    browser = signed_out()
    flags = {
        name: cookie(browser)[name]
        for name in ("httponly", "samesite", "path", "max-age", "domain")
    }
    assert flags == {
        "httponly": True,
        "samesite": "Lax",
        "path": "/",
        "max-age": 31_536_000,
        "domain": "",
    }
    assert "alice" not in signing.b64_decode(
        cookie(browser).value.partition(":")[0].encode()
    ).decode("latin-1")
    assert is_known(browser)
    assert not is_known(Client())


def test_a_failed_sign_in_gives_no_cookie(alice: User) -> None:
    browser = Client()
    post(browser, "alice", "wrong", OFFICE)
    assert settings.PORTAL_BROWSER_COOKIE_NAME not in browser.cookies


@pytest.mark.parametrize(
    "change", ["", "x", "a:b:c", "cut", "turned", "of another key", "long", "foreign"]
)
def test_a_cookie_that_was_changed_knows_no_one(alice: User, change: str) -> None:
    browser = signed_out()
    value = cookie(browser).value
    forged = {
        "cut": value[:-1],
        "turned": value[::-1],
        "of another key": signing.dumps(
            [[alice.pk.hex, "b", 2_000_000_000, "c"]],
            key="another",
            salt="accounts.browsers",
        ),
        "long": value + "x" * 3000,
        "foreign": signing.dumps(
            [[alice.pk.hex, "b", 2_000_000_000, "c"]], salt="accounts.browsers"
        ),
    }
    browser.cookies[settings.PORTAL_BROWSER_COOKIE_NAME] = forged.get(change, change)
    assert not is_known(browser)


def test_a_new_password_makes_other_browsers_strangers_and_keeps_this_one(alice: User) -> None:
    new = {
        "oldpassword": "alicealice",
        "password1": "canary of Alice 17",
        "password2": "canary of Alice 17",
    }
    other, browser = signed_out(), signed_in(alice)
    assert browser.post("/account/password/change/", new, secure=True).status_code == 302
    assert not is_known(other)
    browser.post("/account/logout/", secure=True)
    assert is_known(browser)


def test_a_password_that_another_person_sets_makes_every_browser_a_stranger(alice: User) -> None:
    browser = signed_out()
    alice.set_password("another one")
    alice.save()
    assert not is_known(browser)


def test_people_who_share_a_browser_are_known_in_it_and_others_are_not(alice: User) -> None:
    names = [f"person{number}" for number in range(5)]
    browser = signed_out()
    for name in names:
        create_person(name, Role.OFFICER)
        signed_out(name, browser)
    assert not is_known(browser), "five are remembered, the one who signed in longest ago is not"
    assert all(is_known(browser, name) for name in names)
    create_person("charlie")
    assert not is_known(browser, "charlie")


@pytest.mark.parametrize(
    ("days", "renewed", "known"),
    [(0, False, True), (29, False, True), (31, True, True), (364, True, True), (366, True, False)],
)
def test_the_cookie_is_renewed_by_use_and_ends_without(
    alice: User, days: int, *, renewed: bool, known: bool
) -> None:
    browser = signed_out()
    before = cookie(browser).value
    moment = timezone.now() + timedelta(days=days)
    with (
        mock.patch("django.utils.timezone.now", return_value=moment),
        mock.patch("django.core.signing.time.time", return_value=moment.timestamp()),
    ):
        assert is_known(browser) is known
        signed_out(client=browser)
        assert (cookie(browser).value != before) is renewed
