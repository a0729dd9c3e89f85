"""Forms of officers: one decision, a verdict on many requests, a revocation."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from django import forms

from approvals.models.decisions import Verdict
from ca.models.certificates import RevocationReason

MAX_ROWS: Final = 200
NO_VERDICT: Final = "Nothing was decided: press Approve ticked, or Reject ticked."
REASON_OF_NO_REJECTION: Final = (
    "Nothing was decided: a reason for a rejection is written, and Approve was pressed. "
    "Press Reject ticked, or empty the reason first."
)
_VERDICTS: Final = [(verdict.value, verdict.label) for verdict in (Verdict.APPROVE, Verdict.REJECT)]


class DecisionForm(forms.Form):
    """One decision: the digest of the page, and a comment."""

    view_sha256 = forms.CharField(widget=forms.HiddenInput, min_length=64, max_length=64)
    comment = forms.CharField(
        required=False,
        strip=True,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 3, "maxlength": 1000}),
    )


class CommentForm(forms.Form):
    """A comment alone."""

    comment = forms.CharField(required=False, strip=True, max_length=1000)


class ReopenForm(CommentForm):
    """The digest of the page, and the reason for reopening the request."""

    view_sha256 = forms.CharField(required=False, empty_value=None, max_length=64)


class RowsField(forms.Field):
    """Ticked rows, each as `request:digest of the row`."""

    widget = forms.SelectMultiple

    def to_python(self, value: Sequence[str] | None) -> list[tuple[UUID, str]]:
        """Return pairs. Raises ValidationError for anything that the portal's pages do not send."""
        rows = list(value or ())
        if len(rows) > MAX_ROWS:
            raise forms.ValidationError(f"{len(rows)} rows: at most {MAX_ROWS} at once")
        try:
            return [(UUID(key), digest) for key, _, digest in (row.partition(":") for row in rows)]
        except ValueError:
            raise forms.ValidationError(
                "These rows do not come from the queue: open it again."
            ) from None


class BulkForm(forms.Form):
    """One verdict on the ticked rows: a comment belongs to an approval, a reason to a rejection.

    The form's first button has no verdict: a browser presses it on Enter in any field, and nothing
    is decided.
    """

    rows = RowsField(error_messages={"required": "Tick the requests first."})
    verdict = forms.ChoiceField(choices=_VERDICTS, error_messages={"required": NO_VERDICT})
    comment = forms.CharField(required=False, strip=True, max_length=1000)
    reason = forms.CharField(required=False, strip=True, max_length=1000)

    def clean(self) -> dict[str, Any]:
        """Stop a rejection without a reason, and an approval with one, before the first row."""
        data = super().clean() or {}
        if data.get("verdict") == Verdict.REJECT and not data.get("reason"):
            self.add_error(
                "reason",
                "Write a reason: each device and the technician in front of it are shown it.",
            )
        if data.get("verdict") == Verdict.APPROVE and data.get("reason"):
            self.add_error("reason", REASON_OF_NO_REJECTION)
        return data

    def words(self) -> str:
        """Return the text that belongs to the verdict of a valid form."""
        data = self.cleaned_data
        return str(data["comment"] if data["verdict"] == Verdict.APPROVE else data["reason"])


class RevocationForm(forms.Form):
    """The reason of a revocation.

    No reason is preselected: choosing it is the second look before the click.
    """

    reason = forms.ChoiceField(choices=[("", "choose one"), *RevocationReason.choices])
    comment = forms.CharField(
        required=False, max_length=1000, widget=forms.Textarea(attrs={"rows": 3}), empty_value=""
    )
    successors = forms.BooleanField(required=False)

    def clean(self) -> dict[str, Any]:
        """Successors go with a compromised key only: no other reason affects them."""
        data = super().clean() or {}
        if data.get("successors") and data.get("reason") not in (
            None,
            RevocationReason.KEY_COMPROMISE,
        ):
            self.add_error(
                "successors", "Successors are revoked together with it for key compromise only."
            )
        return data
