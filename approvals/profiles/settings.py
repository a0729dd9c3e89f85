"""The table of settings of an enrollment profile: how each is called, and how it is written down.

The log, the versions of a profile and the admin form read it. A new setting is a field of the
model, a row here, the place that reads it, its test and its line in the documents.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from approvals.models.profiles import EnrollmentProfile
from audit.canonical import CanonicalValue


def as_is(value: Any) -> CanonicalValue:
    """A number, or a mark."""
    return value  # type: ignore[no-any-return]


def seconds(value: timedelta | None) -> CanonicalValue:
    """A time in whole seconds; none stays none."""
    return None if value is None else int(value.total_seconds())


def words(value: Any) -> CanonicalValue:
    """A list of words."""
    return list(value)


def slug(value: Any) -> CanonicalValue:
    """Another row by its slug; empty without one."""
    return value.slug if value else ""


def name(value: Any) -> CanonicalValue:
    """Another row by its name."""
    return str(value.name)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: the field of the model, its name in records, and how its value is written."""

    field: str
    section: str = ""  # of the admin form; empty: set elsewhere, or never after the creation
    key: str = ""  # in records, where it is not the field
    written: Callable[[Any], CanonicalValue] = str

    def value_of(self, profile: EnrollmentProfile) -> CanonicalValue:
        """Return the value of a profile as records have it."""
        return self.written(getattr(profile, self.field))


GENERAL: Final = "General"
ISSUED: Final = "What is issued"
DECIDES: Final = "Who decides"
ASKS: Final = "Who may ask"
RENEWAL: Final = "Renewal"
SCEP: Final = "SCEP"
TIMES: Final = "Times"
LIMITS: Final = "Limits"
GUESSED: Final = "Guessed challenges"

SETTINGS: Final = (
    Setting("name", GENERAL),
    Setting("department", GENERAL, written=slug),
    Setting("owner_id", key="owner", written=lambda value: str(value or "")),
    Setting("is_default", GENERAL, written=as_is),
    Setting("ca", ISSUED, written=name),
    Setting("certificate_profile", ISSUED, written=slug),
    Setting("approval", DECIDES),
    Setting("required_approvals", DECIDES, written=as_is),
    Setting("allow_asserted_decisions", DECIDES, written=as_is),
    Setting("refuse_after_account_change", DECIDES, written=as_is),
    Setting("challenge", ASKS),
    Setting("eligibility", ASKS, key="devices", written=slug),
    Setting("unlisted", ASKS),
    Setting("networks", ASKS, written=words),
    Setting("on_duplicate", ASKS),
    Setting("name_conflicts", ASKS),
    Setting("renewal_mode", RENEWAL, key="renewal"),
    Setting("renewal_window", RENEWAL, key="renewal_window_s", written=seconds),
    Setting("renewal_grace", RENEWAL, key="renewal_grace_s", written=seconds),
    Setting("renewal_key_reuse", RENEWAL, written=as_is),
    Setting("renewal_changed_names", RENEWAL),
    Setting("ca_certificates", SCEP),
    Setting("legacy_algorithms", SCEP, written=as_is),
    Setting("reply_chain", SCEP),
    Setting("empty_content", SCEP),
    Setting("max_clock_skew", SCEP, key="max_clock_skew_s", written=seconds),
    Setting("request_ttl", TIMES, key="request_ttl_s", written=seconds),
    Setting("refused_ttl", TIMES, key="refused_ttl_s", written=seconds),
    Setting("undo_window", key="undo_window_s", written=seconds),
    Setting("max_open_requests", LIMITS, written=as_is),
    Setting("max_open_per_address", LIMITS, written=as_is),
    Setting("max_failed_per_address", GUESSED, written=as_is),
    Setting("max_failed_challenges", GUESSED, written=as_is),
    Setting("lock_exempt_networks", GUESSED, written=words),
)


def settings_of(profile: EnrollmentProfile) -> dict[str, CanonicalValue]:
    """Return every setting of a profile as records have it; no secret is among them."""
    mark = {"for_self_test": True} if profile.for_self_test else {}
    return {setting.key or setting.field: setting.value_of(profile) for setting in SETTINGS} | mark


def fields_of(section: str) -> tuple[str, ...]:
    """Return the fields that the admin form shows in this section, in order."""
    return tuple(setting.field for setting in SETTINGS if setting.section == section)


def profile_facts(profile: EnrollmentProfile) -> dict[str, object]:
    """Return what the log says of a profile: its version, and every setting."""
    return {"version": profile.version, **settings_of(profile)}
