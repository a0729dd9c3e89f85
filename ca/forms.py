"""The form of a certificate profile: one field for each rule of `ProfileSpec`."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from django import forms

from ca.content.csr_review import ProfileError, ProfileSpec
from ca.content.profile_spec import CURVES, SAN_KINDS
from ca.models.profiles import CertificateProfile
from ca.x509.extensions import AUTHORITY_KEY_USAGES, EXTENDED_KEY_USAGE_OIDS, KEY_USAGE_BITS
from ca.x509.names import ATTRIBUTE_TYPES

if TYPE_CHECKING:  # Django's form takes its model's type in the stubs only
    _ProfileForm = forms.ModelForm[CertificateProfile]
else:
    _ProfileForm = forms.ModelForm

#: Purposes that no device gets; `ProfileSpec` refuses them too.
_NOT_OFFERED: Final = frozenset({"any", "ocsp-signing"})
_SPEC_FIELDS: Final = tuple(field.name for field in fields(ProfileSpec))


def _choice(values: Iterable[str], **options: Any) -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        choices=[(value, value) for value in values],
        widget=forms.CheckboxSelectMultiple,
        required=False,
        **options,
    )


def _lines(help_text: str) -> forms.CharField:
    return forms.CharField(
        required=False, help_text=help_text, widget=forms.Textarea(attrs={"rows": 3, "cols": 60})
    )


class CertificateProfileForm(_ProfileForm):
    """The rules of the current version; saving makes a new version."""

    validity_days = forms.IntegerField(
        help_text="From 1 to 36500; never longer than the CA's own certificate."
    )
    validity_minutes = forms.IntegerField(
        required=False, help_text="Instead of the days; 0: the days count."
    )
    backdate_minutes = forms.IntegerField(help_text="For devices whose clock is late.")
    rsa_min_bits = forms.IntegerField()
    rsa_max_bits = forms.IntegerField()
    rsa_exponents = forms.CharField(
        help_text="Public exponents accepted, with commas between them."
    )
    curves = _choice(CURVES)
    key_usages = _choice(word for word in KEY_USAGE_BITS if word not in AUTHORITY_KEY_USAGES)
    extended_key_usages = _choice(
        word for word in EXTENDED_KEY_USAGE_OIDS if word not in _NOT_OFFERED
    )
    other_purposes = forms.CharField(
        required=False, help_text="More extended key usages, as OIDs with spaces between."
    )
    subject_attributes = _choice(ATTRIBUTE_TYPES, help_text="Attributes a subject may have.")
    subject_patterns = _lines(
        "One a line, as CN: [a-z0-9-]+[.]example[.]org. The whole value must match."
    )
    multi_valued_rdns = forms.BooleanField(
        required=False,
        help_text="Whether a relative name may have several attributes, as SN+unstructuredName.",
    )
    san_kinds = _choice(SAN_KINDS, help_text="Kinds of alternative names allowed.")
    san_patterns = _lines("One a line, as dns: .*[.]example[.]org. Several of a kind: any of them.")
    san_required = forms.BooleanField(required=False)
    crl_url = forms.CharField(
        required=False,
        help_text=(
            "http:// address of the CRL; {ca} is the name of the CA that issues; empty: none."
        ),
    )
    ca_issuers_url = forms.CharField(
        required=False, help_text="http:// address of the CA certificate, ending in /ca/{ca}.cer"
    )
    ocsp_url = forms.CharField(required=False)

    class Meta:
        model = CertificateProfile
        fields = ("slug", "name")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        current = self.instance.current
        for name, value in _shown(current.resolve() if current else ProfileSpec()).items():
            self.fields[name].initial = value
        self.spec = ProfileSpec()

    def clean(self) -> dict[str, Any]:
        """Build the rules; a fault is reported at its field."""
        data = super().clean() or {}
        if not self.errors:
            try:
                self.spec = ProfileSpec(**_read(data))
            except ProfileError as error:
                name = str(error).split(" ", 1)[0]
                self.add_error(name if name in self.fields else None, str(error))
        return data


def _shown(spec: ProfileSpec) -> dict[str, Any]:
    """Return the rules as values of the form's fields."""
    initial: dict[str, Any] = {name: getattr(spec, name) for name in _SPEC_FIELDS}
    initial["rsa_exponents"] = ", ".join(map(str, spec.rsa_exponents))
    initial["other_purposes"] = " ".join(
        p for p in spec.extended_key_usages if p not in EXTENDED_KEY_USAGE_OIDS
    )
    initial["subject_patterns"] = "\n".join(
        f"{name}: {pattern}" for name, pattern in spec.subject_patterns.items()
    )
    initial["san_patterns"] = "\n".join(
        f"{kind}: {pattern}" for kind, patterns in spec.san_patterns.items() for pattern in patterns
    )
    return initial


def _read(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the form's values as arguments of ProfileSpec. Raises ProfileError."""
    values = {
        name: tuple(value) if isinstance(value := data[name], list) else value
        for name in _SPEC_FIELDS
    }
    values["validity_minutes"] = data["validity_minutes"] or 0
    try:
        values["rsa_exponents"] = tuple(int(part) for part in data["rsa_exponents"].split(","))
    except ValueError:
        raise ProfileError(
            f"rsa_exponents {data['rsa_exponents']!r}: numbers with commas are needed"
        ) from None
    values["extended_key_usages"] = (*data["extended_key_usages"], *data["other_purposes"].split())
    values["subject_patterns"] = dict(_pairs("subject_patterns", data["subject_patterns"]))
    lists: dict[str, list[str]] = {}
    for kind, pattern in _pairs("san_patterns", data["san_patterns"]):
        lists.setdefault(kind, []).append(pattern)
    values["san_patterns"] = lists
    return values


def _pairs(field: str, text: str) -> list[tuple[str, str]]:
    pairs = []
    for line in filter(None, map(str.strip, text.splitlines())):
        name, colon, pattern = line.partition(":")
        if not colon or not pattern.strip():
            raise ProfileError(f"{field} {line!r}: write a name, a colon and a pattern")
        pairs.append((name.strip(), pattern.strip()))
    return pairs
