"""Orders of programs with a token: the challenges, and the key for repeating the order."""

from django.db import models

from accounts.models.people import ApiToken
from approvals.models.challenges import ChallengePassword
from database.ids import uuid7


class ApiOrder(models.Model):
    """One order of challenges.

    With a key of the client, a repeat finds it instead of creating others. The clear texts are not
    stored, so a repeat gets the challenges without the texts.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    token = models.ForeignKey(ApiToken, on_delete=models.PROTECT, related_name="orders")
    key_sha256 = models.CharField(max_length=64, null=True)  # noqa: DJ001 - NULL: without a key, and not unique
    content_sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["token", "key_sha256"], name="approvals_order_once_a_key"
            )
        ]

    def __str__(self) -> str:
        return f"order {self.id}"


class ApiChallenge(models.Model):
    """The order that created a challenge."""

    challenge = models.OneToOneField(
        ChallengePassword, on_delete=models.PROTECT, primary_key=True, related_name="api_challenge"
    )
    order = models.ForeignKey(ApiOrder, on_delete=models.PROTECT, related_name="challenges")

    def __str__(self) -> str:
        return f"{self.challenge} of {self.order}"
