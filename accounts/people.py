"""People are created with their roles in one step, each with an entry in the log."""

from dataclasses import dataclass, field
from datetime import datetime

from django.contrib.auth.password_validation import validate_password
from django.db import transaction

from accounts.models import Department, RoleAssignment, User
from accounts.roles import Role
from audit.events import Actor, Event, Personal, Subject
from audit.log import record


@dataclass(frozen=True, slots=True)
class NewPerson:
    """Who is to be created. With a department the roles count only there."""

    username: str
    password: str = field(repr=False)
    roles: tuple[Role, ...]
    email: str = ""
    full_name: str = ""
    department: Department | None = None


def create_person(person: NewPerson, *, actor: Actor, now: datetime) -> User:
    """Create a user and grant the roles. Raises ValidationError for a bad or taken name, or a weak password."""
    user = User(username=person.username, email=User.objects.normalize_email(person.email), full_name=person.full_name)
    user.date_joined = now
    user.set_unusable_password()
    user.full_clean()
    validate_password(person.password, user)
    user.set_password(person.password)
    department = person.department.slug if person.department else ""
    with transaction.atomic():
        user.save(force_insert=True)
        subject = Subject.of("user", user.pk)
        data = {"username": Personal(user.username)}
        record(Event.USER_CREATE, actor=actor, now=now, subject=subject, data=data, department=department)
        for role in person.roles:
            RoleAssignment.objects.create(user=user, role=role, department=person.department, granted_at=now)
            granted = {"role": role.value, "department": department}
            record(Event.ROLE_GRANT, actor=actor, now=now, subject=subject, data=granted, department=department)
    return user
