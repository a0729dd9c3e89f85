"""Append-only facts. Nothing here is ever updated; triggers on both databases and grants repeat
that.
"""

from django.db import models

from database.ids import uuid7


class AuditEntry(models.Model):
    """One fact, written in the transaction of what it tells of.

    `canonical` are the RFC 8785 bytes that `leaf_hash` covers; the other columns repeat them for
    searching.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    at = models.DateTimeField()
    event = models.CharField(max_length=40)
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=64, blank=True)
    subject_kind = models.CharField(max_length=24, blank=True)
    subject_id = models.CharField(max_length=64, blank=True)
    subject_seq = models.PositiveIntegerField(null=True)
    department = models.CharField(max_length=64, blank=True)
    data = models.JSONField()
    canonical = models.BinaryField()
    leaf_hash = models.BinaryField(max_length=32)

    class Meta:
        verbose_name_plural = "audit entries"
        constraints = [
            models.UniqueConstraint(
                fields=["subject_kind", "subject_id", "subject_seq"],
                condition=models.Q(subject_seq__isnull=False),
                name="audit_subject_sequence_once",
            ),
        ]
        indexes = [
            models.Index(fields=["subject_kind", "subject_id", "id"], name="audit_by_subject"),
            models.Index(fields=["event", "id"], name="audit_by_event"),
        ]

    def __str__(self) -> str:
        subject = f"{self.subject_kind} {self.subject_id}".rstrip()
        return f"{self.at:%Y-%m-%dT%H:%M:%SZ} {self.event} {subject}".rstrip()


class AuditPrivateValue(models.Model):
    """The value behind one commitment of an entry.

    Erasing it leaves the log intact and the value unprovable.
    """

    entry = models.ForeignKey(AuditEntry, on_delete=models.RESTRICT, related_name="private_values")
    path = models.CharField(max_length=64)
    salt = models.BinaryField(max_length=16)
    value = models.TextField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["entry", "path"], name="audit_private_value_once")
        ]

    def __str__(self) -> str:
        return self.path


class RepeatedEvent(models.Model):
    """Counts what repeats (one address, one cause) within a minute, so that nobody can fill the
    disk with refusals.

    The first occurrence is an entry of its own; the rest become one entry with their count once the
    minute is over.
    """

    key = models.CharField(max_length=64)  # SHA-256 of event, subject, address and cause
    minute = models.DateTimeField()
    count = models.PositiveIntegerField(default=0)  # occurrences after the first
    first_entry = models.ForeignKey(AuditEntry, on_delete=models.RESTRICT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["key", "minute"], name="audit_repeated_once_a_minute")
        ]
        indexes = [models.Index(fields=["minute"], name="audit_repeated_by_minute")]

    def __str__(self) -> str:
        return f"{self.count} more in {self.minute:%Y-%m-%dT%H:%M}"
