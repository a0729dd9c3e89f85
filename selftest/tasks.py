"""Celery task of a run: takes its id, reads it again, runs it once."""

import time
from uuid import UUID

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from cryptography.hazmat.primitives.asymmetric import rsa
from django.utils import timezone

from scep.transport import fetch
from selftest.runs import TASK, walk_run
from selftest.walks import RunEnvironment

#: Seconds; above twice the patience of a run and below the broker's visibility timeout.
_LIMIT = 80


@shared_task(name=TASK, ignore_result=True, soft_time_limit=_LIMIT, time_limit=_LIMIT + 10)
def run_self_test(*, run_id: str) -> None:
    """Run one waiting run; its rows hold the results."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    environment = RunEnvironment(timezone.now, time.monotonic, time.sleep)
    try:
        walk_run(UUID(run_id), key=key, http=fetch, environment=environment)
    except SoftTimeLimitExceeded:
        return  # the run is recorded as broken off
