"""The accounts app: people, roles, departments."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """People and what they may do."""

    name = "accounts"
    verbose_name = "People"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect what listens to sign-ins."""
        from accounts import sign_ins  # noqa: F401 - connects its receivers when imported
