"""The registration authority's records: profiles, requests, decisions, transactions, challenges, the outbox."""

from datetime import datetime, timedelta

from django.core.validators import MinValueValidator
from django.db import models

from accounts.models import Department, User
from approvals.policy import RENEWAL_WINDOW
from approvals.states import OPEN_STATES, State
from audit.ids import uuid7
from ca.models import Certificate, CertificateAuthority, CertificateProfile, CertificateProfileVersion, TermField

_OPEN = sorted(OPEN_STATES)


class ApprovalMode(models.TextChoices):
    """Who says yes."""

    MANUAL = "manual", "an officer decides"
    AUTOMATIC = "automatic", "approved by policy"


class ChallengePolicy(models.TextChoices):
    """What a requester must know. `none` goes only with manual approval."""

    NONE = "none", "no challenge"
    STATIC = "static", "one static challenge"
    ONE_TIME = "one-time", "one-time challenges"


class OnDuplicate(models.TextChoices):
    """What a new transaction of a key with a valid certificate gets."""

    REDELIVER = "redeliver", "the same certificate again"
    PENDING = "pending", "a new request"
    FAIL = "fail", "a refusal"


class RenewalMode(models.TextChoices):
    """Who says yes to a renewal."""

    OFF = "off", "no renewal"
    AUTOMATIC = "automatic", "renewed by policy"
    OFFICER = "officer", "an officer decides"


class ChangedNames(models.TextChoices):
    """What a renewal gets that asks for other names than its certificate has."""

    REFUSE = "refuse", "a refusal"
    OFFICER = "officer", "an officer decides"


class EnrollmentProfile(models.Model):
    """How one may ask for a certificate: its slug is the SCEP URL `/scep/<slug>/`."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    ca = models.ForeignKey(CertificateAuthority, on_delete=models.PROTECT, related_name="enrollment_profiles")
    certificate_profile = models.ForeignKey(
        CertificateProfile, on_delete=models.PROTECT, related_name="enrollment_profiles"
    )
    approval = models.CharField(max_length=10, choices=ApprovalMode.choices, default=ApprovalMode.MANUAL)
    challenge = models.CharField(max_length=10, choices=ChallengePolicy.choices, default=ChallengePolicy.ONE_TIME)
    static_challenge = models.BinaryField(null=True, blank=True, editable=False)  # encrypted, approvals.challenges
    networks = models.JSONField(default=list, blank=True, help_text="Networks in CIDR form; empty: from anywhere.")
    department = models.ForeignKey(Department, on_delete=models.PROTECT, null=True, blank=True)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    required_approvals = models.PositiveSmallIntegerField(default=1)
    allow_asserted_decisions = models.BooleanField(
        default=True, help_text="Whether decisions by command, on behalf of an officer, count."
    )
    on_duplicate = models.CharField(max_length=10, choices=OnDuplicate.choices, default=OnDuplicate.REDELIVER)
    request_ttl = models.DurationField(help_text="After this time without a decision a request expires.")
    refused_ttl = models.DurationField(help_text="After a refusal, the same transaction may ask again after this time.")
    undo_window = models.DurationField(default=timedelta(0), help_text="A decision takes effect after this time.")
    renewal_mode = models.CharField(max_length=10, choices=RenewalMode.choices, default=RenewalMode.OFF)
    renewal_window = models.DurationField(
        default=RENEWAL_WINDOW,
        validators=[MinValueValidator(timedelta(0))],
        help_text="A certificate may be renewed so long before its end; 0: at any time.",
    )
    renewal_grace = models.DurationField(
        default=timedelta(0),
        validators=[MinValueValidator(timedelta(0))],
        help_text="And so long after its end.",
    )
    renewal_key_reuse = models.BooleanField(default=False, help_text="Whether a renewal may keep its key.")
    renewal_changed_names = models.CharField(max_length=10, choices=ChangedNames.choices, default=ChangedNames.REFUSE)
    max_open_requests = models.PositiveIntegerField(default=10_000)
    max_open_per_address = models.PositiveIntegerField(default=500)
    paused_at = models.DateTimeField(null=True, blank=True, editable=False)
    is_test = models.BooleanField(default=False, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(challenge="none") | models.Q(approval="manual"),
                name="approvals_no_challenge_means_manual",
                violation_error_message="Without a challenge only manual approval is possible.",
            ),
            models.CheckConstraint(
                condition=models.Q(approval__in=ApprovalMode.values), name="approvals_approval_known"
            ),
            models.CheckConstraint(
                condition=models.Q(challenge__in=ChallengePolicy.values), name="approvals_challenge_known"
            ),
            models.CheckConstraint(
                condition=models.Q(required_approvals__gte=1), name="approvals_at_least_one_approval"
            ),
            models.CheckConstraint(
                condition=models.Q(renewal_mode__in=RenewalMode.values), name="approvals_renewal_known"
            ),
            models.CheckConstraint(
                condition=models.Q(renewal_changed_names__in=ChangedNames.values), name="approvals_changed_names_known"
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class ChallengePassword(models.Model):
    """A one-time challenge: kept as a keyed hash, redeemed once, by the request it authorizes."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    profile = models.ForeignKey(EnrollmentProfile, on_delete=models.PROTECT, related_name="challenges")
    keyed_hash = models.CharField(max_length=64, unique=True)
    subject = models.CharField(max_length=255, blank=True, help_text="The common name it is bound to, if any.")
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_for = models.CharField(max_length=150, blank=True)
    expires_at = models.DateTimeField()
    redeemed_at = models.DateTimeField(null=True)
    redeemed_by = models.OneToOneField(
        "EnrollmentRequest", on_delete=models.PROTECT, null=True, related_name="challenge_password"
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(redeemed_at__isnull=True, redeemed_by__isnull=True)
                | models.Q(redeemed_at__isnull=False, redeemed_by__isnull=False),
                name="approvals_redeemed_by_a_request",
            )
        ]
        indexes = [models.Index(fields=["profile", "id"], name="approvals_challenge_by_profile")]

    def __str__(self) -> str:
        return f"challenge {self.id}"


