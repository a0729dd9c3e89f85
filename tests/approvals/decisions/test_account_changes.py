"""Decisions of a recently changed account are marked; a profile may refuse them."""

import json
from datetime import timedelta
from typing import Any

import pytest

from accounts.models.changes import ChangeKind
from accounts.models.people import RoleAssignment, User
from accounts.people.changes import Author, note_change
from accounts.people.manage import NewPerson, create_person, grant_role
from accounts.people.password_links import issue_link, redeem_link
from accounts.people.setup import FirstAdministrator, create_setup_link, use_setup_link
from accounts.principals import Principal, PrincipalKind
from accounts.roles import Role
from approvals.decisions.batch import decide_many
from approvals.decisions.decide import approve_request, reject_request, reopen_request
from approvals.decisions.revocations import release_hold, revoke_certificate
from approvals.models.decisions import Decision, Verdict
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.rules.errors import NotPermitted
from approvals.rules.states import State
from audit.models import AuditEntry
from ca.models.certificates import Certificate
from tests.pages import create_requests, signed_in
from tests.pkiportal.commands import run, run_json
from tests.world import Device, World, now, principal_of, run_worker
from tests.world import create_person as person_of_test

PASSWORD = "a password of Alice 17"
CHARLIE = "charlie"


@pytest.fixture
def charlie(world: World) -> User:
    return person_of_test(CHARLIE, Role.ADMINISTRATOR)


def take_over(officer: User, administrator: User) -> None:
    """An administrator issues a link, sees it, and sets the password of an officer."""
    url = issue_link(officer, principal=principal_of(administrator), now=now()).url
    redeem_link(url.rpartition("/")[2], PASSWORD, address="192.0.2.9", now=now())


def first_administrator(_: World, __: User) -> User:
    """A portal's first person, who is an officer as well."""
    RoleAssignment.objects.filter(role=Role.ADMINISTRATOR).delete()
    token = create_setup_link(now()) or ""
    return use_setup_link(
        token, FirstAdministrator("frida", PASSWORD, also_officer=True, address=""), now=now()
    )


def with_password_by_link(world: World, charlie: User) -> User:
    """An officer whose password the administrator could know."""
    take_over(world.alice, charlie)
    world.alice.refresh_from_db()
    return world.alice


def with_new_role(_: World, charlie: User) -> User:
    """An auditor who became an officer."""
    nora = person_of_test("nora", Role.AUDITOR)
    grant_role(nora, Role.OFFICER, None, principal=principal_of(charlie), now=now())
    return nora


def with_own_role(_: World, charlie: User) -> User:
    """An administrator who made themself an officer."""
    grant_role(charlie, Role.OFFICER, None, principal=principal_of(charlie), now=now())
    return charlie


def by_script(_: World, __: User) -> User:
    """An officer whose first password a command set."""
    order = NewPerson("sven", (Role.OFFICER,), password=PASSWORD)
    return create_person(order, principal=Principal(PrincipalKind.COMMAND, name="root"), now=now())


MARKED = {
    with_password_by_link: "Password set through a link that charlie issued, seen by the issuer",
    with_new_role: "Role officer granted by charlie",
    with_own_role: "Role officer granted by charlie to themself",
    by_script: "Password set by root, by command",
    first_administrator: "Role officer granted by frida to themself",
}


@pytest.mark.parametrize("change", MARKED)
@pytest.mark.parametrize("verdict", [Verdict.APPROVE, Verdict.REJECT])
def test_a_decision_soon_after_a_change_is_marked_everywhere(
    world: World, charlie: User, change: Any, verdict: Verdict
) -> None:
    officer: User = change(world, charlie)
    Device.named("r1.example").enroll()
    request = EnrollmentRequest.objects.get()
    decide = approve_request if verdict == Verdict.APPROVE else reject_request
    decision = decide(
        request_id=request.pk, principal=principal_of(officer), comment="seen", now=now()
    )
    expected = MARKED[change]

    document = json.loads(bytes(decision.document))["account_changes"]
    assert {fact["kind"] for fact in document} == {
        fact["kind"] for fact in decision.account_changes
    }
    assert CHARLIE not in json.dumps(
        document
    )  # people stand there by identifier, as the officer does
    entry = AuditEntry.objects.get(event=f"request:{verdict}")
    assert expected in entry.private_values.get(path="data.account_changes").value
    assert expected in signed_in(world.alice).get(
        f"/requests/{request.pk}/"
    ).content.decode().replace("&#x27;", "'")
    shown = run_json("requests", "show", str(request.pk))["decisions"][0]
    assert expected in "; ".join(shown["account_changes"])
    assert expected in run("requests", "show", str(request.pk))
    bob = signed_in(person_of_test("bob", Role.AUDITOR))
    assert expected in bob.get(f"/history/audit/?event=request:{verdict}").content.decode()
    if verdict == Verdict.APPROVE:
        run_worker()
        certificate = Certificate.objects.get(order_id=request.pk)
        page = bob.get(f"/history/certificates/{certificate.pk}/").content.decode()
        assert page.count(expected) >= 2  # at the decision, and in the history below


@pytest.mark.parametrize(
    ("days", "is_marked"), [(0, True), (1, True), (6, True), (8, False), (40, False), (400, False)]
)
def test_the_mark_ends_with_the_period(
    world: World, charlie: User, settings: Any, days: int, is_marked: bool
) -> None:
    settings.PORTAL_ACCOUNT_CHANGE_PERIOD = timedelta(days=7)
    moment = now() - timedelta(days=days)
    note_change(
        world.alice,
        ChangeKind.PASSWORD,
        author=Author.of(principal_of(charlie)),
        now=moment,
        detail="shown",
    )
    (request,) = create_requests(world.profile, ["r1.example"])
    decision = reject_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="no", now=now()
    )
    assert bool(decision.account_changes) is is_marked
    assert bool(json.loads(bytes(decision.document))["account_changes"]) is is_marked


