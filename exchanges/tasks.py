"""Celery's door: old messages go."""

from celery import shared_task
from django.utils import timezone

from exchanges.storage import prune


@shared_task(name="exchanges.prune", ignore_result=True)
def prune_exchanges() -> None:
    """Delete what is kept no longer."""
    prune(now=timezone.now())
