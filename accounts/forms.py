"""Forms in which people enter their own data."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.auth import password_validation

from accounts.models.people import User

if TYPE_CHECKING:  # Django's form takes its model's type in the stubs only
    _UserForm = forms.ModelForm[User]
else:
    _UserForm = forms.ModelForm


class FirstAdministratorForm(_UserForm):
    """User name, password twice, and whether the person also decides on requests."""

    password = forms.CharField(
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="At least 12 characters.",
    )
    password_again = forms.CharField(
        label="The same password again",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    also_officer = forms.BooleanField(
        required=False,
        initial=True,
        label="Also make me an RA officer",
        help_text="For small teams: an administrator alone cannot approve requests.",
    )

    class Meta:
        model = User
        fields = ("username",)
        widgets = {
            "username": forms.TextInput(attrs={"autocomplete": "username", "autofocus": True})
        }

    def clean(self) -> dict[str, Any]:
        """Check the password against the rules and against its repetition."""
        data: dict[str, Any] = super().clean() or {}
        password = data.get("password")
        if password and data.get("password_again") not in {None, password}:
            self.add_error("password_again", "The two passwords differ.")
        elif password:
            try:
                password_validation.validate_password(
                    password, User(username=data.get("username", ""))
                )
            except forms.ValidationError as error:
                self.add_error("password", error)
        return data


class NewPasswordForm(forms.Form):
    """A new password, typed twice. The password rules are checked against the data of its owner."""

    password = forms.CharField(
        label="New password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "autofocus": True}),
        help_text="At least 12 characters.",
    )
    password_again = forms.CharField(
        label="The same password again",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def clean(self) -> dict[str, Any]:
        """Compare the two."""
        data: dict[str, Any] = super().clean() or {}
        if data.get("password") and data.get("password_again") not in {None, data["password"]}:
            self.add_error("password_again", "The two passwords differ.")
        return data
