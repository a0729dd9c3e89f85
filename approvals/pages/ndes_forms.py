"""The form of an NDES account."""

from datetime import timedelta
from typing import Any

from django import forms
from django.http import HttpRequest

from accounts.permissions import within
from accounts.roles import Verb
from approvals.challenge_orders.ndes_accounts import NdesAccountOrder
from approvals.models.ndes import NdesEncoding
from approvals.models.profiles import ChallengePolicy, EnrollmentProfile


class NdesAccountForm(forms.Form):
    """The account's name, its profile, and its limits; the password is never typed."""

    name = forms.CharField(max_length=64, label="Name to sign in with")
    profile = forms.ModelChoiceField(
        EnrollmentProfile.objects.none(), empty_label="choose a profile"
    )
    owner = forms.CharField(max_length=150)
    networks = forms.CharField(required=False)
    max_unused = forms.IntegerField(initial=5, label="Unused challenges at a time")
    minutes = forms.IntegerField(
        initial=60, min_value=1, max_value=1440, label="Minutes a challenge is good for"
    )
    encoding = forms.ChoiceField(choices=NdesEncoding.choices, initial=NdesEncoding.UTF_16)

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        managed = EnrollmentProfile.objects.filter(
            within(request.user, Verb.PROFILE_MANAGE, "department_id")
        )
        choice: Any = self.fields["profile"]
        choice.queryset = (
            managed.filter(challenge=ChallengePolicy.ONE_TIME)
            .select_related("department")
            .order_by("slug")
        )

    def order(self) -> NdesAccountOrder:
        """Return the order in the form."""
        data = self.cleaned_data
        return NdesAccountOrder(
            name=data["name"],
            profile=data["profile"],
            owner=data["owner"],
            networks=tuple(data["networks"].replace(",", " ").split()),
            max_unused=data["max_unused"],
            lifetime=timedelta(minutes=data["minutes"]),
            encoding=data["encoding"],
        )
