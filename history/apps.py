"""The auditors' door: the issuance history and the log."""

from django.apps import AppConfig


class HistoryConfig(AppConfig):
    """Pages over requests, certificates and audit entries; no models."""

    name = "history"
    verbose_name = "History"
