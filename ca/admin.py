"""Certificate profiles in Django's admin, each change a new version; authorities to look at."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from accounts.admin import AnyAdmin, ReadOnlyAdmin
from accounts.doors import principal_of
from ca.certificates.profile_versions import record_new_name, save_profile_version
from ca.forms import CertificateProfileForm
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import Certificate
from ca.models.profiles import CertificateProfile

_SAN_FIELDS = ("san_kinds", "san_patterns", "san_required")


@admin.register(CertificateProfile)
class CertificateProfileAdmin(AnyAdmin):
    """The content of certificates.

    A request approved under an earlier version keeps that version.
    """

    form = CertificateProfileForm
    list_display = ("slug", "name", "current")
    list_select_related = ("current__profile",)
    ordering = ("slug",)
    fieldsets = (
        (None, {"fields": ("slug", "name")}),
        ("Validity", {"fields": ("validity_days", "validity_minutes", "backdate_minutes")}),
        ("Keys", {"fields": ("rsa_min_bits", "rsa_max_bits", "rsa_exponents", "curves")}),
        ("Usage", {"fields": ("key_usages", "extended_key_usages", "other_purposes")}),
        (
            "Names",
            {
                "fields": (
                    "subject_attributes",
                    "subject_patterns",
                    "multi_valued_rdns",
                    *_SAN_FIELDS,
                )
            },
        ),
        ("Addresses", {"fields": ("crl_url", "ca_issuers_url", "ocsp_url")}),
    )

    def get_readonly_fields(
        self, request: HttpRequest, obj: CertificateProfile | None = None
    ) -> tuple[str, ...]:
        """The slug cannot be changed: the log names it."""
        return ("slug",) if obj else ()

    def save_model(
        self,
        request: HttpRequest,
        obj: CertificateProfile,
        form: Any,
        change: bool,  # noqa: FBT001 - Django's call
    ) -> None:
        """Save the name, and the rules as a version, each with its audit entry.

        The admin holds the transaction.
        """
        super().save_model(request, obj, form, change)
        principal, now = principal_of(request), timezone.now()
        if change and "name" in form.changed_data:
            record_new_name(obj, form.initial["name"], principal=principal, now=now)
        save_profile_version(obj, form.spec, principal=principal, now=now)


@admin.register(CertificateAuthority)
class CertificateAuthorityAdmin(ReadOnlyAdmin):
    """Authorities are created by command, as the signing user."""

    list_display = ("name", "subject", "key_type", "not_after", "paused_at")
    exclude = ("certificate",)


@admin.register(Certificate)
class CertificateAdmin(ReadOnlyAdmin):
    """Issued certificates; the history pages show more."""

    list_display = ("subject", "serial_hex", "status", "issued_at")
    exclude = ("tbs", "der")
