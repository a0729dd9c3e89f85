"""Creates people with their roles, grants and revokes roles; each step writes an audit entry."""

from dataclasses import dataclass, field
from datetime import datetime

from django.contrib.auth.password_validation import validate_password
from django.db import transaction

from accounts.models.changes import ChangeKind
from accounts.models.people import Department, RoleAssignment, User, department_ref
from accounts.people.changes import Author, is_person, note_change, note_role
from accounts.principals import Principal
from accounts.roles import Role
from audit.events import DepartmentRef, Event, Personal, Subject
from audit.log import record


class RoleUnchanged(Exception):
    """The person has the role already, or does not have it; `str()` is a sentence."""


class LastAdministrator(Exception):
    """The change would leave no active administrator of the whole organization.

    `str()` is a sentence.
    """

    def __init__(self, user: User) -> None:
        super().__init__(
            f"user {user.username!r} is the only active administrator of the whole organization: "
            "first grant the role "
            "administrator, without a department, to another active person"
        )


@dataclass(frozen=True, slots=True)
class NewPerson:
    """The data of a new person.

    With a department the roles count only there; without a password the person sets one by a link.
    """

    username: str
    roles: tuple[Role, ...]
    password: str = field(default="", repr=False)
    email: str = ""
    full_name: str = ""
    department: Department | None = None


def create_person(person: NewPerson, *, principal: Principal, now: datetime) -> User:
    """Create a user and grant the roles.

    Raises ValidationError for an invalid or taken name, or a weak password. A password in the order
    is known to another person, and is recorded as such.
    """
    user = User(
        username=person.username,
        email=User.objects.normalize_email(person.email),
        full_name=person.full_name,
    )
    user.date_joined = now
    user.set_unusable_password()
    user.full_clean()
    if person.password:
        validate_password(person.password, user)
        user.set_password(person.password)
    department = department_ref(person.department)
    with transaction.atomic():
        user.save(force_insert=True)
        subject = Subject.of("user", user.pk)
        data = {
            "username": Personal(user.username),
            **({"password": "set by command"} if person.password else {}),
        }
        record(
            Event.USER_CREATE,
            actor=principal.actor,
            now=now,
            subject=subject,
            data=data,
            department=department,
        )
        if person.password:
            note_change(user, ChangeKind.COMMAND_PASSWORD, author=Author.of(principal), now=now)
        for role in person.roles:
            RoleAssignment.objects.create(
                user=user, role=role, department=person.department, granted_at=now
            )
            record_role(
                Event.ROLE_GRANT, user, role, principal=principal, now=now, department=department
            )
    return user


def grant_role(
    user: User, role: Role, department: Department | None, *, principal: Principal, now: datetime
) -> None:
    """Grant a role, everywhere or for one department.

    Raises RoleUnchanged if the person already has it there.
    """
    with transaction.atomic():
        if RoleAssignment.objects.filter(user=user, role=role, department=department).exists():
            raise RoleUnchanged(f"user {user.username!r}: has the role {role.value} already")
        RoleAssignment.objects.create(user=user, role=role, department=department, granted_at=now)
        record_role(
            Event.ROLE_GRANT,
            user,
            role,
            principal=principal,
            now=now,
            department=department_ref(department),
        )


def revoke_role(
    user: User, role: Role, department: Department | None, *, principal: Principal, now: datetime
) -> None:
    """Revoke a role.

    Raises RoleUnchanged if the person does not have it there, and LastAdministrator.
    """
    with transaction.atomic():
        if role is Role.ADMINISTRATOR and department is None:
            keep_an_administrator(user)
        if not RoleAssignment.objects.filter(user=user, role=role, department=department).delete()[
            0
        ]:
            raise RoleUnchanged(f"user {user.username!r}: does not have the role {role.value}")
        record_role(
            Event.ROLE_REVOKE,
            user,
            role,
            principal=principal,
            now=now,
            department=department_ref(department),
        )


def record_role(
    event: Event,
    user: User,
    role: Role,
    *,
    principal: Principal,
    now: datetime,
    department: DepartmentRef,
) -> None:
    """Record a granted or revoked role in the caller's transaction; tell a person of a new one."""
    data = {"role": role.value, "department": department.slug}
    if event is Event.ROLE_GRANT and is_person(principal, user):
        data["to_themself"] = "yes"
    record(
        event,
        actor=principal.actor,
        now=now,
        subject=Subject.of("user", user.pk),
        data=data,
        department=department,
    )
    if event is Event.ROLE_GRANT:
        note_role(user, role, principal=principal, now=now)


def keep_an_administrator(user: User) -> None:
    """Raise LastAdministrator if this person is the only administrator of the whole organization.

    Call it in a transaction: the role's rows stay locked until it ends, so that two administrators
    cannot revoke each other's role at the same time.
    """
    unrestricted = RoleAssignment.objects.filter(role=Role.ADMINISTRATOR, department__isnull=True)
    holders = list(
        unrestricted.select_for_update().order_by("pk").values_list("user_id", flat=True)
    )
    if list(User.objects.filter(pk__in=holders, is_active=True).values_list("pk", flat=True)) == [
        user.pk
    ]:
        raise LastAdministrator(user)


def switch_account(user: User, *, is_active: bool, principal: Principal, now: datetime) -> bool:
    """Enable or disable an account; disabling ends its sessions and tokens at once.

    Returns False if nothing changed. Raises LastAdministrator.
    """
    with transaction.atomic():
        if not is_active:
            keep_an_administrator(user)
        if not User.objects.filter(pk=user.pk, is_active=not is_active).update(is_active=is_active):
            return False
        user.is_active = is_active
        data = {"changed": ["is_active"], "is_active": is_active}
        record(
            Event.USER_CHANGE,
            actor=principal.actor,
            now=now,
            subject=Subject.of("user", user.pk),
            data=data,
        )
    return True
