"""The technicians' door: the content of SCEP messages, and the reasons for their answers."""

from django.apps import AppConfig


class InspectorConfig(AppConfig):
    """Pages over pasted and stored messages; no models."""

    name = "inspector"
    verbose_name = "Inspector"
