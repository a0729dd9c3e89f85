"""The versions of an enrollment profile: one row for each time that its settings changed."""

from datetime import datetime
from hashlib import sha256
from uuid import UUID

from accounts.principals import Principal, PrincipalKind
from approvals.models.profile_versions import EnrollmentProfileVersion
from approvals.models.profiles import EnrollmentProfile
from approvals.profiles.settings import settings_of
from audit.canonical import canonical_json


def write_version(profile: EnrollmentProfile, *, principal: Principal, now: datetime) -> None:
    """Write the settings of a saved profile as its next version, in the caller's transaction.

    Locks the row of the profile, so that two editors get two numbers. Settings that are those of
    the current version stay that version.
    """
    EnrollmentProfile.objects.select_for_update(of=("self",), no_key=True).get(pk=profile.pk)
    settings = settings_of(profile)
    digest = sha256(canonical_json(settings)).hexdigest()
    current = profile.versions.order_by("number").last()
    if current is None or current.settings_sha256 != digest:
        current = EnrollmentProfileVersion.objects.create(
            profile=profile,
            number=current.number + 1 if current else profile.version,
            settings=settings,
            settings_sha256=digest,
            created_at=now,
            created_by_id=_person_id(principal),
            actor_kind=principal.kind,
        )
    profile.version, profile.current = current.number, current
    EnrollmentProfile.objects.filter(pk=profile.pk).update(version=current.number, current=current)


def _person_id(principal: Principal) -> UUID | None:
    return UUID(principal.identifier) if principal.kind is PrincipalKind.PERSON else None
