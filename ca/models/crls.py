"""The CRLs of an authority."""

from django.db import models

from ca.models.authorities import CertificateAuthority


class CrlIssue(models.Model):
    """One CRL of an authority, from the moment its number was reserved; it is published once `der`
    is there.

    The number is reserved and the content is read under the lock of the authority's row, so a
    higher number never says less. A worker that dies in between leaves a number that no CRL has,
    which is allowed (RFC 5280 §5.2.3).
    """

    ca = models.ForeignKey(CertificateAuthority, on_delete=models.PROTECT, related_name="crls")
    number = models.PositiveBigIntegerField()
    #: `CertificateAuthority.revocation_version` when the content was read.
    revocation_version = models.PositiveBigIntegerField()
    this_update = models.DateTimeField()
    next_update = models.DateTimeField()
    entries = models.PositiveIntegerField()
    #: Of the bytes to be signed, on record before the key signs them.
    tbs_sha256 = models.CharField(max_length=64, null=True)  # noqa: DJ001 - NULL is "not built yet"
    der = models.BinaryField(null=True)
    sha256 = models.CharField(max_length=64, null=True)  # noqa: DJ001 - NULL is "not signed yet"
    created_at = models.DateTimeField()
    #: When the bytes were dropped; number, times and digest stay.
    pruned_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "CRL"
        constraints = [
            models.UniqueConstraint(fields=["ca", "number"], name="ca_crl_number_once"),
            models.CheckConstraint(
                condition=models.Q(der__isnull=True, sha256__isnull=True, pruned_at__isnull=True)
                | models.Q(der__isnull=False, sha256__isnull=False, pruned_at__isnull=True)
                | models.Q(der__isnull=True, sha256__isnull=False, pruned_at__isnull=False),
                name="ca_crl_has_digest",
            ),
        ]

    def __str__(self) -> str:
        return f"CRL {self.number} of {self.ca}"

    @property
    def crl_der(self) -> bytes:
        """The CRL, DER; raises LookupError while there is none."""
        if self.der is None:
            raise LookupError(
                f"CRL {self.number} " + ("was pruned" if self.pruned_at else "was never signed")
            )
        return bytes(self.der)
