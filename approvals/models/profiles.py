"""Enrollment profiles: one enrollment address each, with its rules."""

from datetime import timedelta

from django.core.validators import MinValueValidator
from django.db import models
from django.utils.functional import cached_property

from accounts.models.people import Department, User
from approvals.models.devices import DeviceGroup
from approvals.rules.policy import RENEWAL_WINDOW
from approvals.rules.profile_rules import LIST_TEXT, OPEN_TEXT
from ca.models.authorities import CertificateAuthority, CertificatesShape
from ca.models.lineage import Lineage, lineage_of
from ca.models.profiles import CertificateProfile


class ApprovalMode(models.TextChoices):
    """Who approves: an officer or the policy."""

    MANUAL = "manual", "an officer decides"
    AUTOMATIC = "automatic", "approved by policy"


class ChallengePolicy(models.TextChoices):
    """The required challenge. `none` goes only with manual approval."""

    NONE = "none", "no challenge"
    STATIC = "static", "one static challenge"
    ONE_TIME = "one-time", "one-time challenges"
    WEBHOOK = "webhook", "checked by a signed webhook"
    INTUNE = "intune", "checked by Microsoft Intune"


#: A service checks these challenges; `approvals.models.validations` holds its answers.
VALIDATED = frozenset({ChallengePolicy.WEBHOOK, ChallengePolicy.INTUNE})


class Unlisted(models.TextChoices):
    """The treatment of devices that are not on the list of expected devices."""

    REFUSE = "refuse", "a refusal"
    OFFICER = "officer", "an officer decides"


class OnDuplicate(models.TextChoices):
    """The treatment of a new transaction of a key with a valid certificate."""

    REDELIVER = "redeliver", "the same certificate again"
    PENDING = "pending", "a new request"
    FAIL = "fail", "a refusal"


class RenewalMode(models.TextChoices):
    """Who approves a renewal."""

    OFF = "off", "no renewal"
    AUTOMATIC = "automatic", "renewed by policy"
    OFFICER = "officer", "an officer decides"


class ChangedNames(models.TextChoices):
    """The treatment of a renewal with other names than its certificate."""

    REFUSE = "refuse", "a refusal"
    OFFICER = "officer", "an officer decides"


class NameConflicts(models.TextChoices):
    """The treatment of a name that another key has, in an open request or valid certificate."""

    OFFICER = "officer", "an officer decides"
    REFUSE = "refuse", "a refusal"
    ALLOW = "allow", "a remark only"


class ReplyChain(models.TextChoices):
    """The certificates sent to a device with its own."""

    LEAF = "leaf", "the certificate alone"
    CHAIN = "chain", "the certificate, then its CAs"


class EmptyContentForm(models.TextChoices):
    """The encoding of an answer that delivers nothing."""

    OCTETS = "octets", "content of no octets"
    ABSENT = "absent", "no content"


