"""The portal's own loop, walked by a throw-away device over HTTP."""

from django.apps import AppConfig


class SelfTestConfig(AppConfig):
    """Runs of the self-test and their steps; a door to the use cases of the RA, with rows of its
    own (ADR 0024).
    """

    name = "selftest"
    verbose_name = "Self-test"
    default_auto_field = "django.db.models.BigAutoField"
