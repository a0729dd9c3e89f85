"""The registration authority: profiles, requests, decisions."""

from django.apps import AppConfig

from approvals.rules.states import TRANSITIONS
from database.triggers import (
    allowed_steps,
    immutable_columns,
    keep,
    refuse_changes,
    refuse_delete,
    refuse_truncate,
)

_REQUEST = "approvals_enrollmentrequest"
UNDECIDED_WORDS = (
    "waiting",
    "unreachable",
)  # an answer is final: approvals.models.validations

TRIGGERS = (
    allowed_steps(_REQUEST, "state", ((old, new) for (old, _), new in TRANSITIONS.items())),
    immutable_columns(
        _REQUEST,
        (
            "id",
            "profile_id",
            "ca_id",
            "profile_version_id",
            "enrollment_profile_version_id",
            "csr",
            "csr_sha256",
            "csr_spki_sha256",
            "signer_spki_sha256",
            "signer_certificate",
            "content_sha256",
            "renews_id",
            "subject",
            "common_name",
            "names",
            "key_description",
            "findings",
            "transaction_id",
            "address",
            "network",
            "challenge",
            "submitted_at",
        ),
        once=("certificate_id",),
    ),
    refuse_delete(_REQUEST),
    refuse_truncate(_REQUEST),
    refuse_changes("approvals_enrollmentprofileversion"),
    refuse_truncate("approvals_enrollmentprofileversion"),
    refuse_changes("approvals_decision"),
    refuse_truncate("approvals_decision"),
    refuse_changes("approvals_decisioncomment", deletable=True),
    refuse_truncate("approvals_decisioncomment"),
    immutable_columns(
        "approvals_decisionbatch",
        ("id", "principal", "verdict", "digests", "root", "count", "decided_at"),
        once=("done", "exceptions"),
    ),
    refuse_delete("approvals_decisionbatch"),
    refuse_truncate("approvals_decisionbatch"),
    allowed_steps(
        "approvals_validation",
        "state",
        (
            (old, new)
            for old in UNDECIDED_WORDS
            for new in ("unreachable", "allowed", "denied")
            if old != new
        ),
    ),
    immutable_columns("approvals_validation", ("request_id", "kind", "challenge_hash")),
    refuse_delete("approvals_validation"),
    immutable_columns(
        "approvals_challengepassword",
        (
            "id",
            "keyed_hash",
            "profile_id",
            "subject",
            "subject_dn",
            "serial_number",
            "sans",
            "networks",
            "group_id",
            "created_at",
            "created_by_id",
            "created_by_name",
            "created_for",
            "origin",
        ),
        once=("redeemed_by_id", "withdrawn_at"),
    ),
    immutable_columns(
        "approvals_staticchallenge",
        ("id", "profile_id", "sealed", "created_at", "created_by_id", "created_by_name", "origin"),
    ),
    refuse_changes("approvals_staticuse"),
    refuse_truncate("approvals_staticuse"),
)


class ApprovalsConfig(AppConfig):
    """The RA."""

    name = "approvals"
    verbose_name = "Approvals"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Keep the triggers in the database."""
        keep(self, TRIGGERS)
