"""Which tokens pass the REST door, and their permissions."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from accounts.models.people import ApiToken, Department, RoleAssignment, User
from accounts.principals import PORTAL
from accounts.roles import Role, Verb
from accounts.tokens import WRONG_A_MINUTE, TokenInvalid, TokenOrder, create_token, revoke_token
from approvals.models.profiles import EnrollmentProfile
from audit.models import AuditEntry
from tests.api.caller import Program, call
from tests.pages import signed_in
from tests.world import World, create_person, create_profile, now

PROFILES = "/profiles"


@pytest.fixture
def phones(world: World) -> EnrollmentProfile:
    return create_profile(world.ca, "phones", challenge="one-time")


@pytest.fixture
def program(world: World, phones: EnrollmentProfile) -> Program:
    return Program(world.alice)


def causes() -> list[str]:
    rows = AuditEntry.objects.filter(event="token:refuse").order_by("id")
    return [row.data["cause"] for row in rows]


def test_a_token_opens_the_door_and_nothing_else_does(program: Program, world: World) -> None:
    assert program.call("GET", PROFILES).status_code == 200
    for extra in (
        {},
        {"HTTP_AUTHORIZATION": "Basic YTpi"},
        {"HTTP_AUTHORIZATION": f"Token {program.text}"},
    ):
        answer = call("GET", PROFILES, **extra)
        assert (answer.status_code, answer.headers["Content-Type"]) == (
            401,
            "application/problem+json",
        )
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="PKI portal"'
        assert "Authorization: Bearer" in answer.body["detail"]
    assert signed_in(world.alice).get("/api/v1/profiles").status_code == 401, (
        "a session is no token"
    )
    assert causes() == []


@pytest.mark.usefixtures("within_a_minute")
def test_an_unknown_a_foreign_and_a_malformed_token_read_the_same(
    world: World, program: Program
) -> None:
    elsewhere = Program(world.alice, networks=("192.0.2.0/24",))
    tried = [
        program.text[:-1] + ("0" if program.text[-1] != "0" else "1"),
        "pkip_0123456789_" + "0" * 40,
        "nonsense",
        elsewhere.text,
        "x" * 400,
    ]
    answers = [call("GET", PROFILES, HTTP_AUTHORIZATION=f"Bearer {text}") for text in tried]
    assert {(answer.status_code, answer.content) for answer in answers} == {
        (401, answers[0].content)
    }
    assert causes() == ["unknown token", "network not allowed"]
    assert elsewhere.call("GET", PROFILES, REMOTE_ADDR="192.0.2.7", secure=True).status_code == 200


def test_a_revoked_and_an_expired_token_and_one_of_a_person_who_left_open_nothing(
    world: World, program: Program
) -> None:
    revoke_token(program.token, principal=PORTAL, now=now())
    assert "revoked" in program.call("GET", PROFILES).body["detail"]
    old = Program(world.alice, lifetime=timedelta(days=2))
    with mock.patch("django.utils.timezone.now", return_value=now() + timedelta(days=2)):
        assert "expired" in old.call("GET", PROFILES).body["detail"]
    bob = create_person("bob", Role.OFFICER)
    gone = Program(bob)
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert gone.call("GET", PROFILES).status_code == 401
    assert causes() == ["token revoked", "token expired", "owner cannot sign in any more"]
    entry = AuditEntry.objects.get(event="token:refuse", subject_id=str(program.token.pk))
    assert entry.actor_id == str(program.token.pk)


@pytest.fixture
def one_moment() -> Iterator[datetime]:
    """No window ends while a test runs."""
    with mock.patch("django.utils.timezone.now", return_value=timezone.now()) as clock:
        yield clock.return_value


def wrong(text: str, address: str = "198.51.100.7") -> int:
    answer = call(
        "GET", PROFILES, HTTP_AUTHORIZATION=f"Bearer {text}", REMOTE_ADDR=address, secure=True
    )
    assert answer.status_code == 401 or answer.headers["Retry-After"] == "60"
    status: int = answer.status_code
    return status


def guesses(program: Program) -> list[str]:
    """Invalid tokens: wrong form, wrong prefix, and the right prefix with another secret."""
    prefix = program.token.prefix
    return [
        "guess",
        "pkip_0123456789_" + "0" * 40,
        f"pkip_{prefix}_" + "0" * 40,
        f"pkip_{prefix}_",
        program.text[:-1],
    ]


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("address", ["127.0.0.1", "192.0.2.7", "2001:db8::7"])
def test_wrong_tokens_keep_no_valid_one_out(
    program: Program, one_moment: datetime, number: int, address: str
) -> None:
    guess = guesses(program)[number]
    answers = [wrong(guess, address) for _ in range(WRONG_A_MINUTE + 5)]
    assert answers == [401] * WRONG_A_MINUTE + [429] * 5
    assert program.call("GET", PROFILES, REMOTE_ADDR=address, secure=True).status_code == 200
    with mock.patch("django.utils.timezone.now", return_value=one_moment + timedelta(minutes=1)):
        assert wrong(guess, address) == 401


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        ("2001:db8:1::1", "2001:db8:1::2", True),
        ("2001:db8:1::1", "2001:db8:1:0:ffff::", True),
        ("::ffff:198.51.100.7", "198.51.100.7", True),
        ("2001:db8:1::1", "2001:db8:1:1::1", False),
        ("198.51.100.7", "198.51.100.8", False),
    ],
)
@pytest.mark.usefixtures("one_moment")
def test_wrong_tokens_are_counted_by_network(
    program: Program, first: str, second: str, *, is_one: bool
) -> None:
    for _ in range(WRONG_A_MINUTE):
        wrong("guess", first)
    assert wrong("guess", second) == (429 if is_one else 401)
    assert program.call("GET", PROFILES, REMOTE_ADDR=second, secure=True).status_code == 200


@pytest.mark.parametrize(
    "prefix", ["0123456789", "abcdefabcd", "0000000000", "ffffffffff", "of a token"]
)
@pytest.mark.usefixtures("one_moment")
def test_wrong_secrets_of_one_token_are_counted_from_anywhere(
    program: Program, prefix: str
) -> None:
    prefix = program.token.prefix if prefix == "of a token" else prefix
    answers = [
        wrong(f"pkip_{prefix}_{number:040x}", f"203.0.113.{number}")
        for number in range(WRONG_A_MINUTE + 3)
    ]
    assert answers == [401] * WRONG_A_MINUTE + [429] * 3
    assert wrong(f"pkip_1111111111_{0:040x}", "203.0.113.200") == 401
    assert program.call("GET", PROFILES).status_code == 200


@pytest.mark.usefixtures("one_moment")
def test_a_token_of_another_network_is_counted_and_one_that_is_told_by_name_is_not(
    world: World, phones: EnrollmentProfile
) -> None:
    elsewhere, revoked = Program(world.alice, networks=("192.0.2.0/24",)), Program(world.alice)
    revoke_token(revoked.token, principal=PORTAL, now=now())
    assert [elsewhere.call("GET", PROFILES).status_code for _ in range(WRONG_A_MINUTE + 1)][
        -2:
    ] == [401, 429]
    assert "revoked" in revoked.call("GET", PROFILES).body["detail"]
    assert elsewhere.call("GET", PROFILES, REMOTE_ADDR="192.0.2.7", secure=True).status_code == 200


@pytest.mark.usefixtures("one_moment")
def test_tries_beyond_the_limit_are_one_entry_of_the_network(db: None) -> None:
    for number in range(WRONG_A_MINUTE + 5):
        wrong("guess", f"2001:db8:1::{number}")
    (entry,) = (
        row for row in AuditEntry.objects.all() if row.data["cause"] == "too many unknown tokens"
    )
    assert entry.private_values.get(path="actor.address").value == "2001:db8:1::/64"


def test_a_token_never_travels_in_the_clear(program: Program) -> None:
    answer = Client().get(
        "/api/v1/profiles", HTTP_AUTHORIZATION=f"Bearer {program.text}", REMOTE_ADDR="192.0.2.7"
    )
    assert (answer.status_code, b"encrypted connection" in answer.content) == (403, True)


def test_a_token_may_what_its_scopes_say_and_its_owner_may_now(
    world: World, phones: EnrollmentProfile
) -> None:
    reader = Program(world.alice, Verb.PROFILE_VIEW)
    refused = reader.order()
    assert (refused.status_code, "no scope" in refused.body["detail"]) == (403, True)
    everything = Program(world.alice)
    assert everything.order().status_code == 201
    RoleAssignment.objects.filter(user=world.alice).delete()
    assert everything.order().status_code == 403
    assert everything.call("GET", PROFILES).status_code == 403


def test_limits_narrow_what_the_owner_may(world: World, phones: EnrollmentProfile) -> None:
    here = Department.objects.create(slug="here", name="Here")
    tablets = create_profile(world.ca, "tablets", challenge="one-time")
    EnrollmentProfile.objects.filter(pk=tablets.pk).update(department=here)
    by_profile = Program(world.alice, profiles=("tablets",))
    by_department = Program(world.alice, department=here)
    for program in (by_profile, by_department):
        assert [row["slug"] for row in program.call("GET", PROFILES).body["profiles"]] == [
            "tablets"
        ]
        answer = program.order()
        assert answer.status_code == 403
        assert (
            answer.body["detail"]
            == "profile phones: there is none, or this token may not make challenges for it"
        )
        unknown = program.order(profile="nothing")
        assert unknown.body["detail"] == answer.body["detail"].replace("phones", "nothing")
        assert program.order(profile="tablets").status_code == 201


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"scopes": [Verb.REQUEST_DECIDE]}, "scope request:decide: no token can be made for it"),
        ({"scopes": [Verb.CHALLENGE_CREATE]}, "scope challenge:create: bob may not do that"),
        ({"scopes": []}, "choose at least one"),
        ({"name": " "}, "name: 1 to 100 printable"),
        ({"name": "a\u202eb"}, "name: 1 to 100 printable"),
        ({"lifetime": timedelta(0)}, "at most 366 days"),
        ({"lifetime": timedelta(days=367)}, "at most 366 days"),
        ({"networks": ["10.0.0.1/8"]}, "write it like 10.20.0.0/16"),
    ],
)
def test_no_person_makes_a_token_for_more_than_they_may(
    db: None, wrong: dict[str, Any], sentence: str
) -> None:
    bob = create_person("bob", Role.AUDITOR)
    order = {"owner": bob, "name": "x", "scopes": [Verb.PROFILE_VIEW], **wrong}
    with pytest.raises(TokenInvalid, match=sentence):
        create_token(TokenOrder(**order), principal=PORTAL, now=now())
    assert not ApiToken.objects.exists()


def test_a_right_in_one_department_makes_no_token_for_another(db: None) -> None:
    here, elsewhere = (
        Department.objects.create(slug=slug, name=slug) for slug in ("here", "elsewhere")
    )
    bob = create_person("bob", Role.OFFICER, department=here)
    with pytest.raises(TokenInvalid, match="bob may not do that in elsewhere"):
        create_token(
            TokenOrder(bob, "x", [Verb.PROFILE_VIEW], department=elsewhere),
            principal=PORTAL,
            now=now(),
        )


def test_the_last_use_is_noted_to_the_minute(program: Program) -> None:
    first = now()
    for seconds, expected in ((0, 0), (59, 0), (60, 60), (200, 200)):
        with mock.patch(
            "django.utils.timezone.now", return_value=first + timedelta(seconds=seconds)
        ):
            program.call("GET", PROFILES)
        assert program.again().last_used_at == first + timedelta(seconds=expected)


def test_a_token_is_kept_as_a_digest_and_stands_in_no_entry(
    program: Program, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(0)
    program.call("GET", PROFILES)
    call("GET", PROFILES, HTTP_AUTHORIZATION=f"Bearer {program.text}0")
    revoke_token(program.token, principal=PORTAL, now=now())
    program.call("GET", PROFILES)
    secret = program.text.rpartition("_")[2]
    rows = [
        *ApiToken.objects.values(),
        *AuditEntry.objects.values(),
        *AuditEntry.objects.values("private_values__value"),
    ]
    printed = capfd.readouterr()
    for text in (repr(rows), repr(program.again()), caplog.text, printed.out, printed.err):
        assert secret not in text


# ------------------------------------------------------------------------------- how it is answered


@pytest.mark.parametrize(
    ("method", "path", "body", "extra", "status"),
    [
        ("GET", "/nothing", None, {}, 404),
        ("GET", "/profiles/", None, {}, 404),
        ("POST", "/challenges", b"{", {}, 400),
        ("POST", "/challenges", b"[]", {}, 422),
        (
            "POST",
            "/challenges",
            b"profile=phones",
            {"content_type": "application/x-www-form-urlencoded"},
            415,
        ),
        ("POST", "/profiles", None, {}, 405),
        ("OPTIONS", "/profiles", None, {}, 405),
        ("GET", "/challenges", None, {}, 405),
        ("GET", "/requests/00000000-0000-0000-0000-000000000000", None, {}, 404),
        ("GET", "/challenges/00000000-0000-0000-0000-000000000000", None, {}, 404),
        ("DELETE", "/challenges/00000000-0000-0000-0000-000000000000", None, {}, 404),
        ("GET", "/requests/1", None, {}, 404),
    ],
)
def test_every_refusal_is_a_problem_document(
    program: Program, method: str, path: str, body: bytes | None, extra: dict[str, Any], status: int
) -> None:
    answer = program.call(method, path, body, **extra)
    assert (answer.status_code, answer.headers["Content-Type"]) == (
        status,
        "application/problem+json",
    )
    assert answer.body["status"] == status
    assert answer.body["detail"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_json_is_what_comes_whatever_is_asked_for(program: Program) -> None:
    answer = program.call("GET", f"{PROFILES}?format=api", HTTP_ACCEPT="text/html")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    head = program.call("HEAD", PROFILES)
    assert head.status_code == 200


def test_a_body_too_large_or_without_length_is_not_read(program: Program) -> None:
    assert (
        Client()
        .post("/api/v1/challenges", b"x" * 70_000, content_type="application/json")
        .status_code
        == 413
    )
    chunked: dict[str, Any] = {"HTTP_TRANSFER_ENCODING": "chunked"}
    assert Client().generic("POST", "/api/v1/challenges", b"{}", **chunked).status_code == 411


@pytest.mark.parametrize(
    ("fault", "status"), [(OperationalError("no database"), 503), (RuntimeError("canary"), 500)]
)
def test_a_fault_of_the_portal_is_told_without_detail(
    program: Program, fault: Exception, status: int
) -> None:
    with mock.patch("api.views.order_challenges", side_effect=fault):
        answer = program.order()
    assert (answer.status_code, answer.headers["Retry-After"]) == (status, "30")
    assert str(fault) not in answer.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["get", "post", "put", "delete", "options"])
def test_an_address_that_there_is_none_of_is_a_problem_for_anyone(method: str) -> None:
    answer = getattr(Client(enforce_csrf_checks=True), method)("/api/v1/chalenges")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "docs/api.md" in answer.json()["detail"]
