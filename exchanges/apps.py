"""The app of stored messages."""

from django.apps import AppConfig


class ExchangesConfig(AppConfig):
    """Stored messages and the recording switch; the SCEP door writes, the inspector reads.

    See ADR 0025.
    """

    name = "exchanges"
    verbose_name = "Stored messages"
    default_auto_field = "django.db.models.BigAutoField"
