"""Two keys for one name: officer, refusal or remark; a renewal is not another key."""

from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.principals import PORTAL
from approvals.decisions.decide import reject_request
from approvals.decisions.revocations import revoke_certificate
from approvals.models.profiles import EnrollmentProfile, NameConflicts
from approvals.models.requests import EnrollmentRequest, RequestName
from approvals.profiles.manage import ProfileRequest, create_enrollment_profile
from approvals.records.name_conflicts import conflicts_of
from approvals.rules.policy import RenewalPolicy
from approvals.rules.states import State
from ca.content.csr_review import ProfileSpec
from ca.models.certificates import Certificate
from ca.x509.general_names import general_name
from ca.x509.names import build_name
from scep.client import Identity
from scep.protocol.constants import PKIStatus
from tests.approvals.enrollment.renewing import ALWAYS, newest, of, renew
from tests.ca.forge import challenge, extension_request, request_der, san
from tests.flows.wire import Answer, message, nothing_granted, post
from tests.pages import signed_in
from tests.pki import rsa_key
from tests.world import World, create_profile, now, principal_of, run_worker

pytestmark = pytest.mark.usefixtures("no_waiting", "consistent")
SECRET = "a secret of all phones"
KINDS = ProfileSpec(san_kinds=("dns", "ip", "email", "uri", "upn"))


def phones(world: World, switch: str = "officer", **more: Any) -> EnrollmentProfile:
    changes: dict[str, Any] = {
        "approval": "automatic",
        "challenge": "static",
        "static_challenge": SECRET,
        "renewal": RenewalPolicy(mode="automatic", window=ALWAYS),
        "spec": KINDS,
    }
    return create_profile(world.ca, "phones", name_conflicts=switch, **changes | more)


def ask(
    world: World,
    subject: list[tuple[str, str]],
    *sans: tuple[str, str],
    key: str = "alice",
    profile: str = "phones",
) -> Answer:
    names = (
        [extension_request(san(*(general_name(kind, value) for kind, value in sans)))]
        if sans
        else []
    )
    csr = request_der(build_name(subject), challenge(SECRET), *names, key=rsa_key(key))
    return post(message(world, csr, key=key, transaction_id=key), profile)


def codes(request: EnrollmentRequest) -> list[tuple[str, str]]:
    return [
        (item["severity"], item["code"])
        for item in request.findings
        if item["code"].startswith("name-")
    ]


#: A request, and another one that asks for a name of it.
SAME: list[tuple[Any, Any]] = [
    (([("CN", "p1.example")],), ([("CN", "P1.Example")],)),
    (([("CN", "p1.example")],), ([("O", "Example"), ("CN", "p1.example")],)),
    (([("CN", "p1.example")],), ([("CN", "other")], ("dns", "p1.example"))),
    (
        ([("CN", "one")], ("dns", "a.example"), ("ip", "192.0.2.7")),
        ([("CN", "two")], ("ip", "192.0.2.7")),
    ),
    (([("CN", "192.0.2.7")],), ([("CN", "two")], ("ip", "192.0.2.7"))),
    (([("O", "Example"), ("OU", "Lab 7")],), ([("O", "EXAMPLE"), ("OU", "lab  7")],)),
    (([], ("email", "noc@example.org")), ([("CN", "x")], ("email", "noc@EXAMPLE.org"))),
    (
        ([("CN", "a")], ("uri", "https://a.example/x")),
        ([("CN", "b")], ("uri", "HTTPS://A.example/x")),
    ),
]
OTHER: list[tuple[Any, Any]] = [
    (([("CN", "p1.example")],), ([("CN", "p2.example")],)),
    (([("CN", "one")], ("dns", "a.example")), ([("CN", "two")], ("dns", "b.example"))),
    (([("O", "Example"), ("OU", "Lab 7")],), ([("OU", "Lab 7"), ("O", "Example")],)),
    (
        ([("CN", "noc")], ("email", "noc@example.org")),
        ([("CN", "x")], ("email", "Noc@example.org")),
    ),
    (
        ([("CN", "a")], ("uri", "https://a.example/x")),
        ([("CN", "b")], ("uri", "https://a.example/X")),
    ),
]


@pytest.mark.parametrize(("first", "second"), SAME)
@pytest.mark.parametrize("state", ["waits", "active"])
def test_d77_a_name_of_another_key_meets_an_officer(
    world: World, first: Any, second: Any, state: str
) -> None:
    phones(world)
    ask(world, *first)
    if state == "active":
        run_worker()
        assert newest().state == State.ISSUED, newest().last_fault
    else:
        EnrollmentRequest.objects.update(next_attempt_at=None)
    answer = ask(world, *second, key="bob")
    assert answer.status is PKIStatus.PENDING
    code = "name-active" if state == "active" else "name-waiting"
    assert (newest().state, codes(newest())) == (State.PENDING, [("officer", code)])
    page = signed_in(world.alice).get(reverse("request", args=[newest().pk])).content.decode()
    label = "name active on another key" if state == "active" else "name waits twice"
    assert label in page
    assert page.index(label.capitalize()) < page.index("What would be issued")


