"""Decisions: the officer, the facts, and a document that is written once."""

from django.db import models

from accounts.models.people import User
from accounts.principals import Evidence
from approvals.models.requests import EnrollmentRequest
from database.ids import uuid7


class Verdict(models.TextChoices):
    """The decision of an officer, or of the policy."""

    APPROVE = "approve", "approved"
    REJECT = "reject", "rejected"
    UNDO = "undo", "taken back"  # of the decision that its document names


class Decision(models.Model):
    """One verdict on one request in one round.

    `document` is the canonical form of the facts; it never changes.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    request = models.ForeignKey(
        EnrollmentRequest, on_delete=models.PROTECT, related_name="decisions"
    )
    round = models.PositiveIntegerField()
    verdict = models.CharField(max_length=7, choices=Verdict.choices)
    officer = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    evidence = models.CharField(max_length=8, choices=Evidence.choices)
    asserted_by = models.CharField(max_length=64, blank=True)  # operating-system user of a command
    account_changes = models.JSONField(
        default=list
    )  # changes by others to the officer's account: accounts.people.changes
    document = models.BinaryField()
    document_sha256 = models.CharField(max_length=64)
    decided_at = models.DateTimeField()
    effective_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["request", "officer", "round"],
                condition=~models.Q(verdict="undo"),
                name="approvals_one_vote_per_round",
            ),
            models.CheckConstraint(
                condition=models.Q(evidence="policy", officer__isnull=True)
                | (~models.Q(evidence="policy") & models.Q(officer__isnull=False)),
                name="approvals_decision_has_officer",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_verdict_display()} by {self.officer or 'policy'}"

    @property
    def comment(self) -> str:
        """The comment, read from `written`; empty without one, and after it was erased."""
        written: DecisionComment | None = getattr(self, "written", None)
        return written.text if written else ""


class DecisionComment(models.Model):
    """What an officer wrote with a decision.

    The document holds a commitment to salt and text; deleting the row erases the text, and
    everything still verifies. The comment of a document of version 1 has no salt.
    """

    decision = models.OneToOneField(
        Decision, on_delete=models.PROTECT, primary_key=True, related_name="written"
    )
    salt = models.BinaryField(max_length=16)
    text = models.TextField()

    def __str__(self) -> str:
        return self.text


class DecisionBatch(models.Model):
    """One verdict on many requests in one act; each is decided on its own.

    `digests` are those of the views, in order; the document of each decision names `root`, `count`
    and its index. `done` and `exceptions` are written at the end: they stay null where the process
    or the database went away in between, and the decisions tell what was done.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    principal = models.JSONField()  # as in the documents
    verdict = models.CharField(max_length=7, choices=Verdict.choices)
    reason = models.TextField(blank=True)  # emptied where the comments are erased
    digests = models.JSONField()  # hex; empty text where there is no such request
    root = models.CharField(max_length=64)  # Merkle tree hash of the digests (RFC 6962 §2.1)
    count = models.PositiveIntegerField()
    decided_at = models.DateTimeField()
    done = models.PositiveIntegerField(null=True)
    exceptions = models.JSONField(null=True)  # [{request, text}]: what could not be decided, why

    class Meta:
        indexes = [models.Index(fields=["root"], name="approvals_batch_by_root")]
        verbose_name_plural = "decision batches"

    def __str__(self) -> str:
        return f"{self.count} {self.get_verdict_display()}"
