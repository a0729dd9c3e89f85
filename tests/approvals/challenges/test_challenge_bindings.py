"""Challenges that are bound, withdrawn, or made by the approver: wire and log."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.models.people import Department, User
from accounts.principals import PORTAL, asserted_principal
from accounts.roles import Role
from approvals.challenges.onetime import ChallengeOrder, create_challenges, withdraw_challenge
from approvals.decisions.batch import decide_many
from approvals.decisions.decide import approve_request, reject_request
from approvals.models.challenges import ChallengeOrigin, ChallengePassword
from approvals.models.decisions import Verdict
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.rules.errors import ApprovalsError, ChallengeInvalid, NotPermitted, OwnChallenge
from approvals.rules.states import State
from audit.models import AuditEntry, AuditPrivateValue
from ca.x509.general_names import general_name
from ca.x509.names import build_name
from scep.protocol.constants import FailInfo, PKIStatus
from tests.ca.forge import challenge, extension_request, request_der, san
from tests.flows.wire import message, post, refused
from tests.pages import signed_in
from tests.world import Device, World, create_person, create_profile, now, principal_of

UNIFORM = "request not permitted"


@pytest.fixture
def phones(world: World) -> EnrollmentProfile:
    """A profile with one-time challenges."""
    return create_profile(world.ca, "phones", challenge="one-time")


def made(profile: EnrollmentProfile, user: User | None = None, **order: Any) -> str:
    """A fresh one-time challenge."""
    found = create_challenges(
        ChallengeOrder(profile, **order),
        principal=principal_of(user) if user else PORTAL,
        now=now(),
    )
    return found[0][1].reveal()


def asking(secret: str, *sans: str, **subject: str) -> bytes:
    """A CSR."""
    names = [general_name(*name.split(":", 1)).der for name in sans]
    extensions = [extension_request(san(*names))] if names else []
    return request_der(build_name(list(subject.items())), challenge(secret), *extensions)


def enroll(
    profile: EnrollmentProfile, secret: str, key: str = "alice", name: str = "r1.example"
) -> EnrollmentRequest:
    """Open a request; returns it."""
    answer = Device.named(name, key, profile.slug).enroll(challenge=secret)
    assert answer.status is PKIStatus.PENDING
    return EnrollmentRequest.objects.order_by("-id")[0]


@pytest.mark.parametrize(
    ("order", "foreign", "cause", "right"),
    [
        (
            {"subject_dn": "CN=r1.example, O=Example"},
            [{"CN": "r1.example"}, {"CN": "r1.example", "O": "Other"}],
            "challenge bound to another subject",
            {"O": "Example", "CN": "r1.example"},
        ),
        (
            {"serial_number": "FOC1"},
            [{"CN": "r1.example"}, {"CN": "r1.example", "serialNumber": "FOC2"}],
            "challenge bound to another serial number",
            {"CN": "r1.example", "serialNumber": "FOC1"},
        ),
        (
            {"sans": ["dns:r1.example"]},
            [{"CN": "r1.example", "sans": ["dns:r1.example", "dns:dc1.example"]}],
            "challenge bound to other alternative names",
            {"CN": "r1.example", "sans": ["dns:r1.example"]},
        ),
        (
            {"networks": ["192.0.2.0/24"]},
            [{"CN": "r1.example", "REMOTE_ADDR": "198.51.100.7"}],
            "challenge bound to another address",
            {"CN": "r1.example", "REMOTE_ADDR": "192.0.2.9"},
        ),
    ],
)
def test_vu971035_a_leaked_challenge_is_worth_nothing_elsewhere(
    world: World,
    phones: EnrollmentProfile,
    order: dict[str, Any],
    foreign: list[dict[str, Any]],
    cause: str,
    right: dict[str, Any],
) -> None:
    secret = made(phones, **order)

    def sent(names: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        environment = {
            name: value for name, value in names.items() if name.isupper() and "_" in name
        }
        subject = {
            name: value
            for name, value in names.items()
            if name not in environment and name != "sans"
        }
        return message(world, asking(secret, *names.get("sans", ()), **subject)), environment

    for names in foreign:
        csr, environment = sent(names)
        refused(csr, FailInfo.BAD_REQUEST, UNIFORM, cause=cause, profile="phones", **environment)
    entry = AuditEntry.objects.filter(event="message:refuse").latest("id")
    assert (entry.subject_kind, entry.subject_id) == (
        "challenge",
        str(ChallengePassword.objects.get().pk),
    )
    csr, environment = sent(right)
    assert post(csr, "phones", **environment).status is PKIStatus.PENDING


def test_a_challenge_names_its_author_door_purpose_and_binding(
    world: World, phones: EnrollmentProfile
) -> None:
    order = ChallengeOrder(
        phones,
        subject="r1.example",
        sans=["ip:192.0.2.1"],
        networks=["192.0.2.1"],
        created_for=" printer in room 7 ",
        origin=ChallengeOrigin.PAGE,
    )
    ((row, _),) = create_challenges(order, principal=principal_of(world.alice), now=now())
    row.refresh_from_db()
    assert (row.created_by, row.created_by_name, row.created_for) == (
        world.alice,
        "alice",
        "printer in room 7",
    )
    assert (row.origin, row.sans, row.networks) == ("page", ["ip:192.0.2.1"], ["192.0.2.1/32"])
    values = AuditPrivateValue.objects.filter(entry__event="challenge:create")
    assert (
        values.get(path="data.bound_to").value == "name r1.example; ip:192.0.2.1; from 192.0.2.1/32"
    )
    assert values.get(path="data.created_for").value == "printer in room 7"
    fixed: dict[str, Any] = {
        "sans": [],
        "subject": "",
        "networks": [],
        "created_by": None,
        "origin": "api",
    }
    for column, value in fixed.items():
        with pytest.raises(IntegrityError), transaction.atomic():
            ChallengePassword.objects.update(**{column: value})


def test_only_who_may_makes_and_withdraws_challenges(
    world: World, phones: EnrollmentProfile
) -> None:
    charlie, north = (
        create_person("charlie", Role.AUDITOR),
        Department.objects.create(slug="north", name="North"),
    )
    bob = create_person("bob", Role.OFFICER, department=north)
    secret = made(phones, world.alice)
    row = ChallengePassword.objects.get()
    for person in (charlie, bob):
        with pytest.raises(NotPermitted, match=f"{person.username} may not make them"):
            made(phones, person)
        with pytest.raises(NotPermitted, match="not yours to withdraw"):
            withdraw_challenge(challenge_id=row.pk, principal=principal_of(person), now=now())
    assert ChallengePassword.objects.count() == 1
    enroll(phones, secret)


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"count": 0}, "count 0"),
        ({"count": 10_001}, "count 10001"),
        ({"lifetime": timedelta(0)}, "expiry"),
        ({"created_for": "x" * 151}, "made for: 151 characters"),
        ({"sans": ["r1"]}, "alternative name 'r1'"),
    ],
)
def test_an_order_that_cannot_be_says_why(
    phones: EnrollmentProfile, order: dict[str, Any], words: str
) -> None:
    with pytest.raises(ChallengeInvalid, match=words):
        made(phones, **order)


def test_a_withdrawn_challenge_opens_nothing(world: World, phones: EnrollmentProfile) -> None:
    secret = made(phones, world.alice)
    row = ChallengePassword.objects.get()
    withdraw_challenge(challenge_id=row.pk, principal=principal_of(world.alice), now=now())
    csr = asking(secret, CN="r1.example")
    refused(
        message(world, csr),
        FailInfo.BAD_REQUEST,
        UNIFORM,
        cause="challenge withdrawn",
        profile="phones",
    )
    with pytest.raises(ChallengeInvalid, match="used or withdrawn already"):
        withdraw_challenge(challenge_id=row.pk, principal=PORTAL, now=now())
    row.refresh_from_db()
    assert (row.withdrawn_by, row.redeemed_at) == (world.alice, None)
    assert (
        AuditEntry.objects.filter(event="challenge:withdraw", subject_id=str(row.pk)).count() == 1
    )


def test_a_used_challenge_is_not_withdrawn(phones: EnrollmentProfile) -> None:
    enroll(phones, made(phones))
    with pytest.raises(ChallengeInvalid, match="used or withdrawn already"):
        withdraw_challenge(
            challenge_id=ChallengePassword.objects.get().pk, principal=PORTAL, now=now()
        )
    with pytest.raises(IntegrityError), transaction.atomic():
        ChallengePassword.objects.update(withdrawn_at=now())


@pytest.mark.usefixtures("transactional_db")
def test_a_challenge_that_is_used_and_withdrawn_at_once_becomes_one_of_both(
    phones: EnrollmentProfile,
) -> None:
    for number in range(1, 4):
        secret = made(phones)
        row = ChallengePassword.objects.latest("id")
        device = Device.named(f"d{number}.example", f"device-{number}", "phones")
        device.scep.get_ca_cert()
        gate = threading.Barrier(2)

        def withdraw(gate: threading.Barrier = gate, row: ChallengePassword = row) -> None:
            try:
                gate.wait()
                withdraw_challenge(challenge_id=row.pk, principal=PORTAL, now=now())
            except ChallengeInvalid:
                pass
            finally:
                connection.close()

        thread = threading.Thread(target=withdraw)
        thread.start()
        gate.wait()
        answer = device.enroll(challenge=secret)
        thread.join()
        row.refresh_from_db()
        assert (row.redeemed_at is None) != (row.withdrawn_at is None)
        assert (answer.status is PKIStatus.PENDING) == (row.redeemed_at is not None)


# ---------------------------------------------------------------------------------------- four eyes


def test_who_made_a_challenge_may_not_approve_the_request_that_used_it(
    world: World, phones: EnrollmentProfile
) -> None:
    request = enroll(phones, made(phones, world.alice))
    with pytest.raises(OwnChallenge, match="another officer approves it"):
        approve_request(
            request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
        )
    asserted = asserted_principal("operator", world.alice)
    with pytest.raises(OwnChallenge):
        approve_request(request_id=request.pk, principal=asserted, comment="", now=now())
    approve_request(
        request_id=request.pk,
        principal=principal_of(create_person("bob", Role.OFFICER)),
        comment="",
        now=now(),
    )
    request.refresh_from_db()
    assert request.state == State.APPROVED


def test_who_made_a_challenge_may_reject_the_request_that_used_it(
    world: World, phones: EnrollmentProfile
) -> None:
    request = enroll(phones, made(phones, world.alice))
    reject_request(
        request_id=request.pk,
        principal=principal_of(world.alice),
        comment="not my device",
        now=now(),
    )
    request.refresh_from_db()
    assert request.state == State.REJECTED


def test_in_a_bulk_approval_ones_own_challenges_fall_out(
    world: World, phones: EnrollmentProfile
) -> None:
    own = enroll(phones, made(phones, world.alice), "device-1", "d1.example")
    bobs = enroll(
        phones, made(phones, create_person("bob", Role.OFFICER)), "device-2", "d2.example"
    )
    results = decide_many(
        items=[(own.pk, None), (bobs.pk, None)],
        verdict=Verdict.APPROVE,
        principal=principal_of(world.alice),
        comment="",
        now=now(),
    )
    assert [result.done for result in results] == [False, True]
    assert "You made the challenge" in results[0].text


def test_a_quorum_is_not_filled_up_by_who_made_the_challenge(
    world: World, phones: EnrollmentProfile
) -> None:
    EnrollmentProfile.objects.filter(pk=phones.pk).update(required_approvals=2)
    request = enroll(phones, made(phones, world.alice))
    for name in ("bob", "dora"):
        with pytest.raises(ApprovalsError):
            approve_request(
                request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
            )
        approve_request(
            request_id=request.pk,
            principal=principal_of(create_person(name, Role.OFFICER)),
            comment="",
            now=now(),
        )
    request.refresh_from_db()
    assert request.state == State.APPROVED


@pytest.mark.usefixtures("no_waiting")
def test_an_automatic_profile_needs_no_officer_even_if_the_author_is_one(world: World) -> None:
    kiosks = create_profile(world.ca, "kiosks", challenge="one-time", approval="automatic")
    Device.named("r1.example", profile="kiosks").enroll(challenge=made(kiosks, world.alice))
    assert EnrollmentRequest.objects.get().state == State.APPROVED


def test_the_page_says_why_the_button_is_of_no_use_before_it_is_pressed(
    world: World, phones: EnrollmentProfile
) -> None:
    request = enroll(
        phones, made(phones, world.alice, created_for="room 7", origin=ChallengeOrigin.PAGE)
    )
    alice, bob = signed_in(world.alice), signed_in(create_person("bob", Role.OFFICER))
    page = alice.get(f"/requests/{request.pk}/").content.decode()
    assert "You made the challenge that this request used" in page
    assert 'disabled aria-describedby="own-challenge"' in page
    assert "your challenge" in alice.get("/queue/").content.decode()
    other = bob.get(f"/requests/{request.pk}/")
    assert "You made the challenge" not in other.content.decode()
    assert "for room 7 (through a page)" in other.content.decode()
    assert "your challenge" not in bob.get("/queue/").content.decode()
    digest = other.context["review"].sha256
    answer = alice.post(f"/requests/{request.pk}/approve", {"view_sha256": digest})
    assert (answer.status_code, "another officer approves it" in answer.content.decode()) == (
        403,
        True,
    )
    assert bob.post(f"/requests/{request.pk}/approve", {"view_sha256": digest}).status_code == 302
