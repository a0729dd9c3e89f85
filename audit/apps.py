"""The audit app: facts, and the triggers that keep them."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Tags, register
from django.db.models.signals import post_migrate

from audit.triggers import check, install, refuse_changes, refuse_truncate

TRIGGERS = (
    refuse_changes("audit_auditentry"),
    refuse_truncate("audit_auditentry"),
    refuse_changes("audit_auditprivatevalue", deletable=True),
    refuse_truncate("audit_auditprivatevalue"),
)


def install_triggers(*, using: str, **_: Any) -> None:
    """Make the triggers after each migration of the app."""
    install(TRIGGERS, using=using)


def check_triggers(*, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Report triggers that are missing or changed."""
    return [message for using in databases or [] for message in check(TRIGGERS, using=using)]


class AuditConfig(AppConfig):
    """Append-only facts."""

    name = "audit"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the triggers."""
        post_migrate.connect(install_triggers, sender=self, dispatch_uid="audit.triggers")
        register(Tags.database)(check_triggers)
