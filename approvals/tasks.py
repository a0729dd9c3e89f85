"""Celery tasks of the RA: ids in, rows read again, state checked, safe to run twice.

No retries: the sweep rings again.
"""

from uuid import UUID

from celery import shared_task
from django.utils import timezone

from accounts.people.notices import deliver_account_notices
from approvals.issuance import issue
from approvals.issuance.sweep import sweep
from approvals.operations import alarms, pulse
from approvals.records import notifications
from approvals.validation import worker


@shared_task(name="approvals.issue_certificates", ignore_result=True)
def issue_certificates(*, request_ids: list[str]) -> None:
    """Sign the due ones of these requests."""
    issue.issue_certificates([UUID(request_id) for request_id in request_ids])


@shared_task(name="approvals.sweep", ignore_result=True)
def run_sweep() -> None:
    """Ring again for due work, expire overdue requests."""
    sweep()


@shared_task(name="approvals.deliver_notices", ignore_result=True)
def deliver_notices() -> None:
    """Send the notices in the outbox."""
    notifications.deliver_due(now=timezone.now())
    alarms.deliver_alarms(now=timezone.now())
    deliver_account_notices(now=timezone.now())


@shared_task(name="approvals.sign_queue", ignore_result=True)
def sign_queue(*, of: str) -> None:
    """Prove that tasks of a queue arrive and run."""
    pulse.sign_queue(of, now=timezone.now())


@shared_task(name="approvals.validate_requests", ignore_result=True)
def validate_requests(*, request_ids: list[str]) -> None:
    """Ask the validation services about these requests, or report their outcomes."""
    worker.validate_requests([UUID(request_id) for request_id in request_ids])


@shared_task(name="approvals.probe_services", ignore_result=True)
def probe_services() -> None:
    """Run the ordered tests of validation services."""
    worker.probe_services()
