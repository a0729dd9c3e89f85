"""Forms of the challenge pages: filters, a new challenge, a list, a rotation."""

from contextlib import suppress
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import django_filters
from django import forms
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from accounts.permissions import within
from accounts.roles import Verb
from approvals.challenges.lists import MAX_BYTES, read_lifetime
from approvals.challenges.onetime import MAX_CREATED_FOR, ChallengeOrder
from approvals.models.challenges import ChallengeOrigin, ChallengePassword
from approvals.models.devices import DeviceGroup
from approvals.models.profiles import EnrollmentProfile
from approvals.pages.filters import PeriodFilter, profiles_of
from approvals.rules.errors import ChallengeInvalid

STATES: Final = [
    ("unused", "unused"),
    ("used", "used"),
    ("expired", "expired"),
    ("withdrawn", "withdrawn"),
]
MAX_ON_PAGE: Final = 100


def challenges_of(
    request: HttpRequest, verb: Verb = Verb.CHALLENGE_VIEW
) -> QuerySet[ChallengePassword]:
    """Return the one-time challenges to which the person of this page may do `verb`.

    Their keyed hashes are not loaded.
    """
    rows = ChallengePassword.objects.filter(
        within(request.user, verb, "profile__department_id")
    ).defer("keyed_hash")
    return rows.select_related(
        "profile__department", "created_by", "group", "redeemed_by__certificate", "withdrawn_by"
    )


class ChallengeFilter(PeriodFilter):
    """Filters over one-time challenges, kept in the address."""

    moment_field = "created_at"

    q = django_filters.CharFilter(
        method="matching",
        max_length=255,
        widget=forms.TextInput(attrs={"type": "search", "placeholder": "whole name or identifier"}),
    )
    state = django_filters.ChoiceFilter(choices=STATES, method="in_state", empty_label="any state")
    profile = django_filters.ModelChoiceFilter(
        queryset=profiles_of, to_field_name="slug", empty_label="any profile"
    )
    origin = django_filters.ChoiceFilter(choices=ChallengeOrigin.choices, empty_label="any way")
    mine = django_filters.BooleanFilter(
        method="made_by_me", widget=forms.CheckboxInput(attrs={"value": "true"}), label="made by me"
    )

    class Meta:
        model = ChallengePassword
        fields: list[str] = []

    def matching(
        self, rows: QuerySet[ChallengePassword], name: str, value: str
    ) -> QuerySet[ChallengePassword]:
        condition = Q(subject=value.strip())
        with suppress(ValueError):
            condition |= Q(pk=UUID(value.strip()))
        return rows.filter(condition)

    def in_state(
        self, rows: QuerySet[ChallengePassword], name: str, value: str
    ) -> QuerySet[ChallengePassword]:
        if value == "used":
            return rows.filter(redeemed_at__isnull=False)
        if value == "withdrawn":
            return rows.filter(withdrawn_at__isnull=False)
        rows = rows.filter(redeemed_at__isnull=True, withdrawn_at__isnull=True)
        return (
            rows.filter(expires_at__lte=self._now)
            if value == "expired"
            else rows.filter(expires_at__gt=self._now)
        )

    def made_by_me(
        self,
        rows: QuerySet[ChallengePassword],
        name: str,
        value: bool,  # noqa: FBT001 - django-filter's call
    ) -> QuerySet[ChallengePassword]:
        return rows.filter(created_by=self.request.user.pk) if value else rows


class LifetimeField(forms.CharField):
    """A duration such as `1h`."""

    def clean(self, value: Any) -> timedelta:
        """Return the duration; an invalid text is named."""
        try:
            return read_lifetime(super().clean(value))
        except ChallengeInvalid as error:
            raise forms.ValidationError(str(error)) from error


class WordsField(forms.CharField):
    """Several values separated by blanks or lines."""

    widget = forms.Textarea(attrs={"rows": 2, "spellcheck": "false"})

    def clean(self, value: Any) -> list[str]:
        """Return a list."""
        return str(super().clean(value)).split()


class ChallengeForm(forms.Form):
    """One order of one-time challenges; `groups` are the device groups the person may see."""

    def __init__(self, *args: Any, groups: QuerySet[DeviceGroup], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["group"].queryset = groups  # type: ignore[attr-defined]  # a field of choices

    created_for = forms.CharField(required=False, max_length=MAX_CREATED_FOR)
    subject = forms.CharField(required=False, max_length=255)
    sans = WordsField(required=False)
    subject_dn = forms.CharField(required=False, max_length=1000)
    serial_number = forms.CharField(required=False, max_length=64)
    networks = WordsField(required=False)
    group = forms.ModelChoiceField(
        queryset=DeviceGroup.objects.none(),
        to_field_name="slug",
        required=False,
        empty_label="any device",
    )
    lifetime = LifetimeField(initial="1h", max_length=10)
    count = forms.IntegerField(initial=1, min_value=1, max_value=MAX_ON_PAGE)

    def order(self, profile: EnrollmentProfile) -> ChallengeOrder:
        """Return the order of a valid form."""
        return ChallengeOrder(profile, origin=ChallengeOrigin.PAGE, **self.cleaned_data)


class ListForm(forms.Form):
    """A list to upload."""

    file = forms.FileField(
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,text/csv"}),
        error_messages={"required": "Choose a CSV file.", "empty": "The file is empty."},
    )
    lifetime = LifetimeField(initial="7d", max_length=10)

    def clean_file(self) -> bytes:
        """Return the content; a file that is too large is not read."""
        upload = self.cleaned_data["file"]
        if upload.size > MAX_BYTES:
            raise forms.ValidationError(f"{upload.size:,} bytes: at most {MAX_BYTES:,}")
        return bytes(upload.read())


class RotationForm(forms.Form):
    """A new static challenge, and the overlap with the old one."""

    text = forms.CharField(
        required=False,
        strip=False,
        max_length=255,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )
    overlap = forms.ChoiceField(
        choices=[
            ("0", "not at all"),
            ("1h", "1 hour"),
            ("1d", "1 day"),
            ("7d", "7 days"),
            ("30d", "30 days"),
        ],
        initial="7d",
    )

    def overlap_span(self) -> timedelta:
        """Return the overlap of a valid form."""
        overlap = self.cleaned_data["overlap"]
        return timedelta(0) if overlap == "0" else read_lifetime(overlap)
