"""Enrollment profiles in Django's admin; requests, decisions and challenges to look at."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from accounts.admin import AnyAdmin, ReadOnlyAdmin
from accounts.doors import principal_of
from approvals.challenges.static import check_static, current, match_static
from approvals.models.challenges import ChallengePassword
from approvals.models.decisions import Decision
from approvals.models.profiles import VALIDATED, ChallengePolicy, EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.profiles.manage import (
    REFUSED_TTL,
    REQUEST_TTL,
    KnownBy,
    check_authority,
    check_network,
    save_profile,
)
from approvals.rules.errors import ChallengeInvalid, ProfileInvalid, ServiceMissing

if TYPE_CHECKING:  # Django's form takes its model's type in the stubs only
    _ProfileForm = forms.ModelForm[EnrollmentProfile]
else:
    _ProfileForm = forms.ModelForm


class NetworksField(forms.CharField):
    """Networks, one per line."""

    widget = forms.Textarea(attrs={"rows": 3, "cols": 40})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """Return a list; an invalid network is named."""
        networks = str(value or "").split()
        for network in networks:
            try:
                check_network(network)
            except ProfileInvalid as error:
                raise forms.ValidationError(str(error)) from error
        return networks


class EnrollmentProfileForm(_ProfileForm):
    """All settings of a profile; a typed static challenge is encrypted and never shown again."""

    networks = NetworksField(
        required=False, help_text="In CIDR form, one a line; empty: from anywhere."
    )
    lock_exempt_networks = NetworksField(
        required=False,
        help_text=(
            "Never locked, as an MDM's proxy with one address for all. In CIDR form, one a line."
        ),
    )
    new_static_challenge = forms.CharField(
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="For the static kind. At least 12 characters; empty: it stays as it is. "
        "The one before "
        "is worthless "
        "at once; a rotation with an overlap is made on the page of its static challenge.",
    )

    class Meta:
        model = EnrollmentProfile
        fields = "__all__"

    def clean(self) -> dict[str, Any]:
        """Keep a typed static challenge; the static kind needs one."""
        data = super().clean() or {}
        typed = data.get("new_static_challenge")
        if typed:
            try:
                check_static(typed)
            except ChallengeInvalid as error:
                self.add_error("new_static_challenge", str(error))
            if self.instance.pk and match_static(self.instance, typed, now=timezone.now()):
                self.add_error("new_static_challenge", "It is the same as before: choose another.")
        elif data.get("challenge") == ChallengePolicy.STATIC and not (
            self.instance.pk and current(self.instance)
        ):
            self.add_error("new_static_challenge", "Set one, or choose another kind of challenge.")
        self._check_service(str(data.get("challenge", "")))
        if "ca" in data:
            try:
                check_authority(self.instance, data["ca"])
            except ProfileInvalid as error:
                self.add_error("ca", str(error))
        return data

    def _check_service(self, challenge: str) -> None:
        """Challenges of a service need the service, whose secret is set by command."""
        known = getattr(self.instance, "validation_service", None) if self.instance.pk else None
        if challenge in VALIDATED and (known is None or known.kind != challenge):
            self.add_error(
                "challenge", f"For this kind {ServiceMissing()}: it is set on the server."
            )


@admin.register(EnrollmentProfile)
class EnrollmentProfileAdmin(AnyAdmin):
    """The settings of enrollment. Profiles are paused and resumed on their own page."""

    form = EnrollmentProfileForm
    list_display = ("slug", "name", "ca", "approval", "challenge", "department", "paused_at")
    list_select_related = ("ca", "department")
    ordering = ("slug",)
    fieldsets = (
        (None, {"fields": ("slug", "name", "department", "owner", "is_default")}),
        ("What is issued", {"fields": ("ca", "certificate_profile")}),
        (
            "Who decides",
            {
                "fields": (
                    "approval",
                    "required_approvals",
                    "allow_asserted_decisions",
                    "refuse_after_account_change",
                )
            },
        ),
        (
            "Who may ask",
            {
                "fields": (
                    "challenge",
                    "new_static_challenge",
                    "eligibility",
                    "unlisted",
                    "networks",
                    "on_duplicate",
                    "name_conflicts",
                )
            },
        ),
        (
            "Renewal",
            {
                "fields": (
                    "renewal_mode",
                    "renewal_window",
                    "renewal_grace",
                    "renewal_key_reuse",
                    "renewal_changed_names",
                )
            },
        ),
        (
            "SCEP",
            {
                "fields": (
                    "ca_certificates",
                    "legacy_algorithms",
                    "reply_chain",
                    "empty_content",
                    "max_clock_skew",
                )
            },
        ),
        ("Times", {"fields": ("request_ttl", "refused_ttl")}),
        ("Limits", {"fields": ("max_open_requests", "max_open_per_address")}),
        (
            "Guessed challenges",
            {"fields": ("max_failed_per_address", "max_failed_challenges", "lock_exempt_networks")},
        ),
    )

    def get_readonly_fields(
        self, request: HttpRequest, obj: EnrollmentProfile | None = None
    ) -> tuple[str, ...]:
        """The slug cannot be changed: it is the address in every device."""
        return ("slug",) if obj else ()

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"request_ttl": REQUEST_TTL, "refused_ttl": REFUSED_TTL}

    def save_model(
        self,
        request: HttpRequest,
        obj: EnrollmentProfile,
        form: Any,
        change: bool,  # noqa: FBT001 - Django's call
    ) -> None:
        """Save with the audit entry; the admin holds the transaction."""
        if not change:
            obj.created_at = timezone.now()
        known_by = KnownBy(form.cleaned_data.get("new_static_challenge") or None)
        save_profile(
            obj,
            principal=principal_of(request),
            now=timezone.now(),
            is_new=not change,
            known_by=known_by,
        )


@admin.register(EnrollmentRequest)
class EnrollmentRequestAdmin(ReadOnlyAdmin):
    """Requests; queue and history show more."""

    list_display = ("subject", "state", "profile", "submitted_at")
    list_select_related = ("profile",)
    exclude = ("csr", "signer_certificate")


@admin.register(Decision)
class DecisionAdmin(ReadOnlyAdmin):
    """Decisions, as recorded."""

    list_display = ("decided_at", "verdict", "officer", "evidence")
    list_select_related = ("officer",)
    exclude = ("document",)


@admin.register(ChallengePassword)
class ChallengePasswordAdmin(ReadOnlyAdmin):
    """One-time challenges: purpose and use, never the secret."""

    list_display = (
        "profile",
        "created_at",
        "expires_at",
        "redeemed_at",
        "withdrawn_at",
        "created_for",
    )
    list_select_related = ("profile",)
    exclude = ("keyed_hash",)
