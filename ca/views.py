"""The page of authorities; their certificates and CRLs for everyone (RFC 5280 §4.2.1.13).

See RFC 5280 §4.2.2.1 too.
"""

import ssl
from hashlib import sha1
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.utils.http import http_date, quote_etag
from django.views.decorators.http import require_POST, require_safe

from accounts.doors import principal_of, requires
from accounts.permissions import can
from accounts.roles import Verb
from ca.authorities.expiry import deadlines_of
from ca.authorities.manage import pause_authority, resume_authority
from ca.authorities.ra_certificates import ra_certificates_of
from ca.certificates.crls import crl_is_due, latest_crl
from ca.models.authorities import AuthorityRollover, CertificateAuthority

_PUBLISHED_FOR = 3600  # seconds a relying party may keep the certificate
_CRL_FOR = 300  # seconds a cache may keep the CRL: its users see a revocation that much later


@require_safe
@requires(Verb.AUTHORITY_VIEW)
def authorities(request: HttpRequest) -> HttpResponse:
    """All authorities with the values for comparing them: names, fingerprints, validity."""
    now = timezone.now()
    rows: list[Any] = list(CertificateAuthority.objects.select_related("parent").order_by("name"))
    rollovers = list(AuthorityRollover.objects.select_related("ca", "next_ca").order_by("-id"))
    for row in rows:  # devices still show SHA-1 of a CA certificate; the portal does not trust it
        row.sha1 = sha1(row.certificate_der, usedforsecurity=False).hexdigest()
        row.crl, row.is_crl_due = latest_crl(row), crl_is_due(row, now=now)
        row.deadlines, row.ra_certificates = (
            deadlines_of(row, now=now),
            ra_certificates_of(row, now=now),
        )
        row.followed = [rollover for rollover in rollovers if rollover.ca_id == row.pk]
        row.follows = [rollover for rollover in rollovers if rollover.next_ca_id == row.pk]
    return render(request, "ca/authorities.html", {"authorities": rows, "now": now})


@require_safe
def authority_certificate(request: HttpRequest, name: str) -> HttpResponse:
    """The certificate of an authority, DER, without signing in: relying parties build chains."""
    authority = get_object_or_404(CertificateAuthority, name=name)
    headers = {
        "Content-Disposition": f'attachment; filename="{authority.name}.cer"',
        "Cache-Control": f"public, max-age={_PUBLISHED_FOR}",
    }
    return HttpResponse(
        authority.certificate_der, content_type="application/pkix-cert", headers=headers
    )


@require_safe
def authority_pem(request: HttpRequest, name: str) -> HttpResponse:
    """The certificate of an authority with its issuers up to the root, as one PEM file."""
    authority = get_object_or_404(
        CertificateAuthority.objects.select_related("parent__parent"), name=name
    )
    headers = {
        "Content-Disposition": f'attachment; filename="{authority.name}.pem"',
        "Cache-Control": f"public, max-age={_PUBLISHED_FOR}",
    }
    chain = "".join(
        ssl.DER_cert_to_PEM_cert(member.certificate_der) for member in authority.chain()
    )
    return HttpResponse(chain, content_type="application/x-pem-file", headers=headers)


@require_safe
def authority_crl(request: HttpRequest, name: str) -> HttpResponse:
    """The newest CRL of an authority, DER, without signing in. 404 while there is none.

    304 if the client has it already.
    """
    crl = latest_crl(get_object_or_404(CertificateAuthority, name=name))
    if crl is None:
        raise Http404
    etag, modified = quote_etag(str(crl.sha256)), int(crl.created_at.timestamp())
    fresh = max(0, min(_CRL_FOR, int((crl.next_update - timezone.now()).total_seconds())))
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.crl"',
        "Cache-Control": f"public, max-age={fresh}",
        "ETag": etag,
        "Last-Modified": http_date(modified),
    }
    not_modified = get_conditional_response(
        request, etag=etag, last_modified=modified, response=HttpResponse(headers=headers)
    )
    if not_modified is not None and not_modified.status_code != 200:
        return not_modified
    return HttpResponse(crl.crl_der, content_type="application/pkix-crl", headers=headers)


@require_POST
@requires(Verb.AUTHORITY_PAUSE)
def pause(request: HttpRequest, name: str) -> HttpResponse:
    """Stop signing with an authority; devices keep getting PENDING."""
    authority = _to_pause(request, name)
    pause_authority(authority=authority, principal=principal_of(request), now=timezone.now())
    messages.success(
        request, f"{authority.name} is paused: nothing is signed, devices keep getting PENDING."
    )
    return redirect("authorities")


@require_POST
@requires(Verb.AUTHORITY_PAUSE)
def resume(request: HttpRequest, name: str) -> HttpResponse:
    """Sign again."""
    authority = _to_pause(request, name)
    resume_authority(authority=authority, principal=principal_of(request), now=timezone.now())
    messages.success(request, f"{authority.name} works again: what waited is signed now.")
    return redirect("authorities")


def _to_pause(request: HttpRequest, name: str) -> CertificateAuthority:
    """Return the authority; administrators of a department see it but get 403.

    It serves other departments too.
    """
    authority = get_object_or_404(CertificateAuthority, name=name)
    if not can(request.user, Verb.AUTHORITY_PAUSE, authority):
        raise PermissionDenied
    return authority
