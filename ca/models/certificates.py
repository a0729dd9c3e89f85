"""Certificates as the CA keeps them, and the words by which they are found.

The CA knows nothing of requests.
"""

from datetime import datetime
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from ca.models.authorities import CertificateAuthority
from ca.models.profiles import CertificateProfileVersion
from database.ids import uuid7


class TermField(models.CharField):  # type: ignore[type-arg]  # django-stubs: the field's value types are CharField's own
    """Text searched by its beginning; byte order lets an index serve `prefix <= term < end`."""

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        """Ask PostgreSQL for the C collation; SQLite compares bytes by default."""
        parameters = super().db_parameters(connection)
        if connection.vendor == "postgresql":
            parameters["collation"] = "C"
        return parameters


class CertificateStatus(models.TextChoices):
    """PREPARED: its bytes are recorded, a signature may exist.

    ABANDONED: given up; its serial number counts as revoked.
    """

    PREPARED = "PREPARED", "being signed"
    ISSUED = "ISSUED", "issued"
    ON_HOLD = "ON_HOLD", "on hold"
    REVOKED = "REVOKED", "revoked"
    ABANDONED = "ABANDONED", "abandoned"


class RevocationReason(models.TextChoices):
    """Reasons to revoke a device's certificate (RFC 5280 §5.3.1), by the names of the RFC.

    cACompromise and aACompromise do not apply to devices, removeFromCRL not to full CRLs.
    """

    KEY_COMPROMISE = "keyCompromise", "key compromise: others may know the private key"
    SUPERSEDED = "superseded", "superseded: another certificate has taken its place"
    CESSATION_OF_OPERATION = (
        "cessationOfOperation",
        "cessation of operation: the device is out of service",
    )
    AFFILIATION_CHANGED = (
        "affiliationChanged",
        "affiliation changed: its names or its owner are others now",
    )
    PRIVILEGE_WITHDRAWN = (
        "privilegeWithdrawn",
        "privilege withdrawn: it may not do any more what it was issued for",
    )
    UNSPECIFIED = "unspecified", "unspecified: no reason is published"
    CERTIFICATE_HOLD = "certificateHold", "on hold: it may be released again"


class CertificateKind(models.TextChoices):
    """The origin of a certificate: an order of the RA, or a service of the portal."""

    ORDERED = "ordered", "ordered"
    SERVICE = "service", "service"


class Certificate(models.Model):
    """Everything this CA prepared or issued, from the moment its to-be-signed bytes were fixed.

    `order_id` identifies its order (the enrollment request, or the service key).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    ca = models.ForeignKey(
        CertificateAuthority, on_delete=models.PROTECT, related_name="certificates"
    )
    kind = models.CharField(
        max_length=8, choices=CertificateKind.choices, default=CertificateKind.ORDERED
    )
    order_id = models.UUIDField()
    status = models.CharField(
        max_length=9, choices=CertificateStatus.choices, default=CertificateStatus.PREPARED
    )
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
    #: Time of its revocation, or of its hold before.
    revoked_at = models.DateTimeField(null=True, blank=True)
    revocation_reason = models.CharField(
        max_length=20, choices=RevocationReason.choices, blank=True, default=""
    )
    #: Since when key or certificate is known or suspected to be bad (RFC 5280 §5.3.2).
    invalidity_date = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["ca", "serial_hex"], name="ca_serial_once"),
            models.UniqueConstraint(
                fields=["order_id"],
                condition=~models.Q(status=CertificateStatus.ABANDONED),
                name="ca_one_certificate_per_order",
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=CertificateStatus.values), name="ca_status_known"
            ),
            models.CheckConstraint(
                condition=models.Q(
                    status__in=[
                        CertificateStatus.ISSUED,
                        CertificateStatus.ON_HOLD,
                        CertificateStatus.REVOKED,
                    ],
                    der__isnull=False,
                    issued_at__isnull=False,
                )
                | models.Q(
                    status__in=[CertificateStatus.PREPARED, CertificateStatus.ABANDONED],
                    der__isnull=True,
                    issued_at__isnull=True,
                ),
                name="ca_issued_means_der",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    status=CertificateStatus.ON_HOLD,
                    revoked_at__isnull=False,
                    revocation_reason=RevocationReason.CERTIFICATE_HOLD,
                )
                | models.Q(
                    status=CertificateStatus.REVOKED,
                    revoked_at__isnull=False,
                    revocation_reason__in=[
                        value
                        for value in RevocationReason.values
                        if value != RevocationReason.CERTIFICATE_HOLD
                    ],
                )
                | models.Q(
                    status__in=[
                        CertificateStatus.PREPARED,
                        CertificateStatus.ISSUED,
                        CertificateStatus.ABANDONED,
                    ],
                    revoked_at__isnull=True,
                    revocation_reason="",
                    invalidity_date__isnull=True,
                ),
                name="ca_revoked_means_when_and_why",
            ),
        ]
        indexes = [
            models.Index(fields=["kind", "id"], name="ca_cert_by_kind"),
            models.Index(fields=["kind", "status", "id"], name="ca_cert_by_status"),
            models.Index(fields=["ca", "id"], name="ca_cert_by_ca"),
            models.Index(fields=["spki_sha256"], name="ca_cert_by_key"),
            models.Index(fields=["serial_hex"], name="ca_cert_by_serial"),
            models.Index(fields=["not_after"], name="ca_cert_by_expiry"),
            models.Index(
                fields=["ca", "not_after"],
                condition=models.Q(
                    status__in=[
                        CertificateStatus.ON_HOLD,
                        CertificateStatus.REVOKED,
                        CertificateStatus.ABANDONED,
                    ]
                ),
                name="ca_cert_on_crl",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subject} ({self.serial_hex})"

    @property
    def tbs_der(self) -> bytes:
        """The to-be-signed bytes, fixed before signing."""
        return bytes(self.tbs)

    @property
    def certificate_der(self) -> bytes:
        """The certificate, DER. Raises LookupError while there is none."""
        if self.der is None:
            raise LookupError(
                f"certificate {self.serial_hex} is {self.status}: it has no signature on record"
            )
        return bytes(self.der)

    def is_deliverable(self, now: datetime) -> bool:
        """Return whether a device may get it: issued, not revoked, not on hold, not expired."""
        return self.status == CertificateStatus.ISSUED and now <= self.not_after


class CertificateTerm(models.Model):
    """One search word of a certificate, in lower case; searched exactly or by its beginning."""

    certificate = models.ForeignKey(Certificate, on_delete=models.CASCADE, related_name="terms")
    term = TermField(max_length=255)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["term", "certificate"], name="ca_term_once")]

    def __str__(self) -> str:
        return str(self.term)
