"""The composition root as an app: its commands, and the table of the shared cache."""

from typing import Any

from django.apps import AppConfig, apps
from django.core.management import call_command
from django.db.models.signals import post_migrate


def create_cache_table(*, using: str, **_: Any) -> None:
    """Make the cache's table where it is missing, so that `migrate` is all there is to run."""
    call_command("createcachetable", database=using, verbosity=0)


class PortalConfig(AppConfig):
    """Everything together."""

    name = "pkiportal"
    verbose_name = "PKI portal"

    def ready(self) -> None:
        """Connect the cache table and load the Celery application, so that every process rings
        through it.
        """
        # Django signals for apps with models only; accounts is whose limits and links the table
        # holds.
        post_migrate.connect(
            create_cache_table,
            sender=apps.get_app_config("accounts"),
            dispatch_uid="pkiportal.cache",
        )
        from pkiportal import celery

        celery.app.set_default()
