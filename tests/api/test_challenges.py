"""Challenges ordered by programs: shown once, made once, bound, seen to their end."""

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.db import connection

from accounts.models.people import Department
from accounts.principals import PORTAL
from accounts.roles import Role
from approvals.challenges.device_groups import add_devices, create_group
from approvals.decisions.decide import approve_request
from approvals.models.challenges import ChallengePassword
from approvals.models.orders import ApiOrder
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.rules.errors import OwnChallenge
from audit.models import AuditEntry
from scep.protocol.constants import FailInfo, PKIStatus
from tests.api.caller import Program
from tests.world import Device, World, create_person, create_profile, now, principal_of, run_worker


@pytest.fixture
def phones(world: World) -> EnrollmentProfile:
    return create_profile(world.ca, "phones", challenge="one-time")


@pytest.fixture
def program(world: World, phones: EnrollmentProfile) -> Program:
    return Program(world.alice)


def phone(key: str = "alice", name: str = "r1.example") -> Device:
    return Device.named(name, key, profile="phones")


def only(answer: Any, status: int = 201) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    (challenge,) = answer.body["challenges"]
    document: dict[str, Any] = challenge
    return document


def test_a_challenge_is_shown_once_and_seen_to_its_certificate(
    program: Program, world: World
) -> None:
    answer = program.order(created_for="asset 4711", lifetime_seconds=600)
    challenge = only(answer)
    assert answer.headers["Cache-Control"] == "no-store"
    assert (challenge["state"], challenge["origin"], challenge["created_for"]) == (
        "unused",
        "api",
        "asset 4711",
    )
    assert challenge["scep_url"].endswith("/scep/phones/")
    path = f"/challenges/{challenge['id']}"
    document = program.call("GET", path).body
    assert document == {name: value for name, value in challenge.items() if name != "challenge"}
    device = phone()
    assert device.enroll(challenge=challenge["challenge"]).status is PKIStatus.PENDING
    document = program.call("GET", path).body
    assert (document["state"], document["request"]["state"], document["used_from"]) == (
        "used",
        "pending",
        "127.0.0.1",
    )
    request = EnrollmentRequest.objects.get()
    bob = create_person("bob", Role.OFFICER)
    approve_request(request_id=request.pk, principal=principal_of(bob), comment="", now=now())
    run_worker()
    document = program.call("GET", path).body
    assert document["request"] == program.call("GET", f"/requests/{request.pk}").body
    assert document["request"]["certificate"]["status"] == "issued"
    assert int(document["request"]["certificate"]["serial"], 16) > 0
    again = phone("bob", "r2.example").enroll(challenge=challenge["challenge"])
    assert (again.status, again.fail_info) == (PKIStatus.FAILURE, FailInfo.BAD_REQUEST)


def test_who_owns_the_token_may_not_approve_what_used_its_challenge(
    program: Program, world: World
) -> None:
    document = only(program.order())
    phone().enroll(challenge=document["challenge"])
    request = EnrollmentRequest.objects.get()
    with pytest.raises(OwnChallenge):
        approve_request(
            request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
        )
    challenge = ChallengePassword.objects.get()
    assert (challenge.created_by, challenge.api_challenge.order.token) == (
        world.alice,
        program.token,
    )


def test_the_log_names_the_token_and_the_person(program: Program, world: World) -> None:
    challenge = only(program.order())
    entry = AuditEntry.objects.get(event="challenge:create")
    assert (entry.subject_id, entry.actor_kind, entry.actor_id) == (
        challenge["id"],
        "token",
        str(program.token.pk),
    )
    private = dict(entry.private_values.values_list("path", "value"))
    assert (private["actor.name"], private["actor.on_behalf_of"]) == ("mdm sync", "alice")


def test_many_are_made_at_once(program: Program) -> None:
    challenges = program.order(count=5).body["challenges"]
    assert len({item["challenge"] for item in challenges}) == 5
    assert ApiOrder.objects.get().challenges.count() == 5


def test_a_binding_holds_and_is_shown(program: Program) -> None:
    rest = {"subject": "", "serial_number": "", "sans": [], "networks": [], "device_group": ""}
    bound_to = {"common_name": "r1.example", **rest}
    challenge = only(program.order(bound_to={"common_name": "r1.example"}))
    assert challenge["bound_to"] == bound_to
    foreign = phone("bob", "r2.example").enroll(challenge=challenge["challenge"])
    assert (foreign.status, foreign.fail_info) == (PKIStatus.FAILURE, FailInfo.BAD_REQUEST)
    elsewhere = only(program.order(bound_to={"networks": ["192.0.2.0/24"]}))
    assert (
        phone("bob", "r2.example").enroll(challenge=elsewhere["challenge"]).status
        is PKIStatus.FAILURE
    )
    assert phone().enroll(challenge=challenge["challenge"]).status is PKIStatus.PENDING


