"""The Celery application of the workers, and of the processes that ring for them."""

import os
from logging.config import dictConfig
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pkiportal.settings")

from celery import Celery
from celery.signals import setup_logging, worker_init, worker_process_init

from pkiportal.runtime.broker_watch import BrokerWatch
from pkiportal.runtime.lifeline import be_followed, follow_the_starter

app = Celery("pkiportal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["consumer"].add(BrokerWatch)


@setup_logging.connect
def use_our_logs(**_: Any) -> None:
    """Keep Celery from setting up its own logs."""
    from django.conf import settings

    dictConfig(settings.LOGGING)


@worker_init.connect
def remember_the_worker(**_: Any) -> None:
    """Let the later pool processes follow this worker; record its start in the audit log."""
    be_followed()
    from django.conf import settings
    from django.db import connections
    from django.utils import timezone

    from pkiportal.runtime.starts import note_start

    note_start(settings.PORTAL_PROCESS, now=timezone.now())
    connections.close_all()


@worker_process_init.connect
def follow_the_worker(**_: Any) -> None:
    """End this pool process with its worker. It also sweeps, so that a dead beat stops nothing."""
    follow_the_starter()
    from pkiportal.runtime.sweeper import start_sweeping

    start_sweeping()
