"""Which version of its enrollment profile a request met."""

from dataclasses import dataclass

from approvals.models.profile_versions import EnrollmentProfileVersion
from approvals.models.requests import EnrollmentRequest
from database.caches import remembered


@dataclass(frozen=True, slots=True)
class ProfileVersionLabel:
    """The number of a version, and the digest of its settings."""

    number: int
    settings_sha256: str


@remembered("numbers of enrollment profile versions", most=256)
def label_of_profile_version(version_id: int) -> ProfileVersionLabel:
    """Return the label of a version. Like its settings it never changes."""
    version = EnrollmentProfileVersion.objects.only("number", "settings_sha256").get(pk=version_id)
    return ProfileVersionLabel(version.number, version.settings_sha256)


def enrollment_profile_of(request: EnrollmentRequest) -> dict[str, int | str] | None:
    """Return the version that a request met as decision documents name it; None for a request that
    came before versions had rows.
    """
    if request.enrollment_profile_version_id is None:
        return None
    label = label_of_profile_version(request.enrollment_profile_version_id)
    return {"version": label.number, "digest": label.settings_sha256}
