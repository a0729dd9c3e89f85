"""What officers and auditors type: filters over requests, the decision, the choice of rows."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import django_filters
from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.permissions import within
from accounts.roles import Verb
from approvals.attention import needs_attention
from approvals.models import EnrollmentProfile, EnrollmentRequest, RequestTerm, Verdict
from approvals.queue import search
from approvals.refusal_numbers import number_in, requests_with
from approvals.states import OPEN_STATES, State
from audit.ids import since
from ca.models import RevocationReason

MAX_ROWS: Final = 200
PERIODS: Final[Mapping[str, tuple[str, timedelta]]] = {
    "1h": ("the last hour", timedelta(hours=1)),
    "24h": ("the last 24 hours", timedelta(hours=24)),
    "7d": ("the last 7 days", timedelta(days=7)),
    "30d": ("the last 30 days", timedelta(days=30)),
    "365d": ("the last year", timedelta(days=365)),
}
PERIOD_CHOICES: Final = [(key, label) for key, (label, _) in PERIODS.items()]
NO_VERDICT: Final = "Nothing was decided: press Approve ticked, or Reject ticked."
REASON_OF_NO_REJECTION: Final = (
    "Nothing was decided: a reason for a rejection is written, and Approve was pressed. "
    "Press Reject ticked, or empty the reason first."
)
SEARCH_HINT: Final = 'Begins with; in "quotes": exactly'


def profiles_of(request: HttpRequest | None) -> QuerySet[EnrollmentProfile]:
    """Return the enrollment profiles the person of this page may see."""
    if request is None:
        return EnrollmentProfile.objects.none()
    return EnrollmentProfile.objects.filter(within(request.user, Verb.PROFILE_VIEW, "department_id")).order_by("slug")


class PeriodFilter(django_filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    """Filters that know the time: `moment_field` names the row's time, whose key is never older."""

    moment_field = ""

    period = django_filters.ChoiceFilter(choices=PERIOD_CHOICES, method="in_period", empty_label="any time")

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
        widget=forms.TextInput(attrs={"type": "search", "placeholder": "name, key, transaction, address, refusal"}),
    )
    state = django_filters.ChoiceFilter(
        choices=[("open", "open"), *((state.value, state.value.lower()) for state in State)],
        method="in_state",
        empty_label="any state",
    )
    profile = django_filters.ModelChoiceFilter(queryset=profiles_of, to_field_name="slug", empty_label="any profile")
    attention = django_filters.BooleanFilter(
        method="in_need", widget=forms.CheckboxInput(attrs={"value": "true"}), label="needs attention"
    )

    class Meta:
        model = EnrollmentRequest
        fields: list[str] = []

    def matching(self, rows: QuerySet[EnrollmentRequest], name: str, value: str) -> QuerySet[EnrollmentRequest]:
        """Words that begin so, and the number of a refusal that is about the request."""
        matches = search(rows, RequestTerm, "request_id", value)
        refused = requests_with(number_in(value))
        return matches | rows.filter(pk__in=refused) if refused else matches

    def in_state(self, rows: QuerySet[EnrollmentRequest], name: str, value: str) -> QuerySet[EnrollmentRequest]:
        """`open` are all states in which something is still to happen."""
        return rows.filter(state__in=sorted(OPEN_STATES)) if value == "open" else rows.filter(state=value)

    def in_need(self, rows: QuerySet[EnrollmentRequest], name: str, value: bool) -> QuerySet[EnrollmentRequest]:  # noqa: FBT001 - django-filter's call
        return rows.filter(needs_attention()) if value else rows


