"""The form that orders a token."""

from datetime import timedelta
from typing import Any

from django import forms
from django.db.models import Q
from django.http import HttpRequest

from accounts.doors import person
from accounts.models.people import Department
from accounts.permissions import can, within
from accounts.roles import Verb
from accounts.tokens import API_VERBS, TokenOrder
from approvals.models.profiles import EnrollmentProfile

_WORDS = {
    Verb.CHALLENGE_CREATE: "make challenges, see what became of them, withdraw them",
    Verb.PROFILE_VIEW: "see profiles: addresses and fingerprints",
    Verb.REQUEST_VIEW: "see how a request goes",
}


class TokenForm(forms.Form):
    """The program's name, the token's verbs and limits; offers only the person's own rights."""

    name = forms.CharField(max_length=100)
    scopes = forms.MultipleChoiceField(widget=forms.CheckboxSelectMultiple)
    days = forms.IntegerField(initial=90, min_value=1, max_value=366, label="Days it is good for")
    profiles = forms.ModelMultipleChoiceField(EnrollmentProfile.objects.none(), required=False)
    department = forms.ModelChoiceField(
        Department.objects.none(), required=False, empty_label="wherever I may"
    )
    networks = forms.CharField(required=False)

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._owner = person(request)
        own_verbs = [verb for verb in API_VERBS if can(self._owner, verb)]
        fields: Any = self.fields
        fields["scopes"].choices = [(verb.value, _WORDS[verb]) for verb in own_verbs]
        visible = EnrollmentProfile.objects.filter(
            within(self._owner, Verb.PROFILE_VIEW, "department_id")
        )
        fields["profiles"].queryset = visible.order_by("slug")
        departments = within(self._owner, Verb.PROFILE_VIEW, "pk")
        fields["department"].queryset = Department.objects.filter(departments or Q()).order_by(
            "name"
        )

    def order(self) -> TokenOrder:
        """Return the order in the form."""
        data = self.cleaned_data
        return TokenOrder(
            owner=self._owner,
            name=data["name"],
            scopes=[Verb(scope) for scope in data["scopes"]],
            lifetime=timedelta(days=data["days"]),
            department=data["department"],
            profiles=[profile.slug for profile in data["profiles"]],
            networks=data["networks"].replace(",", " ").split(),
        )
