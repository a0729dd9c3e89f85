"""Enrollment profiles in Django's admin; requests, decisions and challenges to look at."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from accounts.admin import AnyAdmin, ReadOnlyAdmin
from accounts.doors import actor_of
from approvals.errors import ProfileInvalid
from approvals.models import ChallengePassword, ChallengePolicy, Decision, EnrollmentProfile, EnrollmentRequest
from approvals.profiles import REFUSED_TTL, REQUEST_TTL, check_network, save_profile, set_static_challenge

if TYPE_CHECKING:  # Django's form takes its model's type in the stubs only
    _ProfileForm = forms.ModelForm[EnrollmentProfile]
else:
    _ProfileForm = forms.ModelForm


class NetworksField(forms.CharField):
    """Networks, one a line."""

    widget = forms.Textarea(attrs={"rows": 3, "cols": 40})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """Return a list; a network that is none is named."""
        networks = str(value or "").split()
        for network in networks:
            try:
                check_network(network)
            except ProfileInvalid as error:
                raise forms.ValidationError(str(error)) from error
        return networks


class EnrollmentProfileForm(_ProfileForm):
    """Everything about a profile; the static challenge is typed in, kept encrypted and never shown again."""

    networks = NetworksField(required=False, help_text="In CIDR form, one a line; empty: from anywhere.")
    new_static_challenge = forms.CharField(
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="For the static kind. At least 12 characters; empty: it stays as it is.",
    )

    class Meta:
        model = EnrollmentProfile
        fields = "__all__"

    def clean(self) -> dict[str, Any]:
        """Keep a static challenge that was typed in; the static kind needs one."""
        data = super().clean() or {}
        typed = data.get("new_static_challenge")
        if typed:
            self.instance.slug = data.get("slug") or self.instance.slug
            try:
                set_static_challenge(self.instance, typed)
            except ProfileInvalid as error:
                self.add_error("new_static_challenge", str(error))
        elif data.get("challenge") == ChallengePolicy.STATIC and self.instance.static_challenge is None:
            self.add_error("new_static_challenge", "Set one, or choose another kind of challenge.")
        return data


@admin.register(EnrollmentProfile)
class EnrollmentProfileAdmin(AnyAdmin):
    """How one may ask. Paused and resumed on the page of profiles, with one click."""

    form = EnrollmentProfileForm
    list_display = ("slug", "name", "ca", "approval", "challenge", "department", "paused_at")
    list_select_related = ("ca", "department")
    ordering = ("slug",)
    fieldsets = (
        (None, {"fields": ("slug", "name", "department", "owner")}),
        ("What is issued", {"fields": ("ca", "certificate_profile")}),
        ("Who decides", {"fields": ("approval", "required_approvals", "allow_asserted_decisions")}),
        ("Who may ask", {"fields": ("challenge", "new_static_challenge", "networks", "on_duplicate")}),
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
        ("Times", {"fields": ("request_ttl", "refused_ttl")}),
        ("Limits", {"fields": ("max_open_requests", "max_open_per_address")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: EnrollmentProfile | None = None) -> tuple[str, ...]:
        """The slug is the address in every device, so it stays."""
        return ("slug",) if obj else ()

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"request_ttl": REQUEST_TTL, "refused_ttl": REFUSED_TTL}

    def save_model(self, request: HttpRequest, obj: EnrollmentProfile, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's call
        """Save with its entry; the admin holds the transaction."""
        if not change:
            obj.created_at = timezone.now()
            obj.is_test = obj.ca.is_test
        save_profile(obj, actor=actor_of(request), now=timezone.now(), is_new=not change)


@admin.register(EnrollmentRequest)
class EnrollmentRequestAdmin(ReadOnlyAdmin):
    """Requests; the queue and the history show more."""

    list_display = ("subject", "state", "profile", "submitted_at")
    list_select_related = ("profile",)
    exclude = ("csr", "signer_certificate")


@admin.register(Decision)
class DecisionAdmin(ReadOnlyAdmin):
    """Decisions, as they were recorded."""

    list_display = ("decided_at", "verdict", "officer", "evidence")
    list_select_related = ("officer",)
    exclude = ("document",)


@admin.register(ChallengePassword)
class ChallengePasswordAdmin(ReadOnlyAdmin):
    """One-time challenges: whom they were for and what became of them, never the secret."""

    list_display = ("profile", "created_at", "expires_at", "redeemed_at", "created_for")
    list_select_related = ("profile",)
    exclude = ("keyed_hash",)
