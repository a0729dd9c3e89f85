"""Authorities, versioned certificate profiles and the certificate store. The CA knows nothing of requests."""

from datetime import datetime
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from accounts.models import User
from audit.ids import uuid7
from ca.profiles import ProfileSpec


class TermField(models.CharField):  # type: ignore[type-arg]  # django-stubs: the field's value types are CharField's own
    """Text that is searched by its beginning: compared byte by byte, so that an index serves `prefix <= term < end`."""

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        """Ask PostgreSQL for the C collation; SQLite compares bytes by default."""
        parameters = super().db_parameters(connection)
        if connection.vendor == "postgresql":
            parameters["collation"] = "C"
        return parameters


class CertificateAuthority(models.Model):
    """An issuer with a key. Its key file is named `key_name` in the CA key folder; only the signing worker opens it."""

    name = models.SlugField(unique=True)
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="children")
    subject = models.CharField(max_length=500)
    certificate = models.BinaryField()
    certificate_sha256 = models.CharField(max_length=64, unique=True)
    key_name = models.CharField(max_length=100, unique=True)
    key_type = models.CharField(max_length=20)
    not_before = models.DateTimeField()
    not_after = models.DateTimeField()
    created_at = models.DateTimeField()
    paused_at = models.DateTimeField(null=True, blank=True)
    is_test = models.BooleanField(default=False)

    class Meta:
        verbose_name = "certification authority"
        verbose_name_plural = "certification authorities"

    def __str__(self) -> str:
        return self.name

    @property
    def certificate_der(self) -> bytes:
        """The authority's own certificate, DER."""
        return bytes(self.certificate)

    def chain(self) -> list["CertificateAuthority"]:
        """Return the authority and its parents, the root last."""
        chain: list[CertificateAuthority] = []
        authority: CertificateAuthority | None = self
        while authority is not None:
            chain.append(authority)
            authority = authority.parent
        return chain


class CertificateProfile(models.Model):
    """What a certificate contains. Its rules live in versions: what was approved never changes after the fact."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    current = models.ForeignKey(
        "CertificateProfileVersion", on_delete=models.PROTECT, null=True, blank=True, related_name="+", editable=False
    )

    def __str__(self) -> str:
        return self.name


class CertificateProfileVersion(models.Model):
    """One version of a certificate profile: the resolved `ProfileSpec` as JSON and its SHA-256."""

    profile = models.ForeignKey(CertificateProfile, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    spec = models.JSONField()
    spec_sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["profile", "number"], name="ca_profile_version_once")]

    def __str__(self) -> str:
        return f"{self.profile} v{self.number}"

    def resolve(self) -> ProfileSpec:
        """Return the rules of this version."""
        return ProfileSpec.from_json(self.spec)


class CertificateStatus(models.TextChoices):
    """PREPARED: its bytes are recorded, a signature may exist. ABANDONED: given up; its serial counts as revoked."""

    PREPARED = "PREPARED", "being signed"
    ISSUED = "ISSUED", "issued"
    ON_HOLD = "ON_HOLD", "on hold"
    REVOKED = "REVOKED", "revoked"
    ABANDONED = "ABANDONED", "abandoned"


class CertificateKind(models.TextChoices):
    """Why a certificate exists: an order of the RA, or a service of this portal (the SCEP RA certificate)."""

    ORDERED = "ordered", "ordered"
    SERVICE = "service", "service"


class Certificate(models.Model):
    """Everything this CA prepared or issued, from the moment its to-be-signed bytes were fixed.

    `order_id` is the identifier under which it was ordered (the enrollment request, or the service key).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    ca = models.ForeignKey(CertificateAuthority, on_delete=models.PROTECT, related_name="certificates")
    kind = models.CharField(max_length=8, choices=CertificateKind.choices, default=CertificateKind.ORDERED)
    order_id = models.UUIDField()
    status = models.CharField(max_length=9, choices=CertificateStatus.choices, default=CertificateStatus.PREPARED)
    serial_hex = models.CharField(max_length=40)
    subject = models.CharField(max_length=1000)
    names = models.JSONField(default=list)
    profile_version = models.ForeignKey(
        CertificateProfileVersion, on_delete=models.PROTECT, null=True, related_name="+"
    )
    spki_sha256 = models.CharField(max_length=64)
    not_before = models.DateTimeField()
    not_after = models.DateTimeField()
    tbs = models.BinaryField()
    tbs_sha256 = models.CharField(max_length=64, unique=True)
    der = models.BinaryField(null=True)
    der_sha256 = models.CharField(max_length=64, unique=True, null=True)  # noqa: DJ001 - NULL is "not signed yet"; '' would not be unique
    prepared_at = models.DateTimeField()
    issued_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["ca", "serial_hex"], name="ca_serial_once"),
            models.UniqueConstraint(
                fields=["order_id"], condition=~models.Q(status="ABANDONED"), name="ca_one_certificate_per_order"
            ),
            models.CheckConstraint(condition=models.Q(status__in=CertificateStatus.values), name="ca_status_known"),
            models.CheckConstraint(
                condition=models.Q(
                    status__in=["ISSUED", "ON_HOLD", "REVOKED"], der__isnull=False, issued_at__isnull=False
                )
                | models.Q(status__in=["PREPARED", "ABANDONED"], der__isnull=True, issued_at__isnull=True),
                name="ca_issued_means_der",
            ),
        ]
        indexes = [
            models.Index(fields=["kind", "id"], name="ca_cert_by_kind"),
            models.Index(fields=["kind", "status", "id"], name="ca_cert_by_status"),
            models.Index(fields=["ca", "id"], name="ca_cert_by_ca"),
            models.Index(fields=["spki_sha256"], name="ca_cert_by_key"),
            models.Index(fields=["serial_hex"], name="ca_cert_by_serial"),
            models.Index(fields=["not_after"], name="ca_cert_by_expiry"),
        ]

    def __str__(self) -> str:
        return f"{self.subject} ({self.serial_hex})"

    @property
    def tbs_der(self) -> bytes:
        """The to-be-signed bytes, as they were fixed before signing."""
        return bytes(self.tbs)

    @property
    def certificate_der(self) -> bytes:
        """The certificate, DER; raises LookupError while there is none."""
        if self.der is None:
            raise LookupError(f"certificate {self.serial_hex} is {self.status}: it has no signature on record")
        return bytes(self.der)

    def is_deliverable(self, now: datetime) -> bool:
        """Return whether a device may be given this certificate: issued, not revoked, not on hold, not expired."""
        return self.status == CertificateStatus.ISSUED and now <= self.not_after


class CertificateTerm(models.Model):
    """One word by which a certificate is found, exactly or by its beginning, in lower case."""

    certificate = models.ForeignKey(Certificate, on_delete=models.CASCADE, related_name="terms")
    term = TermField(max_length=255)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["term", "certificate"], name="ca_term_once")]

    def __str__(self) -> str:
        return str(self.term)


class ServiceKey(models.Model):
    """A key of the portal itself: made by its user (key and CSR), certified by the signing worker."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    ca = models.ForeignKey(CertificateAuthority, on_delete=models.PROTECT, related_name="service_keys")
    purpose = models.CharField(max_length=16, choices=[("scep-ra", "SCEP RA")])
    key_name = models.CharField(max_length=100, unique=True)
    csr = models.BinaryField()
    spki_sha256 = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()
    certificate = models.OneToOneField(Certificate, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        indexes = [models.Index(fields=["ca", "purpose", "id"], name="ca_service_key_by_purpose")]

    def __str__(self) -> str:
        return f"{self.purpose} of {self.ca}"