@pytest.mark.parametrize(("first", "second"), OTHER)
def test_another_name_is_no_conflict(world: World, first: Any, second: Any) -> None:
    phones(world)
    ask(world, *first)
    run_worker()
    ask(world, *second, key="bob")
    run_worker()
    assert (newest().state, codes(newest())) == (State.ISSUED, [])


@pytest.mark.parametrize("number", range(3))
def test_the_switch_refuses_remarks_or_asks(world: World, number: int) -> None:
    switch = list(NameConflicts)[number]
    phones(world, switch)
    ask(world, [("CN", "p1.example")])
    run_worker()
    if switch == NameConflicts.REFUSE:
        with nothing_granted():
            answer = ask(world, [("CN", "p1.example")], key="bob")
        assert answer.text == "name 'p1.example': a certificate over another key is valid for it"
        return
    ask(world, [("CN", "p1.example")], key="bob")
    run_worker()
    severity, state = (
        ("officer", State.PENDING) if switch == NameConflicts.OFFICER else ("warn", State.ISSUED)
    )
    assert (newest().state, codes(newest())) == (state, [(severity, "name-active")])


@pytest.mark.parametrize("end", ["revoked", "expired", "rejected", "same key", "another profile"])
def test_what_is_over_or_of_the_same_key_or_elsewhere_does_not_count(
    world: World, end: str, forges_records: None
) -> None:
    phones(world)
    ask(world, [("CN", "p1.example")])
    if end == "rejected":
        EnrollmentRequest.objects.update(state=State.FAILED)
        reject_request(
            request_id=newest().pk, principal=principal_of(world.alice), comment="no", now=now()
        )
    else:
        run_worker()
    certificate = Certificate.objects.filter(kind="ordered").first()
    if end == "revoked":
        assert certificate is not None
        revoke_certificate(
            certificate_id=certificate.pk,
            principal=principal_of(world.alice),
            reason="superseded",
            comment="",
            now=now(),
        )
    if end == "expired":
        Certificate.objects.filter(kind="ordered").update(not_after=now() - timedelta(seconds=1))
    profile = "routers" if end == "another profile" else "phones"
    answer = ask(
        world, [("CN", "p1.example")], key="alice" if end == "same key" else "bob", profile=profile
    )
    assert answer.status is not PKIStatus.FAILURE
    assert codes(newest()) == []


def test_a_renewal_chain_is_no_other_key_and_a_device_that_enrolls_again_is(world: World) -> None:
    phones(world)
    ask(world, [("CN", "p1.example")])
    run_worker()
    certificate = newest().certificate
    assert certificate is not None
    identity = Identity(certificate.certificate_der, rsa_key("alice"))
    for number in range(1, 4):
        renew(
            identity,
            f"device-{number}",
            name="p1.example",
            profile="phones",
            transaction_id=f"t{number}",
        )
        run_worker()
        certificate = newest().certificate
        assert certificate is not None, (newest().state, newest().findings)
        assert codes(newest()) == []
        identity = Identity(certificate.certificate_der, rsa_key(f"device-{number}"))
    ask(world, [("CN", "p1.example")], key="bob")
    assert codes(newest()) == [("officer", "name-active")]
    assert of(identity).status == "ISSUED"


def test_of_two_that_came_at_once_the_second_is_not_signed_by_policy(world: World) -> None:
    phones(world)
    with mock.patch(
        "approvals.records.name_conflicts._conflicts", return_value=[[]]
    ):  # neither saw the other
        ask(world, [("CN", "p1.example")])
        ask(world, [("CN", "p1.example")], key="bob")
    run_worker()
    first, second = EnrollmentRequest.objects.order_by("id")
    assert (first.state, second.state) == (State.ISSUED, State.FAILED)
    assert "another request waits for it" in second.last_fault


def test_both_rows_of_the_queue_say_so_with_as_many_queries_as_one(world: World) -> None:
    create_profile(world.ca, "switches")
    browser = signed_in(world.alice)

    def shown(*keys: str) -> tuple[int, int]:
        for key in keys:
            csr = request_der(build_name([("CN", "r1.example")]), key=rsa_key(key))
            post(message(world, csr, key=key, transaction_id=key))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            page = browser.get(reverse("queue")).content.decode()
        return page.count("name waits twice"), len(queries)

    shown("alice")
    assert shown("bob")[0] == 2
    few = shown("device-1")
    many = shown("device-2", "device-3", "device-4", "device-5")
    assert (few[0], many[0]) == (3, 7)
    assert many[1] == few[1]


def test_the_look_up_reads_an_index_whatever_the_profile_has(world: World) -> None:
    profile = phones(world)
    ask(world, [("CN", "p1.example")])
    rows = RequestName.objects.filter(profile_id=profile.pk, name__in=["0" * 64, "1" * 64])
    plan = rows.explain()
    assert "approvals_name_by_profile" in plan, plan
    assert conflicts_of([], now=now()) == {}


def test_a_profile_by_command_lets_an_officer_decide_and_a_self_test_minds_nothing(
    world: World,
) -> None:
    assert create_profile(world.ca, "one").name_conflicts == "officer"
    two = ProfileRequest("two", world.ca, ProfileSpec(), challenge="none", name_conflicts="refuse")
    assert create_enrollment_profile(two, principal=PORTAL, now=now()).name_conflicts == "refuse"