def test_a_binding_to_a_serial_number_and_a_device_group_holds_and_is_shown(
    program: Program, world: World
) -> None:
    group = create_group("switches", department=None, principal=PORTAL, now=now())
    add_devices(group, b"name\nr1.example", principal=PORTAL, now=now())
    bound = only(program.order("order-1", bound_to={"serial_number": "FOC1"}))
    assert bound["bound_to"]["serial_number"] == "FOC1"
    other = program.order("order-1", bound_to={"serial_number": "FOC2"})
    assert (other.status_code, "another order" in other.body["detail"]) == (422, True)
    assert (
        phone("bob", "r1.example").enroll(challenge=bound["challenge"]).status is PKIStatus.FAILURE
    )
    listed = only(program.order(bound_to={"device_group": "switches"}))
    assert (
        program.call("GET", f"/challenges/{listed['id']}").body["bound_to"]["device_group"]
        == "switches"
    )
    assert (
        phone("bob", "r9.example").enroll(challenge=listed["challenge"]).status is PKIStatus.FAILURE
    )
    assert phone().enroll(challenge=listed["challenge"]).status is PKIStatus.PENDING


def test_a_device_group_that_is_not_the_owners_or_outside_the_tokens_department_is_none(
    world: World, phones: EnrollmentProfile
) -> None:
    here, elsewhere = (
        Department.objects.create(slug=slug, name=slug) for slug in ("here", "elsewhere")
    )
    EnrollmentProfile.objects.filter(pk=phones.pk).update(department=here)
    create_group("switches", department=elsewhere, principal=PORTAL, now=now())
    bob = create_person("bob", Role.OFFICER, department=here)
    for program in (Program(bob), Program(world.alice, department=here)):
        for slug in ("switches", "nothing"):
            answer = program.order(bound_to={"device_group": slug})
            assert (answer.status_code, answer.body["detail"]) == (
                422,
                f"device group {slug}: there is none, or it is not this token's to use",
            )
    only(Program(world.alice).order(bound_to={"device_group": "switches"}))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"bound_to": {"comon_name": "r1.example"}}, "bound_to"),
        ({"bound_to": {"common_name": ""}}, "bound_to"),
        ({"bound_to": {"serial_number": " "}}, "bound_to"),
        ({"bound_to": {"sans": []}}, "bound_to"),
        ({"bound_to": {"networks": []}}, "bound_to"),
        ({"subject": "r1.example"}, "subject"),
        ({"count": 0}, "count"),
        ({"count": 1001}, "count"),
        ({"count": "many"}, "count"),
        ({"lifetime_seconds": 59}, "lifetime_seconds"),
        ({"lifetime_seconds": 40_000_000}, "lifetime_seconds"),
        ({"bound_to": {"sans": "dns:r1.example"}}, "bound_to"),
        ({"bound_to": "r1.example"}, "bound_to"),
        ({"created_for": "x" * 151}, "created_for"),
        ({"profile": None}, "profile"),
    ],
)
def test_what_is_misspelled_empty_or_out_of_bounds_binds_nothing_and_makes_nothing(
    program: Program, changes: dict[str, Any], field: str
) -> None:
    answer = program.order(**changes)
    assert answer.status_code == 422
    assert list(answer.body["errors"]) == [field]
    assert not ChallengePassword.objects.exists()


@pytest.mark.parametrize(
    "bound_to", [{"sans": ["nonsense"]}, {"networks": ["10.0.0.1/8"]}, {"subject": "nonsense"}]
)
def test_a_binding_that_is_none_is_refused_with_its_reason(
    program: Program, bound_to: dict[str, object]
) -> None:
    answer = program.order(bound_to=bound_to)
    assert answer.status_code == 422
    assert answer.body["detail"]
    assert not ChallengePassword.objects.exists()
    assert not ApiOrder.objects.exists()


def test_a_profile_without_one_time_challenges_is_named(program: Program) -> None:
    answer = program.order(profile="routers")
    assert (answer.status_code, "not one-time challenges" in answer.body["detail"]) == (422, True)


# ------------------------------------------------------------------------------- made once: retries


