"""The content of certificates of a profile, as a value that cannot be invalid."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from audit.canonical import canonical_json
from ca.x509 import asn1, extensions
from ca.x509.names import ATTRIBUTE_TYPES

SAN_KINDS: Final = ("dns", "ip", "email", "uri", "upn")
CURVES: Final = ("P-256", "P-384", "P-521")
MAX_PATTERN_LENGTH: Final = 200
MAX_MATCHED_LENGTH: Final = 255
#: In an address: the name of the issuing authority. After a rollover it is another one.
AUTHORITY_NAME: Final = "{ca}"
_ADDRESSES: Final = ("crl_url", "ca_issuers_url", "ocsp_url")
_MAX_PATTERNS: Final = 20
_FORBIDDEN_PURPOSES: Final = frozenset({"any", "2.5.29.37.0", "ocsp-signing", "1.3.6.1.5.5.7.3.9"})
_RANGES: Final = {
    "validity_days": (1, 36_500),
    "validity_minutes": (0, 1440),
    "backdate_minutes": (0, 1440),
    "rsa_min_bits": (2048, 8192),
    "rsa_max_bits": (2048, 8192),
}


class ProfileError(ValueError):
    """An invalid certificate profile: the text names field and value."""


@dataclass(frozen=True, slots=True)
class ProfileSpec:
    r"""The resolved content of one version of a certificate profile. Raises ProfileError.

    Patterns are regular expressions that must match a whole value; a kind without patterns admits
    every well-formed value. A DNS wildcard is admitted only by a pattern that names the asterisk
    itself (`\*`). `rsa_exponents` are the public exponents accepted. An empty address leaves its
    extension out. `validity_minutes` replaces the days if it is not 0: for certificates of the
    self-test. `multi_valued_rdns`: whether a relative name of a subject may have several
    attributes, as some Cisco devices write it.
    """

    validity_days: int = 365
    backdate_minutes: int = 60
    rsa_min_bits: int = 2048
    rsa_max_bits: int = 4096
    rsa_exponents: tuple[int, ...] = (65537,)
    curves: tuple[str, ...] = ("P-256", "P-384")
    key_usages: tuple[str, ...] = ("digital-signature", "key-encipherment")
    extended_key_usages: tuple[str, ...] = ("client-auth",)
    subject_attributes: tuple[str, ...] = (
        *("CN", "O", "OU", "C", "ST", "L", "DC", "UID", "serialNumber"),
        *("emailAddress", "unstructuredName", "unstructuredAddress"),
    )
    subject_patterns: Mapping[str, str] = field(default_factory=dict, hash=False)
    san_kinds: tuple[str, ...] = ("dns", "ip")
    san_patterns: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    san_required: bool = False
    crl_url: str = ""
    ca_issuers_url: str = ""
    ocsp_url: str = ""
    validity_minutes: int = 0
    multi_valued_rdns: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            _check_range(name, getattr(self, name), low, high)
        if self.rsa_min_bits > self.rsa_max_bits:
            raise ProfileError(
                f"rsa_min_bits {self.rsa_min_bits}: above rsa_max_bits {self.rsa_max_bits}"
            )
        for name in ("san_required", "multi_valued_rdns"):
            if not isinstance(getattr(self, name), bool):
                raise ProfileError(f"{name} {getattr(self, name)!r}: true or false is needed")
        for exponent in self._freeze_tuple("rsa_exponents"):
            _check_range("rsa_exponents", exponent, 65537, 2**32)
            if exponent % 2 == 0:
                raise ProfileError(f"rsa_exponents {exponent}: must be odd")
        self._check_words()
        self._freeze_patterns()
        for name in _ADDRESSES:
            _check_url(name, getattr(self, name))

    def _check_words(self) -> None:
        _check_allowed("curves", self._freeze_tuple("curves"), CURVES)
        usages = [u for u in extensions.KEY_USAGE_BITS if u not in extensions.AUTHORITY_KEY_USAGES]
        if not self._freeze_tuple("key_usages"):
            raise ProfileError("key_usages (): at least one is needed")
        _check_allowed("key_usages", self.key_usages, usages)
        _check_allowed(
            "subject_attributes", self._freeze_tuple("subject_attributes"), ATTRIBUTE_TYPES
        )
        _check_allowed("san_kinds", self._freeze_tuple("san_kinds"), SAN_KINDS)
        for purpose in self._freeze_tuple("extended_key_usages"):
            _check_purpose(purpose)

    def _freeze_tuple(self, name: str) -> tuple[Any, ...]:
        value = getattr(self, name)
        if not isinstance(value, (list, tuple)) or len(set(map(repr, value))) != len(value):
            raise ProfileError(f"{name} {value!r}: a list without repeats is needed")
        object.__setattr__(self, name, tuple(value))
        return tuple(value)

    def _freeze_patterns(self) -> None:
        for name, allowed in (
            ("subject_patterns", self.subject_attributes),
            ("san_patterns", self.san_kinds),
        ):
            patterns = getattr(self, name)
            if not isinstance(patterns, Mapping):
                raise ProfileError(f"{name} {patterns!r}: an object is needed")
            _check_allowed(name, patterns, allowed)
        for name, pattern in self.subject_patterns.items():
            _check_pattern(f"subject_patterns {name}", pattern)
        lists = {
            kind: _pattern_list(f"san_patterns {kind}", value)
            for kind, value in self.san_patterns.items()
        }
        object.__setattr__(self, "subject_patterns", MappingProxyType(dict(self.subject_patterns)))
        object.__setattr__(self, "san_patterns", MappingProxyType(lists))

    @property
    def validity(self) -> timedelta:
        """The lifetime of a certificate, both ends counted."""
        return timedelta(minutes=self.validity_minutes) or timedelta(days=self.validity_days)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON; `from_json` is the inverse.

        Fields unknown to older versions are left out if they are off.
        """
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain["subject_patterns"] = dict(self.subject_patterns)
        plain["san_patterns"] = {
            kind: list(patterns) for kind, patterns in self.san_patterns.items()
        }
        for name in ("validity_minutes", "multi_valued_rdns"):
            if not plain[name]:
                del plain[name]
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in plain.items()
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Parse the JSON. Raises ProfileError, also for unknown fields.

        A misspelt limit must not be no limit.
        """
        _check_allowed("profile", data, [f.name for f in fields(cls)])
        return cls(**data)

    def matching(self, kind: str, value: str) -> tuple[str, ...]:
        """The patterns for this kind of alternative name that the value matches."""
        return tuple(
            pattern for pattern in self.san_patterns.get(kind, ()) if matches(pattern, value)
        )

    def for_authority(self, name: str) -> Self:
        """Return the rules for one authority: `{ca}` in an address becomes its name."""
        addresses = {
            field: getattr(self, field).replace(AUTHORITY_NAME, name) for field in _ADDRESSES
        }
        return replace(self, **addresses)

    def digest(self) -> bytes:
        """SHA-256 over the canonical JSON."""
        return sha256(canonical_json(self.to_json())).digest()


def _check_range(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ProfileError(f"{name} {value!r}: a whole number from {low} to {high} is needed")


def _check_allowed(name: str, values: Iterable[object], allowed: Iterable[str]) -> None:
    names = list(allowed)
    for value in values:
        if value not in names:
            raise ProfileError(f"{name} {value!r}: allowed are {', '.join(names) or 'none'}")


def _check_purpose(purpose: object) -> None:
    if not isinstance(purpose, str) or purpose in _FORBIDDEN_PURPOSES:
        raise ProfileError(f"extended_key_usages {purpose!r}: never given to a device")
    if purpose not in extensions.EXTENDED_KEY_USAGE_OIDS:
        try:
            asn1.der_oid(purpose)
        except asn1.Asn1Error:
            names = ", ".join(extensions.EXTENDED_KEY_USAGE_OIDS.keys() - _FORBIDDEN_PURPOSES)
            raise ProfileError(
                f"extended_key_usages {purpose!r}: a dotted OID or one of {names}"
            ) from None


def _pattern_list(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or len(value) > _MAX_PATTERNS:
        raise ProfileError(
            f"{name} {value!r}: a list of at most {_MAX_PATTERNS} patterns is needed"
        )
    return tuple(_check_pattern(name, pattern) for pattern in value)


def _check_pattern(name: str, pattern: object) -> str:
    if not isinstance(pattern, str) or not 1 <= len(pattern) <= MAX_PATTERN_LENGTH:
        raise ProfileError(
            f"{name} {pattern!r}: a pattern of 1 to {MAX_PATTERN_LENGTH} characters is needed"
        )
    try:
        _compiled(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ProfileError(f"{name} {pattern!r}: not a regular expression: {error}") from error
    return pattern


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def matches(pattern: str, value: str) -> bool:
    """Whether the whole value matches; one of more than 255 characters never does."""
    return len(value) <= MAX_MATCHED_LENGTH and _compiled(pattern).fullmatch(value) is not None


def _check_url(name: str, value: object) -> None:
    if value == "":
        return
    try:
        parts = (
            urlsplit(value)
            if isinstance(value, str) and value.isascii() and " " not in value
            else None
        )
    except ValueError:
        parts = None
    # RFC 5280 8: https for these addresses makes a client chase certificates in a circle.
    if parts is None or parts.scheme != "http" or not parts.hostname:
        raise ProfileError(f"{name} {value!r}: an address that starts with http:// is needed")
    if set(str(value).replace(AUTHORITY_NAME, "")) & set("{}"):
        raise ProfileError(
            f"{name} {value!r}: of braces only {AUTHORITY_NAME} is known, the authority's name"
        )
