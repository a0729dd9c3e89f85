"""The accounts with which MDMs fetch challenges as from Microsoft's NDES."""

from datetime import timedelta

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from accounts.models.people import User
from approvals.models.challenges import ChallengePassword
from approvals.models.profiles import EnrollmentProfile
from database.encryption import keyed_digest
from database.ids import uuid7

MAX_LIFETIME = timedelta(days=1)
MAX_UNUSED = 1000


class NdesEncoding(models.TextChoices):
    """The encoding of the page.

    IIS sends UTF-16 without a charset; programs that read the page expect that.
    """

    UTF_16 = "utf-16le", "UTF-16, as Windows sends it"
    UTF_8 = "utf-8", "UTF-8"


class NdesAccount(models.Model):
    """Name and password of one MDM, for the challenges of one profile.

    Disabled, never deleted: the log names it.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=64, unique=True)  # lower case
    password = models.CharField(max_length=128)  # as Django's hashers write it
    #: The password is random, so a keyed digest (`database.encryption`) tells a right one at no
    #: cost; empty: unknown.
    digest = models.CharField(max_length=64, blank=True, default="")
    profile = models.ForeignKey(
        EnrollmentProfile, on_delete=models.PROTECT, related_name="ndes_accounts"
    )
    owner = models.CharField(max_length=150)  # its contact: a person, a team, a system
    networks = models.JSONField(default=list, blank=True)
    max_unused = models.PositiveSmallIntegerField(
        default=5, validators=[MinValueValidator(1), MaxValueValidator(MAX_UNUSED)]
    )
    lifetime = models.DurationField(
        default=timedelta(minutes=60),
        validators=[MinValueValidator(timedelta(minutes=1)), MaxValueValidator(MAX_LIFETIME)],
    )
    encoding = models.CharField(
        max_length=8, choices=NdesEncoding.choices, default=NdesEncoding.UTF_16
    )
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, related_name="+"
    )  # NULL: by command
    password_set_at = models.DateTimeField()
    disabled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(max_unused__gte=1), name="approvals_ndes_at_least_one_unused"
            ),
            models.CheckConstraint(
                condition=models.Q(encoding__in=NdesEncoding.values),
                name="approvals_ndes_encoding_known",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def digest_of(self, password: str) -> str:
        """Return the `digest` of this password."""
        return keyed_digest("NDES accounts", self.pk.hex, password)


class NdesChallenge(models.Model):
    """The account that fetched a challenge."""

    challenge = models.OneToOneField(
        ChallengePassword, on_delete=models.PROTECT, primary_key=True, related_name="ndes_challenge"
    )
    account = models.ForeignKey(NdesAccount, on_delete=models.PROTECT, related_name="challenges")

    def __str__(self) -> str:
        return f"{self.challenge} of {self.account}"
