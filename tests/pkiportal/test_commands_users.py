"""People by command: each change on record, by the operating-system user."""

from collections.abc import Callable
from html import unescape

import pytest
from django.core.management.base import CommandError
from django.urls import reverse

from accounts.models.changes import PasswordLink
from accounts.models.people import Department, RoleAssignment, User
from accounts.people.password_links import redeem_link
from accounts.permissions import roles_of
from accounts.roles import Role
from audit.models import AuditEntry
from pkiportal.management.arguments import operating_system_user
from tests.pages import signed_in
from tests.pkiportal.commands import run, run_json
from tests.world import create_person, now

PASSWORD = "a password of Olga 17"


@pytest.fixture
def olga(db: None) -> User:
    return create_person("olga", Role.OFFICER)


@pytest.fixture
def charlie(db: None) -> User:
    return create_person("charlie", Role.ADMINISTRATOR)


def last(event: str) -> tuple[str, dict[str, str]]:
    """The kind of actor and the personal values of the newest entry of an event."""
    entry = AuditEntry.objects.filter(event=event).latest("id")
    return entry.actor_kind, dict(entry.private_values.values_list("path", "value"))


def test_list_and_show_say_who_may_do_what(olga: User, charlie: User) -> None:
    listed = run_json("users", "list")
    assert [(item["name"], item["roles"], item["active"]) for item in listed] == [
        ("charlie", ["administrator"], True),
        ("olga", ["officer"], True),
    ]
    assert "olga" in run("users", "list")
    run("users", "roles", "olga", "--grant", "auditor")
    document = run_json("users", "show", "olga")
    assert (document["has_password"], document["open_link"]) == (True, False)
    assert document["changes"][0].startswith(
        f"Role auditor granted by {operating_system_user()}, by command, "
    )
    assert "Role auditor granted" in run("users", "show", "olga")
    assert "md5$" not in str(document)


def test_roles_are_granted_and_taken_away_in_one_go(olga: User) -> None:
    branch = Department.objects.create(slug="branch", name="Branch")
    run(
        "users",
        "roles",
        "olga",
        "--grant",
        "officer",
        "--grant",
        "auditor",
        "--department",
        "branch",
    )
    assert olga.role_assignments.filter(department=branch).count() == 2
    document = run_json("users", "roles", "olga", "--grant", "auditor", "--revoke", "officer")
    assert sorted(document["roles"]) == ["auditor", "auditor in branch", "officer in branch"]
    assert last("role:revoke") == ("command", {"actor.name": operating_system_user()})
    with pytest.raises(CommandError, match="has the role auditor already"):
        run("users", "roles", "olga", "--revoke", "auditor", "--grant", "auditor")
    with pytest.raises(CommandError, match="does not have the role officer"):
        run("users", "roles", "olga", "--grant", "administrator", "--revoke", "officer")
    assert Role.ADMINISTRATOR not in roles_of(User.objects.get(pk=olga.pk))
    with pytest.raises(CommandError, match="--grant or --revoke"):
        run("users", "roles", "olga")


def test_a_switched_off_account_ends_at_once_and_comes_back(olga: User) -> None:
    browser = signed_in(olga)
    assert run_json("users", "disable", "olga")["active"] is False
    assert browser.get("/queue/").status_code == 302
    with pytest.raises(CommandError, match="switched off already"):
        run("users", "disable", "olga")
    assert "switched on" in run("users", "enable", "olga")
    assert AuditEntry.objects.filter(event="user:change", subject_id=str(olga.pk)).count() == 2


def test_the_link_is_printed_once_and_sets_the_password(olga: User) -> None:
    document = run_json("users", "setup-link", "olga")
    redeem_link(document["password_link"].rpartition("/")[2], PASSWORD, address="", now=now())
    assert User.objects.get(pk=olga.pk).check_password(PASSWORD)
    text = run("users", "setup-link", "olga")
    assert "/account/password/link/" in text
    assert "You see it" in text
    run("users", "disable", "olga")
    with pytest.raises(CommandError, match="switched off"):
        run("users", "setup-link", "olga")


