"""Departments are a tree; its paths stand in the log, and change no right."""

import json

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models.people import Department, department_ref
from accounts.permissions import can, within
from accounts.principals import PORTAL
from accounts.roles import Role, Verb
from approvals.models.profiles import EnrollmentProfile
from approvals.profiles.manage import save_profile
from audit.events import NO_DEPARTMENT, DepartmentRef
from audit.models import AuditEntry
from tests.world import World, create_person, now


def grow(*names: str) -> list[Department]:
    """Return departments, each below the one before."""
    tree: list[Department] = []
    for name in names:
        parent = tree[-1] if tree else None
        tree.append(Department.objects.create(slug=name.lower(), name=name, parent=parent))
    return tree


def paths() -> list[str]:
    """Return all paths, in order."""
    return sorted(Department.objects.values_list("path", flat=True))


def test_a_path_names_all_departments_from_the_top(db: None) -> None:
    *_, network = grow("Office", "Berlin", "Network")
    assert paths() == ["Office", "Office/Berlin", "Office/Berlin/Network"]
    assert department_ref(network) == DepartmentRef("network", "Office/Berlin/Network")
    assert department_ref(None) == NO_DEPARTMENT


def test_paths_follow_names_and_moves_at_any_depth(db: None) -> None:
    office, berlin, _ = grow("Office", "Berlin", "Network")
    (lab,) = grow("Lab")
    office.name = "Head office"
    office.save(update_fields=["name"])
    assert paths() == ["Head office", "Head office/Berlin", "Head office/Berlin/Network", "Lab"]
    berlin.parent = lab
    berlin.save()
    assert paths() == ["Head office", "Lab", "Lab/Berlin", "Lab/Berlin/Network"]
    berlin.parent = None
    berlin.save()
    assert paths() == ["Berlin", "Berlin/Network", "Head office", "Lab"]


@pytest.mark.parametrize("below", [0, 1, 2])
def test_no_department_is_a_part_of_itself(db: None, below: int) -> None:
    tree = grow("Office", "Berlin", "Network")
    tree[0].parent = tree[below]
    for attempt in (tree[0].clean, tree[0].save):
        with pytest.raises(ValidationError, match="cannot be a part of itself"):
            attempt()
    assert paths() == ["Office", "Office/Berlin", "Office/Berlin/Network"]


def test_the_database_refuses_a_department_that_is_its_own_parent(db: None) -> None:
    (office,) = grow("Office")
    with pytest.raises(IntegrityError), transaction.atomic():
        Department.objects.filter(pk=office.pk).update(parent=office)


def test_a_role_at_a_department_counts_for_it_alone(world: World) -> None:
    office, berlin = grow("Office", "Berlin")
    bob = create_person("bob", Role.OFFICER, department=office)
    world.profile.department = berlin
    world.profile.save()
    assert not can(bob, Verb.REQUEST_VIEW, world.profile)
    mine = EnrollmentProfile.objects.filter(within(bob, Verb.REQUEST_VIEW, "department_id"))
    assert not mine.exists()


def test_the_log_keeps_the_path_of_that_moment(world: World) -> None:
    office, berlin = grow("Office", "Berlin")
    world.profile.department = berlin
    save_profile(world.profile, principal=PORTAL, now=now(), is_new=False)
    office.name = "Head office"
    office.save()
    entry = AuditEntry.objects.latest("id")
    assert (entry.department, entry.department_path) == ("berlin", "Office/Berlin")
    department = json.loads(bytes(entry.canonical))["department"]
    assert department == {"slug": "berlin", "path": "Office/Berlin"}
