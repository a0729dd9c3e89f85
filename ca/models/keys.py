"""Keys that the CA knows besides its own: keys of the portal's services, and keys that are never
certified.
"""

from django.db import models

from accounts.models.people import User
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import Certificate
from database.ids import uuid7


class ServicePurpose(models.TextChoices):
    """What a key of the portal is for.

    The second and third belong together: a split RA has one key for each use.
    """

    RA = "scep-ra", "SCEP RA"
    RA_SIGNING = "scep-ra-sign", "SCEP RA, signs"
    RA_ENCRYPTION = "scep-ra-encrypt", "SCEP RA, decrypts"
    CONFIGURATION = "configuration", "device configurations"


class ServiceKey(models.Model):
    """A key of the portal itself: made by its user (key and CSR), certified by the signing worker.

    `signing_key` of a key that decrypts for a split RA is the one that signs its answers. Once
    retired, its file is removed and nothing uses it any more.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    ca = models.ForeignKey(
        CertificateAuthority, on_delete=models.PROTECT, related_name="service_keys"
    )
    purpose = models.CharField(max_length=16, choices=ServicePurpose.choices)
    key_name = models.CharField(max_length=100, unique=True)
    csr = models.BinaryField()
    spki_sha256 = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()
    certificate = models.OneToOneField(
        Certificate, on_delete=models.PROTECT, null=True, related_name="+"
    )
    signing_key = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, related_name="encryption_key"
    )
    retired_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["ca", "purpose", "id"], name="ca_service_key_by_purpose")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(purpose="scep-ra-encrypt", signing_key__isnull=False)
                | (~models.Q(purpose="scep-ra-encrypt") & models.Q(signing_key__isnull=True)),
                name="ca_encryption_key_has_signing_key",
            )
        ]

    def __str__(self) -> str:
        return f"{self.purpose} of {self.ca}"


class BlockedKey(models.Model):
    """A public key that is never certified, by the word of an administrator: SHA-256 over its SPKI,
    hex.
    """

    spki_sha256 = models.CharField(max_length=64, unique=True)
    reason = models.CharField(max_length=300)
    blocked_at = models.DateTimeField()
    blocked_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    blocked_by_name = models.CharField(max_length=150)  # also where a command did it

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(reason=""), name="ca_blocked_key_has_reason"
            ),
        ]

    def __str__(self) -> str:
        return str(self.spki_sha256)

    @property
    def department_id(self) -> int | None:
        """None, for `can`: a key is blocked for the whole organization."""
        return None
