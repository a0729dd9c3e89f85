"""Requests, their transactions and names, and the rows that belong to one request."""

from typing import Final

from django.db import models

from approvals.models.profile_versions import EnrollmentProfileVersion
from approvals.models.profiles import (
    ChallengePolicy,
    EnrollmentProfile,
)
from approvals.rules.states import OPEN_STATES, State
from audit.models import AuditEntry
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import Certificate, TermField
from ca.models.profiles import CertificateProfileVersion
from database.ids import uuid7

_OPEN = sorted(OPEN_STATES)


def open_for_key(path: str = "") -> models.Q:
    """Return the filter for requests that count as open for their key; `path` leads to them.

    A rejection that is not in effect yet can be taken back: until the sweep has settled it, its
    `next_attempt_at` says when that is.
    """
    is_rejected = {f"{path}state": State.REJECTED, f"{path}next_attempt_at__isnull": False}
    return models.Q(**{f"{path}state__in": _OPEN}) | models.Q(**is_rejected)


_OPEN_SQL = ", ".join(f"'{state}'" for state in _OPEN)
#: The same rule in hand-written SQL, for a request `r`.
OPEN_FOR_KEY_SQL: Final = (
    f"(r.state IN ({_OPEN_SQL})"
    f" OR (r.state = '{State.REJECTED}' AND r.next_attempt_at IS NOT NULL))"
)


class EnrollmentRequest(models.Model):
    """One request for a certificate, through any door.

    Its state changes only by `approvals.records.transitions.advance`.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    profile = models.ForeignKey(
        EnrollmentProfile, on_delete=models.PROTECT, related_name="requests"
    )
    ca = models.ForeignKey(CertificateAuthority, on_delete=models.PROTECT, related_name="+")
    profile_version = models.ForeignKey(
        CertificateProfileVersion, on_delete=models.PROTECT, related_name="+"
    )
    enrollment_profile_version = models.ForeignKey(
        EnrollmentProfileVersion, on_delete=models.PROTECT, null=True, related_name="+"
    )  # NULL: it came before versions had rows
    state = models.CharField(
        max_length=9, choices=[(state, state.lower()) for state in State], default=State.PENDING
    )
    version = models.PositiveIntegerField(default=1)
    round = models.PositiveIntegerField(default=1)
    # the request
    csr = models.BinaryField()  # its challenge password is overwritten: ca.x509.csr.stored_der
    csr_sha256 = models.CharField(max_length=64)
    csr_spki_sha256 = models.CharField(max_length=64)
    signer_spki_sha256 = models.CharField(max_length=64)
    signer_certificate = models.BinaryField()
    content_sha256 = models.CharField(
        max_length=64
    )  # subject, key and requested extensions: equal for repeats
    subject = models.CharField(max_length=1000)
    common_name = models.CharField(max_length=255, blank=True)
    names = models.JSONField(default=list)  # subject alternative names as shown
    key_description = models.CharField(max_length=40)
    findings = models.JSONField(default=list)  # [{severity, code, text}] as of submission
    transaction_id = models.CharField(max_length=255)
    renews = models.ForeignKey(Certificate, on_delete=models.PROTECT, null=True, related_name="+")
    address = models.CharField(max_length=45)
    network = models.CharField(
        max_length=45, blank=True, default=""
    )  # of the address: accounts.network.addresses.network_of
    client = models.CharField(max_length=200, blank=True)
    challenge = models.CharField(max_length=10, choices=ChallengePolicy.choices)
    submitted_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    #: Of the status page, approvals.records.status_tokens.
    status_token_sha256 = models.CharField(max_length=64, null=True)  # noqa: DJ001 - NULL: no token
    # the result
    decided_at = models.DateTimeField(null=True)
    effective_at = models.DateTimeField(null=True)
    reason = models.TextField(blank=True)  # of a refusal; reaches the device as failInfoText
    #: Of the worker; of a rejection: when it takes effect, NULL once that is settled.
    next_attempt_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    quarantined_at = models.DateTimeField(null=True)
    last_fault = models.CharField(max_length=500, blank=True)
    certificate = models.OneToOneField(
        Certificate, on_delete=models.PROTECT, null=True, related_name="+"
    )
    finished_at = models.DateTimeField(null=True)

    #: Whether the current message opened it; every other message about it is a poll or a repeat.
    was_opened_now = False

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["status_token_sha256"],
                condition=models.Q(status_token_sha256__isnull=False),
                name="approvals_request_status_token_once",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=sorted(State)), name="approvals_state_known"
            ),
            models.CheckConstraint(
                condition=models.Q(state=State.ISSUED, certificate__isnull=False)
                | (~models.Q(state=State.ISSUED) & models.Q(certificate__isnull=True)),
                name="approvals_issued_means_certificate",
            ),
            models.UniqueConstraint(
                fields=["profile", "csr_spki_sha256"],
                condition=open_for_key(),
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
                fields=["profile", "network"],
                condition=models.Q(state__in=_OPEN),
                name="approvals_open_by_network",
            ),
            models.Index(
                fields=["state", "next_attempt_at"],
                condition=models.Q(next_attempt_at__isnull=False),
                name="approvals_request_with_a_time",
            ),
            models.Index(
                fields=["profile", "network"],
                condition=models.Q(state=State.ISSUED),
                name="approvals_issued_by_network",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subject} ({self.state.lower()})"

    @property
    def department_id(self) -> int | None:
        """The department of its profile, for `can`."""
        return self.profile.department_id

    @property
    def is_open(self) -> bool:
        """Whether it counts as open for its key; the rule of `open_for_key`."""
        is_unsettled = self.state == State.REJECTED and self.next_attempt_at is not None
        return self.state in OPEN_STATES or is_unsettled

    @property
    def csr_der(self) -> bytes:
        """The stored PKCS #10 bytes, a challenge password overwritten."""
        return bytes(self.csr)