def test_decisions_of_other_officers_and_of_the_policy_carry_no_mark(
    world: World, charlie: User
) -> None:
    take_over(person_of_test("olga", Role.OFFICER), charlie)
    (request,) = create_requests(world.profile, ["r1.example"])
    assert (
        approve_request(
            request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
        ).account_changes
        == []
    )


def test_each_decision_of_a_bulk_is_marked(world: World, charlie: User) -> None:
    take_over(world.alice, charlie)
    requests = create_requests(world.profile, [f"r{number}.example" for number in range(5)])
    items = [(request.pk, None) for request in requests]
    decide_many(
        items=items,
        verdict=Verdict.APPROVE,
        principal=principal_of(world.alice),
        comment="",
        now=now(),
    )
    decisions = Decision.objects.all()
    assert [len(decision.account_changes) for decision in decisions] == [1] * 5


@pytest.fixture
def strict(world: World) -> None:
    """The profile refuses such decisions."""
    EnrollmentProfile.objects.filter(pk=world.profile.pk).update(refuse_after_account_change=True)


@pytest.mark.parametrize("change", MARKED)
def test_no_verdict_is_taken_and_the_reason_names_the_change(
    strict: None, world: World, charlie: User, change: Any
) -> None:
    officer: User = change(world, charlie)
    pending, rejected = create_requests(world.profile, ["r1.example", "r2.example"])
    EnrollmentRequest.objects.filter(pk=rejected.pk).update(state=State.PENDING)
    reject_request(
        request_id=rejected.pk, principal=principal_of(unchanged(world)), comment="no", now=now()
    )
    principal = principal_of(officer)
    for step in (approve_request, reject_request):
        with pytest.raises(
            NotPermitted, match=r"routers refuses decisions for 7 days.*Ask another officer"
        ):
            step(request_id=pending.pk, principal=principal, comment="x", now=now())
    with pytest.raises(NotPermitted):
        reopen_request(request_id=rejected.pk, principal=principal, comment="", now=now())
    (result,) = decide_many(
        items=[(pending.pk, None)],
        verdict=Verdict.REJECT,
        principal=principal,
        comment="x",
        now=now(),
    )
    assert MARKED[change] in result.text
    assert EnrollmentRequest.objects.get(pk=pending.pk).state == State.PENDING
    assert Decision.objects.count() == 1


def test_the_page_says_why(strict: None, world: World, charlie: User) -> None:
    take_over(world.alice, charlie)
    (request,) = create_requests(world.profile, ["r1.example"])
    world.alice.refresh_from_db()
    answer = signed_in(world.alice).post(
        f"/requests/{request.pk}/reject", {"comment": "no", "view_sha256": "0" * 64}, follow=True
    )
    assert "Ask another officer" in answer.content.decode()


def test_another_officer_and_the_same_one_after_the_period_decide(
    strict: None, world: World, charlie: User
) -> None:
    take_over(world.alice, charlie)
    first, second = create_requests(world.profile, ["r1.example", "r2.example"])
    approve_request(
        request_id=first.pk, principal=principal_of(unchanged(world)), comment="", now=now()
    )
    later = now() + timedelta(days=8)
    approve_request(
        request_id=second.pk, principal=principal_of(world.alice), comment="", now=later
    )


def test_a_certificate_is_revoked_at_any_time_and_released_by_another(
    strict: None, world: World, charlie: User
) -> None:
    Device.named("r1.example").enroll()
    request = EnrollmentRequest.objects.get()
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    run_worker()
    take_over(world.alice, charlie)
    key = Certificate.objects.get(order_id=request.pk).pk
    alice = principal_of(world.alice)
    revoke_certificate(
        certificate_id=key, principal=alice, reason="certificateHold", comment="lost", now=now()
    )
    entry = AuditEntry.objects.get(event="certificate:hold")
    assert "charlie issued" in entry.private_values.get(path="data.account_changes").value
    with pytest.raises(NotPermitted, match="Ask another officer"):
        release_hold(certificate_id=key, principal=principal_of(world.alice), comment="", now=now())
    release_hold(
        certificate_id=key, principal=principal_of(unchanged(world)), comment="", now=now()
    )


def unchanged(_: World) -> User:
    """An officer whose account only its owner changed."""
    return User.objects.filter(username="olga").first() or person_of_test("olga", Role.OFFICER)


def test_a_reopened_request_says_in_the_log_that_the_account_was_changed(
    world: World, charlie: User
) -> None:
    (request,) = create_requests(world.profile, ["r1.example"])
    reject_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="no", now=now()
    )
    take_over(world.alice, charlie)
    reopen_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    entry = AuditEntry.objects.get(event="request:reopen")
    assert "charlie issued" in entry.private_values.get(path="data.account_changes").value


def test_createprofile_turns_the_refusal_on_and_leaves_it_off_otherwise(world: World) -> None:
    options = ["--ca", "issuing", "--approval", "manual", "--challenge", "none"]
    run("createprofile", "vpn", *options)
    run("createprofile", "strict", *options, "--refuse-after-account-change")
    profiles = dict(EnrollmentProfile.objects.values_list("slug", "refuse_after_account_change"))
    assert profiles == {"routers": False, "vpn": False, "strict": True}
    assert AuditEntry.objects.get(event="profile:create", subject_id="strict").data[
        "refuse_after_account_change"
    ]
