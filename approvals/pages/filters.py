"""Filters over requests, kept in the address, and the profiles a person may see."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import django_filters
from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.permissions import within
from accounts.roles import Verb
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, RequestTerm
from approvals.operations.attention import needs_attention
from approvals.reading.queue import search
from approvals.records.refusal_numbers import number_in, requests_with
from approvals.rules.states import OPEN_STATES, State
from database.ids import since

PERIODS: Final[Mapping[str, tuple[str, timedelta]]] = {
    "1h": ("the last hour", timedelta(hours=1)),
    "24h": ("the last 24 hours", timedelta(hours=24)),
    "7d": ("the last 7 days", timedelta(days=7)),
    "30d": ("the last 30 days", timedelta(days=30)),
    "365d": ("the last year", timedelta(days=365)),
}


PERIOD_CHOICES: Final = [(key, label) for key, (label, _) in PERIODS.items()]


SEARCH_HINT: Final = 'Begins with; in "quotes": exactly'


def profiles_of(request: HttpRequest | None) -> QuerySet[EnrollmentProfile]:
    """Return the enrollment profiles the person of this page may see."""
    if request is None:
        return EnrollmentProfile.objects.none()
    return EnrollmentProfile.objects.filter(
        within(request.user, Verb.PROFILE_VIEW, "department_id")
    ).order_by("slug")


class PeriodFilter(django_filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    """Filters by time: `moment_field` is the time of a row, whose key is never older."""

    moment_field = ""

    period = django_filters.ChoiceFilter(
        choices=PERIOD_CHOICES, method="in_period", empty_label="any time"
    )

    def __init__(self, *args: Any, now: datetime, **kwargs: Any) -> None:
        self._now = now
        super().__init__(*args, **kwargs)

    def in_period(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Limit to a period that ends now; the key narrows it, the row's own time decides."""
        start = self._now - PERIODS[value][1]
        return rows.filter(**{"pk__gte": since(start), f"{self.moment_field}__gte": start})


class RequestFilter(PeriodFilter):
    """The filters over requests, kept in the address."""

    moment_field = "submitted_at"

    q = django_filters.CharFilter(
        method="matching",
        max_length=255,
        widget=forms.TextInput(
            attrs={"type": "search", "placeholder": "name, key, transaction, address, refusal"}
        ),
    )
    state = django_filters.ChoiceFilter(
        choices=[("open", "open"), *((state.value, state.value.lower()) for state in State)],
        method="in_state",
        empty_label="any state",
    )
    profile = django_filters.ModelChoiceFilter(
        queryset=profiles_of, to_field_name="slug", empty_label="any profile"
    )
    attention = django_filters.BooleanFilter(
        method="in_need",
        widget=forms.CheckboxInput(attrs={"value": "true"}),
        label="needs attention",
    )

    class Meta:
        model = EnrollmentRequest
        fields: list[str] = []

    def matching(
        self, rows: QuerySet[EnrollmentRequest], name: str, value: str
    ) -> QuerySet[EnrollmentRequest]:
        """Rows with words that begin with the text, or with its refusal number."""
        matches = search(rows, RequestTerm, "request_id", value)
        refused = requests_with(number_in(value))
        return matches | rows.filter(pk__in=refused) if refused else matches

    def in_state(
        self, rows: QuerySet[EnrollmentRequest], name: str, value: str
    ) -> QuerySet[EnrollmentRequest]:
        """`open` stands for all states with a next step."""
        return (
            rows.filter(state__in=sorted(OPEN_STATES))
            if value == "open"
            else rows.filter(state=value)
        )

    def in_need(
        self,
        rows: QuerySet[EnrollmentRequest],
        name: str,
        value: bool,  # noqa: FBT001 - django-filter's call
    ) -> QuerySet[EnrollmentRequest]:
        return rows.filter(needs_attention()) if value else rows


class QueueFilter(RequestFilter):
    """The officers' queue: the same filters; by default requests that wait for a decision."""

    state = django_filters.ChoiceFilter(
        choices=[
            ("open", "everything open"),
            *((state.value, state.value.lower()) for state in State),
        ],
        method="in_state",
        empty_label="waiting",
    )
    order = django_filters.ChoiceFilter(
        choices=[("oldest", "oldest first")], method="unchanged", empty_label="newest first"
    )

    def filter_queryset(self, queryset: QuerySet[EnrollmentRequest]) -> QuerySet[EnrollmentRequest]:
        values = self.form.cleaned_data
        rows: QuerySet[EnrollmentRequest] = super().filter_queryset(queryset)
        is_refusal = bool(requests_with(number_in(values.get("q") or "")))
        if not values.get("state") and not values.get("attention") and not is_refusal:
            rows = rows.filter(state=State.PENDING)
        return rows

    def unchanged(
        self, rows: QuerySet[EnrollmentRequest], name: str, value: str
    ) -> QuerySet[EnrollmentRequest]:
        """The page sets the order."""
        return rows

    @property
    def is_newest_first(self) -> bool:
        return bool(self.data.get("order") != "oldest")
