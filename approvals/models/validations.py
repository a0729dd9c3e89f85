"""Challenges that a service checks: the service of a profile, and its answer to each request."""

from django.db import models

from approvals.models.profiles import EnrollmentProfile


class ServiceKind(models.TextChoices):
    """The kind of service. The names are those of the challenge policies."""

    WEBHOOK = "webhook", "signed webhook"
    INTUNE = "intune", "Microsoft Intune"


class ValidationState(models.TextChoices):
    """The state of a challenge. Only `allowed` lets a request be approved."""

    WAITING = "waiting", "not asked yet"
    UNREACHABLE = "unreachable", "no answer"
    ALLOWED = "allowed", "validated"
    DENIED = "denied", "denied"


class ReportState(models.TextChoices):
    """Whether the outcome of the request must be reported to the service."""

    NONE = "none", "nothing to report"
    OWED = "owed", "to be reported"
    SENT = "sent", "reported"
    GIVEN_UP = "given-up", "could not be reported"


UNDECIDED = (ValidationState.WAITING, ValidationState.UNREACHABLE)


class ValidationService(models.Model):
    """The service of one profile, and its secret.

    The secret is sealed (`database.encryption`) and never shown.
    """

    profile = models.OneToOneField(
        EnrollmentProfile,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="validation_service",
    )
    kind = models.CharField(max_length=10, choices=ServiceKind.choices)
    url = models.CharField(max_length=500, blank=True)  # of a webhook
    tenant = models.CharField(max_length=100, blank=True)  # of Intune, with client_id
    client_id = models.CharField(max_length=100, blank=True)
    sealed_secret = models.BinaryField(editable=False)
    reports = models.BooleanField(default=False)  # report the outcome of each request
    delivers_after_report = models.BooleanField(
        default=False
    )  # deliver no certificate before it was reported
    changed_at = models.DateTimeField()
    # last news of the service, for people; never decides anything
    last_answer_at = models.DateTimeField(null=True)
    last_fault_at = models.DateTimeField(null=True)
    last_fault = models.CharField(max_length=300, blank=True)
    probe_due_at = models.DateTimeField(null=True)  # a test was ordered

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind="webhook", tenant="", client_id="") & ~models.Q(url="")
                | models.Q(kind="intune", url="") & ~models.Q(tenant="") & ~models.Q(client_id=""),
                name="approvals_service_has_a_target",
            ),
            models.CheckConstraint(
                condition=models.Q(reports=True) | models.Q(delivers_after_report=False),
                name="approvals_wait_only_for_reports",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.profile_id}"


class Validation(models.Model):
    """The service's answer about one request's challenge, and the state of the report."""

    request = models.OneToOneField(
        "EnrollmentRequest", on_delete=models.PROTECT, primary_key=True, related_name="validation"
    )
    kind = models.CharField(max_length=10, choices=ServiceKind.choices)
    challenge_hash = models.CharField(
        max_length=64
    )  # keyed: tells another challenge from the same one
    state = models.CharField(
        max_length=11, choices=ValidationState.choices, default=ValidationState.WAITING
    )
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)  # NULL: nothing is left to do
    lease_until = models.DateTimeField(null=True)
    asked_at = models.DateTimeField(null=True)  # the first time
    answered_at = models.DateTimeField(null=True)
    answered_by = models.CharField(max_length=255, blank=True)  # host
    code = models.CharField(max_length=64, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    wants_officer = models.BooleanField(default=False)  # allowed, but an officer decides
    fault = models.CharField(max_length=300, blank=True)
    unreachable_since = models.DateTimeField(null=True)
    report = models.CharField(max_length=8, choices=ReportState.choices, default=ReportState.NONE)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=UNDECIDED, answered_at__isnull=True)
                | models.Q(state__in=["allowed", "denied"], answered_at__isnull=False),
                name="approvals_decided_means_answered",
            ),
            models.CheckConstraint(
                condition=models.Q(kind__in=ServiceKind.values), name="approvals_validation_kind"
            ),
            models.CheckConstraint(
                condition=models.Q(report__in=ReportState.values),
                name="approvals_validation_report",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=models.Q(next_attempt_at__isnull=False),
                name="approvals_validation_due",
            ),
            models.Index(
                fields=["state"], condition=~models.Q(fault=""), name="approvals_validation_faulty"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_state_display()} ({self.kind})"
