"""The SCEP door (RFC 8894)."""

from django.apps import AppConfig


class ScepConfig(AppConfig):
    """SCEP: messages in, CertReps out; no models."""

    name = "scep"
    verbose_name = "SCEP"
