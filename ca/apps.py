"""The certification authority: authorities, certificate profiles, issuance, store."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Tags, register
from django.db.models.signals import post_migrate

from audit.triggers import (
    allowed_steps,
    check,
    immutable_columns,
    install,
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
    immutable_columns("ca_certificateauthority", ("id", "name", "certificate", "key_name", "parent_id")),
)


def install_triggers(*, using: str, **_: Any) -> None:
    """Make the triggers after each migration of the app."""
    install(TRIGGERS, using=using)


def check_triggers(*, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Report triggers that are missing or changed."""
    return [message for using in databases or [] for message in check(TRIGGERS, using=using)]


class CaConfig(AppConfig):
    """The CA and the certificate store."""

    name = "ca"
    verbose_name = "Certification authorities"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the triggers."""
        post_migrate.connect(install_triggers, sender=self, dispatch_uid="ca.triggers")
        register(Tags.database)(check_triggers)
