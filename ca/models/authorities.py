"""Authorities and their rollovers: the issuing CA, the next one, and GetNextCACert answers."""

from django.db import models


class CertificatesShape(models.TextChoices):
    """The certificates in answers to GetCACert and GetNextCACert, in this order."""

    RA_CHAIN = "ra+chain", "RA, issuing CA and its parents"
    RA_ISSUING = "ra+issuing", "RA and issuing CA"
    SPLIT_CHAIN = (
        "split+chain",
        "one RA certificate that encrypts, one that signs, issuing CA and its parents",
    )

    @property
    def is_split(self) -> bool:
        """Whether the RA has two certificates instead of one."""
        return self is CertificatesShape.SPLIT_CHAIN


class CertificateAuthority(models.Model):
    """An issuer with a key.

    Its key file is named `key_name` in the CA key folder; only the signing worker opens it.
    """

    name = models.SlugField(unique=True)
    parent = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="children"
    )
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
    #: Counts revocations, holds and releases, in their transactions: a CRL of an earlier version is
    #: outdated.
    revocation_version = models.PositiveBigIntegerField(default=0, editable=False)

    class Meta:
        verbose_name = "certification authority"
        verbose_name_plural = "certification authorities"

    def __str__(self) -> str:
        return self.name

    @property
    def department_id(self) -> int | None:
        """None, for `can`: an authority belongs to the whole organization."""
        return None

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


class AuthorityRollover(models.Model):
    """One CA replacing another: staged, published, switched; or cancelled before the switch.

    Once published, GetNextCACert answers, and the next CA issues requests that are encrypted to its
    RA certificate. Once switched, it is the profiles' CA.
    """

    ca = models.ForeignKey(CertificateAuthority, on_delete=models.PROTECT, related_name="rollovers")
    next_ca = models.ForeignKey(
        CertificateAuthority, on_delete=models.PROTECT, related_name="rollovers_to"
    )
    staged_at = models.DateTimeField()
    published_at = models.DateTimeField(null=True)
    switched_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["ca"],
                condition=models.Q(cancelled_at__isnull=True),
                name="ca_one_successor",
            ),
            models.UniqueConstraint(
                fields=["next_ca"],
                condition=models.Q(cancelled_at__isnull=True),
                name="ca_one_predecessor",
            ),
            models.CheckConstraint(
                condition=~models.Q(ca=models.F("next_ca")), name="ca_never_its_own_successor"
            ),
            models.CheckConstraint(
                condition=models.Q(switched_at__isnull=True)
                | models.Q(published_at__isnull=False, cancelled_at__isnull=True),
                name="ca_switched_after_published",
            ),
        ]

    def __str__(self) -> str:
        return f"from {self.ca} to {self.next_ca}"

    @property
    def stage(self) -> str:
        """The last stage it reached, as one word."""
        if self.cancelled_at is not None:
            return "cancelled"
        if self.switched_at is not None:
            return "switched"
        return "staged" if self.published_at is None else "published"

    @property
    def is_offered(self) -> bool:
        """Whether GetNextCACert answers: published, not yet switched, not cancelled."""
        return self.stage == "published"


class NextCaAnswer(models.Model):
    """A GetNextCACert answer, signed by the current CA.

    Devices get the newest one of a rollover and shape.
    """

    rollover = models.ForeignKey(
        AuthorityRollover, on_delete=models.PROTECT, related_name="answers"
    )
    shape = models.CharField(max_length=11, choices=CertificatesShape.choices)
    #: Digest of the certificates inside: a renewed RA certificate makes another answer.
    content_sha256 = models.CharField(max_length=64)
    der = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["rollover", "shape", "id"], name="ca_next_answer_newest")]

    def __str__(self) -> str:
        return f"{self.shape} answer of rollover {self.rollover_id}"

    @property
    def answer_der(self) -> bytes:
        """The SignedData as devices get it."""
        return bytes(self.der)