class EnrollmentProfile(models.Model):
    """The rules of one enrollment address: its slug is the SCEP URL `/scep/<slug>/`."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    ca = models.ForeignKey(
        CertificateAuthority, on_delete=models.PROTECT, related_name="enrollment_profiles"
    )
    certificate_profile = models.ForeignKey(
        CertificateProfile, on_delete=models.PROTECT, related_name="enrollment_profiles"
    )
    approval = models.CharField(
        max_length=10, choices=ApprovalMode.choices, default=ApprovalMode.MANUAL
    )
    challenge = models.CharField(
        max_length=10, choices=ChallengePolicy.choices, default=ChallengePolicy.ONE_TIME
    )
    eligibility = models.ForeignKey(
        DeviceGroup, on_delete=models.PROTECT, null=True, blank=True, related_name="profiles"
    )
    unlisted = models.CharField(max_length=7, choices=Unlisted.choices, default=Unlisted.REFUSE)
    networks = models.JSONField(default=list, blank=True)
    department = models.ForeignKey(Department, on_delete=models.PROTECT, null=True, blank=True)
    owner = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    required_approvals = models.PositiveSmallIntegerField(default=1)
    allow_asserted_decisions = models.BooleanField(default=False)
    refuse_after_account_change = models.BooleanField(default=False)
    on_duplicate = models.CharField(
        max_length=10, choices=OnDuplicate.choices, default=OnDuplicate.REDELIVER
    )
    name_conflicts = models.CharField(
        max_length=7, choices=NameConflicts.choices, default=NameConflicts.OFFICER
    )
    request_ttl = models.DurationField()
    refused_ttl = models.DurationField()
    undo_window = models.DurationField(default=timedelta(0))
    renewal_mode = models.CharField(
        max_length=10, choices=RenewalMode.choices, default=RenewalMode.OFF
    )
    renewal_window = models.DurationField(
        default=RENEWAL_WINDOW, validators=[MinValueValidator(timedelta(0))]
    )
    renewal_grace = models.DurationField(
        default=timedelta(0), validators=[MinValueValidator(timedelta(0))]
    )
    renewal_key_reuse = models.BooleanField(default=False)
    renewal_changed_names = models.CharField(
        max_length=10, choices=ChangedNames.choices, default=ChangedNames.REFUSE
    )
    ca_certificates = models.CharField(
        max_length=11, choices=CertificatesShape.choices, default=CertificatesShape.RA_CHAIN
    )
    max_open_requests = models.PositiveIntegerField(default=10_000)
    max_open_per_address = models.PositiveIntegerField(default=500)
    legacy_algorithms = models.BooleanField(default=False)
    reply_chain = models.CharField(
        max_length=5, choices=ReplyChain.choices, default=ReplyChain.LEAF
    )
    empty_content = models.CharField(
        max_length=6, choices=EmptyContentForm.choices, default=EmptyContentForm.OCTETS
    )
    max_clock_skew = models.DurationField(
        null=True, blank=True, validators=[MinValueValidator(timedelta(minutes=1))]
    )
    is_default = models.BooleanField(default=False)
    max_failed_per_address = models.PositiveIntegerField(default=20)
    max_failed_challenges = models.PositiveIntegerField(default=500)
    lock_exempt_networks = models.JSONField(default=list, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True, editable=False)
    is_test = models.BooleanField(default=False, editable=False)
    for_self_test = models.BooleanField(
        default=False, editable=False
    )  # left out of queue, history, mail, figures
    version = models.PositiveIntegerField(default=1, editable=False)  # number of `current`
    current = models.ForeignKey(
        "approvals.EnrollmentProfileVersion",
        on_delete=models.PROTECT,
        null=True,
        editable=False,
        related_name="+",
    )
    created_at = models.DateTimeField(editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"],
                condition=models.Q(is_default=True),
                name="approvals_one_default_profile",
                violation_error_message=(
                    "Another profile is the default already: take the mark from it first."
                ),
            ),
            models.CheckConstraint(
                condition=~models.Q(challenge="none")
                | models.Q(approval="manual")
                | (models.Q(eligibility__isnull=False) & ~models.Q(networks=[])),
                name="approvals_no_challenge_means_manual",
                violation_error_message=OPEN_TEXT,
            ),
            models.CheckConstraint(
                condition=models.Q(eligibility__isnull=True) | models.Q(challenge="none"),
                name="approvals_list_instead_of_challenge",
                violation_error_message=LIST_TEXT,
            ),
            models.CheckConstraint(
                condition=models.Q(name_conflicts__in=NameConflicts.values),
                name="approvals_name_conflicts_known",
            ),
            models.CheckConstraint(
                condition=models.Q(unlisted__in=Unlisted.values), name="approvals_unlisted_known"
            ),
            models.CheckConstraint(
                condition=models.Q(approval__in=ApprovalMode.values),
                name="approvals_approval_known",
            ),
            models.CheckConstraint(
                condition=models.Q(challenge__in=ChallengePolicy.values),
                name="approvals_challenge_known",
            ),
            models.CheckConstraint(
                condition=models.Q(reply_chain__in=ReplyChain.values),
                name="approvals_reply_chain_known",
            ),
            models.CheckConstraint(
                condition=models.Q(empty_content__in=EmptyContentForm.values),
                name="approvals_empty_content_known",
            ),
            models.CheckConstraint(
                condition=models.Q(required_approvals__gte=1),
                name="approvals_at_least_one_approval",
            ),
            models.CheckConstraint(
                condition=models.Q(for_self_test=False) | models.Q(is_test=True),
                name="approvals_self_test_is_test",
            ),
            models.CheckConstraint(
                condition=models.Q(renewal_mode__in=RenewalMode.values),
                name="approvals_renewal_known",
            ),
            models.CheckConstraint(
                condition=models.Q(renewal_changed_names__in=ChangedNames.values),
                name="approvals_changed_names_known",
            ),
            models.CheckConstraint(
                condition=models.Q(ca_certificates__in=CertificatesShape.values),
                name="approvals_ca_certificates_known",
            ),
        ]

    def __str__(self) -> str:
        return self.slug

    @cached_property
    def lineage(self) -> Lineage:
        """The authorities behind this profile, read once for this object."""
        return lineage_of(self.ca)
