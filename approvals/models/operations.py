"""Rows by which processes and machines know each other: per process kind, queue and secret."""

from django.db import models


class Pulse(models.Model):
    """The last sign of life of a process kind on a machine, or of a working queue."""

    name = models.CharField(max_length=120, primary_key=True)
    at = models.DateTimeField()
    version = models.CharField(max_length=40, blank=True)

    def __str__(self) -> str:
        return self.name


class SecretFingerprint(models.Model):
    """A salted scrypt digest of a shared secret, written by the first process that had it.

    It serves for comparison.
    """

    name = models.CharField(
        max_length=40, primary_key=True
    )  # of the variable, as PORTAL_CHALLENGE_KEY
    salt = models.BinaryField()
    digest = models.BinaryField()
    machine = models.CharField(max_length=255, blank=True)
    recorded_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class Lease(models.Model):
    """A named lock with an end: one holder at a time does the sweep."""

    name = models.CharField(max_length=32, primary_key=True)
    held_until = models.DateTimeField()
    last_run_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name
