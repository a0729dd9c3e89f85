"""The self-test: a throw-away device runs the portal's own loop over HTTP."""

from django.apps import AppConfig


class SelfTestConfig(AppConfig):
    """Runs of the self-test and their steps; a door to the RA's use cases with its own rows.

    See ADR 0024.
    """

    name = "selftest"
    verbose_name = "Self-test"
    default_auto_field = "django.db.models.BigAutoField"
