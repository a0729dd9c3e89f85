"""Celery tasks of the CA."""

from celery import shared_task
from django.utils import timezone

from ca.signing.crl import issue_due_crls
from ca.signing.rollover import refresh_answers
from ca.signing.service_keys import certify_service_keys


@shared_task(name="ca.certify_service_keys", ignore_result=True)
def certify() -> None:
    """Certify the portal's waiting keys, and refresh GetNextCACert answers after renewals."""
    certify_service_keys(now=timezone.now())
    refresh_answers(now=timezone.now())


@shared_task(name="ca.issue_crls", ignore_result=True)
def issue_crls() -> None:
    """Issue the due CRLs."""
    issue_due_crls(now=timezone.now())
