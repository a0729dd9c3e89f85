"""The auditors' pages: all requests, all certificates, the log. Read-only."""

import base64
from uuid import UUID

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.doors import person, principal_of, requires
from accounts.roles import Verb
from approvals.models.requests import EnrollmentRequest
from approvals.reading.queue import count, paginate, requests_of
from approvals.reading.timeline import moments, timeline_of
from approvals.records.transitions import department_of
from audit.events import NO_DEPARTMENT, Event, Subject
from audit.log import record
from ca.certificates.store import chain_of
from ca.models.certificates import Certificate
from history.filters import (
    AuditFilter,
    CertificateFilter,
    RequestHistoryFilter,
    certificates_of,
    entries_of,
)


@never_cache
@require_safe
@requires(Verb.REQUEST_VIEW)
def requests(request: HttpRequest) -> HttpResponse:
    """All requests ever received; self-tests only if their profile is chosen."""
    rows = requests_of(person(request), with_self_tests=True)
    filters = RequestHistoryFilter(request.GET, rows, request=request, now=timezone.now())
    context = {
        "filters": filters,
        "page": paginate(filters.qs, request.GET),
        "found": count(filters.qs),
    }
    return render(request, "history/requests.html", context)


@never_cache
@require_safe
@requires(Verb.CERTIFICATE_VIEW)
def certificates(request: HttpRequest) -> HttpResponse:
    """All certificates ever prepared; self-tests only if their profile or CA is chosen."""
    filters = CertificateFilter(
        request.GET, certificates_of(request), request=request, now=timezone.now()
    )
    context = {
        "filters": filters,
        "page": paginate(filters.qs, request.GET),
        "found": count(filters.qs),
    }
    return render(request, "history/certificates.html", context)


@never_cache
@require_safe
@requires(Verb.CERTIFICATE_VIEW)
def certificate(request: HttpRequest, certificate_id: UUID) -> HttpResponse:
    """One certificate: its content, its request, and its history from the first message on."""
    issued = get_object_or_404(certificates_of(request), pk=certificate_id)
    rows = EnrollmentRequest.objects.select_related("profile", "certificate", "polls", "renews")
    order = rows.filter(pk=issued.order_id).first()
    context = {
        "certificate": issued,
        "order": order,
        "moments": timeline_of(order) if order else [],
        "decisions": order.decisions.select_related("officer", "written").order_by("pk")
        if order
        else [],
        "renewals": requests_of(person(request))
        .filter(renews=issued)
        .select_related("certificate")
        .order_by("-pk")[:10],
        "now": timezone.now(),
    }
    return render(request, "history/certificate.html", context)


@require_safe
@requires(Verb.CERTIFICATE_VIEW)
def download(request: HttpRequest, certificate_id: UUID, form: str) -> HttpResponse:
    """The certificate as DER, PEM, or PEM with its chain; the download is recorded."""
    issued = get_object_or_404(certificates_of(request).defer(None), pk=certificate_id)
    if issued.der is None:
        raise Http404
    content, content_type, ending = _export(issued, form)
    with transaction.atomic():
        _record_export(request, issued, form)
    headers = {
        "Content-Disposition": f'attachment; filename="{issued.serial_hex}{ending}"',
        "Cache-Control": "no-store",
    }
    return HttpResponse(content, content_type=content_type, headers=headers)


@never_cache
@require_safe
@requires(Verb.AUDIT_VIEW)
def audit(request: HttpRequest) -> HttpResponse:
    """The log in sentences, with the digest of each entry."""
    filters = AuditFilter(request.GET, entries_of(request), request=request, now=timezone.now())
    page = paginate(filters.qs.prefetch_related("private_values"), request.GET)
    context = {
        "filters": filters,
        "page": page,
        "entries": list(zip(moments(page.rows), page.rows, strict=True)),
    }
    return render(request, "history/audit.html", context)


def _export(issued: Certificate, form: str) -> tuple[bytes, str, str]:
    if form == "der":
        return issued.certificate_der, "application/pkix-cert", ".cer"
    chain = chain_of(issued) if form == "chain" else [issued.certificate_der]
    return (
        b"".join(map(_pem, chain)),
        "application/x-pem-file",
        "-chain.pem" if form == "chain" else ".pem",
    )


def _pem(der: bytes) -> bytes:
    """One certificate in the textual encoding of RFC 7468 §5."""
    body = base64.b64encode(der)
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return b"\n".join([b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""])


def _record_export(request: HttpRequest, issued: Certificate, form: str) -> None:
    rows = EnrollmentRequest.objects.select_related("profile__department").defer("csr")
    order = rows.filter(pk=issued.order_id).first()
    record(
        Event.CERTIFICATE_EXPORT,
        actor=principal_of(request).actor,
        now=timezone.now(),
        subject=Subject.of("certificate", issued.pk),
        data={"form": form, "serial": issued.serial_hex},
        department=department_of(order.profile) if order else NO_DEPARTMENT,
    )
