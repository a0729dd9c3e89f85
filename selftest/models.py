"""Runs of the self-test: their starters, and the duration of each step."""

from datetime import datetime, timedelta
from typing import Final

from django.db import models

from accounts.models.people import User
from accounts.principals import Evidence
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from database.ids import uuid7

#: A run that has not ended by then never will: no worker took it, or its worker has died.
LOST_AFTER: Final = timedelta(minutes=3)


class RunKind(models.TextChoices):
    """The extent of a run.

    `READING` sends an ordinary profile only requests that anyone may send.
    """

    LOOP = "loop", "the whole loop"
    READING = "reading", "reading only"


class RunState(models.TextChoices):
    """QUEUED: waits for a worker."""

    QUEUED = "queued", "waiting for a worker"
    RUNNING = "running", "running"
    PASSED = "passed", "passed"
    FAILED = "failed", "failed"


UNFINISHED: Final = (RunState.QUEUED, RunState.RUNNING)


class SelfTestRun(models.Model):
    """One run through the loop.

    `officer` decides on its request; `evidence` says how the portal knows the officer.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    profile = models.ForeignKey(EnrollmentProfile, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=7, choices=RunKind.choices)
    state = models.CharField(max_length=7, choices=RunState.choices, default=RunState.QUEUED)
    url = models.CharField(max_length=500)
    officer = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    evidence = models.CharField(max_length=8, choices=Evidence.choices, blank=True)
    started_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    asserted_by = models.CharField(max_length=64, blank=True)  # operating-system user of a command
    address = models.CharField(max_length=45, blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    request = models.ForeignKey(
        EnrollmentRequest, on_delete=models.PROTECT, null=True, related_name="+"
    )
    fault = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=RunState.values), name="selftest_state_known"
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=UNFINISHED, finished_at__isnull=True)
                | (~models.Q(state__in=UNFINISHED) & models.Q(finished_at__isnull=False)),
                name="selftest_over_means_when",
            ),
            models.UniqueConstraint(
                fields=["profile"],
                condition=models.Q(state__in=UNFINISHED),
                name="selftest_one_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"self-test of {self.profile_id}, {self.state}"

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.state not in UNFINISHED

    @property
    def who(self) -> str:
        """The person who started it, for pages."""
        return str(self.started_by) if self.started_by else f"{self.asserted_by}, by command"

    @property
    def took(self) -> timedelta | None:
        """The duration of the run, if it has ended."""
        return self.finished_at - self.started_at if self.finished_at and self.started_at else None

    def is_lost(self, now: datetime) -> bool:
        """Whether the run should have ended long ago."""
        return not self.is_over and abs(now - self.created_at) > LOST_AFTER


class SelfTestStep(models.Model):
    """One step of a run, with all its messages added up.

    Bytes are those of HTTP bodies and of GET queries.
    """

    run = models.ForeignKey(SelfTestRun, on_delete=models.CASCADE, related_name="steps")
    number = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=40)
    passed = models.BooleanField()
    begun_us = models.PositiveIntegerField()  # microseconds since the run began
    took_us = models.PositiveIntegerField()
    messages = models.PositiveSmallIntegerField(default=0)
    sent_bytes = models.PositiveIntegerField(default=0)
    received_bytes = models.PositiveIntegerField(default=0)
    text = models.CharField(max_length=500)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="selftest_step_once")]

    def __str__(self) -> str:
        return f"{self.number} {self.name}"

    @property
    def milliseconds(self) -> float:
        """The duration of the step."""
        return self.took_us / 1000