@pytest.mark.parametrize("action", ["disable", "setup-link", "roles"])
def test_an_administrator_who_is_named_is_recorded_as_asserted(
    olga: User, charlie: User, action: str
) -> None:
    run(
        "users",
        action,
        "olga",
        *(["--grant", "auditor"] if action == "roles" else []),
        "--by",
        "charlie",
    )
    event = {"disable": "user:change", "setup-link": "password-link:create", "roles": "role:grant"}[
        action
    ]
    kind, values = last(event)
    assert kind == "command"
    assert (values["actor.name"], values["actor.on_behalf_of"]) == (
        operating_system_user(),
        "charlie",
    )
    if action == "setup-link":
        issued_by = PasswordLink.objects.get().issued_by
        assert (
            issued_by
            == f"{operating_system_user()}, by command for charlie (asserted, not authenticated)"
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "olaf"), "user 'olaf': not known, there are charlie, olga"),
        (("disable", "olga", "--by", "olga"), "administrator 'olga': not known, there are charlie"),
        (("setup-link", ""), "user '': not known"),
        (("roles", "olga", "--grant", "auditor", "--department", "x"), "department 'x': not known"),
        (("enable", "olga"), "switched on already"),
    ],
)
def test_wrong_names_are_named(
    olga: User, charlie: User, arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(CommandError, match=message):
        run("users", *arguments)


def test_createuser_without_a_password_prints_the_link(db: None) -> None:
    document = run_json("createuser", "dora", "--role", "auditor")
    dora = User.objects.get(username="dora")
    assert not dora.has_usable_password()
    redeem_link(document["password_link"].rpartition("/")[2], PASSWORD, address="", now=now())
    assert User.objects.get(pk=dora.pk).check_password(PASSWORD)
    assert "shown once" in run("createuser", "emil", "--role", "auditor")


TO_OTHERS: dict[str, tuple[Role, bool, str | None]] = {
    "no other account": (Role.OFFICER, True, None),
    "another is switched off": (Role.ADMINISTRATOR, False, None),
    "another administers a department": (Role.ADMINISTRATOR, True, "branch"),
    "another decides": (Role.OFFICER, True, "branch"),
    "another reads the log": (Role.AUDITOR, True, None),
}


def disable_by_command(charlie: User) -> str:
    with pytest.raises(CommandError) as refusal:
        run("users", "disable", charlie.username)
    return str(refusal.value)


def take_role_by_command(charlie: User) -> str:
    with pytest.raises(CommandError) as refusal:
        run("users", "roles", charlie.username, "--grant", "auditor", "--revoke", "administrator")
    return str(refusal.value)


def save_in_admin(charlie: User, *, is_active: bool, takes_role: bool) -> str:
    role = charlie.role_assignments.get(role=Role.ADMINISTRATOR, department=None)
    form = {
        "username": charlie.username,
        "role_assignments-TOTAL_FORMS": "1",
        "role_assignments-INITIAL_FORMS": "1",
        "role_assignments-0-id": str(role.pk),
        "role_assignments-0-user": str(charlie.pk),
        **({"is_active": "on"} if is_active else {}),
        **({"role_assignments-0-DELETE": "on"} if takes_role else {}),
    }
    page = signed_in(charlie).post(reverse("admin:accounts_user_change", args=[charlie.pk]), form)
    return unescape(page.content.decode())


WAYS: dict[str, Callable[[User], str]] = {
    "disabled by command": disable_by_command,
    "role taken by command": take_role_by_command,
    "disabled by page": lambda charlie: save_in_admin(charlie, is_active=False, takes_role=False),
    "role taken by page": lambda charlie: save_in_admin(charlie, is_active=True, takes_role=True),
    "both by page": lambda charlie: save_in_admin(charlie, is_active=False, takes_role=True),
}


@pytest.mark.parametrize("others", TO_OTHERS)
@pytest.mark.parametrize("way", WAYS)
def test_the_last_administrator_stays(charlie: User, way: str, others: str) -> None:
    role, is_active, department = TO_OTHERS[others]
    branch = Department.objects.create(slug="branch", name="Branch")
    if others != "no other account":
        dora = create_person("dora", role, department=branch if department else None)
        User.objects.filter(pk=dora.pk).update(is_active=is_active)
    RoleAssignment.objects.create(user=charlie, role=Role.OFFICER, department=branch)
    assert (
        "'charlie' is the only active administrator of the whole organization: first grant"
        in WAYS[way](charlie)
    )
    charlie.refresh_from_db()
    assert charlie.is_staff
    assert charlie.role_assignments.count() == 2
    assert not AuditEntry.objects.filter(
        event__in=["user:change", "role:grant", "role:revoke"]
    ).exists()


@pytest.mark.parametrize("way", ["disable", "roles"])
def test_with_another_administrator_the_first_may_go(charlie: User, way: str) -> None:
    create_person("dora", Role.ADMINISTRATOR)
    run("users", way, "charlie", *(["--revoke", "administrator"] if way == "roles" else []))
    assert not User.objects.get(pk=charlie.pk).is_staff
    with pytest.raises(CommandError, match="'dora' is the only active administrator"):
        run("users", way, "dora", *(["--revoke", "administrator"] if way == "roles" else []))
