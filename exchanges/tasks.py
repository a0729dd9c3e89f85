"""Celery task that deletes old messages."""

from celery import shared_task
from django.utils import timezone

from exchanges.storage import prune


@shared_task(name="exchanges.prune", ignore_result=True)
def prune_exchanges() -> None:
    """Delete expired messages."""
    prune(now=timezone.now())
