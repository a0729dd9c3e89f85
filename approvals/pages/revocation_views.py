"""The page on which an officer revokes a certificate or puts it on hold, or releases it."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.doors import person, principal_of, requires
from accounts.roles import Verb
from approvals.decisions.revocations import (
    Revocation,
    release_hold,
    revoke_certificate,
    revoke_compromised,
    successors_of,
)
from approvals.models.requests import EnrollmentRequest
from approvals.pages.decision_forms import CommentForm, RevocationForm
from approvals.reading.queue import requests_of
from approvals.rules.errors import ApprovalsError, NotPermitted
from ca.models.certificates import Certificate, CertificateStatus, RevocationReason
from ca.x509.errors import AlreadyRevoked, CaError

_STATUS: Final[Mapping[type[Exception], int]] = {NotPermitted: 403, AlreadyRevoked: 409}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires(Verb.CERTIFICATE_REVOKE)
def revoke(request: HttpRequest, certificate_id: UUID) -> HttpResponse:
    """Ask for the reason, then revoke."""
    certificate = _certificate(request, certificate_id)
    form = RevocationForm(request.POST or None)
    status = 200
    if request.method == "POST":
        if "look" in request.POST:
            form.add_error(None, "Nothing was revoked: press the button Revoke.")
        elif form.is_valid():
            try:
                done = _revoke(request, certificate_id, form)
            except (ApprovalsError, CaError) as error:
                form.add_error(None, str(error))
                certificate.refresh_from_db()
                return _page(request, certificate, form, status=_STATUS.get(type(error), 422))
            _tell(request, done)
            return redirect("certificate", certificate_id=certificate_id)
        status = 422
    return _page(request, certificate, form, status=status)


@require_POST
@requires(Verb.CERTIFICATE_REVOKE)
def release(request: HttpRequest, certificate_id: UUID) -> HttpResponse:
    """Release a certificate from hold."""
    _certificate(request, certificate_id)
    form = CommentForm(request.POST)
    comment = form.cleaned_data["comment"] if form.is_valid() else ""
    try:
        release_hold(
            certificate_id=certificate_id,
            principal=principal_of(request),
            comment=comment,
            now=timezone.now(),
        )
        messages.success(
            request, "Released: it is good again, and the next CRL does not name it any more."
        )
    except (ApprovalsError, CaError) as error:
        messages.error(request, str(error))
    return redirect("certificate", certificate_id=certificate_id)


def _revoke(request: HttpRequest, certificate_id: UUID, form: RevocationForm) -> Revocation:
    data, principal, now = form.cleaned_data, principal_of(request), timezone.now()
    if data["successors"]:
        return revoke_compromised(
            certificate_id=certificate_id, principal=principal, comment=data["comment"], now=now
        )
    certificate = revoke_certificate(
        certificate_id=certificate_id,
        principal=principal,
        reason=data["reason"],
        comment=data["comment"],
        now=now,
    )
    is_compromise = data["reason"] == RevocationReason.KEY_COMPROMISE
    return Revocation(
        certificate, left=tuple(successors_of(certificate, now=now)) if is_compromise else ()
    )


def _tell(request: HttpRequest, done: Revocation) -> None:
    what = "On hold" if done.certificate.status == CertificateStatus.ON_HOLD else "Revoked"
    also = (
        f", together with {len(done.successors)} that followed from it" if done.successors else ""
    )
    messages.success(request, f"{what}{also}: the CRL with this certificate is being made.")
    if done.left:
        serials = ", ".join(item.serial_hex for item in done.left[:5])
        messages.warning(
            request,
            f"Still valid, though they follow from the compromised key: {len(done.left)} "
            f"({serials}).",
        )


def _page(
    request: HttpRequest, certificate: Certificate, form: RevocationForm, *, status: int
) -> HttpResponse:
    now = timezone.now()
    context = {
        "certificate": certificate,
        "form": form,
        "now": now,
        "successors": successors_of(certificate, now=now),
    }
    return render(request, "approvals/certificates/revoke.html", context, status=status)


def _certificate(request: HttpRequest, certificate_id: UUID) -> Certificate:
    request_row: EnrollmentRequest = get_object_or_404(
        requests_of(person(request), Verb.CERTIFICATE_REVOKE).select_related("certificate__ca"),
        certificate_id=certificate_id,
    )
    certificate: Certificate = request_row.certificate  # type: ignore[assignment]  # it was found by its certificate
    return certificate