class EnrollmentRequest(models.Model):
    """One wish for a certificate, through any door. Its state changes only by `approvals.records.advance`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    profile = models.ForeignKey(EnrollmentProfile, on_delete=models.PROTECT, related_name="requests")
    ca = models.ForeignKey(CertificateAuthority, on_delete=models.PROTECT, related_name="+")
    profile_version = models.ForeignKey(CertificateProfileVersion, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=9, choices=[(state, state.lower()) for state in State], default=State.PENDING)
    version = models.PositiveIntegerField(default=1)
    round = models.PositiveIntegerField(default=1)
    # what was asked
    csr = models.BinaryField()  # a challenge password in it is overwritten: ca.csr.stored_der
    csr_sha256 = models.CharField(max_length=64)
    csr_spki_sha256 = models.CharField(max_length=64)
    signer_spki_sha256 = models.CharField(max_length=64)
    signer_certificate = models.BinaryField()
    content_sha256 = models.CharField(max_length=64)  # subject, key and requested extensions: what makes a repeat
    subject = models.CharField(max_length=1000)
    common_name = models.CharField(max_length=255, blank=True)
    names = models.JSONField(default=list)  # subject alternative names as shown
    key_description = models.CharField(max_length=40)
    findings = models.JSONField(default=list)  # [{severity, code, text}] as of submission
    transaction_id = models.CharField(max_length=255)
    renews = models.ForeignKey(Certificate, on_delete=models.PROTECT, null=True, related_name="+")
    address = models.CharField(max_length=45)
    client = models.CharField(max_length=200, blank=True)
    challenge = models.CharField(max_length=10, choices=ChallengePolicy.choices)
    submitted_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    # what became of it
    decided_at = models.DateTimeField(null=True)
    effective_at = models.DateTimeField(null=True)
    reason = models.TextField(blank=True)  # of a refusal; reaches the device as failInfoText
    next_attempt_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    quarantined_at = models.DateTimeField(null=True)
    last_fault = models.CharField(max_length=500, blank=True)
    certificate = models.OneToOneField(Certificate, on_delete=models.PROTECT, null=True, related_name="+")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=sorted(State)), name="approvals_state_known"),
            models.CheckConstraint(
                condition=models.Q(state="ISSUED", certificate__isnull=False)
                | (~models.Q(state="ISSUED") & models.Q(certificate__isnull=True)),
                name="approvals_issued_means_certificate",
            ),
            models.UniqueConstraint(
                fields=["profile", "csr_spki_sha256"],
                condition=models.Q(state__in=_OPEN),
                name="approvals_one_open_request_per_key",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "id"], name="approvals_request_by_state"),
            models.Index(fields=["profile", "state", "id"], name="approvals_request_by_profile"),
            models.Index(fields=["csr_spki_sha256"], name="approvals_request_by_key"),
            models.Index(fields=["common_name", "id"], name="approvals_request_by_name"),
            models.Index(
                fields=["next_attempt_at"],
                condition=models.Q(state__in=[State.APPROVED, State.ISSUING]),
                name="approvals_request_due",
            ),
            models.Index(
                fields=["expires_at"],
                condition=models.Q(state__in=[State.PENDING, State.FAILED]),
                name="approvals_request_expiring",
            ),
            models.Index(
                fields=["profile", "address"],
                condition=models.Q(state__in=_OPEN),
                name="approvals_open_by_address",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subject} ({self.state.lower()})"

    @property
    def department_id(self) -> int | None:
        """The department of its profile, for `can`."""
        return self.profile.department_id

    @property
    def csr_der(self) -> bytes:
        """The PKCS #10 bytes as they are kept, a challenge password overwritten."""
        return bytes(self.csr)

    def is_due(self, now: datetime) -> bool:
        """Return whether a worker should look at it now."""
        return self.next_attempt_at is not None and self.next_attempt_at <= now and self.quarantined_at is None


