"""The accounts app: people, roles, departments."""

from django.apps import AppConfig

from database.triggers import immutable_columns, keep, refuse_delete

TRIGGERS = (
    immutable_columns(
        "accounts_passwordlink",
        (
            "id",
            "user_id",
            "digest",
            "issuer_id",
            "issued_by",
            "delivery",
            "created_at",
            "expires_at",
        ),
        once=("used_at", "withdrawn_at"),
    ),
    refuse_delete("accounts_passwordlink"),
    immutable_columns(
        "accounts_accountchange", ("id", "user_id", "kind", "at", "by", "by_user_id", "detail")
    ),
    refuse_delete("accounts_accountchange"),
)


class AccountsConfig(AppConfig):
    """People and their permissions."""

    name = "accounts"
    verbose_name = "People"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the receivers of sign-in signals, and keep the triggers in the database."""
        from accounts.sign_in import drafts, sign_ins  # noqa: F401 - connect their receivers when imported

        keep(self, TRIGGERS)
