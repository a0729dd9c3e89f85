"""Permissions: `can(user, verb, object)` decides alone, and refuses all it does not know."""

from typing import Protocol

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q

from accounts.models.people import User
from accounts.roles import VERBS_OF, Role, Verb


class InDepartment(Protocol):
    """An object of a department (None: of the whole organization)."""

    @property
    def department_id(self) -> int | None:
        """The department's primary key."""


def can(user: User | AnonymousUser, verb: Verb, obj: InDepartment | None = None) -> bool:
    """Return whether the user may do `verb` to `obj`; without an object, to any object at all.

    A role without department counts everywhere; one with a department counts only for objects of
    that department.
    """
    if not isinstance(user, User) or not user.is_active:
        return False
    roles = [
        assignment for assignment in _assignments(user) if verb in VERBS_OF[Role(assignment[0])]
    ]
    if obj is None:
        return bool(roles)
    return any(department in (None, obj.department_id) for _, department in roles)


def within(user: User | AnonymousUser, verb: Verb, path: str) -> Q:
    """Return the filter for objects to which the user may do `verb`.

    `path` leads to the id of their department.
    """
    if not isinstance(user, User) or not user.is_active:
        return Q(pk__in=[])
    departments = [
        department for role, department in _assignments(user) if verb in VERBS_OF[Role(role)]
    ]
    if None in departments:
        return Q()
    return Q(**{f"{path}__in": departments}) if departments else Q(pk__in=[])


def roles_of(user: User) -> frozenset[Role]:
    """Return the user's roles, in any department."""
    return frozenset(Role(role) for role, _ in _assignments(user))


def _assignments(user: User) -> list[tuple[str, int | None]]:
    """The user's (role, department id) pairs, read once per user object (that is, per request)."""
    cached: list[tuple[str, int | None]] | None = getattr(user, "_role_pairs", None)
    if cached is None:
        cached = list(user.role_assignments.values_list("role", "department_id"))
        user._role_pairs = cached  # type: ignore[attr-defined]  # noqa: SLF001 - a cache that lives as long as the request's user
    return cached