class RequestTerm(models.Model):
    """One search word of a request, in lower case; searched exactly or by its beginning."""

    request = models.ForeignKey(EnrollmentRequest, on_delete=models.CASCADE, related_name="terms")
    term = TermField(max_length=255)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["term", "request"], name="approvals_term_once")
        ]

    def __str__(self) -> str:
        return str(self.term)


class RequestName(models.Model):
    """One requested name, as SHA-256 of its comparable form: finds others that ask for it."""

    request = models.ForeignKey(
        EnrollmentRequest, on_delete=models.CASCADE, related_name="asked_names", db_index=False
    )  # the constraint below is an index
    profile = models.ForeignKey(
        EnrollmentProfile, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    name = models.CharField(max_length=64)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["request", "name"], name="approvals_name_once")
        ]
        indexes = [models.Index(fields=["profile", "name"], name="approvals_name_by_profile")]

    def __str__(self) -> str:
        return str(self.name)


class EnrollmentTransaction(models.Model):
    """One SCEP transaction (RFC 8894 §3.2.1.1), with the key that identifies its device.

    The transaction key. A transaction is identified by four things together: enrollment profile,
    transactionID, SHA-256 of the public key that *signed* the message, and the certificate it
    renews, if any.
    - The transactionID alone identifies nothing. The client chooses it: some use a constant or a
      counter, many derive it from the key, and everyone who saw one message can repeat it.
      Answering a poll by it would give one device's state, or certificate, to another.
    - The signer's certificate is no identity either. It is mostly self-signed, and some clients
      make a new one for each message. Its name and serial number are free text. Its key is proven
      by the signature of each message, also in a poll, which contains no CSR and is not decrypted.
    - The key is digested in one normal form (NULL parameters for RSA), so that a client that
      encodes it differently stays the same device.
    - Clients renew with the transactionID, key and CSR they enrolled with. The renewed certificate
      keeps a renewal apart from the enrollment before it.
    A poll signed by another key gets exactly the answer of an unknown transaction; the log has the
    real cause. The key in the CSR is another column of the request (`csr_spki_sha256`): it limits
    each key to one open request per profile. ADR 5 has the reasons.
    """

    profile = models.ForeignKey(EnrollmentProfile, on_delete=models.PROTECT, related_name="+")
    transaction_id = models.CharField(max_length=255)
    signer_spki_sha256 = models.CharField(max_length=64)
    renews = models.ForeignKey(Certificate, on_delete=models.PROTECT, null=True, related_name="+")
    request = models.ForeignKey(
        EnrollmentRequest, on_delete=models.PROTECT, related_name="transactions"
    )
    opened_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["profile", "transaction_id", "signer_spki_sha256"],
                condition=models.Q(renews__isnull=True),
                name="approvals_transaction_once",
            ),
            # NULLs differ from each other here: the constraint above is for them.
            models.UniqueConstraint(
                fields=["profile", "transaction_id", "signer_spki_sha256", "renews"],
                name="approvals_renewal_once",
            ),
        ]

    def __str__(self) -> str:
        return self.transaction_id


class KeptCsr(models.Model):
    """A CSR as received, challenge password included, stored while it is needed.

    See `approvals.records.stored_csrs`.
    """

    request = models.OneToOneField(
        EnrollmentRequest, on_delete=models.CASCADE, primary_key=True, related_name="kept"
    )
    sealed = models.BinaryField()  # database.encryption
    kept_until = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"CSR of {self.request_id}"


class RefusalNumber(models.Model):
    """The meaning of a refusal number: the audit entry, the request, or both."""

    number = models.CharField(max_length=9, db_index=True)  # as 4711-2093
    profile = models.ForeignKey(EnrollmentProfile, on_delete=models.PROTECT, related_name="+")
    entry = models.ForeignKey(AuditEntry, on_delete=models.RESTRICT, null=True, related_name="+")
    request = models.ForeignKey(
        EnrollmentRequest, on_delete=models.PROTECT, null=True, related_name="+"
    )
    at = models.DateTimeField()

    def __str__(self) -> str:
        return self.number


class PollRecord(models.Model):
    """Polls of a waiting device: number, time, address; written in batches, never in the log."""

    request = models.OneToOneField(
        EnrollmentRequest, on_delete=models.CASCADE, primary_key=True, related_name="polls"
    )
    count = models.PositiveIntegerField(default=0)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    last_address = models.CharField(max_length=45)

    def __str__(self) -> str:
        return f"{self.count} polls"


class OutboxMessage(models.Model):
    """A notice to send, written in the transaction of its reason; a worker sends it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(
        max_length=24
    )  # request-pending, request-failed, request-attention, request-unvalidated
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
