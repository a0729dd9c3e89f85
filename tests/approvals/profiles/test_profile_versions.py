"""Each change of the settings of an enrollment profile is a version, and requests name theirs."""

import importlib
import json
from hashlib import sha256

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction

from accounts.principals import PORTAL, Principal
from accounts.roles import Role
from approvals.models.profile_versions import EnrollmentProfileVersion
from approvals.models.profiles import EnrollmentProfile, OnDuplicate
from approvals.models.requests import EnrollmentRequest
from approvals.profiles.manage import pause_profile, save_profile
from approvals.profiles.settings import SETTINGS, settings_of
from approvals.records.profile_versions import enrollment_profile_of
from audit.canonical import canonical_json
from audit.events import Event
from audit.models import AuditEntry
from tests.world import Device, World, create_person, now, principal_of

MIGRATION = "approvals.migrations.0028_enrollment_profile_versions"
#: Fields of the model that are no settings.
_NO_SETTINGS = {
    "id",
    "slug",
    "paused_at",
    "is_test",
    "for_self_test",
    "version",
    "current_id",
    "created_at",
}


def versions() -> list[EnrollmentProfileVersion]:
    """Return the versions of all profiles, oldest first."""
    return list(EnrollmentProfileVersion.objects.order_by("number"))


def change(profile: EnrollmentProfile, principal: Principal = PORTAL, **settings: object) -> None:
    """Save a profile with other settings."""
    for name, value in settings.items():
        setattr(profile, name, value)
    save_profile(profile, principal=principal, now=now(), is_new=False)


def test_a_profile_begins_with_version_1(world: World) -> None:
    (version,) = versions()
    assert world.profile.current == version
    assert (version.number, version.actor_kind, version.created_by) == (1, "system", None)
    assert version.settings == settings_of(world.profile)
    digest = sha256(canonical_json(version.settings)).hexdigest()
    assert version.settings_sha256 == digest


def test_each_change_of_settings_is_a_version_that_says_who(world: World) -> None:
    admin = create_person("bob", Role.ADMINISTRATOR)
    bob = principal_of(admin)
    change(world.profile, bob, on_duplicate=OnDuplicate.FAIL)
    change(world.profile, bob)
    first, second = versions()
    world.profile.refresh_from_db()
    assert (world.profile.version, world.profile.current) == (2, second)
    assert (second.created_by, second.actor_kind) == (admin, "user")
    assert (first.settings["on_duplicate"], second.settings["on_duplicate"]) == (
        "redeliver",
        "fail",
    )
    entry = AuditEntry.objects.filter(event=Event.PROFILE_CHANGE).latest("id")
    assert entry.data["version"] == 2


def test_a_pause_is_no_change_of_settings(world: World) -> None:
    admin = create_person("bob", Role.ADMINISTRATOR)
    pause_profile(profile=world.profile, principal=principal_of(admin), now=now())
    world.profile.refresh_from_db()
    assert (world.profile.version, len(versions())) == (1, 1)


def test_an_editor_who_read_the_profile_before_another_one_saved_gets_the_next_number(
    world: World,
) -> None:
    stale = EnrollmentProfile.objects.get()
    change(world.profile, required_approvals=2)
    change(stale, required_approvals=3)
    assert [version.number for version in versions()] == [1, 2, 3]
    stale.refresh_from_db()
    assert stale.version == 3


def test_requests_and_the_log_name_the_version_they_met(world: World) -> None:
    Device.named("r1.example").enroll()
    first = EnrollmentRequest.objects.get()
    change(world.profile, max_open_requests=7)
    Device.named("r2.example", key="bob").enroll()
    second = EnrollmentRequest.objects.latest("id")
    assert [request.enrollment_profile_version for request in (first, second)] == versions()
    for request, version in zip((first, second), versions(), strict=True):
        named = {"version": version.number, "digest": version.settings_sha256}
        assert enrollment_profile_of(request) == named
        entry = AuditEntry.objects.get(event="request:submit", subject_id=str(request.pk))
        assert entry.data["enrollment_profile_version"] == version.number
        assert entry.data["enrollment_profile_sha256"] == version.settings_sha256


def test_a_request_from_before_versions_had_rows_names_none(world: World) -> None:
    assert enrollment_profile_of(EnrollmentRequest()) is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE approvals_enrollmentprofileversion SET number = 9",
        "DELETE FROM approvals_enrollmentprofileversion",
    ],
)
def test_versions_are_never_changed(world: World, statement: str) -> None:
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_the_version_of_a_request_is_never_changed(world: World) -> None:
    Device.named("r1.example").enroll()
    change(world.profile, max_open_requests=7)
    with pytest.raises(DatabaseError), transaction.atomic():
        EnrollmentRequest.objects.update(enrollment_profile_version=world.profile.current)


def test_the_migration_writes_the_same_settings_as_the_table(world: World) -> None:
    """As long as the table has no setting that the migration does not know."""
    migration = importlib.import_module(MIGRATION)
    assert migration.settings_of(world.profile) == settings_of(world.profile)
    fresh = EnrollmentProfile.objects.get()
    EnrollmentProfile.objects.update(version=4, current=None)
    migration.write_versions(apps, None)
    fresh.refresh_from_db()
    assert fresh.current is not None
    assert (fresh.current.number, fresh.current.actor_kind) == (4, "migration")
    assert json.loads(canonical_json(fresh.current.settings)) == fresh.current.settings


def test_every_field_of_a_profile_is_a_setting_or_known_to_be_none() -> None:
    fields = {field.attname for field in EnrollmentProfile._meta.concrete_fields}
    names = {setting.field for setting in SETTINGS} | {
        f"{setting.field}_id" for setting in SETTINGS
    }
    assert fields - names == _NO_SETTINGS
