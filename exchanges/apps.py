"""Messages as they stood on the wire, where there is a reason to keep them."""

from django.apps import AppConfig


class ExchangesConfig(AppConfig):
    """Kept messages and the switch that keeps them all; written by the SCEP door, read by the
    inspector (ADR 0025).
    """

    name = "exchanges"
    verbose_name = "Stored messages"
    default_auto_field = "django.db.models.BigAutoField"
