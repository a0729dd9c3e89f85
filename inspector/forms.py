"""The technicians' forms: pasted messages and searches."""

from typing import Any, Final
from uuid import UUID

import django_filters
from django import forms
from django.db.models import Q, QuerySet

from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.pages.filters import profiles_of
from approvals.records.refusal_numbers import number_in
from exchanges.models import Exchange, KeptFor
from inspector.pasted import MAX_CHARACTERS, PasteInvalid, bytes_of

HOURS: Final = [("1", "1 hour"), ("4", "4 hours"), ("24", "24 hours")]


class PasteForm(forms.Form):
    """A message in base64 or hex, and the profile whose rules a bare CSR is checked against."""

    text = forms.CharField(
        label="Message",
        max_length=MAX_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false", "autocomplete": "off"}),
        error_messages={"required": "Nothing is there: paste the message in base64 or hex."},
    )
    profile = forms.ModelChoiceField(
        EnrollmentProfile.objects.none(),
        to_field_name="slug",
        required=False,
        empty_label="no profile",
    )

    def __init__(self, *args: Any, profiles: QuerySet[EnrollmentProfile], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["profile"].queryset = profiles  # type: ignore[attr-defined]  # a ModelChoiceField, as above

    def clean_text(self) -> bytes:
        """Return the bytes of the text."""
        try:
            return bytes_of(self.cleaned_data["text"])
        except PasteInvalid as error:
            raise forms.ValidationError(str(error)) from None


class RecordingForm(forms.Form):
    """The duration of a recording."""

    hours = forms.ChoiceField(choices=HOURS)


class ExchangeFilter(django_filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    """The filters over stored messages, kept in the address."""

    profile = django_filters.ModelChoiceFilter(
        queryset=profiles_of, to_field_name="slug", empty_label="any profile"
    )
    reason = django_filters.ChoiceFilter(
        field_name="kept_for", choices=KeptFor.choices, empty_label="any reason"
    )
    q = django_filters.CharFilter(
        method="matching",
        max_length=255,
        label="Search",
        widget=forms.TextInput(
            attrs={"type": "search", "placeholder": "device, number of a refusal, transactionID"}
        ),
    )
    transaction = django_filters.CharFilter(
        field_name="transaction_id", max_length=255, label="transactionID", widget=forms.HiddenInput
    )
    request_id = django_filters.CharFilter(method="of_request", widget=forms.HiddenInput)

    class Meta:
        model = Exchange
        fields: list[str] = []

    def matching(self, rows: QuerySet[Exchange], name: str, value: str) -> QuerySet[Exchange]:
        """Search by part of a device's name, by refusal number, or by whole transaction ID."""
        text = value.strip()
        about = Q(subject__icontains=text) | Q(transaction_id=text)
        number = number_in(text)
        return rows.filter(about | Q(number=number) if number else about)

    def of_request(self, rows: QuerySet[Exchange], name: str, value: str) -> QuerySet[Exchange]:
        """The messages of one request: same profile, transactionID and signer key."""
        try:
            requests = EnrollmentRequest.objects.filter(pk=UUID(value))
        except ValueError:
            return rows.none()
        keys = ("profile_id", "transaction_id", "signer_spki_sha256")
        columns = requests.values(*keys).first()
        return rows.filter(**columns) if columns else rows.none()
