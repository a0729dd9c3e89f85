"""Append-only facts. No row is ever updated; triggers on both databases and grants enforce it.

Commitments. An entry can never change, but personal data must be erasable on request. So an entry
does not hold a name, an address or a free text itself: it holds a commitment, SHA-256 over a random
salt and the value (`audit.log.commitment`). Value and salt are in `AuditPrivateValue`, one row per
value.
- While the row exists, anyone can prove that it belongs to the entry: hash it and compare.
- Deleting the row erases the value. The entry, its leaf hash, and every hash above it stay valid,
  because they cover only the commitment.
- The salt has 128 bits from the system's random source. Without it, a commitment to a short value
  (a user name, an IPv4 address) could be found by trying them all; with an own salt per value,
  equal values give different commitments, so an erased value cannot be recognised by another entry
  of the same person.
- The salt is erased together with its value, never earlier or later. A salt that remained in a
  backup would make the commitment guessable again, so backups have an end too.
- Facts that are no personal data (event, subject, cause, digests of keys and certificates) are in
  the entry in clear text: they must stay readable forever.
"""

from django.db import models

from database.ids import uuid7


class AuditEntry(models.Model):
    """One fact, written in the transaction of its cause.

    `canonical` holds the RFC 8785 bytes that `leaf_hash` covers; the other columns repeat them for
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
    department = models.CharField(max_length=64, blank=True)  # slug, by which auditors find it
    department_path = models.TextField(default="", blank=True)  # as it was then; empty: version 1
    data = models.JSONField()
    writer = models.CharField(max_length=48, default="")  # process: audit.writers; empty: version 1
    writer_seq = models.BigIntegerField(null=True)
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

    Deleting it leaves the log intact and the value unprovable.
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
    """Counts repeats (one address, one cause) within a minute, so that refusals cannot fill a disk.

    The first occurrence is an entry of its own; the others become one entry with their count once
    the minute is over.
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
