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
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.profiles.manage import (
    REFUSED_TTL,
    REQUEST_TTL,
    KnownBy,
    check_authority,
    save_profile,
)
from approvals.profiles.settings import ASKS, GENERAL, SECTIONS, SETTINGS, fields_of
from approvals.rules.errors import ChallengeInvalid, ProfileInvalid, ServiceMissing
from approvals.rules.profile_rules import ProfileSettings, network_fault, profile_faults

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
        """Return a list; an invalid network is named."""
        networks = str(value or "").split()
        for network in networks:
            fault = network_fault(network)
            if fault:
                raise forms.ValidationError(str(fault))
        return networks


class EnrollmentProfileForm(_ProfileForm):
    """All settings of a profile; a typed static challenge is encrypted and never shown again."""

    networks = NetworksField(required=False)
    lock_exempt_networks = NetworksField(required=False)
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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take label and help of each setting from the table of settings."""
        super().__init__(*args, **kwargs)
        for setting in SETTINGS:
            if field := self.fields.get(setting.field):
                a_line = " One a line." if isinstance(field, NetworksField) else ""
                field.label, field.help_text = setting.label, setting.help + a_line

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
        for fault in profile_faults(self._dependent(data)):
            if not fault.is_constraint:  # the constraints of the model name the others
                self.add_error(fault.field, _sentence_of(fault.error))
        if "ca" in data:
            try:
                check_authority(self.instance, data["ca"])
            except ProfileInvalid as error:
                self.add_error("ca", str(error))
        return data

    def _dependent(self, data: dict[str, Any]) -> ProfileSettings:
        """Return the settings that depend on each other: as typed, else as recorded."""
        profile, challenge = self.instance, str(data.get("challenge", ""))
        service = getattr(profile, "validation_service", None) if profile.pk else None
        return ProfileSettings(
            approval=str(data.get("approval", "")),
            challenge=challenge,
            has_list=data.get("eligibility") is not None,
            networks=data.get("networks", ()),
            lock_exempt_networks=data.get("lock_exempt_networks", ()),
            has_static_challenge=bool(
                data.get("new_static_challenge") or (profile.pk and current(profile))
            ),
            service=challenge if service is not None and service.kind == challenge else "",
        )


def _sentence_of(error: ProfileInvalid) -> str:
    """Return the sentence of a fault, for the place under its field."""
    reason = error.because({})
    if isinstance(error, ServiceMissing):
        return f"For this kind {reason}: it is set on the server."
    return f"{reason[0].upper()}{reason[1:]}."


def _fieldsets() -> Any:
    """Return the sections of the table of settings, with the fields of this form alone."""
    sections = {section: list(fields_of(section)) for section in SECTIONS}
    sections[GENERAL].insert(0, "slug")
    sections[ASKS].insert(sections[ASKS].index("challenge") + 1, "new_static_challenge")
    return [
        (None if section == GENERAL else section, {"fields": fields})
        for section, fields in sections.items()
    ]


@admin.register(EnrollmentProfile)
class EnrollmentProfileAdmin(AnyAdmin):
    """The settings of enrollment. Profiles are paused and resumed on their own page."""

    form = EnrollmentProfileForm
    list_display = ("slug", "name", "ca", "approval", "challenge", "department", "paused_at")
    list_select_related = ("ca", "department")
    ordering = ("slug",)
    fieldsets = _fieldsets()

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