def test_a_retry_makes_no_second_challenge_and_shows_none_again(program: Program) -> None:
    first = only(program.order("order-1", created_for="asset 1"))
    repeat = program.order("order-1", created_for="asset 1")
    repeated = only(repeat, 200)
    assert repeat.headers["Idempotent-Replayed"] == "true"
    assert (repeated["id"], "challenge" in repeated) == (first["id"], False)
    assert only(program.order("order-2", created_for="asset 1"))["id"] != first["id"]
    assert ChallengePassword.objects.count() == 2


def test_a_key_belongs_to_one_order_and_one_token(program: Program, world: World) -> None:
    only(program.order("order-1"))
    other = program.order("order-1", count=2)
    assert (other.status_code, "another order" in other.body["detail"]) == (422, True)
    only(Program(world.alice).order("order-1"))
    assert program.order("k" * 256).status_code == 400
    assert ChallengePassword.objects.count() == 2


def test_without_a_key_each_order_makes_its_own(program: Program) -> None:
    assert only(program.order())["id"] != only(program.order())["id"]


@pytest.mark.usefixtures("transactional_db")
def test_equal_orders_at_once_make_one(world: World) -> None:
    create_profile(world.ca, "phones", challenge="one-time")
    program = Program(world.alice)
    gate, answers = threading.Barrier(4), []

    def send() -> None:
        try:
            gate.wait()
            answers.append(program.order("order-1"))
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert ChallengePassword.objects.count() == 1


# --------------------------------------------------------------------------- withdrawn, and foreign


def test_a_withdrawn_challenge_is_worth_nothing_and_a_used_one_stays(program: Program) -> None:
    unused, used = only(program.order()), only(program.order())
    assert phone().enroll(challenge=used["challenge"]).status is PKIStatus.PENDING
    gone = program.call("DELETE", f"/challenges/{unused['id']}")
    assert (gone.status_code, gone.body["state"]) == (200, "withdrawn")
    assert (
        phone("bob", "r2.example").enroll(challenge=unused["challenge"]).status is PKIStatus.FAILURE
    )
    for path in (f"/challenges/{unused['id']}", f"/challenges/{used['id']}"):
        assert program.call("DELETE", path).status_code == 422
    entry = AuditEntry.objects.get(event="challenge:withdraw")
    assert (entry.actor_kind, entry.subject_id) == ("token", unused["id"])


def test_an_expired_one_says_so(program: Program) -> None:
    challenge = only(program.order())
    ChallengePassword.objects.update(expires_at=now() - timedelta(seconds=1))
    assert program.call("GET", f"/challenges/{challenge['id']}").body["state"] == "expired"


def test_a_foreign_challenge_and_request_look_like_none(
    program: Program, phones: EnrollmentProfile
) -> None:
    here, elsewhere = (
        Department.objects.create(slug=slug, name=slug) for slug in ("here", "elsewhere")
    )
    EnrollmentProfile.objects.filter(pk=phones.pk).update(department=here)
    challenge = only(program.order())
    phone().enroll(challenge=challenge["challenge"])
    bob = Program(create_person("bob", Role.OFFICER, department=elsewhere))
    request = EnrollmentRequest.objects.get()
    for method, path in (
        ("GET", f"/challenges/{challenge['id']}"),
        ("DELETE", f"/challenges/{challenge['id']}"),
        ("GET", f"/requests/{request.pk}"),
    ):
        foreign = bob.call(method, path)
        none = bob.call(method, f"/{path.split('/')[1]}/{UUID(int=7)}")
        assert (foreign.status_code, foreign.content) == (404, none.content)


def test_profiles_are_shown_with_what_a_device_compares(program: Program, world: World) -> None:
    rows = program.call("GET", "/profiles").body["profiles"]
    assert [row["slug"] for row in rows] == ["phones", "routers"]
    assert rows[0]["ca"]["name"] == "issuing"
    assert (len(rows[0]["ca"]["sha256"]), len(rows[0]["ca"]["sha1"])) == (64, 40)


def test_no_challenge_is_in_any_row_or_log(
    program: Program, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(0)
    secret = only(program.order("order-1"))["challenge"]
    program.order("order-1")
    program.call("DELETE", "/challenges/" + str(ChallengePassword.objects.get().pk))
    printed = capfd.readouterr()
    everywhere = [printed.out, printed.err, caplog.text]
    for model in apps.get_models():
        for row in model._default_manager.all():
            everywhere += [repr(row), *map(str, row.__dict__.values())]
    assert not [text for text in everywhere if secret in text]
