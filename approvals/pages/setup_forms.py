"""The forms of a device configuration: its names, and the lifetime of a challenge."""

from typing import Any, Final

from django import forms

from approvals.device_setup.configurations.facts import Names
from approvals.device_setup.setup import LIFETIMES, NamesRefused, WantedNames, check_wanted
from approvals.models.profiles import EnrollmentProfile

_LIFETIME_CHOICES: Final = [("1h", "an hour"), ("1d", "a day"), ("7d", "a week")]


class NamesForm(forms.Form):
    """The names of one device, checked by the profile's rules; by default placeholders."""

    cn = forms.CharField(required=False, max_length=64, label="Common name")
    o = forms.CharField(required=False, max_length=64, label="Organization")
    san = forms.CharField(required=False, max_length=2000, label="Alternative names")

    def __init__(self, *args: Any, profile: EnrollmentProfile, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._profile = profile
        self.names: Names = check_wanted(profile, WantedNames())
        for name, hint in (
            ("cn", "device.example"),
            ("o", "Example"),
            ("san", "dns:device.example ip:192.0.2.7"),
        ):
            self.fields[name].widget.attrs |= {
                "placeholder": hint,
                "autocomplete": "off",
                "spellcheck": "false",
            }

    def clean(self) -> dict[str, Any]:
        """Let the profile check the names."""
        data = super().clean() or {}
        try:
            self.names = check_wanted(self._profile, self.wanted)
        except NamesRefused as error:
            raise forms.ValidationError(str(error)) from error
        return data

    @property
    def typed(self) -> dict[str, str]:
        """The fields as typed, for the addresses of the other clients."""
        return {name: str(self.data.get(name, "")) for name in ("cn", "o", "san")}

    @property
    def wanted(self) -> WantedNames:
        """Return the typed names."""
        data = self.cleaned_data
        sans = data.get("san", "").replace(",", " ").split()
        return WantedNames(data.get("cn", ""), data.get("o", ""), tuple(sans))


class ChallengeForm(NamesForm):
    """The same names, with the lifetime of the challenge."""

    lifetime = forms.ChoiceField(choices=_LIFETIME_CHOICES, label="Challenge valid for")

    def clean_lifetime(self) -> Any:
        """Return the duration."""
        return LIFETIMES[self.cleaned_data["lifetime"]]
