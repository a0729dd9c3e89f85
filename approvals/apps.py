"""The registration authority: profiles, requests, decisions."""

from django.apps import AppConfig

from approvals.states import TRANSITIONS
from audit.triggers import allowed_steps, immutable_columns, keep, refuse_changes, refuse_delete, refuse_truncate

_REQUEST = "approvals_enrollmentrequest"

TRIGGERS = (
    allowed_steps(_REQUEST, "state", ((old, new) for (old, _), new in TRANSITIONS.items())),
    immutable_columns(
        _REQUEST,
        (
            "id",
            "profile_id",
            "ca_id",
            "profile_version_id",
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
            "challenge",
            "submitted_at",
        ),
        once=("certificate_id",),
    ),
    refuse_delete(_REQUEST),
    refuse_truncate(_REQUEST),
    refuse_changes("approvals_decision"),
    refuse_truncate("approvals_decision"),
    immutable_columns("approvals_challengepassword", ("id", "keyed_hash", "profile_id"), once=("redeemed_by_id",)),
)


class ApprovalsConfig(AppConfig):
    """The RA."""

    name = "approvals"
    verbose_name = "Approvals"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Keep the triggers in the database."""
        keep(self, TRIGGERS)
