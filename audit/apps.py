"""The audit app: facts, and the triggers that protect them."""

from django.apps import AppConfig

from database.triggers import keep, refuse_changes, refuse_truncate

TRIGGERS = (
    refuse_changes("audit_auditentry"),
    refuse_truncate("audit_auditentry"),
    refuse_changes("audit_auditprivatevalue", deletable=True),
    refuse_truncate("audit_auditprivatevalue"),
)


class AuditConfig(AppConfig):
    """Append-only facts."""

    name = "audit"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Keep the triggers in the database."""
        keep(self, TRIGGERS)
