"""The page of certification authorities, and their certificates for everybody (RFC 5280 §4.2.2.1, caIssuers)."""

from hashlib import sha1

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from accounts.doors import person, requires
from accounts.roles import Verb
from ca.authorities import pause_authority, resume_authority
from ca.models import CertificateAuthority

_PUBLISHED_FOR = 3600  # seconds a relying party may keep the certificate


@require_http_methods(["GET", "HEAD"])
@requires(Verb.AUTHORITY_VIEW)
def authorities(request: HttpRequest) -> HttpResponse:
    """Every authority with what is needed to compare it: names, fingerprints, validity."""
    rows = list(CertificateAuthority.objects.select_related("parent").order_by("name"))
    for row in rows:  # devices show SHA-1 of a CA certificate to this day; nothing here trusts it
        row.sha1 = sha1(row.certificate_der, usedforsecurity=False).hexdigest()  # type: ignore[attr-defined]  # for the template
    return render(request, "ca/authorities.html", {"authorities": rows, "now": timezone.now()})


@require_safe
def authority_certificate(request: HttpRequest, name: str) -> HttpResponse:
    """The certificate of an authority, DER, without signing in: relying parties build chains with it."""
    authority = get_object_or_404(CertificateAuthority, name=name)
    headers = {
        "Content-Disposition": f'attachment; filename="{authority.name}.cer"',
        "Cache-Control": f"public, max-age={_PUBLISHED_FOR}",
    }
    return HttpResponse(authority.certificate_der, content_type="application/pkix-cert", headers=headers)


@require_http_methods(["POST"])
@requires(Verb.AUTHORITY_PAUSE)
def pause(request: HttpRequest, name: str) -> HttpResponse:
    """Stop signing with an authority; devices keep getting PENDING."""
    authority = get_object_or_404(CertificateAuthority, name=name)
    pause_authority(authority=authority, user=person(request), now=timezone.now())
    messages.success(request, f"{authority.name} is paused: nothing is signed, devices keep getting PENDING.")
    return redirect("authorities")


@require_http_methods(["POST"])
@requires(Verb.AUTHORITY_PAUSE)
def resume(request: HttpRequest, name: str) -> HttpResponse:
    """Sign again."""
    authority = get_object_or_404(CertificateAuthority, name=name)
    resume_authority(authority=authority, user=person(request), now=timezone.now())
    messages.success(request, f"{authority.name} works again: what waited is signed now.")
    return redirect("authorities")
