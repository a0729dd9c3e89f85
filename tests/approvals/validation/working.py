"""The work of the workers, done at once in the test's own process."""

from datetime import timedelta

from approvals.models.validations import Validation
from approvals.validation import worker
from tests.world import now, run_worker


def work() -> None:
    """Do all due work of the default worker and the signing worker."""
    worker.validate_requests(list(Validation.objects.values_list("pk", flat=True)))
    run_worker()


def make_due() -> None:
    """Let the pause between two attempts be over."""
    Validation.objects.update(next_attempt_at=now() - timedelta(seconds=1))
