"""The technician's door: what a SCEP message says, and why it was answered so."""

from django.apps import AppConfig


class InspectorConfig(AppConfig):
    """Pages over messages, pasted or stored; no models."""

    name = "inspector"
    verbose_name = "Inspector"