class QueueFilter(RequestFilter):
    """The officers' queue: the same filters, and what waits for a decision where no state is chosen."""

    state = django_filters.ChoiceFilter(
        choices=[("open", "everything open"), *((state.value, state.value.lower()) for state in State)],
        method="in_state",
        empty_label="waiting",
    )
    order = django_filters.ChoiceFilter(
        choices=[("oldest", "oldest first")], method="unchanged", empty_label="newest first"
    )

    def filter_queryset(self, queryset: QuerySet[EnrollmentRequest]) -> QuerySet[EnrollmentRequest]:
        chosen = self.form.cleaned_data
        rows: QuerySet[EnrollmentRequest] = super().filter_queryset(queryset)
        is_refusal = bool(requests_with(number_in(chosen.get("q") or "")))
        if not chosen.get("state") and not chosen.get("attention") and not is_refusal:
            rows = rows.filter(state=State.PENDING)
        return rows

    def unchanged(self, rows: QuerySet[EnrollmentRequest], name: str, value: str) -> QuerySet[EnrollmentRequest]:
        """The order is the page's business."""
        return rows

    @property
    def is_newest_first(self) -> bool:
        return bool(self.data.get("order") != "oldest")


class DecisionForm(forms.Form):
    """One decision: what was seen, and the words that go with it."""

    view_sha256 = forms.CharField(widget=forms.HiddenInput, min_length=64, max_length=64)
    comment = forms.CharField(
        required=False, strip=True, max_length=1000, widget=forms.Textarea(attrs={"rows": 3, "maxlength": 1000})
    )


class CommentForm(forms.Form):
    """Words alone."""

    comment = forms.CharField(required=False, strip=True, max_length=1000)


class ReopenForm(CommentForm):
    """What was seen of a request, and why it is opened again."""

    view_sha256 = forms.CharField(required=False, empty_value=None, max_length=64)


class RowsField(forms.Field):
    """Rows that were ticked, each as `request:digest of what was shown`."""

    widget = forms.SelectMultiple

    def to_python(self, value: Sequence[str] | None) -> list[tuple[UUID, str]]:
        """Return pairs; ValidationError for anything that no page of ours sends."""
        rows = list(value or ())
        if len(rows) > MAX_ROWS:
            raise forms.ValidationError(f"{len(rows)} rows: at most {MAX_ROWS} at once")
        try:
            return [(UUID(key), digest) for key, _, digest in (row.partition(":") for row in rows)]
        except ValueError:
            raise forms.ValidationError("These rows do not come from the queue: open it again.") from None


class BulkForm(forms.Form):
    """One verdict for the ticked rows: a comment belongs to an approval, a reason to a rejection.

    The form's first button has no verdict: a browser takes it for Enter in any field, and nothing is decided.
    """

    rows = RowsField(error_messages={"required": "Tick the requests first."})
    verdict = forms.ChoiceField(choices=Verdict.choices, error_messages={"required": NO_VERDICT})
    comment = forms.CharField(required=False, strip=True, max_length=1000)
    reason = forms.CharField(required=False, strip=True, max_length=1000)

    def clean(self) -> dict[str, Any]:
        """Stop a rejection without a reason, and an approval with one, before the first row."""
        data = super().clean() or {}
        if data.get("verdict") == Verdict.REJECT and not data.get("reason"):
            self.add_error("reason", "Write a reason: each device and the technician in front of it are shown it.")
        if data.get("verdict") == Verdict.APPROVE and data.get("reason"):
            self.add_error("reason", REASON_OF_NO_REJECTION)
        return data

    def words(self) -> str:
        """Return the text that goes with the verdict of a valid form."""
        data = self.cleaned_data
        return str(data["comment"] if data["verdict"] == Verdict.APPROVE else data["reason"])


class RevocationForm(forms.Form):
    """Why a certificate is revoked. No reason is chosen beforehand: that is the second look before the click."""

    reason = forms.ChoiceField(choices=[("", "choose one"), *RevocationReason.choices])
    comment = forms.CharField(required=False, max_length=1000, widget=forms.Textarea(attrs={"rows": 3}), empty_value="")
    successors = forms.BooleanField(required=False)

    def clean(self) -> dict[str, Any]:
        """Successors go with a compromised key only: for no other reason are they in the wrong hands."""
        data = super().clean() or {}
        if data.get("successors") and data.get("reason") not in (None, RevocationReason.KEY_COMPROMISE):
            self.add_error("successors", "Successors are revoked together with it for key compromise only.")
        return data
