"""Challenges as objects, from creation to the requests that used them: one-time and static."""

from collections.abc import Sequence
from datetime import datetime

from django.db import models

from accounts.models.people import User
from approvals.models.devices import DeviceGroup
from approvals.models.profiles import EnrollmentProfile
from approvals.rules.bindings import Binding, described
from database.ids import uuid7


class ChallengeOrigin(models.TextChoices):
    """The door through which a challenge was created."""

    PAGE = "page", "a page"
    COMMAND = "command", "a command"
    API = "api", "the API"
    NDES = "ndes", "the NDES page"
    BULK = "bulk", "a list"
    CONFIGURATION = "configuration", "a device configuration"


class ChallengePassword(models.Model):
    """A one-time challenge: stored as a keyed hash, redeemed once, by the request it authorizes."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    profile = models.ForeignKey(
        EnrollmentProfile, on_delete=models.PROTECT, related_name="challenges"
    )
    keyed_hash = models.CharField(max_length=64, unique=True)
    # its binding, approvals.rules.bindings; empty: any request at this profile
    subject = models.CharField(
        max_length=255, blank=True, help_text="The common name it is bound to, if any."
    )
    subject_dn = models.CharField(
        max_length=1000, blank=True, help_text="The whole subject it is bound to, if any."
    )
    sans = models.JSONField(
        default=list, blank=True, help_text="The alternative names it is bound to, if any."
    )
    serial_number = models.CharField(
        max_length=64, blank=True, help_text="The serialNumber it is bound to, if any."
    )
    networks = models.JSONField(
        default=list, blank=True, help_text="The networks it is bound to, if any."
    )
    group = models.ForeignKey(
        DeviceGroup, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    # its origin
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_by_name = models.CharField(
        max_length=150, blank=True
    )  # system user of a command, account of an interface
    created_for = models.CharField(
        max_length=150, blank=True, help_text="The person or device that it is for."
    )
    origin = models.CharField(
        max_length=13, choices=ChallengeOrigin.choices, default=ChallengeOrigin.COMMAND
    )
    expires_at = models.DateTimeField()
    #: Of the status page, approvals.records.status_tokens.
    status_token_sha256 = models.CharField(max_length=64, null=True)  # noqa: DJ001 - NULL: no token
    # its use
    redeemed_at = models.DateTimeField(null=True)
    redeemed_by = models.OneToOneField(
        "EnrollmentRequest", on_delete=models.PROTECT, null=True, related_name="challenge_password"
    )
    withdrawn_at = models.DateTimeField(null=True)
    withdrawn_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["status_token_sha256"],
                condition=models.Q(status_token_sha256__isnull=False),
                name="approvals_challenge_status_token_once",
            ),
            models.CheckConstraint(
                condition=models.Q(redeemed_at__isnull=True, redeemed_by__isnull=True)
                | models.Q(redeemed_at__isnull=False, redeemed_by__isnull=False),
                name="approvals_redeemed_by_a_request",
            ),
            models.CheckConstraint(
                condition=models.Q(redeemed_at__isnull=True) | models.Q(withdrawn_at__isnull=True),
                name="approvals_redeemed_or_withdrawn",
            ),
            models.CheckConstraint(
                condition=models.Q(origin__in=ChallengeOrigin.values),
                name="approvals_challenge_origin_known",
            ),
        ]
        indexes = [
            models.Index(fields=["profile", "id"], name="approvals_challenge_by_profile"),
            models.Index(fields=["subject", "id"], name="approvals_challenge_by_name"),
        ]

    def __str__(self) -> str:
        return f"challenge {self.id}"

    @property
    def department_id(self) -> int | None:
        """The department of its profile, for `can`."""
        return self.profile.department_id

    @property
    def binding(self) -> Binding:
        """Its binding."""
        return Binding(
            common_name=self.subject,
            subject=self.subject_dn,
            serial_number=self.serial_number,
            sans=tuple(self.sans),
            networks=tuple(self.networks),
        )

    def phrases(self) -> Sequence[str]:
        """Its binding, as phrases for people."""
        return described(self.binding, self.group.slug if self.group else "")

    def state_at(self, now: datetime) -> str:
        """Return `used`, `withdrawn`, `expired` or `unused`."""
        if self.redeemed_at is not None:
            return "used"
        if self.withdrawn_at is not None:
            return "withdrawn"
        return "expired" if self.expires_at <= now else "unused"


class StaticChallenge(models.Model):
    """An encrypted static challenge: the current one, or an earlier one until `retires_at`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    profile = models.ForeignKey(
        EnrollmentProfile, on_delete=models.PROTECT, related_name="static_challenges"
    )
    sealed = models.BinaryField()  # database.encryption
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_by_name = models.CharField(max_length=150, blank=True)
    origin = models.CharField(
        max_length=13, choices=ChallengeOrigin.choices, default=ChallengeOrigin.COMMAND
    )
    retires_at = models.DateTimeField(null=True)  # NULL: the current one
    reminded_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["profile"],
                condition=models.Q(retires_at__isnull=True),
                name="approvals_one_static_challenge",
            )
        ]

    def __str__(self) -> str:
        return f"static challenge {self.id}"

    @property
    def department_id(self) -> int | None:
        """The department of its profile, for `can`."""
        return self.profile.department_id

    def is_taken_at(self, now: datetime) -> bool:
        """Whether it opens requests."""
        return self.retires_at is None or self.retires_at > now


class StaticUse(models.Model):
    """The static challenge that opened a request; an own table, so that no row is written twice."""

    request = models.OneToOneField(
        "EnrollmentRequest", on_delete=models.PROTECT, primary_key=True, related_name="static_use"
    )
    challenge = models.ForeignKey(StaticChallenge, on_delete=models.PROTECT, related_name="uses")

    class Meta:
        indexes = [models.Index(fields=["challenge", "request"], name="approvals_static_uses")]

    def __str__(self) -> str:
        return f"use by {self.request_id}"


class AlarmKind(models.TextChoices):
    """Notices to people that are not about one request."""

    STATIC_OLD = "static-old", "a static challenge is old"
    LOCKED = "locked", "challenges are not checked any more"
    FAILING = "failing", "many challenges fail"
    ATTENTION = "attention", "requests need attention"
    RECOVERED = "recovered", "requests need no attention any more"


class Alarm(models.Model):
    """A notice about a profile, written in the transaction of its reason; a worker mails it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=12, choices=AlarmKind.choices)
    profile = models.ForeignKey(EnrollmentProfile, on_delete=models.PROTECT, related_name="+")
    text = models.CharField(max_length=500)
    created_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField(null=True)  # NULL: done
    attempts = models.PositiveIntegerField(default=0)
    outcome = models.CharField(max_length=200, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=models.Q(next_attempt_at__isnull=False),
                name="approvals_alarm_due",
            )
        ]

    def __str__(self) -> str:
        return self.kind


class FailedChallenges(models.Model):
    """Counts failed challenges at a profile, per network or in total.

    See `approvals.challenges.lockouts`.
    """

    profile = models.ForeignKey(
        EnrollmentProfile, on_delete=models.CASCADE, related_name="failed_challenges"
    )
    address = models.CharField(max_length=45, blank=True)
    failures = models.PositiveIntegerField(default=1)
    since = models.DateTimeField(db_index=True)
    locked_until = models.DateTimeField(null=True)
    quiet_until = models.DateTimeField(
        null=True
    )  # an alarm without a lock was raised, the next one not before

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["profile", "address"], name="approvals_failures_once")
        ]

    def __str__(self) -> str:
        return f"{self.failures} from {self.address or 'everywhere'}"
