"""Certificate profiles and their versions."""

from hashlib import sha256

from django.db import models

from accounts.models.people import User
from audit.canonical import canonical_json
from ca.content.csr_review import ProfileError, ProfileSpec


class CertificateProfile(models.Model):
    """What a certificate contains.

    Its rules live in versions: what was approved never changes after the fact.
    """

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    current = models.ForeignKey(
        "CertificateProfileVersion",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        editable=False,
    )

    def __str__(self) -> str:
        return self.name


class CertificateProfileVersion(models.Model):
    """One version of a certificate profile: the resolved `ProfileSpec` as JSON and its SHA-256."""

    profile = models.ForeignKey(
        CertificateProfile, on_delete=models.PROTECT, related_name="versions"
    )
    number = models.PositiveIntegerField()
    spec = models.JSONField()
    spec_sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["profile", "number"], name="ca_profile_version_once")
        ]

    def __str__(self) -> str:
        return f"{self.profile} v{self.number}"

    def resolve(self) -> ProfileSpec:
        """Return the rules of this version; raises ProfileError where they lost the digest they
        were kept with.
        """
        if sha256(canonical_json(self.spec)).hexdigest() != self.spec_sha256:
            raise ProfileError(
                f"certificate profile {self.profile_id} version {self.number}: changed after it "
                "was made"
            )
        return ProfileSpec.from_json(self.spec)
