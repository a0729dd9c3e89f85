"""Certificate profiles and their versions: what is written, and what is read once."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from accounts.principals import Principal
from audit.events import Event, Subject
from audit.log import record
from ca.content.csr_review import ProfileSpec
from ca.models.profiles import CertificateProfile, CertificateProfileVersion
from database.caches import remembered


def create_profile(
    *, slug: str, name: str, spec: ProfileSpec, principal: Principal, now: datetime
) -> CertificateProfile:
    """Create a certificate profile with its first version."""
    with transaction.atomic():
        profile = CertificateProfile.objects.create(slug=slug, name=name)
        save_profile_version(profile, spec, principal=principal, now=now)
        return profile


def save_profile_version(
    profile: CertificateProfile,
    spec: ProfileSpec,
    *,
    principal: Principal,
    now: datetime,
) -> CertificateProfileVersion:
    """Add a version with these rules and make it current; the current one is returned where nothing
    changed.

    Locks the profile's row, so that two editors get two numbers.
    """
    with transaction.atomic():
        locked = CertificateProfile.objects.select_for_update(of=("self",)).get(pk=profile.pk)
        digest = spec.digest().hex()
        before = locked.current
        if before is not None and before.spec_sha256 == digest:
            return before
        version = CertificateProfileVersion.objects.create(
            profile=locked,
            number=before.number + 1 if before else 1,
            spec=spec.to_json(),
            spec_sha256=digest,
            created_at=now,
            created_by=principal.user,
        )
        CertificateProfile.objects.filter(pk=locked.pk).update(current=version)
        profile.current = version
        record(
            Event.CERTIFICATE_PROFILE_CHANGE if before else Event.CERTIFICATE_PROFILE_CREATE,
            actor=principal.actor,
            now=now,
            subject=Subject.of("certificate-profile", locked.slug),
            data={
                "version": version.number,
                "spec_sha256": digest,
                "before_sha256": before.spec_sha256 if before else "",
                "spec": spec.to_json(),
            },
        )
        return version


def record_new_name(
    profile: CertificateProfile, before: str, *, principal: Principal, now: datetime
) -> None:
    """Record that a profile is called otherwise, in the transaction that saves it."""
    record(
        Event.CERTIFICATE_PROFILE_CHANGE,
        actor=principal.actor,
        now=now,
        subject=Subject.of("certificate-profile", profile.slug),
        data={"name": profile.name, "name_before": before},
    )


@remembered("rules of certificate profiles", most=256)
def resolve_version(version_id: int) -> ProfileSpec:
    """Return the rules of a profile version.

    A version never changes, so a process reads it once.
    """
    return CertificateProfileVersion.objects.get(pk=version_id).resolve()


@dataclass(frozen=True, slots=True)
class VersionLabel:
    """What people call a version of a certificate profile, and the digest of its rules."""

    profile: str
    number: int
    spec_sha256: str


@remembered("names of certificate profiles", most=256)
def label_of(version_id: int) -> VersionLabel:
    """Return the label of a profile version. Like its rules it never changes."""
    version = CertificateProfileVersion.objects.select_related("profile").get(pk=version_id)
    return VersionLabel(version.profile.slug, version.number, version.spec_sha256)
