"""Password links, changes that other people made to an account, and mail about them."""

from django.conf import settings
from django.db import models

from database.ids import uuid7


class LinkDelivery(models.TextChoices):
    """How a password link reached the person."""

    MAIL = "mail", "sent by mail"
    SHOWN = "shown", "shown to the issuer"


class PasswordLink(models.Model):
    """A link by which one person sets their password, once. Only the digest of its token is stored.

    `issued_by` names the issuer as the log does; the issuer also stays with the credential that the
    link created.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="password_links"
    )
    digest = models.CharField(
        max_length=64, unique=True
    )  # SHA-256, hex: the token has 192 random bits
    issuer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    issued_by = models.CharField(max_length=200)
    delivery = models.CharField(max_length=5, choices=LinkDelivery.choices)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    withdrawn_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user"],
                condition=models.Q(used_at__isnull=True, withdrawn_at__isnull=True),
                name="accounts_one_open_link",
            ),
            models.CheckConstraint(
                condition=models.Q(delivery__in=LinkDelivery.values),
                name="accounts_link_delivery_known",
            ),
        ]

    def __str__(self) -> str:
        return f"link for {self.user_id}, {self.get_delivery_display()}"


class ChangeKind(models.TextChoices):
    """A change of an account by another person, or of a person's own rights."""

    PASSWORD = "password", "password set through a link"
    COMMAND_PASSWORD = "set-by-command", "password set by command"
    ROLE = "role", "new role"
    OWN_ROLE = "own-role", "new role, granted to themself"
    ADDRESS = "address", "e-mail address changed"


class AccountChange(models.Model):
    """A change by which one person may act under another's name, or gained rights.

    Rows are never deleted. The only column that changes is `shown_at`: the first sign-in of the
    person after the change.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="account_changes"
    )
    kind = models.CharField(max_length=16, choices=ChangeKind.choices)
    at = models.DateTimeField()
    by = models.CharField(max_length=200)  # a user name, or the operating-system user of a command
    by_user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    detail = models.CharField(max_length=100, blank=True)  # the role, or the delivery of the link
    shown_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["user", "at"], name="accounts_change_by_user")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=ChangeKind.values), name="accounts_change_kind_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} by {self.by}"


class AccountNotice(models.Model):
    """A mail about an account, written in the transaction of the change.

    A worker sends the mail and deletes the row.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    address = models.EmailField()
    subject = models.CharField(max_length=200)
    text = models.TextField()
    created_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField(null=True, db_index=True)  # NULL: given up
    attempts = models.PositiveIntegerField(default=0)
    outcome = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return self.subject
