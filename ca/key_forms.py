"""The forms of the block list."""

from django import forms

from ca.certificates.key_blocks import MAX_REASON, read_digest
from ca.x509.errors import KeyBlockRefused


class BlockKeyForm(forms.Form):
    """A key by its digest, and the reason for blocking it."""

    spki_sha256 = forms.CharField(
        max_length=200, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    reason = forms.CharField(
        max_length=MAX_REASON, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )

    def clean_spki_sha256(self) -> str:
        """Return the digest in stored form."""
        try:
            return read_digest(self.cleaned_data["spki_sha256"])
        except KeyBlockRefused as error:
            raise forms.ValidationError(str(error)) from None


class UnblockKeyForm(forms.Form):
    """A key by its digest, and the reason for unblocking it."""

    spki_sha256 = forms.CharField(max_length=200, widget=forms.HiddenInput)
    reason = forms.CharField(required=False, max_length=MAX_REASON)
