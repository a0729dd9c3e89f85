"""Messages and their answers as they were on the wire.

Envelopes stay encrypted; nothing here is in clear text.
"""

from django.db import models

from accounts.models.people import User
from approvals.models.profiles import EnrollmentProfile
from database.ids import uuid7


class KeptFor(models.TextChoices):
    """Why a message is kept."""

    SELF_TEST = "self-test", "self-test"
    REFUSAL = "refusal", "refused"
    RECORDING = "recording", "recorded"


class Exchange(models.Model):
    """One message and its answer.

    `answer` is empty if the portal answered with an HTTP status only.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    profile = models.ForeignKey(EnrollmentProfile, on_delete=models.PROTECT, related_name="+")
    kept_for = models.CharField(max_length=9, choices=KeptFor.choices)
    received_at = models.DateTimeField()
    took_us = models.PositiveIntegerField()
    address = models.CharField(max_length=45)
    client = models.CharField(max_length=200, blank=True)
    method = models.CharField(max_length=4)
    message = models.BinaryField()
    answer = models.BinaryField()
    http_status = models.PositiveSmallIntegerField()
    # read from message and answer, for lists; empty where they cannot be read
    transaction_id = models.CharField(max_length=255, blank=True)
    signer_spki_sha256 = models.CharField(
        max_length=64, blank=True
    )  # as the message claims, verified or not
    message_type = models.PositiveSmallIntegerField(null=True)
    pki_status = models.PositiveSmallIntegerField(null=True)
    fail_info = models.PositiveSmallIntegerField(null=True)
    text = models.CharField(max_length=300, blank=True)
    # the portal's cause; the answer tells the device less
    subject = models.CharField(
        max_length=300, blank=True
    )  # of the request inside, else of the signer certificate
    cause = models.CharField(max_length=100, blank=True)
    detail = models.CharField(max_length=500, blank=True)
    number = models.CharField(max_length=9, blank=True)  # of approvals.records.refusal_numbers

    class Meta:
        indexes = [
            models.Index(fields=["profile", "kept_for", "id"], name="exchanges_by_reason"),
            models.Index(
                fields=["profile", "transaction_id", "id"], name="exchanges_by_transaction"
            ),
            models.Index(
                fields=["number"], condition=~models.Q(number=""), name="exchanges_by_number"
            ),
        ]

    def __str__(self) -> str:
        return f"message of {self.received_at:%Y-%m-%d %H:%M:%S} UTC"

    @property
    def department_id(self) -> int | None:
        """The department of its profile, for `can`."""
        return self.profile.department_id

    @property
    def milliseconds(self) -> float:
        """How long the portal took to answer."""
        return self.took_us / 1000


class Recording(models.Model):
    """The recording switch of a profile: every message is kept until it ends."""

    profile = models.OneToOneField(
        EnrollmentProfile, on_delete=models.PROTECT, primary_key=True, related_name="+"
    )
    until = models.DateTimeField()
    started_at = models.DateTimeField()
    started_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")

    def __str__(self) -> str:
        return f"recording until {self.until:%Y-%m-%d %H:%M} UTC"
