"""CSRs with their challenge password, stored encrypted while the password is needed.

Two parties may need it after the first message: a validation service that is asked later, and the
answer to a device whose key cannot decrypt, which is encrypted with the password (RFC 8894 §3.1).
All other code reads the stored CSR, in which the password is overwritten.
"""

from datetime import datetime
from uuid import UUID

from django.db.models import DateTimeField, ExpressionWrapper, F, Q, Value

from approvals.models.requests import EnrollmentRequest, KeptCsr
from approvals.models.validations import ReportState
from approvals.rules.states import REFUSED_STATES
from database import moments
from database.encryption import seal, unseal

_PURPOSE = "kept CSRs"


def keep_csr(request: EnrollmentRequest, der: bytes, *, until: datetime) -> None:
    """Store the CSR of a request as received, in the caller's transaction, until the given time.

    It replaces an earlier one of this request.
    """
    values = {"sealed": seal(_PURPOSE, str(request.pk), der), "kept_until": until}
    KeptCsr.objects.update_or_create(request=request, defaults=values)


def kept_csr(request_id: UUID, *, now: datetime) -> bytes | None:
    """Return the CSR of a request as received, DER; None if it is not stored or expired."""
    row = KeptCsr.objects.filter(pk=request_id, kept_until__gt=now).first()
    return unseal(_PURPOSE, str(request_id), bytes(row.sealed)) if row else None


def discard_csr(request_id: UUID) -> None:
    """Delete the CSR of one request: its challenge password is not needed any more."""
    KeptCsr.objects.filter(pk=request_id).delete()


def shorten(request_id: UUID, *, until: datetime) -> None:
    """Keep the CSR of one request no longer than this; never longer than before."""
    KeptCsr.objects.filter(pk=request_id, kept_until__gt=until).update(kept_until=until)


def discard_overdue(*, now: datetime) -> int:
    """Delete every CSR that has expired or whose request was finally refused; returns how many.

    A refusal that must still be reported to a validation service keeps it.
    """
    in_effect = Q(request__effective_at__isnull=True) | _takes_effect(now)
    untold = Q(request__validation__report=ReportState.OWED)
    refused = Q(request__state__in=sorted(REFUSED_STATES)) & in_effect & ~untold
    return KeptCsr.objects.filter(Q(kept_until__lte=now) | refused).delete()[0]


def _takes_effect(now: datetime) -> Q:
    """Whether a decision has passed its profile's window, or is impossibly far ahead."""
    latest = Value(now + moments.TOLERANCE, DateTimeField()) + F("request__profile__undo_window")
    is_void = Q(request__effective_at__gt=ExpressionWrapper(latest, output_field=DateTimeField()))
    return Q(request__effective_at__lte=now) | is_void