class RequestTerm(models.Model):
    """One word by which a request is found, exactly or by its beginning, in lower case."""

    request = models.ForeignKey(EnrollmentRequest, on_delete=models.CASCADE, related_name="terms")
    term = TermField(max_length=255)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["term", "request"], name="approvals_term_once")]

    def __str__(self) -> str:
        return str(self.term)


class EnrollmentTransaction(models.Model):
    """One SCEP transaction (RFC 8894 §3.2.1.1): known by profile, transactionID and the key that signs its messages.

    And by the certificate it renews, if any: clients renew with the transactionID, key and CSR they enrolled with.
    """

    profile = models.ForeignKey(EnrollmentProfile, on_delete=models.PROTECT, related_name="+")
    transaction_id = models.CharField(max_length=255)
    signer_spki_sha256 = models.CharField(max_length=64)
    renews = models.ForeignKey(Certificate, on_delete=models.PROTECT, null=True, related_name="+")
    request = models.ForeignKey(EnrollmentRequest, on_delete=models.PROTECT, related_name="transactions")
    opened_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["profile", "transaction_id", "signer_spki_sha256"],
                condition=models.Q(renews__isnull=True),
                name="approvals_transaction_once",
            ),
            models.UniqueConstraint(  # NULLs differ from each other here: the constraint above is for them
                fields=["profile", "transaction_id", "signer_spki_sha256", "renews"], name="approvals_renewal_once"
            ),
        ]

    def __str__(self) -> str:
        return self.transaction_id


class Verdict(models.TextChoices):
    """What an officer, or the policy, said."""

    APPROVE = "approve", "approved"
    REJECT = "reject", "rejected"


class Evidence(models.TextChoices):
    """How we know that it was this officer."""

    SESSION = "session", "signed in"
    ASSERTED = "asserted", "asserted, not authenticated"
    POLICY = "policy", "decided by policy"


class Decision(models.Model):
    """One verdict on one request in one round. `document` is what was decided on, canonical; it never changes."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    request = models.ForeignKey(EnrollmentRequest, on_delete=models.PROTECT, related_name="decisions")
    round = models.PositiveIntegerField()
    verdict = models.CharField(max_length=7, choices=Verdict.choices)
    officer = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    evidence = models.CharField(max_length=8, choices=Evidence.choices)
    asserted_by = models.CharField(max_length=64, blank=True)  # operating-system user of a command
    comment = models.TextField(blank=True)
    document = models.BinaryField()
    document_sha256 = models.CharField(max_length=64)
    decided_at = models.DateTimeField()
    effective_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["request", "officer", "round"], name="approvals_one_vote_per_round"),
            models.CheckConstraint(
                condition=models.Q(evidence="policy", officer__isnull=True)
                | (~models.Q(evidence="policy") & models.Q(officer__isnull=False)),
                name="approvals_decision_has_officer",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_verdict_display()} by {self.officer or 'policy'}"


class PollRecord(models.Model):
    """How often and from where a waiting device asked; written in batches, never part of the log."""

    request = models.OneToOneField(EnrollmentRequest, on_delete=models.CASCADE, primary_key=True, related_name="polls")
    count = models.PositiveIntegerField(default=0)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    last_address = models.CharField(max_length=45)

    def __str__(self) -> str:
        return f"{self.count} polls"


class OutboxMessage(models.Model):
    """A notice to send, written in the transaction that gives the reason; a worker sends it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=24)  # request-pending, request-failed, request-attention
    request = models.ForeignKey(EnrollmentRequest, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField(null=True)  # NULL: done
    attempts = models.PositiveIntegerField(default=0)
    outcome = models.CharField(max_length=200, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=models.Q(next_attempt_at__isnull=False),
                name="approvals_outbox_due",
            ),
            models.Index(fields=["request"], name="approvals_outbox_by_request"),
        ]

    def __str__(self) -> str:
        return self.kind


class Lease(models.Model):
    """A named lock with an end: one holder at a time does the sweep."""

    name = models.CharField(max_length=32, primary_key=True)
    held_until = models.DateTimeField()
    last_run_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name
