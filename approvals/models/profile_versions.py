"""Versions of enrollment profiles: what the settings were, since when, and who set them so."""

from django.db import models

from accounts.models.people import User
from approvals.models.profiles import EnrollmentProfile


class EnrollmentProfileVersion(models.Model):
    """The settings of an enrollment profile as JSON, and the SHA-256 of their canonical form.

    Written once. `actor_kind` says who: a kind of `audit.events.Actor`, or "migration" for settings
    that were there before versions had rows.
    """

    profile = models.ForeignKey(
        EnrollmentProfile, on_delete=models.PROTECT, related_name="versions"
    )
    number = models.PositiveIntegerField()
    settings = models.JSONField()
    settings_sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    actor_kind = models.CharField(max_length=16)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["profile", "number"], name="approvals_profile_version_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.profile} v{self.number}"
