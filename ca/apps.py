"""The certification authority: authorities, certificate profiles, issuance, store."""

from django.apps import AppConfig

from database.triggers import (
    allowed_steps,
    immutable_columns,
    keep,
    refuse_changes,
    refuse_delete,
    refuse_truncate,
)

CERTIFICATE_STEPS = (
    ("PREPARED", "ISSUED"),
    ("PREPARED", "ABANDONED"),
    ("ISSUED", "ON_HOLD"),
    ("ON_HOLD", "ISSUED"),
    ("ISSUED", "REVOKED"),
    ("ON_HOLD", "REVOKED"),
)

TRIGGERS = (
    allowed_steps("ca_certificate", "status", CERTIFICATE_STEPS),
    immutable_columns(
        "ca_certificate",
        (
            "id",
            "ca_id",
            "order_id",
            "serial_hex",
            "tbs",
            "tbs_sha256",
            "profile_version_id",
            "spki_sha256",
            "prepared_at",
        ),
        once=("der", "der_sha256", "issued_at"),
    ),
    refuse_delete("ca_certificate"),
    refuse_truncate("ca_certificate"),
    refuse_changes("ca_certificateprofileversion"),
    refuse_delete("ca_certificateauthority"),
    immutable_columns(
        "ca_crlissue",
        (
            "id",
            "ca_id",
            "number",
            "revocation_version",
            "this_update",
            "next_update",
            "entries",
            "created_at",
        ),
        once=("tbs_sha256", "sha256", "pruned_at"),
        cleared={"der": "pruned_at"},
    ),
    refuse_delete("ca_crlissue"),
    refuse_truncate("ca_crlissue"),
    immutable_columns(
        "ca_servicekey",
        (
            "id",
            "ca_id",
            "purpose",
            "key_name",
            "csr",
            "spki_sha256",
            "created_at",
            "signing_key_id",
        ),
        once=("retired_at",),
    ),
    immutable_columns(
        "ca_authorityrollover",
        ("id", "ca_id", "next_ca_id", "staged_at"),
        once=("published_at", "switched_at", "cancelled_at"),
    ),
    refuse_delete("ca_authorityrollover"),
    refuse_truncate("ca_authorityrollover"),
    refuse_changes("ca_nextcaanswer"),
    refuse_truncate("ca_nextcaanswer"),
    immutable_columns(
        "ca_certificateauthority", ("id", "name", "certificate", "key_name", "parent_id")
    ),
)


class CaConfig(AppConfig):
    """The CA and the certificate store."""

    name = "ca"
    verbose_name = "Certification authorities"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Keep the triggers in the database."""
        keep(self, TRIGGERS)
