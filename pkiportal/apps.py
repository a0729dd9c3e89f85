"""The composition root as an app: its commands, and the table of the shared cache."""

from typing import Any

from django.apps import AppConfig, apps
from django.core.management import call_command
from django.db.models.signals import post_migrate


def create_cache_table(*, using: str, **_: Any) -> None:
    """Create the cache's table if it is missing, so that `migrate` prepares the whole database."""
    call_command("createcachetable", database=using, verbosity=0)


class PortalConfig(AppConfig):
    """The app that ties all others together."""

    name = "pkiportal"
    verbose_name = "PKI portal"

    def ready(self) -> None:
        """Connect the cache table, and load the Celery application for every process."""
        # Django sends signals for apps with models only; the limits and links of accounts are in
        # the table.
        post_migrate.connect(
            create_cache_table,
            sender=apps.get_app_config("accounts"),
            dispatch_uid="pkiportal.cache",
        )
        from pkiportal import celery

        celery.app.set_default()
